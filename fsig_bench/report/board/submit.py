"""`fsig-bench submit results_dir=DIR who="Lab"`: a bundle of runs for the leaderboard.

    fsig-bench submit results_dir=results who="Lab"           all runs of the version's tracks
    fsig-bench submit who="Lab" method=crdi,rs_imle k=10      the runs that fit
    fsig-bench submit who="Lab" with=records                  numbers only: they count as claimed

The bundle is one zip file: records, PNG files of the samples that were scored, digests, protocol
hashes, versions of code and libraries. Whoever keeps the leaderboard scores the PNG files again.

  who="Lab"            the name that the leaderboard shows
  version=1            of the leaderboard (default: the newest one in conf/leaderboard)
  with=png             records | png | states, or several: png,states
  suite= method= dataset= k= seed= run_id=     the runs that fit, values separated by commas
  out=FILE.zip         default: <lab>-<version>.zip in this folder
  board=DIR            where the frozen versions lie (default: results/leaderboard)
  results_dir=DIR      default: results             --config-dir DIR    YAML files of your own
"""

from __future__ import annotations

import sys
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from fsig_bench.api.files import write_whole
from fsig_bench.api.images import pixels_sha256
from fsig_bench.api.plain import Record
from fsig_bench.console import printable, run_word
from fsig_bench.report.board.archive import kind_of
from fsig_bench.report.board.bundle import BundleWriter, Content
from fsig_bench.report.board.claims import group_by_track, name_of
from fsig_bench.report.board.entries import lab_folder
from fsig_bench.report.board.sealed import lab_name
from fsig_bench.report.board.versions import (
    FrozenTrack,
    Version,
    defined_tracks,
    defined_versions,
    hashed,
    read_version,
)
from fsig_bench.runner.record import environment
from fsig_bench.store import clock
from fsig_bench.store.files import read_tensors
from fsig_bench.store.records import read_record
from fsig_bench.store.shards import stored_images, whole_size
from fsig_bench.store.store import Store, parse_run_folder, run_folders
from fsig_bench.words import existing_folder, parse_words, results_root

FILTERS = ("suite", "method", "dataset", "k", "seed", "run_id")
KEYS = (*FILTERS, "who", "version", "with", "out", "board", "results_dir")
PARTS = ("records", "png", "states")
MOST_NAMED = 10


def current_version(board: Path, name: str | None, config_dir: Path | None = None) -> Version:
    """A version as it is frozen, or as this code would freeze it where `board` has it not.

    Raises:
        ValueError: there is no such version.
    """
    known = list(defined_versions(config_dir))
    if name is None and not known:
        raise ValueError("conf/leaderboard defines no version; give version=NAME")
    name = name or known[-1]
    if (path := board / name / "version.json").is_file():
        return read_version(path)
    tracks: list[FrozenTrack] = []
    for track in defined_tracks(name, config_dir):
        try:
            tracks.append(hashed(track, config_dir))
        except ValueError as error:
            print(f"left out: {error}", file=sys.stderr)
    return Version(name=name, frozen="", fsig_bench="", git_commit=None, tracks=tuple(tracks))


def wanted_records(store: Store, wanted: Mapping[str, str]) -> dict[str, Record]:
    """The records of the runs that fit, by their folder below the results folder.

    Raises:
        ValueError: none fits, or a record is damaged.
    """
    found = {}
    for folder in run_folders(store.root):
        parts = parse_run_folder(folder)
        fits = all(parts[key] in value.split(",") for key, value in wanted.items())
        if fits and (folder / "record.json").is_file():
            found[folder.relative_to(store.root).as_posix()] = read_record(folder / "record.json")
    if not found:
        words = " ".join(f"{key}={value}" for key, value in wanted.items()) or "of any kind"
        raise ValueError(f"{store.root} holds no finished run {words}; see fsig-bench runs")
    return found


