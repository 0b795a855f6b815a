"""Records to a terminal table: a method beside its controls."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.table import Table

# metric -> (heading, decimals, arrow, factor)
COLUMNS = {
    "fd": ("Frechet distance", 2, "↓", 1.0),
    "fd_infinity": ("Frechet distance, n to infinity", 2, "↓", 1.0),
    "kid": ("KID x 1000", 2, "↓", 1e3),
    "intra_lpips": ("Intra-LPIPS", 3, "↑", 1.0),
    "precision": ("precision", 2, "↑", 1.0),
    "recall": ("recall", 2, "↑", 1.0),
    "density": ("density", 2, "↑", 1.0),
    "coverage": ("coverage", 2, "↑", 1.0),
    "vendi": ("Vendi", 1, "↑", 1.0),
    "nearest_shot": ("nearest shot, LPIPS", 3, "", 1.0),
    "copy_rate": ("copy rate", 3, "↓", 1.0),
    "authpct": ("AuthPct", 2, "", 1.0),
    "lpips_diversity": ("LPIPS diversity", 3, "", 1.0),
    "sliced_w2": ("sliced Wasserstein", 2, "↓", 1.0),
    "rendered_precision": ("rendered precision", 2, "↑", 1.0),
    "factor_coverage": ("factor coverage", 3, "↑", 1.0),
    "source_leakage": ("source leakage", 3, "↓", 1.0),
}


def flat(node: Any, path: str = "") -> dict[str, Any]:
    """A config node as dotted keys."""
    if not isinstance(node, Mapping):
        return {path: node}
    parts = [flat(v, f"{path}.{k}" if path else str(k)) for k, v in node.items()]
    return {k: v for part in parts for k, v in part.items()}


def unlike(a: dict[str, Any], b: dict[str, Any]) -> list[str]:
    """In which fields the protocols of two records differ, "field (one / other)"; sorted."""
    sides = [
        flat(r["config"].get("protocol", {})) | {"num_images": r["num_images"]} for r in (a, b)
    ]
    # Weights of a network that trained again keep their path.
    for side, r in zip(sides, (a, b), strict=True):
        used = {v for v in side.values() if isinstance(v, str)}
        side |= {f"sha256 of {w}": s[:8] for w, s in r.get("weights", {}).items() if w in used}
    keys = sorted(k for k in {*sides[0], *sides[1]} if sides[0].get(k) != sides[1].get(k))
    return [f"{k} ({sides[0].get(k)} / {sides[1].get(k)})" for k in keys]


def shown(record: dict[str, Any], name: str) -> str:
    """One cell; a dash where the metric could not be computed."""
    value = record["metrics"].get(name, {}).get("value")
    if value is None:
        return "-"
    _, decimals, _, factor = COLUMNS[name]
    return f"{value * factor:.{decimals}f}"


def shown_error(record: dict[str, Any], name: str) -> str:
    """The standard error of a single run, where a metric gives one."""
    error = record["metrics"].get(name, {}).get("error")
    if not error:
        return "-"
    _, decimals, _, factor = COLUMNS[name]
    return f"{error['standard_error'] * factor:.{decimals}f}"


def terminal_table(records: Sequence[dict[str, Any]]) -> Table:
    """Metrics down, the method and its controls across; all of one dataset and protocol."""
    first = records[0]
    for other in records[1:]:
        if other.get("protocol_hash") != first.get("protocol_hash"):
            raise ValueError(
                f"{first['method']} and {other['method']} were not scored alike: "
                f"{'; '.join(unlike(first, other))}; run both again with one protocol"
            )
    some: dict[str, Any] = next((m for m in first["metrics"].values() if m.get("extractor")), {})
    title = (
        f"{first['dataset']}, {first['k']} shots  (suite {first['suite']}, protocol "
        f"{first['protocol']}, seed {first['seed']}, {first['num_images']} images)"
    )
    caption = f"features: {some.get('extractor', '-')}; reference: {some.get('n_real', '-')} images"
    if any(m.get("error") for r in records for m in r["metrics"].values()):
        caption += "; standard error: from disjoint blocks of samples"
    if first["suite"] == "mini":
        caption += "; mini numbers compare with nothing published"
    table = Table(title=title, caption=caption, title_justify="left", caption_justify="left")
    table.add_column("", no_wrap=True)
    for record in records:
        card = record["config"]["method"]["card"]
        style = "bold" if card["kind"] == "method" else None
        label = f"{card['label']}\n(from scratch)" if card.get("from_scratch") else card["label"]
        table.add_column(label, justify="right", style=style)
    names = [n for n in COLUMNS if any(n in r["metrics"] for r in records)]
    for name in names:
        heading, _, arrow, _ = COLUMNS[name]
        last = name == names[-1]
        table.add_row(f"{heading} {arrow}", *(shown(r, name) for r in records), end_section=last)
        if any(r["metrics"].get(name, {}).get("error") for r in records):
            table.add_row("  ± standard error", *(shown_error(r, name) for r in records))
    for stage in ("adapt", "sample"):
        table.add_row(f"{stage} s", *(f"{r['timing_s'][stage]:.1f}" for r in records))
    table.add_row("network evaluations an image", *(f"{r['nfe_per_image']:g}" for r in records))
    return table


LOWER_IS_BETTER = ("fd", "fd_infinity", "kid", "sliced_w2")


def copying_pays(records: Sequence[dict[str, Any]]) -> list[str]:
    """Which distances prefer the replay of the shots to the method: they reward memorising."""
    by_name = {r["method"]: r["metrics"] for r in records}
    method, copy = records[0]["metrics"], by_name.get("copy")
    if copy is None or records[0]["method"] == "copy":
        return []
    found = []
    for name in LOWER_IS_BETTER:
        mine, theirs = (m.get(name, {}).get("value") for m in (method, copy))
        if mine is not None and theirs is not None and theirs < mine:
            found.append(f"{COLUMNS[name][0]} prefers copying the shots to this method")
    return found


def warnings(records: Sequence[dict[str, Any]]) -> list[str]:
    """What a method says against its own samples."""
    return [
        f"{r['config']['method']['card']['label']}: {r['notes']['warning']}"
        for r in records
        if "warning" in r.get("notes", {})
    ]


def reasons(records: Sequence[dict[str, Any]]) -> list[str]:
    """Why cells are empty, each reason once."""
    found = {
        f"{name}: {m['reason']}"
        for r in records
        for name, m in r["metrics"].items()
        if m.get("value") is None and "reason" in m
    }
    return sorted(found)
