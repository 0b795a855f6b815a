"""An index of the records of a results folder: `<results_dir>/store/index.sqlite`, only a cache.

What it says about a record counts only while the file has the size, the times and the inode that it
had when it was read; any other file is read again, seal and fields included. Rows carry a digest.
An index that is damaged or of other code is removed and made anew. Where it cannot be written, or
where records lie outside a results folder, the records are read each time.
"""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path

from fsig_bench.api.files import make_folder, share_as_folder
from fsig_bench.api.plain import Record
from fsig_bench.store.records import read_record
from fsig_bench.store.short_records import Parts, restored, shortened

SETTLED_NS = 2 * 10**9  # a file that has just been written may be written again within its time
BATCH = 2000  # rows that are written at once
SOURCES = ("index.py", "short_records.py", "records.py", "schema.py", "checks.py", "files.py")
TABLES = """
CREATE TABLE rows (path BLOB PRIMARY KEY, stamp, problem, shown, short, seal);
CREATE TABLE parts (key BLOB PRIMARY KEY, text);
CREATE TABLE code (stamp);
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """What a record file holds, in short."""

    place: str  # of the file
    problem: str  # why it cannot be used, or ""
    distance: float | None  # the Frechet distance, for lists
    record: Record | None  # short (`short_records`); None where it was not asked for

    @property
    def path(self) -> Path:
        return Path(self.place)


@dataclass(frozen=True, slots=True)
class Row:
    """A row of the index, as bytes, since damaged text is no text."""

    path: bytes  # below the results folder
    stamp: bytes  # the file's size, times and inode
    problem: bytes
    shown: bytes  # JSON: the Frechet distance
    short: bytes  # JSON: what `restored` takes; empty where there is a problem

    @property
    def fields(self) -> tuple[bytes, ...]:
        return self.path, self.stamp, self.problem, self.shown, self.short

    def seal(self) -> bytes:
        """A digest of all fields."""
        state = hashlib.blake2b(digest_size=16)
        for field in self.fields:
            state.update(len(field).to_bytes(8, "little") + field)
        return state.digest()


def code_stamp() -> bytes:
    """The digest of the code that decides what a row holds."""
    state = hashlib.sha256()
    for name in SOURCES:
        state.update((Path(__file__).parent / name).read_bytes())
    return state.digest()


def found_files(folder: str) -> Iterator[str]:
    """The path of every record.json below a folder; links to folders are not followed."""
    for place, _, files in os.walk(folder):
        if "record.json" in files:
            yield os.path.join(place, "record.json")


def file_stamp(path: str) -> tuple[bytes, int]:
    """Size, times and inode of a file, and the later of its times in nanoseconds.

    Raises:
        OSError: it is gone.
    """
    found = os.stat(path)
    stamp = f"{found.st_size} {found.st_mtime_ns} {found.st_ctime_ns} {found.st_ino}"
    return stamp.encode(), max(found.st_mtime_ns, found.st_ctime_ns)


def results_above(folder: Path) -> Path | None:
    """The results folder whose `runs` a folder is or lies in; None for other folders."""
    whole = Path(os.path.abspath(folder))
    return next((p.parent for p in (whole, *whole.parents) if p.name == "runs"), None)


def read_row(path: Path, stamp: bytes, name: bytes, parts: Parts) -> Row:
    """The row of a file, from the file itself."""
    try:
        record = read_record(path)
    except (ValueError, OSError) as error:
        return Row(name, stamp, str(error).encode(errors="backslashreplace"), b"null", b"")
    shown = json.dumps(record["metrics"].get("fd", {}).get("value"))
    short = json.dumps(shortened(record, parts), separators=(",", ":"))
    return Row(name, stamp, b"", shown.encode(), short.encode())


class IndexFile:
    """The file of the index; every failure of SQLite means that there is no index."""

    def __init__(self, root: Path) -> None:
        self.path = root / "store" / "index.sqlite"
        self.usable = True

    def connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self.path, timeout=5)
        connection.execute("PRAGMA trusted_schema=OFF")
        return connection

    def read(self) -> tuple[dict[bytes, tuple[Row, bytes]], dict[str, str]]:
        """All rows by path with the seal that each carries, and the texts of the parts by key."""
        if not self.path.exists():
            return {}, {}
        try:
            with closing(self.connect()) as connection:
                if connection.execute("SELECT stamp FROM code").fetchall() != [(code_stamp(),)]:
                    raise sqlite3.DatabaseError("of other code")
                rows = {r[0]: (Row(*r[:5]), r[5]) for r in connection.execute("SELECT * FROM rows")}
                found = connection.execute("SELECT key, text FROM parts")
                texts = {k.decode(errors="replace"): v.decode(errors="replace") for k, v in found}
                return rows, texts
        except (sqlite3.Error, TypeError, AttributeError, OverflowError) as error:
            if is_busy(error):
                self.usable = False
            else:
                self.remove()
            return {}, {}

    def remove(self) -> None:
        """Removes the file and its journal; where that is not allowed, it is not used."""
        for path in (self.path, self.path.with_name(f"{self.path.name}-journal")):
            try:
                path.unlink(missing_ok=True)
            except OSError:
                self.usable = False

    def write(self, rows: list[Row], texts: Mapping[str, str], gone: list[bytes]) -> None:
        """Adds rows and parts and removes the rows of files that are gone."""
        if not self.usable or not (rows or gone):
            return
        try:
            make_folder(self.path.parent)
            with closing(self.connect()) as connection, connection:
                connection.execute("BEGIN IMMEDIATE")
                if not connection.execute("SELECT name FROM sqlite_master").fetchall():
                    for line in TABLES.strip().splitlines():
                        connection.execute(line)
                    connection.execute("INSERT INTO code VALUES (?)", (code_stamp(),))
                parts = [(k.encode(), v.encode()) for k, v in texts.items()]
                connection.executemany("INSERT OR REPLACE INTO parts VALUES (?, ?)", parts)
                values = [(*row.fields, row.seal()) for row in rows]
                connection.executemany("INSERT OR REPLACE INTO rows VALUES (?,?,?,?,?,?)", values)
                connection.executemany("DELETE FROM rows WHERE path = ?", [(p,) for p in gone])
            share_as_folder(self.path)
        except (sqlite3.Error, OSError):
            self.usable = False


def is_busy(error: Exception) -> bool:
    """Whether another process or a missing right is why SQLite failed, and not the file."""
    busy = ("SQLITE_BUSY", "SQLITE_LOCKED", "SQLITE_READONLY", "SQLITE_CANTOPEN", "SQLITE_PERM")
    return getattr(error, "sqlite_errorname", "").startswith((*busy, "SQLITE_IOERR"))


def entries(folder: Path, *, short: bool) -> Iterator[Entry]:
    """Every record.json below a folder, in no order.

    Args:
        folder: a results folder's `runs`, or any folder.
        short: whether the entries hold their records.
    """
    root = results_above(folder)
    base = root or Path(os.path.abspath(folder))
    index = IndexFile(base) if root else None
    known, texts = index.read() if index else ({}, {})
    parts, new = Parts(texts), list[Row]()
    started, top = time.time_ns(), str(folder)
    below = os.path.relpath(os.path.abspath(folder), base)
    for text in found_files(top):
        name = os.fsencode(below + text[len(top) :])
        try:
            stamp, latest = file_stamp(text)
        except OSError:
            stamp, latest = b"", started  # a link to nothing: `read_row` says so
        row, seal = known.pop(name, (None, b""))  # rows that are used up leave memory
        entry = None
        if row is not None and row.stamp == stamp and row.seal() == seal:
            entry = as_entry(row, text, parts, short=short)
        if entry is None:
            row = read_row(Path(text), stamp, name, parts)
            entry = as_entry(row, text, parts, short=short)
            assert entry is not None
            if started - latest > SETTLED_NS:
                new.append(row)
        yield entry
        if index and len(new) >= BATCH:
            index.write(new, parts.new, [])
            new, parts.new = [], {}
    if index and root:
        gone = [name for name in known if name.startswith(os.fsencode(below + os.sep))]
        index.write(new, parts.new, gone)


def as_entry(row: Row, place: str, parts: Parts, *, short: bool) -> Entry | None:
    """The entry of a row; None where one of its parts is not in the index."""
    record: Record | None = None
    if short and not row.problem:
        with suppress(KeyError):
            record = restored(json.loads(row.short), parts)
        if record is None:
            return None
    distance = json.loads(row.shown)
    return Entry(place=place, problem=row.problem.decode(), distance=distance, record=record)
