"""The training loop that the recipes share: AdamW, EMA, bf16, checkpoints that continue."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from safetensors import safe_open
from safetensors.torch import load_file
from torch import Tensor, nn

from baselines.common.checkpoint import Part, pack, unpack
from baselines.common.ema import Average
from fsig_bench.api import JsonDict, generator, write_safetensors


class ImageSource(Protocol):
    """Where a recipe's images come from: position j of the pool, as uint8 [n, 3, h, w]."""

    def pool(self, work: Path) -> Tensor: ...


# (network, uint8 images [n, 3, h, w] or pool positions, step) -> (loss, values to log)
Network = Callable[..., Any]  # Any: a tensor, or several, as the recipe's network gives them
Loss = Callable[[Network, Tensor, int], tuple[Tensor, dict[str, float]]]


def kept(images: int, *, half_life: float) -> float:
    """Weight that an average keeps over `images` more images; `half_life` in images."""
    return float(0.5 ** (images / half_life))


@dataclass(frozen=True)
class Checkpoint:
    """Everything that a stopped run needs to go on, in one safetensors file."""

    work: Path
    parts: Mapping[str, Part]

    def store(self, done: int, wall_s: float) -> None:
        """Writes atomically; `done` steps and `wall_s` seconds so far."""
        meta = {"done": str(done), "wall_s": str(wall_s)}
        write_safetensors(self.work / "checkpoint.safetensors", pack(self.parts), meta)

    def restore(self) -> tuple[int, float]:
        """(steps done, seconds spent); zeros where there is nothing to continue."""
        path = self.work / "checkpoint.safetensors"
        if not path.exists():
            return 0, 0.0
        with safe_open(path, framework="pt") as file:
            meta = file.metadata()
        unpack(load_file(path), self.parts)
        return int(meta["done"]), float(meta["wall_s"])


def log(work: Path, **values: float) -> None:
    """Adds a line to the run's curve."""
    with (work / "curve.jsonl").open("a") as file:
        file.write(json.dumps({k: round(v, 5) for k, v in values.items()}) + "\n")


@dataclass(frozen=True, kw_only=True)
class Loop:
    """Optimiser, schedule and bookkeeping of one training run."""

    seed: int
    num_images: int  # images seen in total
    batch_size: int
    lr: float
    warmup_images: int
    decay_from: float  # share of the run after which the rate falls linearly to 0
    weight_decay: float
    ema_images: int  # half-life of the weight average, in images
    clip_norm: float
    bf16: bool
    compile: bool
    device: str
    checkpoint_s: float

    def rate(self, seen: int) -> float:
        """Learning rate after `seen` images."""
        rest = (1 - seen / self.num_images) / (1 - self.decay_from)
        return self.lr * min(1.0, (seen + self.batch_size) / self.warmup_images, max(rest, 0.0))

    def run(self, model: nn.Module, loss: Loss, images: ImageSource, work: Path) -> JsonDict:
        """Trains in place and leaves the averaged weights in `model`; returns the cost."""
        work.mkdir(parents=True, exist_ok=True)
        pool = images.pool(work)
        model.to(self.device).train()
        average = Average.of(model)
        adam = torch.optim.AdamW(
            model.parameters(), lr=self.lr, betas=(0.9, 0.99), weight_decay=self.weight_decay
        )
        steps = self.num_images // self.batch_size
        saved = Checkpoint(work, {"model": model, "adam": adam, "average": average})
        done, wall_before = saved.restore()
        net = torch.compile(model) if self.compile else model
        kind = torch.device(self.device).type
        start = last = time.perf_counter()
        first = done
        for step in range(done, steps):
            for group in adam.param_groups:
                group["lr"] = self.rate(step * self.batch_size)
            picks = torch.randint(
                len(pool), (self.batch_size,), generator=generator(self.seed, "batch", step)
            )
            with torch.autocast(kind, torch.bfloat16) if self.bf16 else nullcontext():
                value, logs = loss(net, pool[picks], step)
            adam.zero_grad(set_to_none=True)
            value.backward()
            norm = nn.utils.clip_grad_norm_(model.parameters(), self.clip_norm)
            if not torch.isfinite(norm):
                raise FloatingPointError(f"gradient norm {norm} at step {step}; lower loop.lr")
            adam.step()
            seen = (step + 1) * self.batch_size
            half_life = min(self.ema_images, seen / 4)
            average.follow(model, keep=kept(self.batch_size, half_life=half_life))
            if step % 50 == 0:
                rate = (step + 1 - first) * self.batch_size / (time.perf_counter() - start)
                log(work, step=step, loss=float(value.detach()), **logs, images_per_s=rate)
            if time.perf_counter() - last > self.checkpoint_s or step + 1 == steps:
                last = time.perf_counter()
                saved.store(step + 1, wall_before + last - start)
        model.load_state_dict(average.tensors, strict=False)
        model.eval()
        return {"images_seen": max(steps, done) * self.batch_size, "wall_before_s": wall_before}
