"""The bundle of a hand-in: one zip file with a manifest, records, and PNG files or states of runs.

manifest.json                                   who, when, version, digest of each file; sealed
runs/<suite>/<method>/<dataset>/<run>/record.json
runs/<suite>/<method>/<dataset>/<run>/png/000000.png ...    the scored samples, in index order
runs/<suite>/<method>/<dataset>/<run>/state.safetensors     what adapting left

What a bundle may hold, and how large it may be, is checked in `archive`.
"""

from __future__ import annotations

import hashlib
import io
import json
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from fsig_bench.api.digests import sha256_of
from fsig_bench.api.plain import Json, JsonDict, Record
from fsig_bench.report.board.archive import MANIFEST, REMEDY, Archive, kind_of, run_of
from fsig_bench.report.board.sealed import exactly, lab_name, moment, parse_sealed, with_seal
from fsig_bench.store.checks import fields, hexadecimal, listed, mapped, name, text, whole
from fsig_bench.store.records import read_record

if TYPE_CHECKING:
    from torch import Tensor

FORMAT = 1  # of bundles
MANIFEST_FIELDS = fields(
    {
        "bundle": exactly(FORMAT),
        "version": name,
        "who": lab_name,
        "made": moment,
        "cells": listed(
            fields(
                {
                    "folder": text,
                    "run_id": name,
                    "protocol_hash": hexadecimal,
                    "code": mapped(),
                }
            )
        ),
        "files": mapped(fields({"sha256": hexadecimal, "bytes": whole(0, 2**40)})),
        "environment": mapped(),
    }
)
EPOCH = (1980, 1, 1, 0, 0, 0)  # of every member, so that equal content gives equal bytes


@dataclass(frozen=True, kw_only=True)
class Content:
    """What goes into a bundle of one run."""

    folder: str  # below the results folder
    record_file: Path
    images: Tensor | None  # uint8 [n, 3, h, w], the scored samples
    state_file: Path | None


class BundleWriter:
    """Writes members one by one and the manifest at the end."""

    def __init__(self, path: Path) -> None:
        self._zip = zipfile.ZipFile(path, "w")
        self.files: dict[str, JsonDict] = {}
        self.cells: list[JsonDict] = []

    def add(self, content: Content) -> None:
        """Adds what there is of one run."""
        record = read_record(content.record_file)
        folder = content.folder
        self._put(f"{folder}/record.json", content.record_file.read_bytes())
        if content.images is not None:
            for index, image in enumerate(content.images):
                self._put(f"{folder}/png/{index:06d}.png", png_bytes(image))
        if content.state_file is not None:
            self._put_file(f"{folder}/state.safetensors", content.state_file)
        self.cells.append(
            {
                "folder": folder,
                "run_id": record["run_id"],
                "protocol_hash": record["protocol_hash"],
                "code": record.get("code", {}).get("classes", {}),
            }
        )

    def close(self, head: Json) -> None:
        """Writes the manifest with `head` (version, who, made, environment) and ends the file."""
        value = {"bundle": FORMAT, **head, "cells": self.cells, "files": self.files}
        data = json.dumps(with_seal(value), indent=1).encode()
        self._zip.writestr(_member(MANIFEST), data, zipfile.ZIP_DEFLATED)
        self._zip.close()

    def _put(self, name_: str, data: bytes) -> None:
        packed = zipfile.ZIP_STORED if name_.endswith(".png") else zipfile.ZIP_DEFLATED
        self.files[name_] = {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}
        self._zip.writestr(_member(name_), data, packed)

    def _put_file(self, name_: str, path: Path) -> None:
        self.files[name_] = {"sha256": sha256_of(path), "bytes": path.stat().st_size}
        with path.open("rb") as file, self._zip.open(_member(name_), "w", force_zip64=True) as to:
            while chunk := file.read(2**20):
                to.write(chunk)


def _member(name_: str) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name_, EPOCH)
    info.external_attr = 0o100644 << 16
    return info


def png_bytes(image: Tensor) -> bytes:
    """uint8 [3, h, w] as a PNG file."""
    from PIL import Image

    out = io.BytesIO()
    Image.fromarray(image.permute(1, 2, 0).contiguous().numpy()).save(out, "PNG")
    return out.getvalue()


