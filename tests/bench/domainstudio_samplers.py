"""Which sampler is the cheapest that keeps DomainStudio's number, at the mini suite's scale?

    python tests/bench/domainstudio_samplers.py [--work DIR] [--images 40] [--minutes 20] [--docs]

Adapts once, then draws the same images (same starting noise) with several samplers and numbers of
steps, and scores each: Frechet distance, KID and Intra-LPIPS. The paper's own sampler comes last.
Two draws of some samplers show the spread. What is done is kept in --work, so that a stopped run
continues; no further row begins once the process has used --minutes of processor time (0: only the
table is made). Networks run in bf16 autocast, which halves the time on CPUs that have it; the
adaptation runs in fp32. Prints the table; --docs writes it into docs/methods/domainstudio.md.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import torch
from helpers import ROOT, build, make_cell

from baselines.domainstudio import Sampling
from fsig_bench.api.images import to_uint8
from fsig_bench.metrics.base import Evidence
from fsig_bench.runner.adapt import adapt
from fsig_bench.runner.device import precision_policy
from fsig_bench.runner.score import apply_metrics, build_metrics, build_networks, reference_images
from fsig_bench.store.store import Store

PAGE = ROOT / "docs" / "methods" / "domainstudio.md"
BEGIN, END = "<!-- samplers -->", "<!-- end of samplers -->"
BATCH = 20  # images at once, kept as soon as they are drawn
METRICS = {"fd": "Frechet distance", "kid": "KID", "intra_lpips": "Intra-LPIPS"}
PLAN = (
    *(("ddim", n, 0) for n in (10, 25, 50, 100)),
    *(("ancestral", n, 0) for n in (25, 50, 100, 250)),
    *(("ddim", n, 1) for n in (25, 100)),
    *(("ancestral", n, 1) for n in (50, 100)),
    ("ancestral", 1000, 0),
)


@dataclass(frozen=True, kw_only=True)
class Row:
    """One sampler's scores."""

    kind: str
    steps: int
    draw: int
    values: dict[str, float]
    processor_s: float  # of drawing

    @property
    def place(self) -> tuple[str, int, int]:
        return self.kind, self.steps, self.draw


def known_rows(file: Path) -> list[Row]:
    """What an earlier call has measured."""
    lines = file.read_text().splitlines() if file.exists() else []
    return [Row(**json.loads(line)) for line in lines]


def markdown(rows: list[Row], images: int) -> str:
    """The table, cheapest first within each kind."""
    lines = [
        f"| sampler | evaluations an image | {' | '.join(METRICS.values())} | processor time |",
        "|---|--:|" + "--:|" * (len(METRICS) + 1),
    ]
    steps = sorted({(r.kind, r.steps) for r in rows}, key=lambda s: (s[0], -s[1]))
    for kind, count in steps:
        own = sorted((r for r in rows if (r.kind, r.steps) == (kind, count)), key=lambda r: r.draw)
        cells = [" and ".join(f"{r.values[name]:.3g}" for r in own) for name in METRICS]
        spent = sum(r.processor_s for r in own) / len(own)
        lines.append(f"| {kind} | {count:,} | {' | '.join(cells)} | {spent:.0f} s |")
    lines.append("")
    lines.append(f"Babies, seed 0, {images} images of each; where two numbers stand, of two draws.")
    return "\n".join(lines)


def main() -> None:
    """Measures what is not measured yet and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, default=Path("results/samplers"))
    parser.add_argument("--images", type=int, default=40)
    parser.add_argument("--minutes", type=float, default=20)
    parser.add_argument("--docs", action="store_true")
    given = parser.parse_args()
    file = given.work / f"rows-{given.images}.jsonl"
    rows = known_rows(file)
    left = [place for place in PLAN if place not in {r.place for r in rows}]
    if left and given.minutes > 0:
        measure(left, rows, given, file)
    text = markdown(rows, given.images)
    print(text)
    if given.docs:
        page = PAGE.read_text()
        before, rest = page.split(BEGIN)
        PAGE.write_text(f"{before}{BEGIN}\n\n{text}\n\n{END}{rest.split(END)[1]}")


def measure(left: list[tuple[str, int, int]], rows: list[Row], given: Any, file: Path) -> None:
    """Adds the missing rows, to the list and to the file."""
    cell = make_cell("method=domainstudio", "dataset=babies", "device=cpu")
    method = build(cell)
    state, _ = adapt(cell, method, Store(given.work))
    shots = cell.dataset.shots(cell.shots.k, cell.shots.subset)
    features, perceptual = build_networks(cell.protocol, "cpu")
    metrics = build_metrics({n: cell.protocol.metrics[n] for n in METRICS})
    for kind, steps, draw in left:
        if time.process_time() > 60 * given.minutes:
            print(f"{given.minutes:g} minutes are used up; {kind} {steps} and later are left out")
            return
        draws = replace(method, sample=Sampling(kind=kind, num_steps=steps)).sampler(
            state, draw=draw
        )
        parts, spent = [], 0.0
        for start in range(0, given.images, BATCH):
            kept = given.work / f"{kind}-{steps}-draw{draw}-{start}.pt"
            if not kept.exists():
                began = time.process_time()
                with precision_policy("bf16", "cpu"):
                    images = draws(range(start, start + BATCH)).float()
                torch.save((images, time.process_time() - began), kept)
            images, took = torch.load(kept)
            parts.append(images)
            spent += took
        evidence = Evidence(
            shots=shots,
            fake=to_uint8(torch.cat(parts)[: given.images]),
            real=reference_images(cell, shots),
            extractor=features,
            perceptual=perceptual,
            seed=cell.seed,
            batch_size=50,
            source_domain=cell.dataset.source_domain,
        )
        found = apply_metrics(metrics, evidence, title=f"{kind} {steps}")
        values = {n: v["value"] for n, v in found.items()}
        row = Row(kind=kind, steps=steps, draw=draw, values=values, processor_s=spent)
        rows.append(row)
        with file.open("a") as out:
            out.write(json.dumps(vars(row)) + "\n")


if __name__ == "__main__":
    main()
