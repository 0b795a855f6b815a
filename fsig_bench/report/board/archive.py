"""Reading a zip file from elsewhere: every name and size is checked before a byte is unpacked.

Nothing is ever unpacked by the names that the file holds. One member at a time is read, at most as
many bytes as its kind may have.
"""

from __future__ import annotations

import re
import stat
import struct
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

MANIFEST = "manifest.json"
PART = r"[A-Za-z0-9_][A-Za-z0-9_.@+-]{0,99}"
RUN = rf"runs/{PART}/{PART}/{PART}/k\d{{1,9}}-seed\d{{1,20}}-{PART}"
MIB = 2**20
# The kinds of members: what their names are, and the most bytes that each may have.
KINDS: Mapping[str, tuple[re.Pattern[str], int]] = {
    "manifest": (re.compile(re.escape(MANIFEST)), 64 * MIB),
    "record": (re.compile(rf"(?P<run>{RUN})/record\.json"), 32 * MIB),
    "png": (re.compile(rf"(?P<run>{RUN})/png/(?P<index>\d{{6}})\.png"), 32 * MIB),
    "state": (re.compile(rf"(?P<run>{RUN})/state\.safetensors"), 8192 * MIB),
}
STORED = ("png", "state")  # they are not compressed a second time
MOST_MEMBERS = 2_000_000
MOST_RATIO = 100  # JSON of records shrinks to about an eighth
REMEDY = "ask for a bundle as `fsig-bench submit` writes it"
CHUNK = MIB


class Archive:
    """A zip file whose members have been checked.

    Raises:
        ValueError: the file is no zip file, or a member's name, kind or size is not one of a
            bundle's; the message names it.
        OSError: it cannot be opened.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._zip = zipfile.ZipFile(path)
        except (zipfile.BadZipFile, NotImplementedError, struct.error, ValueError) as error:
            raise ValueError(f"{path} is no zip file that can be read ({error}); {REMEDY}") from (
                error
            )
        try:
            members = self._zip.infolist()
            if len(members) > MOST_MEMBERS:
                raise ValueError(
                    f"{path} holds {len(members)} files, at most {MOST_MEMBERS} are read; "
                    "hand in fewer cells in a bundle"
                )
            counts = Counter(info.filename for info in members)
            for info in members:
                check_member(info, f"{path}: {shown(info.orig_filename)}")
                if counts[info.filename] > 1:
                    raise ValueError(f"{path} holds {info.filename} twice; {REMEDY}")
            packed, there = sum(i.compress_size for i in members), path.stat().st_size
            if packed > there:
                raise ValueError(
                    f"{path} has {there} bytes and claims to hold {packed}: its members overlap, "
                    f"as in a zip bomb; {REMEDY}"
                )
        except ValueError:
            self._zip.close()
            raise
        self.members = {info.filename: info for info in members}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self._zip.close()

    def read(self, name: str) -> bytes:
        """The bytes of a member.

        Raises:
            ValueError: it is not there or damaged.
        """
        parts: list[bytes] = []
        self._each_chunk(name, parts.append)
        return b"".join(parts)

    def copy(self, name: str, to: Path) -> None:
        """Writes a member to a file of the caller's choice.

        Raises:
            ValueError: it is not there or damaged.
        """
        with to.open("wb") as file:
            self._each_chunk(name, file.write)

    def _each_chunk(self, name: str, take: Callable[[bytes], object]) -> None:
        if name not in self.members:
            raise ValueError(f"{self.path} holds no {name}; {REMEDY}")
        left = self.members[name].file_size
        try:
            with self._zip.open(name) as file:
                while chunk := file.read(CHUNK):
                    left -= len(chunk)
                    if left < 0:
                        raise ValueError("it holds more bytes than it says")
                    take(chunk)
        except (
            *(zipfile.BadZipFile, NotImplementedError, RuntimeError, zlib.error),
            *(EOFError, struct.error, ValueError),
        ) as error:
            raise ValueError(f"{self.path}: {name} is damaged ({error}); {REMEDY}") from error


def check_member(info: zipfile.ZipInfo, name: str) -> None:
    """Raises ValueError where a member of a zip file is not one of a bundle's.

    Args:
        info: what the zip file says about it.
        name: of the zip file and the member, for the message.
    """
    own = info.orig_filename
    parts = re.split(r"[/\\]", own)
    mode = info.external_attr >> 16
    if own.startswith(("/", "\\")) or re.match(r"[A-Za-z]:", own):
        raise ValueError(f"{name} is an absolute path, which a bundle never holds; {REMEDY}")
    if ".." in parts:
        raise ValueError(f"{name} leads out of its folder by `..`; {REMEDY}")
    if stat.S_ISLNK(mode):
        raise ValueError(f"{name} is a symbolic link, which a bundle never holds; {REMEDY}")
    if stat.S_IFMT(mode) not in (0, stat.S_IFREG):
        raise ValueError(f"{name} is no regular file; {REMEDY}")
    if info.flag_bits & 1:
        raise ValueError(f"{name} is encrypted; {REMEDY}")
    kind = kind_of(own)
    if kind is None or own != info.filename:
        raise ValueError(
            f"{name} is none of a bundle's files (manifest.json, and record.json, "
            f"state.safetensors and png/000000.png of each run); {REMEDY}"
        )
    if info.file_size > (most := KINDS[kind][1]):
        raise ValueError(
            f"{name} unpacks to {info.file_size / MIB:.0f} MiB, a {kind} has at most "
            f"{most // MIB}; {REMEDY}"
        )
    if kind in STORED:
        if info.compress_type != zipfile.ZIP_STORED or info.file_size != info.compress_size:
            raise ValueError(f"{name} is compressed once more, which no {kind} is; {REMEDY}")
    elif info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise ValueError(f"{name} is compressed by method {info.compress_type}; {REMEDY}")
    elif info.file_size > MOST_RATIO * max(info.compress_size, 1000):
        raise ValueError(
            f"{name} unpacks {info.compress_size} bytes to {info.file_size}, as in a zip bomb; "
            f"{REMEDY}"
        )


def kind_of(name: str) -> str | None:
    """The kind of member that a name stands for; None: a bundle holds none of this name."""
    return next((k for k, (pattern, _) in KINDS.items() if pattern.fullmatch(name)), None)


def run_of(name: str) -> str:
    """The folder of the run that a member belongs to; "" for the manifest."""
    found = next((m for pattern, _ in KINDS.values() if (m := pattern.fullmatch(name))), None)
    return (found.groupdict().get("run") or "") if found else ""


def shown(name: str) -> str:
    """A name from elsewhere as messages show it."""
    return repr(name[:120])
