"""Downloaded files that a run needs: where they come from, and whether they are the right ones.

conf/asset/*.yaml describe them. A file is looked for at its `path`, else in the cache
($FSIG_BENCH_CACHE, by default ~/.cache/fsig_bench), else it is downloaded there. Whatever is found
must have the stated digest; where none is known, the file's own enters every key. Such files are
never committed.
"""

from __future__ import annotations

import json
import os
import shutil
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path
from typing import Any

from fsig_bench.api.weights import sha256_of

Report = Callable[[int, int], None]  # bytes there, bytes in all (0: unknown)
CHUNK = 1 << 18
TIMEOUT_S = 30.0


def cache_folder() -> Path:
    """Where downloads are kept."""
    given = os.environ.get("FSIG_BENCH_CACHE")
    return Path(given).expanduser() if given else Path.home() / ".cache" / "fsig_bench"


@dataclass(frozen=True, kw_only=True)
class Asset:
    """One file; its values stand in conf/asset/."""

    file: str
    url: str | None  # None: cannot be had by a plain download
    page: str  # where a person finds it
    sha256: str | None  # at least its first 8 digits; None: not known here, the file's own counts
    mib: float
    licence: str
    path: str | None  # the user's own copy

    @property
    def target(self) -> Path:
        """Where the file is looked for."""
        return Path(self.path).expanduser() if self.path else cache_folder() / self.file

    def __str__(self) -> str:
        known = f"{self.sha256}..." if self.sha256 else "not known here"
        return (
            f"{self.file} ({self.mib:g} MiB, licence: {self.licence}, sha256 {known}, "
            f"from {self.url or self.page})"
        )

    def get(self, report: Report | None = None) -> Path:
        """The file, downloaded if need be, once its bytes have been found right.

        Raises:
            FileNotFoundError: it is not there and cannot be fetched; the message says what to do.
            ValueError: its sha256 is another.
        """
        if not self.target.exists():
            remedy = f"put it at {self.target}, or set `path` of this asset; see {self.page}"
            if self.path or self.url is None:
                raise FileNotFoundError(f"{self.target} does not exist. Needed: {self}; {remedy}")
            try:
                fetch(self.url, self.target, sha256=self.sha256, report=report)
            except (OSError, ValueError) as error:
                raise FileNotFoundError(f"cannot fetch {self}: {error}; {remedy}") from error
        return _checked(self, self.target)

    @property
    def digest(self) -> str:
        """What stands for the file in keys and records: the stated sha256, else that of the file.

        Raises:
            FileNotFoundError: none is stated and the file is not there.
        """
        return self.sha256 or _digest_of(self.get())


@cache
def _checked(asset: Asset, target: Path) -> Path:
    if asset.sha256 is None:
        return target
    if not (found := _digest_of(target)).startswith(asset.sha256):
        raise ValueError(
            f"{target} has sha256 {found}, and {asset.file} should have {asset.sha256}...: it is "
            "another file or damaged. Remove it, or give its own `sha256` if you mean this one"
        )
    return target


def _digest_of(file: Path) -> str:
    """sha256 of a large file, kept beside it for as long as its size and time stay."""
    stamp = [file.stat().st_size, file.stat().st_mtime_ns]
    note = file.with_name(f"{file.name}.sha256.json")
    if note.exists() and (kept := json.loads(note.read_text()))["stamp"] == stamp:
        return str(kept["sha256"])
    found = sha256_of(file)
    with suppress(OSError):  # the user's own folder may be read-only
        note.write_text(json.dumps({"sha256": found, "stamp": stamp}) + "\n")
    return found


def check_space(assets: Sequence[Asset]) -> None:
    """Fails before the first byte if the cache cannot take all that is to be fetched.

    Raises:
        OSError: too little space; the message says how much of what.
    """
    folder = cache_folder()
    while not folder.exists():
        folder = folder.parent
    needed = sum(a.mib for a in assets if a.url and not a.path)
    if (free := shutil.disk_usage(folder).free / 2**20) < needed:
        raise OSError(
            f"{needed:.0f} MiB are to be fetched to {cache_folder()}, which has {free:.0f} MiB "
            "free; make room, or set FSIG_BENCH_CACHE to another disk"
        )


def is_asset(node: Any) -> bool:
    """Whether a YAML value describes a downloaded file."""
    return isinstance(node, Mapping) and {f.name for f in fields(Asset)} <= set(node)


def assets_in(node: Any) -> list[Asset]:
    """Every asset described in a config, at any depth."""
    if is_asset(node):
        return [Asset(**{f.name: node[f.name] for f in fields(Asset)})]
    below = node.values() if isinstance(node, Mapping) else node if isinstance(node, list) else ()
    return [a for v in below for a in assets_in(v)]


def fetch(
    url: str,
    target: Path,
    *,
    sha256: str | None,
    report: Report | None = None,
    timeout_s: float = TIMEOUT_S,
) -> None:
    """Brings `url` to `target`: whole, right and renamed into place, or not at all.

    What an earlier try left in `<target>.part` is continued.

    Raises:
        OSError: no connection, a server's refusal, a transfer cut off, or no space.
        ValueError: the bytes are not those expected; they are removed.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f"{target.name}.part")
    if not (sha256 and part.exists() and sha256_of(part).startswith(sha256)):
        _transfer(url, part, report or (lambda have, total: None), timeout_s)
    with part.open("rb") as file:
        page = file.read(64).lstrip().lower().startswith((b"<!doctype html", b"<html"))
    found = sha256_of(part)
    if page or (sha256 and not found.startswith(sha256)):
        size = part.stat().st_size
        part.unlink()
        what = "a web page instead (the host may ask for a confirmation)" if page else "other bytes"
        raise ValueError(f"{url} gave {what}: {size} bytes with sha256 {found}")
    part.replace(target)


def _transfer(url: str, part: Path, report: Report, timeout_s: float) -> None:
    have = part.stat().st_size if part.exists() else 0
    request = urllib.request.Request(url, headers={"Range": f"bytes={have}-"} if have else {})
    try:
        with urllib.request.urlopen(request, timeout=timeout_s) as answer:
            resumed = answer.status == 206  # a server may ignore the range and send everything
            have = have if resumed else 0
            length = answer.headers.get("Content-Length")
            total = have + int(length) if length else 0
            with part.open("ab" if resumed else "wb") as file:
                while chunk := answer.read(CHUNK):
                    file.write(chunk)
                    have += len(chunk)
                    report(have, total)
    except urllib.error.HTTPError as error:
        if error.code == 416:  # nothing beyond what is here, and it was not the file
            part.unlink()
        raise OSError(f"{url} answered {error.code} {error.reason}") from error
    except urllib.error.URLError as error:
        raise OSError(f"{url} cannot be reached ({error.reason})") from error
    except TimeoutError as error:
        raise OSError(f"{url} sent nothing for {timeout_s:g} s; run again to go on") from error
    if have < total:
        raise OSError(f"{url} was cut off after {have} of {total} bytes; run again to go on")
