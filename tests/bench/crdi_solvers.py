"""What fitting CRDI's embeddings costs, and what it buys: official, Adam and closed form.

    python tests/bench/crdi_solvers.py [--weights FILE] [--shots 10] [--epochs 120] [--json OUT]

Side by side in one run, on the mini source model:
  official     Adam, back-propagating through the network as the official code does
  adam         the same steps on the same noise, the network without gradients
  adam (clean) the same with a fresh Adam for each segment
  closed form  the optimum written down from 1, 2, 4, ... noise draws, in pairs z, -z

The excess is the objective above its optimum, in loss units (a mean over pixels, both MSE terms and
the penalty), under held-out noise. The objective is an exact quadratic with known curvature, and
two optima a, b from independent held-out draws make <G - a, H (G - b)> free of bias.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
import yaml
from torch import Tensor

from baselines.common.diffusion import guided_step, q_sample
from baselines.common.unet import DiffusionSource, PixelUNet
from baselines.crdi import CRDI, Sampling
from baselines.crdi.objective import noise_for
from fsig_bench.api.images import to_float
from fsig_bench.api.places import ROOT
from fsig_bench.api.types import NoProgress
from fsig_bench.faceworld.render import render


@dataclass
class Row:
    """One solver's cost and result."""

    solver: str
    evaluations: int  # network forwards, counted per image
    wall_s: float
    backward: bool = False  # whether the network was back-propagated through as well
    extrapolated: bool = False  # whether wall_s was scaled up from fewer epochs
    excess: list[float] = field(default_factory=list)  # per segment, least noisy first
    step_rms: float = 0.0  # distance from the optimum in x_{t-1}

    @property
    def mean_excess(self) -> float:
        return sum(self.excess) / len(self.excess)


def official(method: CRDI, x0: Tensor, seed: int, steps_per_segment: int) -> tuple[Tensor, int]:
    """The official loop: parameters left trainable, gradients through them and never zeroed."""
    unet, s = method.source.unet, method.schedule
    unet.requires_grad_(True)
    evaluations = 0

    def eps(x: Tensor, t: int) -> Tensor:
        return predict(unet, x, t)

    first = noise_for(torch.empty(len(x0), len(method.windows), *x0.shape[1:]), seed, "init")
    sge = first.to(x0.device).requires_grad_()
    adam = torch.optim.Adam([sge], lr=method.lr)
    for step in range(len(method.windows) * method.epochs):
        if step % method.epochs >= steps_per_segment:
            continue
        adam.zero_grad()
        j, visits = method.visits(step, seed)
        for n, i in enumerate(visits):
            z, z_prev = method.noises(x0, seed, step, n)
            x_t, target = q_sample(x0, s.abar[i], z), q_sample(x0, s.abar_prev(i), z_prev)
            guidance = method.guidance_scale * sge[:, j]
            x_prev, x0_g = guided_step(eps, x_t, i, s, guidance=guidance)
            spread = (sge[:, j] - sge[:, j].mean(0)).square().mean()
            error = F.mse_loss(x0_g, x0) + F.mse_loss(x_prev, target)
            torch.autograd.backward(error + method.penalty_weight * spread)
            evaluations += len(x0)
        adam.step()
    unet.requires_grad_(False)
    unet.zero_grad(set_to_none=True)
    return sge.detach(), evaluations


def predict(unet: PixelUNet, x: Tensor, t: int) -> Tensor:
    """`DiffusionSource.eps` with gradients."""
    steps = torch.full((len(x),), t, device=x.device)
    return unet(x.contiguous(memory_format=torch.channels_last), steps)[:, :3].contiguous()


def excess(method: CRDI, sge: Tensor, a: Tensor, b: Tensor) -> list[float]:
    """Per segment: the objective at `sge` above its optimum, from two independent optima."""
    out = []
    for j, segment in enumerate(method.windows):
        to_a, to_b = sge[:, j] - a[:, j], sge[:, j] - b[:, j]
        spread = ((to_a - to_a.mean(0)) * (to_b - to_b.mean(0))).mean()
        value = method.weight(segment) * (to_a * to_b).mean() + method.penalty_weight * spread
        out.append(value.item())
    return out


def step_rms(method: CRDI, sge: Tensor, a: Tensor, b: Tensor) -> float:
    """RMS distance from the optimum in x_{t-1}, the only place where sampling feels it."""
    errors = [
        method.gains(i)[1] ** 2 * ((sge[:, j] - a[:, j]) * (sge[:, j] - b[:, j])).mean().item()
        for j, segment in enumerate(method.windows)
        for i in segment
    ]
    return max(sum(errors) / len(errors), 0.0) ** 0.5


def fit(method: CRDI, shots: Tensor, seed: int) -> tuple[Tensor, int]:
    """The method's own SGEs and what they cost in network evaluations."""
    state = method.adapt(shots, seed=seed, progress=NoProgress())
    return state.tensors["sge"], state.nfe_adapt


def fit_unpaired(method: CRDI, shots: Tensor, seed: int) -> tuple[Tensor, int]:
    """The closed form from two independent draws: its own draws come in pairs z, -z."""
    (one, cost), (two, more) = (fit(method, shots, seed + offset) for offset in (20_001, 20_002))
    return (one + two) / 2, cost + more


