"""The page docs/findings.md: its text by hand, its numbers from committed records."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fsig_bench.api.files import write_bytes
from fsig_bench.api.plain import Json, Record
from fsig_bench.report.audit import flips
from fsig_bench.report.audit.setting import FILE, read_audit
from fsig_bench.report.audit.table import Row
from fsig_bench.report.findings import (
    agreement,
    grid,
    papers,
    selection,
    text_agreement,
    text_planted,
    text_selection,
    text_wider,
)
from fsig_bench.report.findings.agreement_csv import to_csv
from fsig_bench.report.findings.figure import draw_agreement
from fsig_bench.report.findings.planted import read_audits
from fsig_bench.report.findings.words import between, p_text
from fsig_bench.report.inference.intervals import RISK, holm
from fsig_bench.report.published import load_names, load_published
from fsig_bench.report.records import load
from fsig_bench.report.tables.markdown import grid_markdown

FIGURE = "findings_agreement.svg"
TABLE = "findings_agreement.csv"
SEED = 0  # of random orders, where methods are too many for all of them
HEAD = f"""# Findings: which metrics to believe

This command makes the page from committed records alone, with every number on it:

    fsig-bench report findings=true out=docs/findings.md

The records of planted faults are the tables in [audit/](audit), those of the grid lie in
`results/reference`, and the numbers that papers print in `results/published`. Tests of rankings
come in families: those of one set of methods on one set of targets, and those beside papers. The
p-values of each family are corrected together (Holm), and a star marks one of at most {RISK:g}
after that."""


@dataclass(frozen=True, kw_only=True)
class Sources:
    """What the page is made from."""

    audits: Sequence[Row]
    audited: Json | None  # the setting of audit.csv, where it lies beside the table
    flips: Sequence[flips.Value]  # of committed samples that were scored under other rules
    records: Sequence[Record]
    units: Sequence[selection.Unit]  # methods at several numbers of steps


def read_sources(records: Path, audits: Path) -> Sources:
    """From a folder of records and one of audits; runs at several steps lie in `checkpoints`.

    Raises:
        ValueError: one of them holds nothing of use.
    """
    found, steps = audits / "flips.csv", records.parent / "checkpoints"
    audit = read_audit(audits)
    return Sources(
        audits=read_audits(audits),
        audited=audit[0] if audit else None,
        flips=flips.from_csv(found.read_text()) if found.is_file() else (),
        records=load([records]),
        units=selection.read_units(steps) if steps.is_dir() else (),
    )


def write_page(sources: Sources, out: Path) -> list[Path]:
    """Writes the page, and its figure and its table of taus beside it."""
    whole = grid.grid_of(sources.records)
    wider = grid.wider_grid(sources.records, whole)
    rng = np.random.default_rng(SEED)
    analyses = [agreement.analyse(own, rng) for own in (whole, wider) if own is not None]
    rankings, printed = papers.rankings(whole.records, load_published(), load_names())
    adjusted = holm({n: ranking.p for n, ranking in enumerate(rankings)})
    parts = [
        HEAD,
        *text_planted.sections(sources.audits, versions_sentence(sources.audited, whole.records)),
        *text_agreement.section(analyses[0], figure=FIGURE, table=TABLE),
        *text_wider.section(analyses[1] if wider else None),
        *papers_section(rankings, printed, [adjusted[n] for n in range(len(rankings))]),
        *flips_section(sources.flips),
        *text_selection.section(sources.units),
    ]
    write_bytes(out, ("\n\n".join(parts) + "\n").encode())
    write_bytes(out.with_name(TABLE), to_csv(analyses).encode())
    figure = draw_agreement(out.with_name(FIGURE), analyses[0].with_controls.lines)
    return [out, figure, out.with_name(TABLE)]


def versions_sentence(audited: Json | None, records: Sequence[Record]) -> str:
    """That audits and records were made under other versions of a protocol; "" where they agree."""
    protocol = records[0]["config"].get("protocol", {})
    if not audited or audited["protocol"] != records[0]["protocol"]:
        return ""
    one, other = audited["version"], protocol.get("version")
    if one == other:
        return ""
    return (
        f"The audits were made under version {one} of the protocol `{audited['protocol']}` "
        f"([audit/{FILE}](audit/{FILE})), and the records of the grid under version {other}; "
        "[instrument.md](instrument.md) says what differs. "
    )


def papers_section(
    rankings: Sequence[papers.Ranking], printed: int, p_holm: Sequence[float]
) -> list[str]:
    """Mini's ranking beside each published one."""
    head = "## Does mini predict the papers?"
    if not rankings:
        return [
            head,
            f"Papers print {printed} rankings of at least {papers.FEWEST} methods that this "
            "harness has, on a target that mini has too, scored alike and with as many shots as "
            "the committed records. For none of these rankings do the committed records hold "
            f"{papers.FEWEST} of its methods. So this page cannot say whether mini predicts the "
            "papers.",
        ]
    rows = [
        [
            f"{r.paper}, {r.table}",
            r.metric,
            r.dataset,
            str(len(r.methods)),
            f"{r.tau:.2f}{'*' * (p <= RISK)}",
            "" if r.low is None or r.high is None else between(r.low, r.high),
            p_text(p),
        ]
        for r, p in zip(rankings, p_holm, strict=True)
    ]
    names = ["paper", "metric", "target", "methods", "tau", "95 % interval", "p, corrected"]
    text = (
        f"Papers print {printed} rankings of at least {papers.FEWEST} methods that this harness "
        f"has, scored alike; the committed records hold at least {papers.FEWEST} of their methods "
        f"for {len(rankings)}. The interval is Fieller's, over methods; four methods or fewer have "
        "none. Rankings of one paper's table share methods, and baselines are often reprinted from "
        "one paper to the next, so the lines are no independent witnesses."
    )
    if min(r.least_p for r in rankings) * len(rankings) > RISK:
        text += (
            " Of so few methods no order could hold after the correction for all "
            "of them, so the tests say nothing for or against any of them."
        )
    return [head, text, grid_markdown(names, rows)]


def flips_section(values: Sequence[flips.Value]) -> list[str]:
    """Orders that other rules turn round."""
    head = "## Do protocols change the order of methods?"
    if not values:
        return [
            head,
            "No committed table holds the samples of the grid scored under several protocols' "
            "rules, so this page does not say which methods change order; `fsig-bench audit flips "
            "results_dir=DIR out=docs/audit` makes it from a results folder with samples.",
        ]
    runs = {(v.dataset, v.method, v.subset, v.seed, v.draw) for v in values}
    text = (
        f"The samples of {len(runs)} runs were scored under the rules of every protocol, by the "
        "suite's networks (`fsig-bench audit flips`)."
    )
    return [head, text, flips.markdown(values).strip()]