@dataclass(frozen=True, kw_only=True)
class Claim:
    """One run of a bundle whose digests and record have been checked."""

    folder: str
    record: Record
    record_bytes: bytes
    pictures: tuple[str, ...]  # the PNG files, in index order
    state: str | None  # the state's file


@dataclass(frozen=True, kw_only=True)
class Bundle:
    """A bundle whose manifest fits its files."""

    archive: Archive
    sha256: str
    who: str
    made: str
    version: str
    cells: tuple[Json, ...]
    files: Mapping[str, Json]

    def checked(self, name_: str) -> bytes:
        """The bytes of a member, which have the digest that the manifest states.

        Raises:
            ValueError: they have not.
        """
        data = self.archive.read(name_)
        self._compare(name_, hashlib.sha256(data).hexdigest())
        return data

    def copy(self, name_: str, to: Path) -> None:
        """Writes a member to a file, likewise."""
        self.archive.copy(name_, to)
        self._compare(name_, sha256_of(to))

    def _compare(self, name_: str, found: str) -> None:
        if found != (stated := self.files[name_]["sha256"]):
            raise ValueError(
                f"{self.archive.path}: {name_} has the digest {found[:12]}, and the manifest "
                f"states {stated[:12]}: it was changed after the bundle was made; {REMEDY}"
            )

    def claims(self) -> Iterator[Claim]:
        """The runs in the order of the manifest, each record read and checked.

        Raises:
            ValueError: a record is damaged, edited or of another run.
        """
        of_run: dict[str, list[str]] = {}
        for member in sorted(self.files):
            of_run.setdefault(run_of(member), []).append(member)
        for cell in self.cells:
            folder = cell["folder"]
            own = of_run.get(folder, [])
            data = self.checked(f"{folder}/record.json")
            record = record_of(data, folder, self.archive.path)
            for field in ("run_id", "protocol_hash"):
                if record.get(field) != cell[field]:
                    raise ValueError(
                        f"{self.archive.path}: the manifest gives {folder} the {field} "
                        f"{cell[field]}, and its record has {record.get(field)}; {REMEDY}"
                    )
            yield Claim(
                folder=folder,
                record=record,
                record_bytes=data,
                pictures=tuple(m for m in own if kind_of(m) == "png"),
                state=next((m for m in own if kind_of(m) == "state"), None),
            )


def record_of(data: bytes, folder: str, source: Path) -> Record:
    """A record from its bytes, with every check that a record on disk has to pass.

    Raises:
        ValueError: it does not pass; the message names the run instead of a file on disk.
    """
    with tempfile.TemporaryDirectory() as place:
        path = Path(place, folder, "record.json")
        path.parent.mkdir(parents=True)
        path.write_bytes(data)
        try:
            return read_record(path)
        except ValueError as error:
            said = str(error).rpartition("; ")[0].replace(str(path), f"{folder}/record.json")
            raise ValueError(f"{source}: {said}; hand in the record as the run left it") from error


def open_bundle(path: Path, archive: Archive) -> Bundle:
    """The bundle that a zip file holds.

    Raises:
        ValueError: the manifest is damaged, or lists other files than there are.
    """
    manifest = parse_sealed(
        archive.read(MANIFEST), name=f"{path}: {MANIFEST}", fits=MANIFEST_FIELDS, remedy=REMEDY
    )
    there, listed_ = set(archive.members) - {MANIFEST}, set(manifest["files"])
    if odd := sorted(there ^ listed_):
        state = "is not in the manifest" if odd[0] in there else "is listed and not there"
        raise ValueError(f"{path}: {odd[0]} {state}; {REMEDY}")
    folders = [cell["folder"] for cell in manifest["cells"]]
    if not folders or len(set(folders)) < len(folders) or set(folders) != set(map(run_of, listed_)):
        raise ValueError(f"{path}: the runs of the manifest are not those of its files; {REMEDY}")
    return Bundle(
        archive=archive,
        sha256=sha256_of(path),
        **{key: manifest[key] for key in ("who", "made", "version", "files")},
        cells=tuple(manifest["cells"]),
    )