def method_from_yaml(source: DiffusionSource, **changes: Any) -> CRDI:
    """The method as conf/method/crdi.yaml sets it."""
    config = yaml.safe_load((ROOT / "conf" / "method" / "crdi.yaml").read_text())
    sample = {k: v for k, v in config.pop("sample").items() if k != "_target_"}
    config = {k: v for k, v in config.items() if k not in ("card", "_target_", "source")}
    return CRDI(source=source, sample=Sampling(**sample), **(config | changes))


def measure(args: argparse.Namespace) -> tuple[list[Row], dict[str, float]]:
    """Runs every solver; returns the rows and a few checks."""
    source = DiffusionSource(weights=args.weights, device=args.device)
    shots = to_float(render(args.domain, "shots", range(args.shots))[0])
    x0 = shots.to(args.device)
    base = method_from_yaml(source, epochs=args.epochs, draws=1)
    source.eps(x0, 500)  # weights are read and kernels chosen before any clock starts
    half = replace(base, draws=args.held_out // 2)
    a, b = (fit(half, shots, args.seed + offset)[0] for offset in (10_001, 10_002))

    adam = replace(base, solver="adam")
    timed_epochs = min(args.official_epochs or args.epochs, args.epochs)
    share = timed_epochs / args.epochs
    solvers = {
        "official": partial(official, adam, x0, args.seed, timed_epochs),
        "adam": partial(fit, adam, shots, args.seed),
        "adam (clean)": partial(fit, replace(adam, shared_adam_state=False), shots, args.seed),
    }
    for n in args.draws:
        solvers[f"closed form, {n}"] = partial(fit, replace(base, draws=n), shots, args.seed)
    solvers["closed form, 2 unpaired"] = partial(fit_unpaired, base, shots, args.seed)

    rows, fitted = [], {}
    print(HEAD)
    for name, solve in solvers.items():
        start = time.perf_counter()
        sge, evaluations = solve()
        fitted[name] = sge = sge.cpu()  # waits for the device
        wall_s = time.perf_counter() - start
        if name == "official" and share < 1:
            row = Row(name, round(evaluations / share), wall_s / share, True, extrapolated=True)
        else:
            row = Row(name, evaluations, wall_s, name == "official")
            row.excess = excess(base, sge, a, b)
            row.step_rms = step_rms(base, sge, a, b)
        rows.append(row)
        print(line(row), flush=True)

    checks = {}
    if share == 1:
        gap = (fitted["official"] - fitted["adam"]).abs().max().item()
        checks["official - adam, largest difference of an embedding value"] = gap
    return rows, checks


HEAD = (
    "| solver | network evaluations | back-propagated | wall s | excess, mean "
    "| excess, worst | x_{t-1} rms |\n|---|--:|---|--:|--:|--:|--:|"
)


def line(row: Row) -> str:
    """A row of the table."""
    wall = f"{row.wall_s:.1f}" + (" (extrapolated)" if row.extrapolated else "")
    costs = f"| {row.solver} | {row.evaluations} | {'yes' if row.backward else 'no'} | {wall} "
    if not row.excess:
        return costs + "| not measured | not measured | not measured |"
    return costs + f"| {row.mean_excess:.3g} | {max(row.excess):.3g} | {row.step_rms:.3g} |"


def ratios(rows: Sequence[Row]) -> list[str]:
    """How much cheaper the closed form is at the excess that each iterative solver reaches."""
    closed = [r for r in rows if r.solver.startswith("closed form")]
    out = []
    for row in rows:
        if row in closed or not row.excess:
            continue
        equal = next((c for c in closed if c.mean_excess <= row.mean_excess), None)
        if equal is None:
            out.append(f"{row.solver}: no measured number of draws reaches its excess")
            continue
        out.append(
            f"{row.solver}: {equal.solver} draw(s) have no more excess "
            f"({equal.mean_excess:.3g} <= {row.mean_excess:.3g}) for "
            f"{row.evaluations / equal.evaluations:.0f}x fewer evaluations and "
            f"{row.wall_s / equal.wall_s:.0f}x less time"
        )
    return out


def main() -> None:
    """Prints the table, the ratios and, with --json, everything per segment."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--weights", default="baselines/weights/mini/diffusion.safetensors")
    parser.add_argument("--domain", default="babies")
    parser.add_argument("--shots", type=int, default=10)
    parser.add_argument("--epochs", type=int, default=120)
    parser.add_argument(
        "--official-epochs", type=int, help="time this many and extrapolate; default: all"
    )
    parser.add_argument("--draws", type=int, nargs="+", default=[1, 2, 4, 8, 16])
    parser.add_argument("--held-out", type=int, default=64, help="noise draws behind the optimum")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()

    where = torch.cuda.get_device_name() if args.device.startswith("cuda") else "CPU"
    print(f"{args.shots} shots of {args.domain}, {args.epochs} epochs, seed {args.seed};", end=" ")
    print(f"{where}, {torch.get_num_threads()} threads, torch {torch.__version__}\n")
    rows, checks = measure(args)
    print("\nAt equal held-out excess:", *ratios(rows), sep="\n  ")
    print("Checks:", *(f"{k}: {v:.3g}" for k, v in checks.items()), sep="\n  ")
    if args.json:
        arguments = vars(args) | {"json": None}
        report = {"arguments": arguments, "checks": checks, "rows": [asdict(r) for r in rows]}
        args.json.write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()
