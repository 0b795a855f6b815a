"""One file from wherever it lies: Google Drive, the Hugging Face hub, or any server.

The address decides which library brings the file:

    https://drive.google.com/file/d/ID                       gdown
    https://drive.google.com/drive/folders/ID#PATH           gdown, one file of a shared folder
    https://huggingface.co/OWNER/NAME/resolve/REVISION/PATH  huggingface_hub
    anything else                                            HTTP (`fetching.fetch`)

Whichever brings it, the bytes are checked as `fetching.accept` says before they are in place, and
what a killed process left is continued.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fsig_bench.api.fetching import (
    Report,
    Say,
    Wanted,
    accept,
    fetch,
    no_report,
    no_words,
)
from fsig_bench.api.formats import kind_of
from fsig_bench.api.owners import exclusive

DRIVE_FILE = re.compile(r"https://drive\.google\.com/file/d/([\w-]+)(?:/.*)?")
DRIVE_FOLDER = re.compile(r"https://drive\.google\.com/drive/folders/([\w-]+)#(.+)")
HUB_FILE = re.compile(r"https://huggingface\.co/([^/]+/[^/]+)/resolve/([^/]+)/(.+)")
PACKAGES = {  # of a way -> the package that it needs, how to install it
    "drive": ("gdown", "pip install 'fsig-bench[drive]'"),
    "hub": ("huggingface_hub", "pip install huggingface_hub"),
}


class PackageMissing(OSError):
    """The library that brings a file is not installed."""


def way_of(url: str) -> str:
    """How a file is fetched: "drive", "hub" or "http"."""
    if DRIVE_FILE.fullmatch(url) or DRIVE_FOLDER.fullmatch(url):
        return "drive"
    return "hub" if HUB_FILE.fullmatch(url) else "http"


def can_fetch(url: str) -> bool:
    """Whether a file lies at the address: a shared folder alone, without a path in it, is none."""
    return not (url.startswith("https://drive.google.com/drive/folders/") and "#" not in url)


def missing_package(url: str) -> str | None:
    """What to install before an address can be fetched, as a sentence; None: nothing."""
    from importlib.util import find_spec

    if (way := way_of(url)) == "http":
        return None
    package, remedy = PACKAGES[way]
    where = {"drive": "Google Drive", "hub": "The Hugging Face hub"}[way]
    loaded = sys.modules.get(package) is not None or find_spec(package) is not None
    return None if loaded else f"{where} needs {package}: {remedy}"


def bring(
    urls: Sequence[str],
    target: Path,
    *,
    sha256: str | None,
    kind: str | None = None,
    mib: float | None = None,
    report: Report = no_report,
    say: Say = no_words,
) -> None:
    """Brings the first of some addresses that works to `target`, whole and right.

    Args:
        urls: where the file is; they are tried in turn.
        target: where it is to be.
        sha256: its digest or the first digits of it; None: it is pinned to what comes.
        kind: of `formats.kind_of`, or "archive"; None: as the name of `target` says.
        mib: its size, to 5 %; None: not known.
        report: called with the bytes that are there and those in all, over HTTP alone.
        say: called with a line before this process waits for another.

    Raises:
        OSError: none of them works; the message has the reason of each.
    """
    reasons = []
    for url in urls:
        try:
            if missing := missing_package(url):
                raise PackageMissing(missing)
            if (way := way_of(url)) == "http":
                fetch(url, target, sha256=sha256, kind=kind, mib=mib, report=report, say=say)
            else:
                kind = kind_of(target.name) if kind is None else kind
                wanted = Wanted(url=url, sha256=sha256, kind=kind, mib=mib)
                _with_library(way, wanted, target, say)
            return
        except (OSError, ValueError) as error:
            reasons.append(" ".join(str(error).split()))
    raise OSError("; then ".join(reasons) or f"no address of {target.name} is known")


def _with_library(way: str, wanted: Wanted, target: Path, say: Say) -> None:
    """Lets a library fetch into a part that stays, so that it can go on after a kill."""
    part = target.with_name(f".{target.name}.{way}.part")
    waiting = f"another process fetches {target.name}; waiting until it ends"
    with exclusive(target, waiting=lambda lock: say(f"{waiting} (lock {lock})")):
        if target.exists():
            return
        try:
            (_drive if way == "drive" else _hub)(wanted.url, part)
        except Exception as error:  # each library raises its own kinds
            reason = " ".join(str(error).split()) or type(error).__name__
            raise OSError(f"{wanted.url} cannot be had ({reason})") from error
        accept(part, target, wanted, length_known=True)  # both raise where bytes are missing


def _drive(url: str, part: Path) -> None:
    gdown: Any = __import__("gdown")
    quiet = not sys.stderr.isatty()
    if found := DRIVE_FILE.fullmatch(url):
        name = found[1]
    else:
        folder = DRIVE_FOLDER.fullmatch(url)
        assert folder is not None  # `way_of` says so
        listed = gdown.download_folder(id=folder[1], skip_download=True, quiet=True) or []
        names = [f.id for f in listed if f"/{f.path}".endswith(f"/{folder[2]}")]
        if len(names) != 1:
            there = ", ".join(sorted(f.path for f in listed)[:6]) or "nothing"
            raise OSError(f"the folder holds {len(names)} files {folder[2]}; in it: {there}")
        name = names[0]
    if gdown.download(id=name, output=str(part), quiet=quiet, resume=True) is None:
        raise OSError("Drive gave no file; its daily limit of downloads may be used up")


def _hub(url: str, part: Path) -> None:
    from huggingface_hub import hf_hub_download

    found = HUB_FILE.fullmatch(url)
    assert found is not None  # `way_of` says so
    folder = part.with_name(f"{part.name}.d")
    got = hf_hub_download(
        repo_id=found[1],
        revision=found[2],
        filename=found[3],
        local_dir=folder,
        endpoint=os.environ.get("HF_ENDPOINT"),  # as it is now, not as at the library's import
    )
    Path(got).replace(part)
    _remove(folder)


def _remove(folder: Path) -> None:
    import shutil

    shutil.rmtree(folder, ignore_errors=True)