def content_of(
    folder: str, record: Record, store: Store, parts: Sequence[str], scored: int
) -> Content:
    """What a bundle takes of a run, checked against the record.

    Raises:
        ValueError, FileNotFoundError: samples or state are gone, or not those of the record.
    """
    if kind_of(f"{folder}/record.json") != "record":
        raise ValueError(
            f"{name_of(record)}: a bundle takes names of letters, digits and signs of _.@+-, and "
            f"this run's folder is {folder}; give the method such a name (method.card.name)"
        )
    images = state = None
    if "png" in parts:
        size = whole_size(record["config"].get("suite", {}).get("shard_size"))
        key = record["stages"]["sample"]
        try:
            images, _ = stored_images(store, key, count=record["num_images"], size=size)
        except FileNotFoundError as error:
            raise ValueError(
                f"{name_of(record)}: its samples are not in the store any more ({error}); run it "
                "again, or hand in numbers only: with=records"
            ) from error
        images = images[:scored]
        if pixels_sha256(images) != record["pixels_sha256"]:
            raise ValueError(
                f"{name_of(record)}: the samples in the store are not those that were scored; see "
                "fsig-bench runs verify"
            )
    if "states" in parts:
        key = record["stages"]["adapt"]
        state = store.adapt_folder(key) / "state.safetensors"
        if not state.is_file():
            raise ValueError(f"{name_of(record)}: its state is not in the store; leave states out")
        read_tensors(state, {"stage": "adapt", "key": key})
    return Content(
        folder=folder,
        record_file=store.root / folder / "record.json",
        images=images,
        state_file=state,
    )


def name_left_out(refused: Mapping[str, str]) -> None:
    """Says on stderr which runs do not go into the bundle, and why."""
    for reason in list(refused.values())[:MOST_NAMED]:
        print(f"left out: {printable(reason)}", file=sys.stderr)
    if (more := len(refused) - MOST_NAMED) > 0:
        print(f"left out: {more} more runs", file=sys.stderr)


def chosen_parts(text: str) -> list[str]:
    """What a bundle holds beside the records.

    Raises:
        ValueError: an unknown word.
    """
    parts = [part for part in text.strip("[]").split(",") if part]
    if unknown := [part for part in parts if part not in PARTS]:
        raise ValueError(f"with={unknown[0]}: choose from {', '.join(PARTS)}")
    return parts


def main(words: Sequence[str]) -> int:
    """Writes the bundle and says what is in it; returns 0.

    Raises:
        ValueError, OSError: no run fits, a name is missing, or samples are gone.
    """
    given = parse_words(words, word="submit", keys=KEYS, positional=())
    settings = given.settings
    who = settings.get("who", "")
    if wrong := lab_name(who):
        raise ValueError(f'who={who!r} is not {wrong}; write who="Your lab"')
    parts = chosen_parts(settings.get("with", "png"))
    if "results_dir" in settings:
        store = Store(results_root(settings["results_dir"]))
    else:
        store = Store(existing_folder("results", key="results_dir"))
    board = Path(settings.get("board", "results/leaderboard")).expanduser()
    version = current_version(board, settings.get("version"), given.config_dir)
    wanted = {key: settings[key] for key in FILTERS if key in settings}
    records = wanted_records(store, wanted)
    tracks, refused = group_by_track(records, version, given.config_dir)
    if not tracks:
        first = next(iter(refused.values()))
        raise ValueError(f"none of {len(records)} runs is one of version {version.name}: {first}")
    name_left_out(refused)
    out = Path(settings.get("out", f"{lab_folder(who)}-{version.name}.zip")).expanduser()
    if out.exists() and not zipfile.is_zipfile(out):
        raise ValueError(f"out={out} exists and is no bundle; choose another name")
    head = {
        "version": version.name,
        "who": who,
        "made": clock.now(),
        "environment": environment(),
    }

    def write(path: Path) -> None:
        writer = BundleWriter(path)
        for folder, track in tracks.items():
            writer.add(content_of(folder, records[folder], store, parts, track.scored))
        writer.close(head)

    write_whole(out, write)
    held = " and ".join(["records", *(part for part in parts if part != "records")])
    print(f"{out}: {len(tracks)} runs of {who} for version {version.name}, {held}")
    if "png" not in parts:
        print("without PNG files the leaderboard shows these numbers as claimed, without a rank")
    return 0


if __name__ == "__main__":
    sys.exit(run_word("submit", main))
