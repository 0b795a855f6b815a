"""`python -m tools.paper_costs`: operations of the runs behind the papers' tables, counted.

    python -m tools.paper_costs > conf/cost/paper.yaml     counts; minutes, no weights, no GPU
    python -m tools.paper_costs page                       the rows of docs/paper_suite.md

Networks are built at full size on PyTorch's meta device and every convolution and matrix product of
one evaluation is counted (`torch.utils.flop_counter`); how often each is evaluated follows from the
composed settings. Hours follow with stated peaks of devices and an assumed share of them.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Callable
from dataclasses import asdict
from functools import cache

import torch
import yaml
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from baselines.common.critic import Critic
from baselines.common.rosinality import rosinality_architecture
from baselines.common.stylegan2 import StyleGenerator
from baselines.common.unet import PixelUNet
from baselines.crdi.objective import split_window
from baselines.rs_imle.generator import Generator
from baselines.rs_imle.search import pool_size
from fsig_bench.report.fill.costs import Work, read_costs
from fsig_bench.report.fill.plan import FillRun, runs_of
from fsig_bench.report.tables import build_table, load_spec, table_names
from fsig_bench.report.tables.spec import TableSpec
from fsig_bench.runner.compose import compose_config

HEAD = """\
# Made by `python -m tools.paper_costs > conf/cost/paper.yaml`: counted, not measured.
# rates: peaks that vendors state for dense TF32 (RTX 3090 and H100: rounded), 1e12 operations a
# second; share: how much of a peak is assumed. work: 1e12 floating-point operations of adapting and
# of one image, by method and number of shots; a multiplication with its addition counts as two, a
# penalty on gradients as two evaluations with theirs.
# weights_gib: the weights in float32, as often as adapting holds them. Left out: scoring; GenDA's
# critics and feature network; the pools of Adaptive IMLE, which decides while it runs how many it
# searches.
"""
RULE = "|---|--:|--:|--:|--:|---|"
RATES = {"RTX 3090": 35.6, "A100": 156.0, "H100": 495.0}
SHARE = 0.35
TERA, GIB = 1e12, 2**30


def counted(network: Callable[[], Tensor], *, backward: bool = False) -> float:
    """1e12 operations of one evaluation of a network on the meta device."""
    with FlopCounterMode(display=False) as counter:
        out = network()
        if backward:
            out.sum().backward()
    return counter.get_total_flops() / TERA


def size_gib(*networks: nn.Module) -> float:
    """Of their parameters in float32."""
    return sum(4 * p.numel() for net in networks for p in net.parameters()) / GIB


def diffusion(cfg: DictConfig) -> tuple[float, float, float]:
    """One image through the source model: forward, forward and backward; its weights."""
    return _diffusion(OmegaConf.to_yaml(cfg.suite.source.flags), cfg.suite.resolution)


@cache
def _diffusion(flags: str, side: int) -> tuple[float, float, float]:
    with torch.device("meta"):
        net = PixelUNet(instantiate(OmegaConf.create(flags), _convert_="all").unet_config())
    x = torch.zeros(1, 3, side, side, device="meta")
    t = torch.zeros(1, dtype=torch.long, device="meta")
    with torch.no_grad():
        forward = counted(lambda: net.net(x, t).sample)
    return forward, counted(lambda: net.net(x, t).sample, backward=True), size_gib(net)


def crdi(cfg: DictConfig, k: int) -> Work:
    """Forwards alone: no gradient passes through the network."""
    forward, _, weights = diffusion(cfg)
    m = cfg.method
    lengths = [len(s) for s in split_window(m.t_start, m.t_end, m.segments)]
    if m.solver == "adam":
        visits = m.epochs * sum(max(int(m.timestep_fraction * n), 1) for n in lengths)
    else:
        visits = sum(lengths) * m.draws
    steps = m.num_steps if m.sample.start == "noise" else m.t_end
    return Work(adapt=k * visits * forward, image=steps * forward, weights_gib=weights)


def domainstudio(cfg: DictConfig, k: int) -> Work:
    """Each image of a step through the tuned network, with its gradient, and through the frozen."""
    forward, both, weights = diffusion(cfg)
    m = cfg.method
    images = m.iterations * m.groups * m.group_size
    return Work(
        adapt=images * (both + forward),
        image=m.sample.num_steps * forward,
        weights_gib=m.card.weight_copies * weights,
    )


@cache
def _style_pair(side: int, multiplier: int) -> tuple[float, float, float, float]:
    """One image: drawn; drawn and judged with gradients; the weights of both networks."""
    arch, z = rosinality_architecture(side, multiplier), torch.zeros(1, 512, device="meta")
    with torch.device("meta"):
        net, critic = StyleGenerator(arch), Critic(arch)
        noise = [torch.zeros(1, 1, s, s) for s in arch.noise_sides]
        image = torch.zeros(1, 3, side, side, requires_grad=True)

    def draw() -> Tensor:
        return net.synthesis(net.repeat(net.mapping(z)), noise)

    both = counted(draw, backward=True)
    judged = counted(lambda: critic(image), backward=True)
    weights = size_gib(net, critic)
    net.requires_grad_(False)  # the counter's hooks want gradients of all or of none
    return counted(draw), both, judged, weights


def genda(cfg: DictConfig, k: int) -> Work:
    """Evaluations of the generator, each of a batch with its gradient."""
    m, g = cfg.method, cfg.suite.generator
    _, both, _, weights = _style_pair(g.resolution, g.multiplier)
    each = (m.updates * (2 * m.batch + k) + k) / k
    return Work(adapt=0.0, image=each * both, weights_gib=weights)


def gan_adapt(cfg: DictConfig, k: int) -> Work:
    """Steps of both networks; a penalty on gradients counts as two evaluations with theirs."""
    m, g, o, reg = cfg.method, cfg.suite.generator, cfg.method.objective, cfg.method.regularisation
    drawn, both, judged, weights = _style_pair(g.resolution, g.multiplier)
    step = m.batch * (drawn + both + 3 * judged + 2 * judged / reg.r1_every)
    step += m.batch / reg.path_shrink * 2 * both / reg.path_every
    if o.distance_weight + o.contrast_weight > 0:
        step += o.relation_batch * (drawn + both)
    if o.critic_contrast_weight > 0:
        step += o.relation_batch * (drawn + both + 3 * judged)
    fisher = o.fisher_images * (both + judged) * (o.ewc_weight > 0)
    held = m.card.weight_copies * weights
    return Work(adapt=m.length * (o.iterations * step + fisher), image=drawn, weights_gib=held)


@cache
def _generator(architecture: str, side: int) -> tuple[float, float, float]:
    """One image of RS-IMLE's generator: forward; all of a step; the weights that steps hold."""
    from torchvision.models import vgg16

    arch = instantiate(OmegaConf.create(architecture), _convert_="all")
    with torch.device("meta"):
        net, trunk = Generator(arch), vgg16(weights=None).features
        for layer in trunk:
            if isinstance(layer, nn.ReLU):
                layer.inplace = False
        z = torch.zeros(1, arch.latent_dim)
        x = torch.zeros(1, 3, side, side, requires_grad=True)
    net.requires_grad_(False)  # the counter's hooks want gradients of all or of none
    forward = counted(lambda: net(z))
    net.requires_grad_(True)
    step = counted(lambda: net(z), backward=True) + counted(lambda: trunk(x), backward=True)
    return forward, step, 5 * size_gib(net) + size_gib(trunk)  # gradient, two moments, average


