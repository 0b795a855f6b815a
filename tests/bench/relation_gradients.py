"""Which term of DomainStudio's loss moves the network, by noise level.

    python tests/bench/relation_gradients.py method=finetune dataset=babies

Prints the norm of the gradient, in all weights, of the diffusion term, the image relations and the
high-frequency relations, at the state of a run on the mini suite (adapted now if it is not there).
"""

from __future__ import annotations

import copy
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import torch
from helpers import build, make_cell

from baselines.common.diffusion import linear_abar
from baselines.common.variational import Tables, at, clean_estimate
from baselines.domainstudio import DomainStudio, high_frequency, log_relations
from fsig_bench.api.images import to_float
from fsig_bench.runner.adapt import adapt
from fsig_bench.store.store import Store

DRAWS = 8


def norms(method: DomainStudio, net, shots, low: int, high: int) -> dict[str, float]:
    """Mean gradient norm of each term over a few groups with steps in [low, high)."""
    tables, objective, total = Tables.of(linear_abar()), method.objective, {}
    for seed in range(DRAWS):
        g = torch.Generator().manual_seed(seed)
        x0 = shots[torch.randperm(len(shots), generator=g)[:3]]
        t = torch.randint(low, high, (3,), generator=g)
        noise = torch.randn(x0.shape, generator=g)
        abar = at(tables.abar, t)
        x_t = abar.sqrt() * x0 + (1 - abar).sqrt() * noise
        with torch.no_grad():
            src = clean_estimate(method.source.unet(x_t, t)[:, :3], x_t, t, tables)
        for name in ("simple", "image relations", "high-frequency relations"):
            eps = net(x_t, t)[:, :3]
            ada = clean_estimate(eps, x_t, t, tables)
            if name == "simple":
                value = (eps - noise).square().mean()
            else:
                see = high_frequency if name.startswith("high") else (lambda x: x)
                weight = objective.l_hf if name.startswith("high") else objective.l_img
                pair = (log_relations(see(x), 3) for x in (ada, src))
                value = weight * objective.divergence(*pair)
            grads = torch.autograd.grad(value, list(net.parameters()), allow_unused=True)
            norm = sum(float(x.square().sum()) for x in grads if x is not None) ** 0.5
            total[name] = total.get(name, 0.0) + norm / DRAWS
    return total


if __name__ == "__main__":
    cell = make_cell(*(sys.argv[1:] or ["method=domainstudio", "dataset=babies"]), "controls=[]")
    shots = to_float(cell.dataset.shots(cell.shots.k, cell.shots.subset))
    state, _ = adapt(cell, build(cell), Store(cell.config["results_dir"]))
    studio = build(make_cell("method=domainstudio", "dataset=babies"))
    net = copy.deepcopy(studio.source.unet).requires_grad_(True)
    net.load_state_dict(state.tensors)
    for low in (0, 300, 600, 900):
        found = norms(studio, net, shots, low, low + 100)
        print(f"t in [{low}, {low + 100}): " + ", ".join(f"{k} {v:.5f}" for k, v in found.items()))
