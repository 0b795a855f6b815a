"""What the leaderboard holds: one folder a lab, laid out as a results folder, an entry a run.

    <board>/<version>/version.json
    <board>/<version>/<lab>/runs/<suite>/<method>/<dataset>/<run>/record.json    as handed in
    <board>/<version>/<lab>/runs/<suite>/<method>/<dataset>/<run>/entry.json     what was checked
    <board>/<version>/<lab>/runs/<suite>/<method>/<dataset>/<run>/samples.webp   the first samples

`fsig-bench report <board>/<version>/<lab>` reads a lab's folder like any other.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from fsig_bench.api.files import write_bytes
from fsig_bench.api.plain import Json, JsonDict, Record
from fsig_bench.pictures.strip import NAME as STRIP_NAME
from fsig_bench.report.board.sealed import exactly, lab_name, moment, read_sealed, write_sealed
from fsig_bench.report.board.versions import FrozenTrack, Version
from fsig_bench.store.checks import (
    fields,
    flag,
    hexadecimal,
    mapped,
    name,
    number,
    one_of,
    optional_text,
)
from fsig_bench.store.records import read_record

FORMAT = 1  # of entry.json
STANDINGS = ("re-scored", "claimed")
REMEDY = "restore it from version control, or remove its folder and add the bundle again"
ENTRY_FIELDS = fields(
    {
        "entry": exactly(FORMAT),
        "version": name,
        "who": lab_name,
        "made": moment,
        "added": moment,
        "bundle_sha256": hexadecimal,
        "record_sha256": hexadecimal,
        "run_id": name,
        "protocol_hash": hexadecimal,
        "standing": one_of(*STANDINGS),
        "state": flag,
        "rescored": mapped(
            fields({"value": number(none=True), "claimed": number(none=True), "allowed": number()}),
            none=True,
        ),
        "rescored_with": mapped(none=True),
    },
    {"note": optional_text},
)


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One run on the leaderboard."""

    folder: Path
    record: Record
    facts: Json  # entry.json
    track: FrozenTrack
    version: str

    @property
    def strip(self) -> Path | None:
        """The picture of its first samples; None where it has none."""
        path = self.folder / STRIP_NAME
        return path if path.is_file() else None


def lab_folder(who: str) -> str:
    """A folder's name for a lab: what is plain of its name, and a digest that tells names apart."""
    ascii_ = unicodedata.normalize("NFKD", who).encode("ascii", "ignore").decode().lower()
    plain = re.sub(r"[^a-z0-9]+", "-", ascii_).strip("-")[:40] or "lab"
    return f"{plain}-{hashlib.sha256(who.encode()).hexdigest()[:6]}"


def entry_place(board: Path, version: str, who: str, folder: str) -> Path:
    """Where the entry of a run lies."""
    return board / version / lab_folder(who) / folder


def values_of(record: Record) -> JsonDict:
    """The numbers of a record, by metric."""
    return {key: metric.get("value") for key, metric in record["metrics"].items()}


def is_there(place: Path, record: Record, standing: str) -> bool:
    """Whether an entry is there already, with these numbers and at least this standing.

    Raises:
        ValueError: it is there with other numbers.
    """
    if not (place / "entry.json").exists():
        return False
    known = read_record(place / "record.json")
    if values_of(known) != values_of(record):
        odd = next(
            key
            for key in {**values_of(known), **values_of(record)}
            if values_of(known).get(key) != values_of(record).get(key)
        )
        raise ValueError(
            f"run {record['run_id']} is on the leaderboard with {odd} = {values_of(known).get(odd)}"
            f", and the bundle has {values_of(record).get(odd)}; a run has one set of numbers. If "
            f"the first was a mistake, its lab withdraws it: remove {place}"
        )
    facts = read_sealed(place / "entry.json", fits=ENTRY_FIELDS, remedy=REMEDY)
    return STANDINGS.index(facts["standing"]) <= STANDINGS.index(standing)


def write_entry(place: Path, record_bytes: bytes, facts: Json, strip: bytes | None) -> None:
    """Writes the files of an entry; entry.json comes last, and without it there is no entry."""
    write_bytes(place / "record.json", record_bytes)
    if strip is not None:
        write_bytes(place / STRIP_NAME, strip)
    digest = hashlib.sha256(record_bytes).hexdigest()
    write_sealed(place / "entry.json", {**facts, "entry": FORMAT, "record_sha256": digest})


def read_entry(folder: Path, version: Version) -> Entry:
    """An entry from its folder.

    Raises:
        ValueError: a file is damaged, was exchanged, or is not of the version.
        OSError: a file is missing.
    """
    facts = read_sealed(folder / "entry.json", fits=ENTRY_FIELDS, remedy=REMEDY)
    record = read_record(folder / "record.json")
    found = hashlib.sha256((folder / "record.json").read_bytes()).hexdigest()
    if found != facts["record_sha256"]:
        raise ValueError(f"{folder}/record.json is not the one that was checked; {REMEDY}")
    own = tuple(record[key] for key in ("suite", "protocol", "k", "num_images"))
    track = next(
        (t for t in version.tracks if own == (t.suite, t.protocol, t.k, t.num_images)), None
    )
    if track is None or facts["version"] != version.name or record["protocol_hash"] != track.hash:
        raise ValueError(f"{folder} holds an entry that is not of version {version.name}; {REMEDY}")
    if folder.parents[4].name != lab_folder(facts["who"]):
        raise ValueError(f"{folder} lies in the folder of another lab; {REMEDY}")
    return Entry(folder=folder, record=record, facts=facts, track=track, version=version.name)


def found_entries(board: Path, version: Version) -> Iterator[tuple[Path, Entry | str]]:
    """Every entry of a version by its folder, or why it cannot be shown; in order of the path."""
    for path in sorted((board / version.name).glob("*/runs/*/*/*/*/entry.json")):
        try:
            yield path.parent, read_entry(path.parent, version)
        except (ValueError, OSError) as error:
            yield path.parent, str(error)
