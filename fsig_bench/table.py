"""Records to a terminal table: a method beside its controls."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.table import Table

# metric -> (heading, decimals, arrow, factor)
COLUMNS = {
    "fd": ("FD", 2, "↓", 1.0),
    "kid": ("KID x1e3", 2, "↓", 1e3),
    "intra_lpips": ("Intra-LPIPS", 3, "↑", 1.0),
    "precision": ("Prec.", 2, "↑", 1.0),
    "recall": ("Rec.", 2, "↑", 1.0),
    "density": ("Dens.", 2, "↑", 1.0),
    "coverage": ("Cov.", 2, "↑", 1.0),
    "vendi": ("Vendi", 1, "↑", 1.0),
    "nearest_shot": ("Nearest shot", 3, "", 1.0),
    "copy_rate": ("Copies", 3, "↓", 1.0),
    "factor_coverage": ("Factor cov.", 3, "↑", 1.0),
    "source_leakage": ("Leakage", 3, "↓", 1.0),
}


def shown(record: dict[str, Any], name: str) -> str:
    """One cell; a dash where the metric could not be computed."""
    value = record["metrics"].get(name, {}).get("value")
    if value is None:
        return "-"
    _, decimals, _, factor = COLUMNS[name]
    return f"{value * factor:.{decimals}f}"


def terminal_table(records: Sequence[dict[str, Any]]) -> Table:
    """The first record's dataset and protocol head the table; controls follow the method."""
    first = records[0]
    some = next((m for m in first["metrics"].values() if m.get("extractor")), {})
    title = (
        f"{first['dataset']}  ·  suite {first['suite']}, protocol {first['protocol']}, "
        f"k={first['k']}, seed {first['seed']}, {first['num_images']} images"
    )
    features = f"features: {some.get('extractor', '-')}, reference n={some.get('n_real', '-')}"
    caption = f"{features}; arrows point to better. mini numbers compare with nothing published."
    table = Table(title=title, caption=caption, title_justify="left", caption_justify="left")
    table.add_column("method", no_wrap=True)
    names = [n for n in COLUMNS if any(n in r["metrics"] for r in records)]
    for name in names:
        heading, _, arrow, _ = COLUMNS[name]
        table.add_column(f"{heading}{arrow}", justify="right")
    for heading in ("adapt s", "sample s", "NFE"):
        table.add_column(heading, justify="right")
    for record in records:
        card = record["config"]["method"]["card"]
        timing = record["timing_s"]
        cells = [shown(record, n) for n in names]
        cells += [f"{timing['adapt']:.1f}", f"{timing['sample']:.1f}", f"{record['nfe_per_image']:g}"]
        style = "bold" if card["kind"] == "method" else "dim"
        table.add_row(card["label"], *cells, style=style)
    return table


def reasons(records: Sequence[dict[str, Any]]) -> list[str]:
    """Why cells are empty, each reason once."""
    found = {
        f"{name}: {m['reason']}"
        for r in records
        for name, m in r["metrics"].items()
        if m.get("value") is None and "reason" in m
    }
    return sorted(found)
