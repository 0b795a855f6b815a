"""Where things lie, and what they are called: a record's page in the report, and its labels."""

from __future__ import annotations

import hashlib
import re

from fsig_bench.api.plain import Record
from fsig_bench.report.inference.units import chance_of
from fsig_bench.report.records import label_with_start


def short_digest(text: str | bytes) -> str:
    """16 hex digits of sha256."""
    data = text.encode() if isinstance(text, str) else text
    return hashlib.sha256(data).hexdigest()[:16]


def slug(text: str) -> str:
    """A file name: the text itself where it is plain, else what is plain of it and a digest."""
    plain = re.sub(r"[^A-Za-z0-9_-]", "_", text)[:60]
    return plain if plain == text else f"{plain}-{short_digest(text)[:8]}"


def run_page(record: Record) -> str:
    """The page of a run, below the report's folder."""
    name = slug(f"{record['suite']}-{record['run_id']}")
    return f"runs/{name}.html"


def run_label(record: Record) -> str:
    """A run among those of its method: its seed, then the subset and the draw.

    A draw that equals the seed is not named, and neither is subset 0 where the seed is 0 as well.
    """
    subset, seed, draw = chance_of(record)
    words = [f"seed {seed}"]
    words += [f"subset {subset}"] if subset or subset != seed else []
    words += [f"draw {draw}"] if draw != seed else []
    return ", ".join(words)


def method_label(record: Record) -> str:
    """The method as tables name it."""
    return label_with_start(record["config"]["method"]["card"])


def protocol_label(record: Record) -> str:
    """Name, version and digest of the rules that the run was scored under."""
    version = record["config"].get("protocol", {}).get("version")
    words = [str(record["protocol"])]
    words += [f"v{version}"] if version is not None else []
    words += [f"({record['protocol_hash']})"] if record.get("protocol_hash") else []
    return " ".join(words)