def imle(cfg: DictConfig, k: int) -> Work:
    """Steps through the generator and LPIPS' trunk, and the pools that codes are searched in."""
    m = cfg.method
    forward, step, weights = _generator(OmegaConf.to_yaml(m.architecture), cfg.suite.resolution)
    images = m.epochs * -(-k // m.batch) * m.batch
    if m.max_iterations is not None:
        images = min(images, m.max_iterations * m.batch)
    pools = -(-m.epochs // m.refresh_every) if m.adaptive is None else 0
    pool = pool_size(k, m.pool_factor, m.pool_round_to)
    return Work(adapt=images * step + pools * pool * forward, image=forward, weights_gib=weights)


KINDS = {
    "crdi_official": crdi,
    "crdi": crdi,
    "domainstudio": domainstudio,
    "genda": genda,
    "rs_imle": imle,
    "adaimle": imle,
} | dict.fromkeys(("tgan", "ada", "freezed", "ewc", "cdc", "dcl"), gan_adapt)


def table_runs() -> list[tuple[TableSpec, list[FillRun]]]:
    """Every table of the paper suite that runs fill, with all its runs."""
    specs = [load_spec(name) for name in table_names()]
    found = [(spec, runs_of(build_table(spec, []), spec, {})) for spec in specs]
    return [(spec, runs) for spec, runs in found if spec.suite == "paper" and runs]


def work() -> dict[str, Work]:
    """Of each cell that a table asks for, by "method-shots"; with the dataset where it decides."""
    alike: dict[tuple[str, int], dict[str, Work]] = defaultdict(dict)
    for run in (run for _, runs in table_runs() for run in runs):
        own = alike[run.method, run.k]
        if run.method in KINDS and run.dataset not in own:
            own[run.dataset] = KINDS[run.method](compose_config(run.words), run.k)
    found: dict[str, Work] = {}
    for (method, k), own in alike.items():
        same = len(set(own.values())) == 1
        found |= {f"{method}-{k}" if same else f"{method}-{d}-{k}": w for d, w in own.items()}
    return dict(sorted(found.items()))


def rounded(values: Work) -> dict[str, float]:
    """Four digits."""
    return {name: float(f"{value:.4g}") for name, value in asdict(values).items()}


def page() -> str:
    """A row for each table: what is fetched, what by hand, operations and hours."""
    from fsig_bench.runner.needs import needs_of

    costs = read_costs()
    rows = ["| table | runs | sample sets | to fetch, known sizes | PFLOP | hours |", RULE]
    for spec, runs in table_runs():
        alike = {(r.method, r.dataset, r.protocol, r.k): r for r in runs}
        needs = needs_of([compose_config(r.words) for r in alike.values()], verify=False)
        gib = sum(asset.mib or 0 for asset in needs.assets) / 1024
        unknown = sum(asset.mib is None for asset in needs.assets)
        fetched = (
            f"{gib:.1f} GiB{f' and {unknown} file' if unknown else ''}, {len(needs.sets)} sets"
        )
        own = {run.samples: run for run in runs}.values()
        known = [costs.of(r) for r in own]
        total = sum(w.of(spec.num_images) for w in known if w)
        hours = ", ".join(f"{costs.hours(total, d):,.0f} {d}" for d in costs.rates)
        rows.append(
            f"| `{spec.name}` | {len(runs)} | {len(own)} | {fetched} | {total / 1000:,.0f} "
            f"| {hours} |"
        )
    return "\n".join(rows)


def main(words: list[str]) -> None:
    """Prints what the words ask for."""
    if words == ["page"]:
        print(page())
        return
    node = {"rates": RATES, "share": SHARE, "work": {n: rounded(w) for n, w in work().items()}}
    print(HEAD + yaml.safe_dump(OmegaConf.to_container(OmegaConf.create(node)), sort_keys=False))


if __name__ == "__main__":
    main(sys.argv[1:])
