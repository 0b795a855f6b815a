"""Each address is fetched by its library, and the bytes are checked whoever brought them."""

import hashlib
import http.server
import sys
import threading
import types
from collections import namedtuple
from contextlib import contextmanager

import pytest
from bad_server import CONTENT, DIGEST

from fsig_bench.api.assets import Asset, assets_in
from fsig_bench.api.sources import bring, can_fetch, missing_package, way_of

DRIVE = "https://drive.google.com/file/d/1PQutd-JboOCOZqmd95XWxWrO8gGEvRcO"
FOLDER = "https://drive.google.com/drive/folders/1rbztSCF27azt64M2d3dsL38ZDZ489Rsn"
HUB = "https://huggingface.co/owner/name/resolve/main/unet/model.bin"


@pytest.fixture
def gdown(monkeypatch):
    """A Drive that answers from memory: id -> content, and what was asked for."""
    drive = types.ModuleType("gdown")
    drive.files, drive.asked, drive.folder = {}, [], []

    def download(id, output, quiet, resume):
        drive.asked.append((id, resume))
        if id not in drive.files:
            return None
        with open(output, "wb") as file:
            file.write(drive.files[id])
        return output

    drive.download = download
    drive.download_folder = lambda id, skip_download, quiet: drive.folder
    monkeypatch.setitem(sys.modules, "gdown", drive)
    return drive


@contextmanager
def hub(files):
    """A hub that answers the library's questions about single files."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_HEAD(self):
            self.answer(body=False)

        def do_GET(self):
            self.answer(body=True)

        def answer(self, *, body):
            content = files.get(self.path)
            if content is None:
                self.send_response(404)
                self.send_header("X-Error-Code", "EntryNotFound")
                self.end_headers()
                return
            self.send_response(200)
            digest = hashlib.sha256(content).hexdigest()
            fields = {"ETag": f'"{digest}"', "X-Repo-Commit": "0" * 40}
            for name, value in {**fields, "Content-Length": str(len(content))}.items():
                self.send_header(name, value)
            self.end_headers()
            if body:
                self.wfile.write(content)

        def log_message(self, *words):
            pass

    served = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=served.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{served.server_port}"
    served.shutdown()
    served.server_close()
    thread.join()


def test_the_address_decides_the_way():
    assert [way_of(u) for u in (DRIVE, f"{DRIVE}/view", f"{FOLDER}#a/b.ckpt")] == ["drive"] * 3
    assert way_of(HUB) == "hub" and way_of("https://huggingface.co/owner/name") == "http"
    assert way_of("https://example.org/w.pt") == "http"
    assert not can_fetch(FOLDER) and can_fetch(f"{FOLDER}#a/b.ckpt") and can_fetch(DRIVE)


def test_a_drive_file_comes_through_gdown_and_is_checked(gdown, tmp_path):
    gdown.files["1PQutd-JboOCOZqmd95XWxWrO8gGEvRcO"] = CONTENT
    bring([DRIVE], tmp_path / "w.dat", sha256=DIGEST)
    assert (tmp_path / "w.dat").read_bytes() == CONTENT
    assert gdown.asked == [("1PQutd-JboOCOZqmd95XWxWrO8gGEvRcO", True)]  # goes on after a kill
    with pytest.raises(OSError, match="other bytes"):
        bring([DRIVE], tmp_path / "x.dat", sha256="0" * 64)
    page = b"<!DOCTYPE html><html>Too many users have viewed this file</html>"
    gdown.files["1PQutd-JboOCOZqmd95XWxWrO8gGEvRcO"] = page
    with pytest.raises(OSError, match="page"):
        bring([DRIVE], tmp_path / "y.dat", sha256=None)
    gdown.files.clear()
    with pytest.raises(OSError, match=rf"{DRIVE} cannot be had \(Drive gave no file"):
        bring([DRIVE], tmp_path / "z.dat", sha256=None)
    assert sorted(p.name for p in tmp_path.iterdir() if p.suffix == ".dat") == ["w.dat"]


def test_one_file_of_a_shared_folder_is_found_by_its_path(gdown, tmp_path):
    listed = namedtuple("Listed", "id path local_path")
    gdown.folder = [listed("a", "ckpt/ffhq_256/model.ckpt", ""), listed("b", "x/model.ckpt", "")]
    gdown.files["a"] = CONTENT
    bring([f"{FOLDER}#ffhq_256/model.ckpt"], tmp_path / "w.dat", sha256=DIGEST)
    assert (tmp_path / "w.dat").read_bytes() == CONTENT
    with pytest.raises(OSError, match=r"holds 2 files model\.ckpt; in it: ckpt/ffhq_256/model"):
        bring([f"{FOLDER}#model.ckpt"], tmp_path / "v.dat", sha256=None)


def test_a_missing_package_is_named_with_its_extra(monkeypatch, tmp_path):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    monkeypatch.delitem(sys.modules, "gdown", raising=False)
    assert missing_package(DRIVE) == "Google Drive needs gdown: pip install 'fsig-bench[drive]'"
    assert missing_package("https://example.org/w.pt") is None
    with pytest.raises(OSError, match=r"needs gdown: pip install 'fsig-bench\[drive\]'"):
        bring([DRIVE], tmp_path / "w.dat", sha256=None)


def test_a_hub_file_comes_through_its_library(monkeypatch, tmp_path):
    with hub({"/owner/name/resolve/main/unet/model.bin": CONTENT}) as base:
        monkeypatch.setenv("HF_ENDPOINT", base)
        bring([HUB], tmp_path / "w.dat", sha256=DIGEST)
        assert (tmp_path / "w.dat").read_bytes() == CONTENT
        with pytest.raises(OSError, match="cannot be had"):
            bring([HUB.replace("model", "other")], tmp_path / "v.dat", sha256=None)
    assert [p.name for p in tmp_path.iterdir() if p.is_dir() and "v.dat" not in p.name] == []


def test_addresses_of_an_asset_are_tried_in_turn(server, tmp_path, monkeypatch):
    monkeypatch.setenv("FSIG_BENCH_CACHE", str(tmp_path))
    node = {"file": "w.dat", "url": f"{server.base}/gone", "page": "http://page", "mib": None}
    node |= {"licence": "CC0", "sha256": DIGEST, "path": None}
    with pytest.raises(FileNotFoundError, match="404"):
        assets_in(node)[0].get()
    node["alternatives"] = [f"{server.base}/denied", f"{server.base}/plain.bin"]
    found = assets_in([{"weights": node}])[0]
    assert found.get() == found.target == tmp_path / "w.bin"  # as the address that worked ends
    assert found.target.read_bytes() == CONTENT and hash(found)
    assert [path for path, _ in server.asked] == ["/gone", "/gone", "/denied", "/plain.bin"]
    assert "size not known" in str(Asset(**node | {"alternatives": ()}))
