"""A random ADM-256 at full size on one GPU: CRDI's inversion, sampling, a DomainStudio step.

    python tests/bench/gpu_adm.py                   skips, and says so, without a CUDA device
    python tests/bench/gpu_adm.py --width 32 --side 32 --steps 3 --device cpu --images 4

Sampling under each floating-point policy, and in the fastest one compiled, is set beside a plain
loop of diffusers' DDIMScheduler over the same network in fp32, in one process: images a second and
their ratio. How far the pictures differ is said against the same steps in fp32: diffusers'
scheduler takes other previous steps. A DomainStudio step is set beside its bare forwards and
backward. Goals: sampling at least 5 times the fp32 loop, inversion of ten shots under 12 GB and two
minutes, a step
at most 1.3 times its forwards and backward.
"""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import torch
from diffusers import DDIMScheduler
from helpers import composed
from hydra.utils import instantiate
from omegaconf import OmegaConf

from baselines.common.adm import ADMFlags
from baselines.common.diffusion import Schedule, ddim_loop, linear_abar
from baselines.common.finetuning import trainable_copy
from baselines.common.unet import PixelUNet
from fsig_bench.api.seeding import ImageGenerators
from fsig_bench.api.types import NoProgress
from fsig_bench.runner.build import compile_or_offload
from fsig_bench.runner.device import precision_policy
from fsig_bench.runner.settings import Place


@dataclass(frozen=True, kw_only=True)
class RandomADM:
    """A source with random weights, held as the real ones are."""

    flags: ADMFlags
    device: str

    @cached_property
    def unet(self) -> PixelUNet:
        torch.manual_seed(0)
        net = PixelUNet(self.flags.unet_config()).eval().requires_grad_(False)
        return net.to(self.device, memory_format=torch.channels_last)

    @property
    def resolution(self) -> int:
        return self.flags.image_size

    @property
    def abar(self) -> torch.Tensor:
        return linear_abar()

    def eps(self, x, t):
        return self.unet.eps(x, t)


class Pace(NoProgress):
    """Seconds of the last step; the first ones warm up."""

    def __init__(self, device: str) -> None:
        self.device, self.last_s, self.began = device, float("nan"), time.perf_counter()

    def report(self, done, total, **values):
        if self.device.startswith("cuda"):
            torch.cuda.synchronize()
        now = time.perf_counter()
        self.last_s, self.began = now - self.began, now


def timed(device: str, do):
    """(result, seconds, peak GiB); the first call of anything warms up outside."""
    if device.startswith("cuda"):
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
    began = time.perf_counter()
    out = do()
    if device.startswith("cuda"):
        torch.cuda.synchronize()
        return out, time.perf_counter() - began, torch.cuda.max_memory_allocated() / 2**30
    return out, time.perf_counter() - began, float("nan")


def method_of(name: str, source: RandomADM, *words: str):
    """A method of the paper suite on this source."""
    cfg = composed("suite=paper", f"method={name}", "dataset=folder", "dataset.path=x", *words)
    node = OmegaConf.to_container(cfg.method, resolve=False)
    node = {k: v for k, v in node.items() if k not in ("card", "source")}
    return replace(instantiate({**node, "source": None}, _convert_="all"), source=source)


def plain_ddim(source: RandomADM, noise: torch.Tensor, steps: int, batch: int) -> torch.Tensor:
    """What one would write with diffusers: fp32, its scheduler, its module."""
    scheduler = DDIMScheduler(1000, beta_start=1e-4, beta_end=0.02, timestep_spacing="linspace")
    scheduler.set_timesteps(steps)
    parts = []
    with torch.no_grad():
        for x in noise.to(source.device).split(batch):
            for t in scheduler.timesteps:
                out = source.unet.net(x, t.to(source.device)).sample[:, :3]
                x = scheduler.step(out, t, x, eta=0.0).prev_sample
            parts.append(x.clamp(-1, 1).cpu())
    return torch.cat(parts)


