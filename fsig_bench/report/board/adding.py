"""A bundle's way onto the leaderboard: every check first, then the scoring, then the merge."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from fsig_bench.api.plain import JsonDict
from fsig_bench.pictures.strip import strip_bytes
from fsig_bench.report.board.archive import Archive
from fsig_bench.report.board.bundle import Bundle, Claim, open_bundle
from fsig_bench.report.board.claims import name_of, track_of
from fsig_bench.report.board.entries import (
    entry_place,
    is_there,
    write_entry,
)
from fsig_bench.report.board.rescore import read_pictures, score_again, scoring_cell, summary
from fsig_bench.report.board.versions import FrozenTrack, Version, frozen_versions
from fsig_bench.runner.record import environment
from fsig_bench.store import clock
from fsig_bench.store.files import read_tensors
from fsig_bench.store.store import Store

if TYPE_CHECKING:
    from fsig_bench.runner.cell import Cell

TILE = 96  # pixels of a sample in a strip, at most


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How bundles are checked."""

    board: Path
    features: Path | None  # a results folder that keeps features; None: they are not kept
    rescore: bool  # false: PNG files are not scored, and the numbers count as claimed
    place: tuple[str, ...]  # words on where it is scored, such as device=cpu
    config_dir: Path | None


@dataclass(frozen=True, kw_only=True)
class Checked:
    """One run of a bundle that may be merged."""

    claim: Claim
    standing: str  # re-scored | claimed
    place: Path
    facts: JsonDict
    strip: bytes | None
    known: bool  # it is there already


def newest(board: Path) -> Version:
    """The version that bundles are added to.

    Raises:
        ValueError: none is frozen.
    """
    if not (versions := frozen_versions(board)):
        raise ValueError(
            f"{board} holds no frozen version; freeze one first: fsig-bench leaderboard freeze "
            "version=NAME"
        )
    return versions[-1]


def check_version(bundle: Bundle, version: Version) -> None:
    """Raises ValueError where a bundle is for another version than the one that is open."""
    if bundle.version != version.name:
        raise ValueError(
            f"{bundle.archive.path} is for version {bundle.version} of the leaderboard, which now "
            f"takes version {version.name} (frozen {version.frozen[:10]}, {version.code}): make "
            f"the runs under that code and hand them in with fsig-bench submit "
            f"version={version.name}"
        )


def checked_state(bundle: Bundle, claim: Claim) -> None:
    """Raises ValueError where a run's state is damaged or is not the one that its record names."""
    assert claim.state is not None
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "state.safetensors")
        bundle.copy(claim.state, path)
        key = str(claim.record.get("stages", {}).get("adapt"))
        try:
            read_tensors(path, {"stage": "adapt", "key": key})
        except ValueError as error:
            said = str(error).rpartition("; ")[0].replace(str(path), claim.state)
            raise ValueError(
                f"{name_of(claim.record)}: {said}; hand in the state that the run left"
            ) from error


def checked_runs(bundle: Bundle, version: Version, settings: Settings) -> list[Checked]:
    """Every run of a bundle, after all checks and the scoring; nothing has been written yet.

    Raises:
        ValueError: a run is refused; the message names it, the value and the remedy.
        OSError: images or weights that scoring needs are not here.
    """
    check_version(bundle, version)
    claims = list(bundle.claims())
    tracks = [track_of(claim.record, version, settings.config_dir) for claim in claims]
    cells = [
        scoring_cell(
            claim.record, track, version, place=settings.place, config_dir=settings.config_dir
        )
        if claim.pictures and settings.rescore
        else None
        for claim, track in zip(claims, tracks, strict=True)
    ]
    for claim in claims:
        if claim.state:
            checked_state(bundle, claim)
    found = []
    with tempfile.TemporaryDirectory() as folder:
        store = Store(settings.features or folder)
        for claim, track, cell in zip(claims, tracks, cells, strict=True):
            found.append(_checked(bundle, claim, track, cell, store, version, settings))
    return found


def _checked(
    bundle: Bundle,
    claim: Claim,
    track: FrozenTrack,
    cell: Cell | None,
    store: Store,
    version: Version,
    settings: Settings,
) -> Checked:
    standing = "claimed" if cell is None else "re-scored"
    place = entry_place(settings.board, version.name, bundle.who, claim.folder)
    known = is_there(place, claim.record, standing)
    rescored = strip = with_ = None
    if cell is not None and not known:
        side = cell.suite.resolution
        images = read_pictures(bundle, claim, count=track.scored, side=side)
        rescored = summary(score_again(cell, images, store, claim.record))
        strip, with_ = strip_bytes(images, tile=TILE), environment()
    facts = {
        "version": version.name,
        "who": bundle.who,
        "made": bundle.made,
        "added": clock.now(),
        "bundle_sha256": bundle.sha256,
        "run_id": claim.record["run_id"],
        "protocol_hash": track.hash,
        "standing": standing,
        "state": claim.state is not None,
        "rescored": rescored,
        "rescored_with": with_,
    }
    return Checked(
        claim=claim, standing=standing, place=place, facts=facts, strip=strip, known=known
    )


def add_bundle(path: Path, settings: Settings, *, dry_run: bool = False) -> list[Checked]:
    """Merges a bundle, whole or not at all, and returns its runs.

    Raises:
        ValueError, OSError: as `checked_runs`; nothing was written.
    """
    version = newest(settings.board)
    with Archive(path) as archive:
        runs = checked_runs(open_bundle(path, archive), version, settings)
    if not dry_run:
        for run in runs:
            if not run.known:
                write_entry(run.place, run.claim.record_bytes, run.facts, run.strip)
    return runs


def report_lines(path: Path, runs: Sequence[Checked], *, dry_run: bool) -> Iterator[str]:
    """What was done with each run of a bundle."""
    for run in runs:
        state = "is on the leaderboard already" if run.known else run.standing
        yield f"  {name_of(run.claim.record)}: {state}"
    new = sum(not run.known for run in runs)
    done = "would be added" if dry_run else "added"
    yield f"{path}: {new} of {len(runs)} runs {done}"
