"""Brings a file from a server to its place: whole, right and renamed into place, or not at all.

One process at a time fetches a file, into a part of its own. What a killed process left is
continued if the server still has the same file (its ETag) or if the digest is known.
"""

from __future__ import annotations

import http.client
import json
import os
import re
import urllib.error
import urllib.request
import urllib.response
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fsig_bench.api.digests import read_pin, sha256_of, write_pin
from fsig_bench.api.files import share_as_folder
from fsig_bench.api.formats import fault_in, kind_of
from fsig_bench.api.owners import exclusive
from fsig_bench.api.parts import continued_part, drop, known_of, note_of

Report = Callable[[int, int], None]  # bytes there, bytes in all (0: unknown)
Say = Callable[[str], None]
Answer = http.client.HTTPResponse | urllib.response.addinfourl  # of a server; of a local file
CHUNK = 1 << 18
TIMEOUT_S = 30.0
PAGES = ("text/html", "application/xhtml+xml", "text/xml", "application/xml")


class StartOver(OSError):
    """What is there of a file cannot be continued."""


def no_report(have: int, total: int) -> None:
    """Reports to nobody."""


def no_words(text: str) -> None:
    """Prints nothing."""


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """A file as it should come."""

    url: str
    sha256: str | None  # or its first digits; None: not known
    kind: str  # see `formats.kind_of`
    mib: float | None  # about; None: not known


def fetch(
    url: str,
    target: Path,
    *,
    sha256: str | None,
    kind: str | None = None,
    mib: float | None = None,
    report: Report = no_report,
    say: Say = no_words,
    timeout_s: float = TIMEOUT_S,
) -> None:
    """Brings `url` to `target`, unless another process has done so in the meantime.

    Args:
        url: where the file is.
        target: where it is to be.
        sha256: its digest or the first digits of it; None: it is pinned to what comes.
        kind: of `formats.kind_of`, or "archive"; None: as the name of `target` says.
        mib: its size, to 5 %; None: not known.
        report: called with the bytes that are there and those in all.
        say: called with a line before this process waits for another.
        timeout_s: how long the server may send nothing.

    Raises:
        OSError: no connection, a server's refusal, a transfer cut off, or no space.
        ValueError: the bytes are not those expected; they are removed.
    """
    kind = kind_of(target.name) if kind is None else kind
    wanted = Wanted(url=url, sha256=sha256, kind=kind, mib=mib)
    waiting = f"another process fetches {target.name}; waiting until it ends"
    with exclusive(target, waiting=lambda lock: say(f"{waiting} (lock {lock})")):
        if target.exists():
            return
        part = continued_part(target, url)
        known = sha256 or (pin.sha256 if (pin := read_pin(target)) else None)
        if known and part.exists() and sha256_of(part).startswith(known.lower()):
            accept(part, target, wanted, length_known=True)
            return
        begun = part.exists()
        try:
            whole = _transfer(wanted, part, bool(known), report, timeout_s)
            accept(part, target, wanted, length_known=whole)
        except (StartOver, ValueError):
            drop(part)
            if not begun:  # nothing was continued, so these are the server's own bytes
                raise
            whole = _transfer(wanted, part, bool(known), report, timeout_s)
            accept(part, target, wanted, length_known=whole)


def accept(part: Path, target: Path, wanted: Wanted, *, length_known: bool) -> None:
    """Renames a part to `target` once it has been found right, and pins it.

    Args:
        part: the downloaded bytes; removed if they are not right.
        target: where they are to be.
        wanted: what they should be.
        length_known: whether the server has stated their length or end.

    Raises:
        ValueError: they are something else.
    """
    size, found = part.stat().st_size, sha256_of(part)
    gave = f"{size} bytes with sha256 {found}"
    stated = (wanted.sha256 or "").lower()
    is_known = bool(stated) and found.startswith(stated)
    fault = None
    if not (is_known and len(stated) == 64):
        fault = fault_in(part, wanted.kind, length_known=length_known)
    if fault is None and stated and not is_known:
        fault = "other bytes"
    if fault is None and (fault := _unlike(size, wanted.mib)) is None:
        pin = read_pin(target)
        if pin and not is_known and pin.sha256 != found:
            fault = (
                f"other bytes than the first time (sha256 {pin.sha256}; if the file has been "
                f"replaced on purpose, remove {pin.place})"
            )
    if fault:
        drop(part)
        raise ValueError(f"{wanted.url} gave {fault}: {gave}")
    with part.open("rb") as file:
        os.fsync(file.fileno())
    share_as_folder(part)
    part.replace(target)
    note_of(part).unlink(missing_ok=True)
    if len(stated) < 64:
        write_pin(target, found)


