"""What do the floating-point policies do to distance and diversity, at the mini suite's scale?

    python tests/bench/precision.py [--work DIR] [--images 40] [--minutes 20] [--docs]

Runs methods on Babies, seed 0, under fp32, torch_default, tf32 and bf16, adapting and sampling, and
scores all in fp32. bf16 is autocast on the CPU. A CPU has no TF32: inputs of convolutions (and for
tf32 of matrix products and of attention) are rounded to its ten bits of mantissa, forward and
backward, and added up in fp32, as a tensor core does. `fp32, draw 1` shows what another draw of
the noise changes. What is done is kept in --work, so that a stopped run continues; no further row
begins once the process has used --minutes of processor time. Prints the table; --docs writes it
into docs/paper_suite.md.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import torch
from helpers import ROOT, build, make_cell
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from fsig_bench.api.images import to_float, to_uint8
from fsig_bench.api.types import NoProgress
from fsig_bench.metrics.base import Evidence
from fsig_bench.runner.device import precision_policy
from fsig_bench.runner.score import apply_metrics, build_metrics, build_networks, reference_images

PAGE = ROOT / "docs" / "paper_suite.md"
BEGIN, END = "<!-- precision -->", "<!-- end of precision -->"
METRICS = {"fd": "Frechet distance", "intra_lpips": "Intra-LPIPS"}
POLICIES = ("fp32", "torch_default", "tf32", "bf16")
METHODS = {"crdi": [], "finetune": ["method.iterations=30"]}
PLAN = [(m, p, 0) for m in METHODS for p in POLICIES] + [(m, "fp32", 1) for m in METHODS]
CONVOLUTIONS = ("convolution", "convolution_backward")
PRODUCTS = ("mm", "addmm", "bmm", "baddbmm", "_scaled_dot_product_flash_attention_for_cpu")


def rounded(x: Any) -> Any:  # Any: whatever an operation takes
    """A float32 tensor to the nearest numbers of ten bits of mantissa, ties to even; else as is."""
    if not isinstance(x, Tensor) or x.dtype != torch.float32:
        return x
    bits = x.view(torch.int32)
    tie = (bits >> 13) & 1
    return ((bits + 0x0FFF + tie) & ~0x1FFF).view(torch.float32)


class TF32(TorchDispatchMode):
    """Rounds what convolutions, and if asked matrix products, multiply."""

    def __init__(self, *, products: bool) -> None:
        super().__init__()
        self.names = CONVOLUTIONS + (PRODUCTS if products else ())
        self.count = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        name = func.overloadpacket.__name__
        if name in self.names:
            self.count += 1
            # A bias is added after the products.
            kept = {"addmm": 0, "baddbmm": 0, "convolution": 2}.get(name)
            args = tuple(a if i == kept else rounded(a) for i, a in enumerate(args))
        return func(*args, **(kwargs or {}))


def numbers(method_name: str, policy: str, draw: int, images: int) -> dict[str, Any]:
    """The metrics of one method under one policy, and the samples."""
    cell = make_cell(f"method={method_name}", "dataset=babies", *METHODS[method_name], "device=cpu")
    shots, method = cell.dataset.shots(cell.shots.k, cell.shots.subset), build(cell)
    parts: list[Tensor] = []
    with ExitStack() as stack:
        stack.enter_context(precision_policy(policy, "cpu"))
        if policy in ("torch_default", "tf32"):
            stack.enter_context(TF32(products=policy == "tf32"))
        state = method.adapt(to_float(shots), seed=0, progress=NoProgress())
        draws = method.sampler(state, draw=draw)
        for start in range(0, images, 25):
            parts.append(draws(range(start, min(start + 25, images))).float())
    features, perceptual = build_networks(cell.protocol, "cpu")
    fake = to_uint8(torch.cat(parts))
    evidence = Evidence(
        shots=shots,
        fake=fake,
        real=reference_images(cell, shots),
        extractor=features,
        perceptual=perceptual,
        seed=cell.seed,
        batch_size=50,
        source_domain=cell.dataset.source_domain,
    )
    metrics = build_metrics({n: cell.protocol.metrics[n] for n in METRICS})
    found = apply_metrics(metrics, evidence, title=f"{method_name} {policy}")
    return {"values": {n: v["value"] for n, v in found.items()}, "pixels": fake}


def markdown(rows: list[dict[str, Any]], images: int) -> str:
    """The table."""
    lines = [
        f"| method | policy | {' | '.join(METRICS.values())} | pixels from fp32 |",
        "|---|---|" + "--:|" * (len(METRICS) + 1),
    ]
    for row in rows:
        policy = row["policy"] + (f", draw {row['draw']}" if row["draw"] else "")
        cells = [f"{row['values'][name]:.4g}" for name in METRICS]
        gap = "" if row["gap"] is None else f"{row['gap']:.2g}"
        lines.append(f"| {row['method']} | {policy} | {' | '.join(cells)} | {gap} |")
    lines.append("")
    lines.append(
        f"Babies, seed 0, {images} images of each; pixels: mean difference in grey levels."
    )
    return "\n".join(lines)


def main() -> None:
    """Measures what is not measured yet and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, default=Path("results/precision"))
    parser.add_argument("--images", type=int, default=40)
    parser.add_argument("--minutes", type=float, default=20)
    parser.add_argument("--docs", action="store_true")
    given = parser.parse_args()
    given.work.mkdir(parents=True, exist_ok=True)
    file = given.work / f"rows-{given.images}.jsonl"
    rows = [json.loads(x) for x in file.read_text().splitlines()] if file.exists() else []
    known = {(r["method"], r["policy"], r["draw"]) for r in rows}
    for method, policy, draw in PLAN:
        if (method, policy, draw) in known:
            continue
        if time.process_time() > 60 * given.minutes:
            print(
                f"{given.minutes:g} minutes are used up; {method} {policy} and later are left out"
            )
            break
        found = numbers(method, policy, draw, given.images)
        exact = given.work / f"{method}-{given.images}.pt"
        if policy == "fp32" and draw == 0:
            torch.save(found["pixels"], exact)
        gap = (found["pixels"].float() - torch.load(exact).float()).abs().mean()
        shown = None if policy == "fp32" and draw == 0 else float(gap)
        row = {"method": method, "policy": policy, "draw": draw, "gap": shown}
        rows.append(row | {"values": found["values"]})
        with file.open("a") as out:
            out.write(json.dumps(rows[-1]) + "\n")
    text = markdown(rows, given.images)
    print(text)
    if given.docs:
        before, rest = PAGE.read_text().split(BEGIN)
        PAGE.write_text(f"{before}{BEGIN}\n\n{text}\n\n{END}{rest.split(END)[1]}")


if __name__ == "__main__":
    main()
