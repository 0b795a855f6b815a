"""`python tests/bench/bad_downloads.py`: bad downloads of many kinds, and how many are accepted.

A local server hands out files that are cut, packed, replaced or mixed, without a known digest. A
file that is accepted although its bytes are not those of the server's file counts as accepted.
"""

import io
import itertools
import json
import os
import random
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from bad_server import serving  # noqa: E402

from fsig_bench.api.fetching import fetch  # noqa: E402


def zipped(noise: bytes) -> bytes:
    """What torch.save makes: an uncompressed zip."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as file:
        file.writestr("archive/data.pkl", b"\x80\x02}.")
        file.writestr("archive/data/0", noise)
    return out.getvalue()


def safetensors(noise: bytes) -> bytes:
    """One tensor of bytes."""
    entry = {"a": {"dtype": "U8", "shape": [len(noise)], "data_offsets": [0, len(noise)]}}
    head = json.dumps(entry).encode()
    return len(head).to_bytes(8, "little") + head + noise


def tarred(noise: bytes) -> bytes:
    """One file of bytes."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as file:
        member = tarfile.TarInfo("a.bin")
        member.size = len(noise)
        file.addfile(member, io.BytesIO(noise))
    return out.getvalue()


def settings(noise: bytes) -> bytes:
    """A JSON file."""
    return json.dumps({"hidden": noise.hex()}).encode()


FORMATS: dict[str, Callable[[bytes], bytes]] = {
    "w.pth": zipped,
    "w.safetensors": safetensors,
    "w.tar": tarred,
    "w.json": settings,
    "w.bin": bytes,
}


@dataclass(frozen=True)
class Try:
    """One bad download; `way` is the path that the server answers in this way."""

    kind: str
    way: str
    name: str = "w.pth"
    cut_first: bool = False  # an earlier try was cut off
    changed: str = ""  # what happens to the server's file before the second try


TRIES = [
    *(Try("cut, no length stated", "short", name) for name in FORMATS),
    Try("cut, length stated", "short-stated"),
    Try("cut, length stated", "short-stated", "w.bin"),
    *(Try("gzip bytes", way, name) for way in ("gzip", "gzip-named") for name in list(FORMATS)[:4]),
    *(
        Try("XML AccessDenied", way, name)
        for way in ("denied", "marked-denied")
        for name in FORMATS
    ),
    *(Try("HTML, behind comments too", way, "w.bin") for way in ("page", "commented-page")),
    *(Try("HTML, behind comments too", way) for way in ("wide-page", "commented-page")),
    Try("JSON error", "json-error", "w.json"),
    Try("JSON error", "json-error", "w.bin"),
    Try("empty", "empty", "w.bin"),
    Try("longer than stated", "longer", "w.bin"),
    *(
        Try("206 that ignores the range", way, name, cut_first=True)
        for way in ("ignores-range", "no-range-field", "lies-on-range")
        for name in ("w.pth", "w.bin")
    ),
    Try("another file behind the same link", "plain", "w.bin", cut_first=True, changed="new tag"),
    Try("another file behind the same link", "careless", "w.bin", True, "new tag"),
    Try("another file behind the same link", "careless", "w.bin", True, "no tag"),
    Try("other bytes than the first time", "plain", "w.bin", changed="after use"),
]


def is_accepted(one: Try, content: bytes, other: bytes, folder: Path) -> bool:
    """Whether wrong bytes come into the file's place."""
    target = folder / one.name
    with serving() as server:
        server.content, server.tag = content, '"one"'
        url = f"{server.base}/{one.way}/{one.name}"
        if one.cut_first:
            server.cut_once.append(one.way)
            brought(url, target)
            assert not target.exists()
        if one.changed == "after use":
            brought(url, target)
            target.unlink()
        if one.changed:
            server.content, server.tag = other, None if one.changed == "no tag" else '"two"'
        brought(url, target)
        # The new bytes of a changed file are right, unless the old ones are pinned.
        right = content if one.changed == "after use" else server.content
        return target.exists() and target.read_bytes() != right


def brought(url: str, target: Path) -> None:
    """Tries to fetch."""
    try:
        fetch(url, target, sha256=None, timeout_s=5)
    except (OSError, ValueError):
        return


ONE = """
import sys; from pathlib import Path
sys.path.insert(0, sys.argv[3])
from fsig_bench.api.fetching import fetch
fetch(sys.argv[1], Path(sys.argv[2]), sha256=None)
"""


def crowd_is_accepted(content: bytes, folder: Path, processes: int = 3) -> bool:
    """Whether processes that fetch one file at the same time leave a wrong one."""
    with serving() as server:
        server.content = content
        words = [f"{server.base}/crowded/w.bin", str(folder / "w.bin"), str(ROOT)]
        crowd = [subprocess.Popen([sys.executable, "-c", ONE, *words]) for _ in range(processes)]
        failed = [p for p in crowd if p.wait() != 0]
    return bool(failed) or (folder / "w.bin").read_bytes() != content


def outcomes(count: int, seed: int) -> Iterator[tuple[str, bool]]:
    """(kind of fault, whether wrong bytes were accepted) of `count` bad downloads."""
    random_ = random.Random(seed)
    for one in itertools.islice(itertools.cycle([*TRIES[:1], None, *TRIES[1:]]), count):
        noise, other = random_.randbytes(300_000), random_.randbytes(300_000)
        with tempfile.TemporaryDirectory() as folder:
            os.environ["FSIG_BENCH_CACHE"] = folder
            if one is None:
                yield "three processes at once", crowd_is_accepted(noise, Path(folder))
            else:
                make = FORMATS[one.name]
                yield one.kind, is_accepted(one, make(noise), make(other), Path(folder))


def main(count: int = 30, seed: int = 0) -> int:
    """Prints a row of a Markdown table for each kind of fault; returns how many were accepted."""
    random.Random(seed).shuffle(TRIES)
    cache = os.environ.get("FSIG_BENCH_CACHE")
    rows: dict[str, list[bool]] = {}
    try:
        for kind, accepted in outcomes(count, seed):
            rows.setdefault(kind, []).append(accepted)
    finally:
        os.environ.pop("FSIG_BENCH_CACHE", None)
        if cache is not None:
            os.environ["FSIG_BENCH_CACHE"] = cache
    for kind, found in rows.items():
        print(f"| download: {kind} | {len(found)} | {len(found) - sum(found)} |")
    return sum(sum(found) for found in rows.values())


if __name__ == "__main__":
    print("| fault | tried | refused or put right |\n|---|--:|--:|")
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 30))
