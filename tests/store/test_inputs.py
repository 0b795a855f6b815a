"""`runs verify` reads what runs read: downloads, weights, prepared sets."""

import hashlib
import json
import os
from pathlib import Path

import pytest
from helpers import ROOT
from PIL import Image

from fsig_bench.api.digests import check_at_rest
from fsig_bench.data.importing import import_images, manifest_of
from fsig_bench.runs import main as runs
from fsig_bench.store import inputs
from fsig_bench.store.records import write_record


@pytest.fixture
def cache(tmp_path, monkeypatch):
    folder = tmp_path / "cache"
    folder.mkdir()
    monkeypatch.setenv("FSIG_BENCH_CACHE", str(folder))
    return folder


@pytest.fixture
def where(tmp_path):
    (tmp_path / "results").mkdir()
    return f"results_dir={tmp_path / 'results'}"


def change(path, at=3):
    """Other bytes of the same size and time."""
    stat = path.stat()
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns + 1))


def test_what_is_shipped_is_whole(cache, where, capsys):
    assert runs(["verify", where]) == 0
    assert capsys.readouterr().out == "all pieces are whole\n"


def test_a_changed_download_is_named_and_stays(cache, where, capsys):
    stated, pinned = cache / "vgg16-397923af.pth", cache / "downloads" / "some"
    stated.write_bytes(b"not the network")
    pinned.parent.mkdir()
    pinned.write_bytes(b"an archive")
    check_at_rest(pinned)
    change(pinned)
    assert runs(["verify", where, "remove=true"]) == 1
    out = capsys.readouterr().out
    assert "397923af... is stated for it" in out and "when it was first used" in out
    assert "2 damaged files among those that runs read; get them again" in out
    assert stated.exists() and pinned.exists()
    assert not (cache / "vgg16-397923af.pth.sha256.json").exists()  # verify pins nothing


def test_changed_weights_are_named(cache, where, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(inputs, "ROOT", tmp_path)
    folder = tmp_path / "baselines" / "weights"
    folder.mkdir(parents=True)
    (folder / "a.safetensors").write_bytes(b"12345678")
    digest = hashlib.sha256(b"12345678").hexdigest()
    entry = {"sha256": digest, "command": "make it"}
    (folder / "manifest.json").write_text(json.dumps({"a.safetensors": entry}))
    assert runs(["verify", where]) == 0
    change(folder / "a.safetensors")
    assert runs(["verify", where]) == 1
    assert "a.safetensors are corrupt" in capsys.readouterr().out


def test_changed_images_of_a_prepared_set_are_named(cache, where, tmp_path, capsys):
    source = tmp_path / "in"
    source.mkdir()
    Image.new("RGB", (9, 9), "red").save(source / "a.bmp")
    folder = cache / "data" / "own"
    import_images(source, folder / "shots")
    (folder / "manifest.json").write_text(json.dumps(manifest_of(folder, {})))
    assert runs(["verify", where]) == 0
    change(folder / "shots" / "a.bmp", at=80)
    assert runs(["verify", where]) == 1
    assert "changed since it was prepared (shots/a.bmp has other bytes)" in capsys.readouterr().out
    assert runs(["verify", where, f"data_dir={tmp_path}"]) == 0
    (folder / "manifest.json").write_text("{")
    assert runs(["verify", where]) == 1


def test_files_of_the_users_own_are_found_through_records(cache, where, tmp_path, capsys):
    mine = tmp_path / "mine.bin"
    mine.write_bytes(b"first bytes")
    reference = next((ROOT / "results" / "reference" / "mini").rglob("record.json"))
    record = json.loads(reference.read_text())
    node = {"file": "mine.bin", "url": None, "page": "p", "sha256": None, "mib": 1}
    record["config"]["protocol"]["note"] = node | {"licence": "own", "path": str(mine)}
    name = reference.parent.relative_to(ROOT / "results" / "reference")
    write_record(tmp_path / "results" / "runs" / name / "record.json", record)
    check_at_rest(mine)
    runs(["verify", where])
    assert "mine.bin" not in capsys.readouterr().out
    change(mine)
    assert runs(["verify", where]) == 1
    assert "mine.bin has sha256" in capsys.readouterr().out
    assert Path(mine).exists()
