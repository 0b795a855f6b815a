"""What is there of a download that has not ended: a part, and a note on where it comes from."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path

from fsig_bench.api.owners import left_behind, own_path
from fsig_bench.api.plain import JsonDict


def note_of(part: Path) -> Path:
    """The small file that says where a part comes from."""
    return part.with_name(f"{part.name}.json")


def drop(part: Path) -> None:
    """Removes a part and what is known of it."""
    part.unlink(missing_ok=True)
    note_of(part).unlink(missing_ok=True)


def continued_part(target: Path, url: str) -> Path:
    """The part of this process: the longest one of `url` that an ended process left, if any."""
    own, older = own_path(target, "part"), target.with_name(f"{target.name}.part")
    parts = [p for p in {own, older, *left_behind(target, "part")} if p.is_file()]
    for part in sorted(parts, key=lambda p: p.stat().st_size):  # the longest comes last
        if known_of(part).get("url", url) != url:
            drop(part)
        elif part != own:
            drop(own)
            with suppress(FileNotFoundError):
                note_of(part).replace(note_of(own))
            part.replace(own)
    return own


def known_of(part: Path) -> JsonDict:
    """The url and the ETag of a part; nothing for one of unknown origin."""
    try:
        return dict(json.loads(note_of(part).read_text()))
    except (OSError, ValueError, TypeError):
        return {}
