"""The content of one run's page, from its record. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from fsig_bench.api.plain import Json, JsonDict, Record
from fsig_bench.metrics.cards import MetricCard, metric_card, metric_cards

IN_COLUMNS = ("value", "extractor", "n_real", "n_fake", "error", "reason", "protocol_hash")
COUNTS = ("none", "one", "two", "three", "four", "five", "six", "seven", "eight")
STAGES = (("adapt", "adapting"), ("sample", "sampling"), ("score", "scoring"))


@dataclass(frozen=True, kw_only=True)
class Series:
    """Numbers with names, such as a metric's values per cluster; `share` of the largest, 0 to 1."""

    name: str
    rows: tuple[tuple[str, str, float], ...]


@dataclass(frozen=True, kw_only=True)
class Metric:
    """One line of a run's table of metrics, as text."""

    name: str
    heading: str
    arrow: str
    value: str
    error: str
    n_real: str
    n_fake: str
    extractor: str
    reason: str
    details: tuple[tuple[str, str], ...]
    series: tuple[Series, ...]


def strip_caption(count: int, num_images: int) -> str:
    """What a strip of a run's first samples shows, and what is not there."""
    number = COUNTS[count] if count < len(COUNTS) else f"{count:,}"
    if count >= num_images:
        return f"The run's samples, {number} in all, in index order."
    first = "first sample" if count == 1 else f"first {number} samples"
    return f"The run's {first}, in index order; the other samples are not stored here."


def format_value(value: object) -> str:
    """A value as a reader expects it: at most six figures, a dash for nothing."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.6g}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def make_series(name: str, node: object) -> Series | None:
    """A list or mapping of numbers as rows; None for anything else."""
    pairs = list(node.items()) if isinstance(node, Mapping) else None
    if isinstance(node, list | tuple):
        pairs = list(enumerate(node))
    if not pairs or not all(_is_number(v) for _, v in pairs):
        return None
    top = max(abs(v) for _, v in pairs) or 1.0
    return Series(
        name=name.replace("_", " "),
        rows=tuple((str(k), format_value(v), round(abs(v) / top, 4)) for k, v in pairs),
    )


def make_metric(name: str, card: MetricCard, node: Json) -> Metric:
    """One metric with everything that its record holds."""
    value, error = node.get("value"), node.get("error") or {}
    se = error.get("standard_error")
    rest = {k: v for k, v in node.items() if k not in IN_COLUMNS}
    found = {k: make_series(k, v) for k, v in rest.items()}
    scalars = {k: v for k, v in rest.items() if found[k] is None and v is not None}
    scalars |= {f"standard error, {k}": v for k, v in error.items() if k != "standard_error"}
    return Metric(
        name=name,
        heading=card.heading,
        arrow=card.arrow,
        value="-" if value is None else card.text(value),
        error="" if se is None else card.text(se),
        n_real=format_value(node.get("n_real")),
        n_fake=format_value(node.get("n_fake")),
        extractor=format_value(node.get("extractor")),
        reason=str(node.get("reason", "")) if value is None else "",
        details=tuple((k.replace("_", " "), format_value(v)) for k, v in scalars.items()),
        series=tuple(s for s in found.values() if s is not None),
    )


def make_metrics(record: Record) -> list[Metric]:
    """The record's metrics, in the tables' order."""
    own = record["metrics"]
    return [make_metric(name, card, own[name]) for name, card in metric_cards([record]).items()]


def cost(record: Record) -> list[tuple[str, str]]:
    """What the run took, with units."""
    out = [
        (f"{word}, seconds", f"{record['timing_s'][stage]:,.1f}")
        for stage, word in STAGES
        if stage in record["timing_s"]
    ]
    return [
        *out,
        ("peak memory, GiB", f"{record['peak_mem_gib']:.2f}"),
        ("network evaluations to adapt", format_value(record.get("nfe_adapt"))),
        ("network evaluations an image", f"{record['nfe_per_image']:g}"),
        ("trained parameters", format_value(record["trained_params"])),
    ]


def environment(record: Record) -> list[tuple[str, str]]:
    """Code, machine and versions."""
    e = record["environment"]
    commit = str(e.get("git_commit") or "not known")
    if e.get("git_dirty"):
        commit += " with uncommitted changes"
    gpu = e.get("gpu")
    out = [
        ("fsig_bench", format_value(e.get("fsig_bench"))),
        ("commit", commit),
        ("device", str(gpu) if gpu else "CPU"),
        ("threads", format_value(e.get("threads"))),
        ("machine", format_value(e.get("machine"))),
        ("Python", format_value(e.get("python"))),
    ]
    return out + [(str(k), format_value(v)) for k, v in (e.get("packages") or {}).items()]


def warnings(record: Record) -> list[str]:
    """What a reader must see before the numbers."""
    notes = record.get("notes", {})
    out = [str(notes["warning"])] if notes.get("warning") else []
    out += [str(r) for r in [notes.get("source_distance", {}).get("remark")] if r]
    for name, m in record["metrics"].items():
        heading = metric_card(name, [record]).heading
        out += [f"{heading}: {m[key]}" for key in ("rank_warning", "warning") if m.get(key)]
    if record["environment"].get("git_dirty"):
        out.append("The code had uncommitted changes, so its commit does not identify it.")
    return out


def notes(record: Record) -> list[tuple[str, str]]:
    """The method's notes on its adaptation, without warnings."""
    own = record.get("notes", {})
    return [(k.replace("_", " "), format_value(v)) for k, v in own.items() if k != "warning"]


def provenance(record: Record) -> JsonDict:
    """Names and digests of what went in."""
    fields = ("shots", "weights", "assets", "stages", "pixels_sha256")
    return {k: record[k] for k in fields if record.get(k)}
