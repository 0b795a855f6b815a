"""A random ADM-256 at full size on one GPU: CRDI's inversion, 64 samples, a DomainStudio step.

    python tests/bench/gpu_adm.py                   skips, and says so, without a CUDA device
    python tests/bench/gpu_adm.py --width 32 --side 32 --steps 3 --device cpu --images 4

Sampling in the fastest policy (bf16 autocast, torch.compile) is set beside a plain loop of
diffusers' DDIMScheduler over the same network in fp32, in one process: images a second and their
ratio. How far the pictures differ is said against the same steps in fp32: diffusers' scheduler
takes other previous steps.
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
from baselines.common.diffusion import Schedule, ddim_loop
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

    def eps(self, x, t):
        return self.unet.eps(x, t)


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
    with precision_policy("fp32", device):
        state, spent, peak = timed(device, lambda: crdi.adapt(shots, seed=0, progress=NoProgress()))
    print(f"CRDI, 10 shots, 15 segments: {spent:.1f} s, peak {peak:.1f} GiB (goal: under 12)")

    noise = ImageGenerators(0, range(given.images), "bench").randn(3, given.side, given.side)
    with precision_policy("fp32", device):
        plain_ddim(source, noise[: given.batch], given.steps, given.batch)
        _, plain_s, _ = timed(device, lambda: plain_ddim(source, noise, given.steps, given.batch))

    def ours() -> torch.Tensor:
        schedule, parts = Schedule.respaced(given.steps), []
        for x in noise.split(given.batch):
            parts.append(ddim_loop(source.eps, x.to(device), schedule).clamp(-1, 1).float().cpu())
        return torch.cat(parts)

    with precision_policy("fp32", device):
        exact = ours()
    fast = method_of("source", source, f"method.num_steps={given.steps}")
    mode = "default" if device.startswith("cuda") else None
    place = Place(device=device, batch_size=given.batch, workers=1, compile=mode, offload=False)
    compile_or_offload(fast, place)
    with precision_policy("bf16", device):
        ours()
        quick, quick_s, peak = timed(device, ours)
    print(
        f"{given.images} samples of {given.steps} steps: {given.images / quick_s:.2f} images/s "
        f"(bf16, compiled, peak {peak:.1f} GiB) against {given.images / plain_s:.2f} (diffusers, "
        f"fp32): {plain_s / quick_s:.2f} times; mean difference "
        f"{(exact - quick).abs().mean() * 127.5:.2f} grey levels"
    )

    studio = method_of(
        "domainstudio", source, "method.iterations=2", "method.checkpointing=true",
        "method.groups_at_once=1",
    )  # fmt: skip
    _, spent, peak = timed(device, lambda: studio.adapt(shots, seed=0, progress=NoProgress()))
    print(f"DomainStudio, 8 groups of 3, checkpointing: {spent / 2:.1f} s a step, {peak:.1f} GiB")
    _ = state


if __name__ == "__main__":
    main()