def bare_step(source: RandomADM, groups: int, size: int) -> float:
    """Seconds of what a step cannot do without: both forwards, and the tuned net's backward."""
    net = trainable_copy(source.unet).requires_grad_(True).train()
    net.net.enable_gradient_checkpointing()
    side, device = source.resolution, source.device
    x = torch.randn(size, 3, side, side).to(device, memory_format=torch.channels_last)
    t = torch.full((size,), 500, device=device)

    def step() -> None:
        for _ in range(groups):
            with torch.no_grad():
                source.unet(x, t)
            net(x, t).square().mean().backward()

    step()
    return timed(device, step)[1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--width", type=int, default=256)
    parser.add_argument("--side", type=int, default=256)
    parser.add_argument("--steps", type=int, default=25)
    parser.add_argument("--images", type=int, default=64)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--device", default="cuda")
    given = parser.parse_args()
    device, small = given.device, given.side < 256
    if device == "cuda" and not torch.cuda.is_available():
        raise SystemExit("skipped: torch sees no CUDA device")
    flags = OmegaConf.to_container(composed("suite=paper", "dataset=folder").suite.source.flags)
    flags |= {"image_size": given.side, "num_channels": given.width}
    if small:
        flags |= {"channel_mult": [1, 2], "attention_resolutions": [8], "num_head_channels": 16}
    source = RandomADM(flags=instantiate(flags), device=device)
    count = sum(p.numel() for p in source.unet.parameters())
    print(f"ADM of {count:,} parameters at {given.side} px on {device}")

    shots = torch.rand(10, 3, given.side, given.side) * 2 - 1
    crdi = method_of("crdi", source, *(["method.draws=1"] if small else []))
    with precision_policy("torch_default", device):
        _, spent, peak = timed(device, lambda: crdi.adapt(shots, seed=0, progress=NoProgress()))
    print(f"CRDI, 10 shots, 15 segments (torch_default): {spent:.1f} s, peak {peak:.1f} GiB")

    noise = ImageGenerators(0, range(given.images), "bench").randn(3, given.side, given.side)
    with precision_policy("fp32", device):
        plain_ddim(source, noise[: given.batch], 2, given.batch)
        _, plain_s, _ = timed(device, lambda: plain_ddim(source, noise, given.steps, given.batch))
    print(f"diffusers, fp32: {given.images / plain_s:.2f} images/s of {given.steps} steps")

    def ours(steps: int = given.steps) -> torch.Tensor:
        schedule, parts = Schedule.respaced(steps), []
        for x in noise.split(given.batch):
            parts.append(ddim_loop(source.eps, x.to(device), schedule).clamp(-1, 1).float().cpu())
        return torch.cat(parts)

    exact = None
    for policy in ("fp32", "torch_default", "tf32", "bf16", "bf16, compiled"):
        if policy == "bf16, compiled":
            if not device.startswith("cuda"):
                continue
            place = Place(device=device, batch_size=1, workers=1, compile="default", offload=False)
            compile_or_offload(method_of("source", source, "method.num_steps=2"), place)
        with precision_policy(policy.split(",")[0], device):
            ours(2)
            images, spent, peak = timed(device, ours)
        exact = images if exact is None else exact
        gap = float((exact - images).abs().mean()) * 127.5
        print(
            f"ours, {policy}: {given.images / spent:.2f} images/s, {plain_s / spent:.2f} times "
            f"diffusers' fp32 loop, peak {peak:.1f} GiB, {gap:.2f} grey levels from fp32"
        )

    source = RandomADM(flags=source.flags, device=device)  # not compiled
    words = ["method.checkpointing=true", "method.groups_at_once=1"]
    studio = method_of("domainstudio", source, *words, "method.iterations=3")
    watch = Pace(device)
    with precision_policy("torch_default", device):
        bare_s = bare_step(source, studio.groups, studio.group_size)
        _, _, peak = timed(device, lambda: studio.adapt(shots, seed=0, progress=watch))
    print(
        f"DomainStudio, {studio.groups} groups of {studio.group_size}, checkpointing "
        f"(torch_default): {watch.last_s:.1f} s a step, {watch.last_s / bare_s:.2f} times its bare "
        f"forwards and backward, peak {peak:.1f} GiB"
    )


if __name__ == "__main__":
    main()