def _unlike(size: int, mib: float | None) -> str | None:
    # Sizes are stated in whole MiB, and those of files that nobody has fetched yet are estimates.
    if mib is None or abs(size / 2**20 - mib) <= 1 + 0.05 * mib:
        return None
    return f"{size / 2**20:.1f} MiB, where about {mib:g} are stated (set `mib` if that is wrong)"


def _transfer(
    wanted: Wanted, part: Path, digest_known: bool, report: Report, timeout_s: float
) -> bool:
    """Appends what is missing; returns whether the server has stated where the file ends.

    Raises:
        StartOver: what is there is not a beginning of what the server has now.
    """
    have, tag = part.stat().st_size if part.exists() else 0, known_of(part).get("etag")
    if have and not (tag or digest_known):
        raise StartOver("nobody knows whether it is the same file")
    headers = {"Accept-Encoding": "identity"}
    if have:
        headers |= {"Range": f"bytes={have}-"} | ({"If-Range": tag} if tag else {})
    request = urllib.request.Request(wanted.url, headers=headers)
    url, had = wanted.url, have
    try:
        with urllib.request.urlopen(request, timeout=timeout_s) as answer:
            have, total = _beginning(answer, wanted, have, tag)
            with part.open("ab" if have else "wb") as file:
                note_of(part).write_text(json.dumps({"url": url, "etag": _strong_tag(answer)}))
                for chunk in _chunks(answer, total - have if total else 0):
                    file.write(chunk)
                    have += len(chunk)
                    report(have, total)
            ends = bool(total) or bool(getattr(answer, "chunked", False))
    except urllib.error.HTTPError as error:
        if error.code == 416 and had:  # nothing beyond what is here, and it was not the file
            raise StartOver("the server has less") from error
        raise OSError(f"{url} answered {error.code} {error.reason}") from error
    except urllib.error.URLError as error:
        raise OSError(f"{url} cannot be reached ({error.reason})") from error
    except TimeoutError as error:
        raise OSError(f"{url} sent nothing for {timeout_s:g} s; run again to go on") from error
    except http.client.HTTPException as error:
        raise OSError(f"{url} was cut off ({error!r}); run again to go on") from error
    if have < total:
        raise OSError(f"{url} was cut off after {have} of {total} bytes; run again to go on")
    return ends


def _chunks(answer: Answer, left: int) -> Iterator[bytes]:
    """The bytes of an answer that states `left` of them; 0: it states nothing.

    Raises:
        ValueError: it goes on after its last byte.
    """
    stream: Any = getattr(answer, "fp", None)
    while chunk := answer.read(min(CHUNK, left - 1) if left > 1 else CHUNK):
        left -= len(chunk)
        yield chunk
        if left == 1 and hasattr(stream, "peek") and len(stream.peek(2)) > 1:
            raise ValueError(f"{answer.url} gave more bytes than it stated; they are refused")


def _beginning(answer: Answer, wanted: Wanted, have: int, tag: str | None) -> tuple[int, int]:
    """(bytes before those of the answer, bytes in all or 0), from the answer's headers."""
    fields = answer.headers
    if (packed := fields.get("Content-Encoding", "identity").lower()) != "identity":
        raise ValueError(f"{wanted.url} gave bytes packed by {packed}; they are refused")
    if fields.get_content_type() in PAGES:
        raise ValueError(f"{wanted.url} gave a web page instead ({fields['Content-Type']})")
    stated = fields.get("Content-Length", "")
    length = int(stated) if stated.isdecimal() and not getattr(answer, "chunked", False) else 0
    total = length
    if getattr(answer, "status", None) == 206:  # a server may ignore the range and send everything
        found = re.fullmatch(r"bytes (\d+)-(\d+)/(\d+|\*)", fields.get("Content-Range", "").strip())
        if found is None or int(found[1]) != have:
            raise StartOver(f"{wanted.url} sent another range than {have} to the end")
        if tag and fields.get("ETag") != tag:
            raise StartOver(f"{wanted.url} has another file now")
        total = int(found[3]) if found[3] != "*" else 0
        if length and length != int(found[2]) + 1 - have:
            raise StartOver(f"{wanted.url} states two lengths")
    else:
        have = 0
    if total and (fault := _unlike(total, wanted.mib)):
        raise ValueError(f"{wanted.url} states {fault}")
    return have, total


def _strong_tag(answer: Answer) -> str | None:
    tag = answer.headers.get("ETag")
    return tag if tag and tag.startswith('"') else None  # a weak one may stand for other bytes
