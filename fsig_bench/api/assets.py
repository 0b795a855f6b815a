"""Downloaded files that a run needs: where they come from, and whether they are the right ones.

conf/asset/*.yaml describe them. A file is looked for at its `path`, else in the cache
($FSIG_BENCH_CACHE, by default ~/.cache/fsig_bench), else it is downloaded there. Whatever is found
must have the stated digest; where none is known, the file's own is pinned at first use and enters
every key. Such files are never committed.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TypeGuard

from fsig_bench.api.digests import check_at_rest, digest_for_keys
from fsig_bench.api.fetching import Report, Say, fetch, no_report, no_words
from fsig_bench.api.places import cache_folder
from fsig_bench.api.plain import Json


@dataclass(frozen=True, kw_only=True)
class Asset:
    """One file; its values stand in conf/asset/."""

    file: str
    url: str | None  # None: cannot be had by a plain download
    page: str  # where a person finds it
    sha256: str | None  # at least its first 8 digits; None: not known, pinned at first use
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

    def get(self, report: Report = no_report, say: Say = no_words) -> Path:
        """The file, downloaded if need be, once its bytes have been found right.

        They are hashed when this process first asks for the file.

        Args:
            report: called with the bytes that are there and those in all.
            say: called with a line before this process waits for another.

        Raises:
            FileNotFoundError: it is not there and cannot be fetched; the message says what to do.
            ValueError: its sha256 is another.
        """
        if not self.target.exists():
            remedy = f"put it at {self.target}, or set `path` of this asset; see {self.page}"
            if self.path or self.url is None:
                raise FileNotFoundError(f"{self.target} does not exist. Needed: {self}; {remedy}")
            try:
                fetch(
                    self.url,
                    self.target,
                    sha256=self.sha256,
                    mib=self.mib,
                    report=report,
                    say=say,
                )
            except (OSError, ValueError) as error:
                raise FileNotFoundError(f"cannot fetch {self}: {error}; {remedy}") from error
        check_at_rest(self.target, self.sha256)
        return self.target

    @property
    def digest(self) -> str:
        """What stands for the file in keys and records: the stated sha256, else the pinned one.

        A file that is used is hashed first (`get`); a key alone needs no reading.

        Raises:
            FileNotFoundError: none is stated and the file is not there.
            ValueError: it has changed since it was pinned.
        """
        if self.sha256:
            return self.sha256
        return digest_for_keys(self.target if self.target.exists() else self.get())


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


def is_asset(node: object) -> TypeGuard[Json]:
    """Whether a YAML value describes a downloaded file."""
    return isinstance(node, Mapping) and {f.name for f in fields(Asset)} <= set(node)


def assets_in(node: object) -> list[Asset]:
    """Every asset described in a config, at any depth."""
    if is_asset(node):
        return [Asset(**{f.name: node[f.name] for f in fields(Asset)})]
    below = node.values() if isinstance(node, Mapping) else node if isinstance(node, list) else ()
    return [a for v in below for a in assets_in(v)]
