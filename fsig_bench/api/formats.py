"""Whether a downloaded file is what its name says, and whole, as far as its format tells.

Nothing is executed and nothing is unpacked to disk. A known digest says more than all of this;
these checks are for files without one.
"""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
import pickletools
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, cast

LARGEST_GIB = 32  # that an archive may hold, unpacked
CHUNK = 1 << 20
KINDS = {
    **dict.fromkeys((".pt", ".pth", ".ckpt"), "torch"),
    **dict.fromkeys((".zip", ".npz"), "zip"),
    **dict.fromkeys((".tgz", ".tar.gz", ".tar.xz", ".tar.bz2"), "packed tar"),
    ".tar": "tar",
    ".pkl": "pickle",
    ".safetensors": "safetensors",
    ".json": "json",
}
PACKED: dict[bytes, Callable[[Path], BinaryIO]] = {
    b"\x1f\x8b": lambda path: cast(BinaryIO, gzip.open(path, "rb")),
    b"\xfd7": lambda path: cast(BinaryIO, lzma.open(path, "rb")),
    b"BZ": lambda path: cast(BinaryIO, bz2.open(path, "rb")),
}
MARKS = (b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")  # of byte order, before a text
ERROR_FIELDS = {"error", "errors", "message", "detail", "code", "status", "statusCode", "requestId"}


def kind_of(name: str) -> str:
    """torch, pickle, zip, tar, packed tar, safetensors or json by its name; "" for any other."""
    fitting = [kind for suffix, kind in KINDS.items() if name.lower().endswith(suffix)]
    return fitting[0] if fitting else ""


def fault_in(path: Path, kind: str, *, length_known: bool) -> str | None:
    """What is wrong with a downloaded file; None where nothing is known to be.

    Args:
        path: the file.
        kind: of `kind_of`, or "archive" for a zip or tar.
        length_known: whether the server has stated its length or end, so that it is whole.
    """
    if path.stat().st_size == 0:
        return "an empty file"
    with path.open("rb") as file:
        head = file.read(CHUNK)
    if is_markup(head):
        return "a web page instead (the host may ask for a confirmation, or refuse)"
    try:
        if kind:
            fault, has_end = CHECKS[kind](path, head)
        else:
            fault, has_end = _unknown(head), False
    except (EOFError, OSError, zlib.error, lzma.LZMAError, tarfile.TarError) as error:
        return f"a damaged or incomplete file ({error})"
    except (ValueError, zipfile.BadZipFile) as error:
        return f"a damaged or incomplete file of another format ({error})"
    if fault is None and not (has_end or length_known):
        return "a file of which neither server nor format says how long it is"
    return fault


def is_markup(head: bytes) -> bool:
    """Whether a file begins as HTML or XML, after marks of byte order and white space."""
    for mark in MARKS:
        head = head.removeprefix(mark)
    start = head.replace(b"\0", b"").lstrip()[:2]  # UTF-16 has zeros between letters
    return start[:1] == b"<" and (start[1:2].isalpha() or start[1:2] in (b"!", b"?"))


# A check returns what is wrong, and whether the format itself shows where the file ends.
Check = Callable[[Path, bytes], tuple[str | None, bool]]


def _zip(path: Path, head: bytes) -> tuple[str | None, bool]:
    if not head.startswith(b"PK\x03\x04"):
        return "no zip", True
    with zipfile.ZipFile(path) as archive:
        if sum(entry.file_size for entry in archive.infolist()) > LARGEST_GIB << 30:
            return f"an archive of more than {LARGEST_GIB} GiB", True
        try:
            damaged = archive.testzip()
        except (RuntimeError, NotImplementedError):
            damaged = None  # locked, or packed in a way unknown here: unpacking names the reason
    return f"a zip with a damaged member {damaged}" if damaged else None, True


def _torch(path: Path, head: bytes) -> tuple[str | None, bool]:
    if head.startswith(b"PK"):
        return _zip(path, head)
    if head[:1] != b"\x80" or not 2 <= head[1] <= 5:
        return "no checkpoint of torch", True
    with path.open("rb") as file:  # the older layout: pickles, then numbers without an end mark
        _end_of_pickle(file)
    return None, False


def _pickle(path: Path, head: bytes) -> tuple[str | None, bool]:
    if head.startswith(b"PK"):
        return _zip(path, head)
    if head[:1] != b"\x80" or not 2 <= head[1] <= 5:
        return "no pickle", True
    with path.open("rb") as file:
        ends_here = _end_of_pickle(file) == path.stat().st_size
    return None, ends_here


def _end_of_pickle(file: BinaryIO) -> int:
    for _ in pickletools.genops(file):  # names the operations, runs none
        pass
    return file.tell()


def _safetensors(path: Path, head: bytes) -> tuple[str | None, bool]:
    size = path.stat().st_size
    length = int.from_bytes(head[:8], "little")
    if len(head) < 8 or not 2 <= length <= min(size - 8, 100 << 20):
        return "no safetensors", True
    with path.open("rb") as file:
        file.seek(8)
        entries = json.loads(file.read(length))
    if not isinstance(entries, dict):
        return "no safetensors", True
    tensors = [v for k, v in entries.items() if k != "__metadata__"]
    if not all(isinstance(v, dict) and len(v.get("data_offsets", ())) == 2 for v in tensors):
        return "no safetensors", True
    whole = 8 + length + max((int(v["data_offsets"][1]) for v in tensors), default=0)
    return None if size == whole else f"safetensors of {whole} bytes in a file of {size}", True


def _json(path: Path, head: bytes) -> tuple[str | None, bool]:
    value = json.loads(path.read_bytes())
    return "an error message" if _is_error(value) else None, True


def _plain_tar(path: Path, head: bytes) -> tuple[str | None, bool]:
    if any(head.startswith(start) for start in PACKED):
        return "packed bytes instead of a tar", True
    if path.stat().st_size % 512:
        return "a tar that is cut off", True
    return _tar(path, head)


def _tar(path: Path, head: bytes) -> tuple[str | None, bool]:
    opener = next((o for start, o in PACKED.items() if head.startswith(start)), None)
    if opener is None and head[257:262] != b"ustar" and not tarfile.is_tarfile(path):
        return "no tar", True
    seen, end = 0, b""
    with path.open("rb") if opener is None else opener(path) as file:
        while chunk := file.read(CHUNK):
            end = (end + chunk)[-1024:]
            seen += len(chunk)
            if seen > LARGEST_GIB << 30:
                return f"an archive of more than {LARGEST_GIB} GiB", True
    return None if end == bytes(1024) else "a tar without its end", True


def _archive(path: Path, head: bytes) -> tuple[str | None, bool]:
    fault, has_end = (_zip if head.startswith(b"PK") else _tar)(path, head)
    return "bytes that are no zip or tar" if fault in ("no zip", "no tar") else fault, has_end


def _unknown(head: bytes) -> str | None:
    if head.startswith(b"\x1f\x8b"):
        return "bytes packed by gzip"
    try:
        return "an error message" if _is_error(json.loads(head)) else None
    except ValueError:
        return None


def _is_error(value: object) -> bool:
    return isinstance(value, dict) and bool(value) and not set(value) - ERROR_FIELDS


CHECKS: dict[str, Check] = {
    "archive": _archive,
    "json": _json,
    "pickle": _pickle,
    "safetensors": _safetensors,
    "packed tar": _tar,
    "tar": _plain_tar,
    "torch": _torch,
    "zip": _zip,
}
