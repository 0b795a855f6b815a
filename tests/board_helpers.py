"""Bundles of toy runs for tests of the leaderboard, and what a forger makes of them."""

import hashlib
import io
import json
import zipfile
from pathlib import Path

import numpy as np
from helpers import ROOT
from PIL import Image

import fsig_bench
from fsig_bench.pictures.strip import strip_bytes
from fsig_bench.report.board.entries import entry_place, write_entry
from fsig_bench.report.board.sealed import with_seal, write_sealed
from fsig_bench.store.files import seal
from fsig_bench.store.store import run_folder_name

CONF = ROOT / "tests" / "conf"
OWN = ["--config-dir", str(CONF)]
TOY = ["protocol=brief", "dataset=babies", "dataset.n_ref=100", "k=2", "num_images=8"]
TOY += ["figures.embedding=pca", "figures.tsne_points=4", "device=cpu"]


def make_samples(folder, seed, count=8):
    """Images of noise, darker for a higher seed."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    for n in range(count):
        pixels = rng.integers(0, 256 - 60 * seed, (64, 64, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{n}.png")
    return folder


def toy_run(results, images, *words):
    """The record of images made elsewhere."""
    own = ["method=from_folder", f"method.images.files={images}", f"results_dir={results}"]
    return fsig_bench.run(*TOY, *own, *words, config_dir=CONF)


def members(path):
    """Every file of a bundle by its name."""
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def write_zip(path, files):
    """A zip file with these files, packed as bundles are."""
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in files.items():
            packed = zipfile.ZIP_DEFLATED if name.endswith(".json") else zipfile.ZIP_STORED
            archive.writestr(name, data, packed)
    return path


def forge(path, out, change, *, manifest=None, digests=True):
    """A bundle after a change of its files, with digests and seals that fit.

    Args:
        path: the true bundle.
        out: where the other one goes.
        change: is given the files by name and changes them.
        manifest: is given the manifest and changes it.
        digests: whether the manifest is made to fit the files.
    """
    files = members(path)
    change(files)
    head = json.loads(files["manifest.json"])
    if digests:
        head["files"] = {
            name: {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}
            for name, data in files.items()
            if name != "manifest.json"
        }
        for cell in head["cells"]:
            record = json.loads(files[f"{cell['folder']}/record.json"])
            cell |= {key: record[key] for key in ("run_id", "protocol_hash")}
    if manifest:
        manifest(head)
    files["manifest.json"] = json.dumps(with_seal(head)).encode()
    return write_zip(out, files)


def record_name(files):
    (name,) = (name for name in files if name.endswith("record.json"))
    return name


def edit_record(files, change, *, sealed=True):
    """Changes the one record of a bundle; `sealed`: with a seal that fits."""
    record = json.loads(files[record_name(files)])
    change(record)
    if sealed:
        record.pop("seal")
        record["seal"] = seal(record)
    files[record_name(files)] = json.dumps(record, indent=2).encode()


def first_png(files):
    return min(name for name in files if name.endswith(".png"))


def encoded(pixels):
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG")
    return out.getvalue()


def brightened(data):
    """A PNG file with every pixel a little brighter."""
    pixels = np.asarray(Image.open(io.BytesIO(data))).astype(int)
    return encoded(np.clip(pixels + 40, 0, 255).astype(np.uint8))


def pixels_digest(files):
    """What a record must state for the images of a bundle."""
    import torch

    from fsig_bench.api.images import pixels_sha256

    names = sorted(name for name in files if name.endswith(".png"))
    images = [np.asarray(Image.open(io.BytesIO(files[name]))) for name in names]
    return pixels_sha256(torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).contiguous())


def tree(folder):
    """Every file below a folder with its bytes."""
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in Path(folder).rglob("*.*")}


TRACK = {"suite": "mini", "protocol": "ours", "k": 10, "num_images": 500, "scored": 500}
TRACK |= {"datasets": ["babies", "cats"], "settings": [], "rules": "ours v3"}


def leave_version(board, name, protocol_hash, frozen):
    """A frozen version of the mini suite."""
    code = {"fsig_bench": "0.1.0", "git_commit": None}
    tracks = [TRACK | {"hash": protocol_hash}]
    value = {"format": 1, "version": name, "frozen": frozen, "tracks": tracks, **code}
    write_sealed(board / name / "version.json", value)


def leave_entry(board, path, who, standing="re-scored"):
    """A committed record as an entry of version 1, with a strip of one colour."""
    import torch

    record = json.loads(path.read_text())
    values = {m: v["value"] for m, v in record["metrics"].items()}
    facts = {"version": "1", "who": who, "made": "2026-01-03T10:00:00+00:00", "state": False}
    facts |= {"added": "2026-01-04T10:00:00+00:00", "bundle_sha256": "ab" * 32}
    facts |= {"run_id": record["run_id"], "protocol_hash": record["protocol_hash"]}
    same = {m: {"value": v, "claimed": v, "allowed": 0.1} for m, v in values.items()}
    facts |= {"standing": standing, "rescored": None, "rescored_with": None}
    strip = None
    if standing == "re-scored":
        facts["rescored"] = same
        strip = strip_bytes(torch.full((8, 3, 64, 64), 90, dtype=torch.uint8), tile=96)
    place = entry_place(board, "1", who, run_folder_name(record, record["run_id"]))
    write_entry(place, path.read_bytes(), facts, strip)
    return record
