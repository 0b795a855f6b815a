"""The training loop that the recipes share: AdamW, EMA, bf16, checkpoints that continue."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from fsig_bench.assets import write_safetensors
from fsig_bench.seeding import generator


class ImageSource(Protocol):
    """Where a recipe's images come from: position j of the pool, as uint8 [n, 3, h, w]."""

    def pool(self, work: Path) -> Tensor: ...


# (network, uint8 images [n, 3, h, w] or pool positions, step) -> (loss, values to log)
Loss = Callable[[Any, Tensor, int], tuple[Tensor, dict[str, float]]]


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

    def run(self, model: nn.Module, loss: Loss, images: ImageSource, work: Path) -> dict[str, Any]:
        """Trains in place and leaves the averaged weights in `model`; returns the cost."""
        work.mkdir(parents=True, exist_ok=True)
        pool = images.pool(work)
        model.to(self.device).train()
        names = [k for k, p in model.state_dict().items() if p.is_floating_point()]
        average = {k: model.state_dict()[k].detach().clone() for k in names}
        adam = torch.optim.AdamW(
            model.parameters(), lr=self.lr, betas=(0.9, 0.99), weight_decay=self.weight_decay
        )
        steps = self.num_images // self.batch_size
        done, wall_before = self._restore(work, model, adam, average)
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
            decay = 0.5 ** (
                self.batch_size / min(self.ema_images, (step + 1) * self.batch_size / 4)
            )
            with torch.no_grad():
                current = model.state_dict()
                torch._foreach_lerp_(
                    [average[k] for k in names], [current[k] for k in names], 1 - decay
                )
            if step % 50 == 0:
                rate = (step + 1 - first) * self.batch_size / (time.perf_counter() - start)
                line = {"step": step, "loss": float(value.detach()), **logs, "images_per_s": rate}
                with (work / "curve.jsonl").open("a") as file:
                    file.write(json.dumps({k: round(v, 5) for k, v in line.items()}) + "\n")
            if time.perf_counter() - last > self.checkpoint_s or step + 1 == steps:
                last = time.perf_counter()
                self._store(work, step + 1, wall_before + last - start, model, adam, average)
        model.load_state_dict(average, strict=False)
        model.eval()
        return {"images_seen": max(steps, done) * self.batch_size, "wall_before_s": wall_before}

    def _store(
        self,
        work: Path,
        done: int,
        wall_s: float,
        model: nn.Module,
        adam: torch.optim.Optimizer,
        average: dict[str, Tensor],
    ) -> None:
        tensors = {f"model/{k}": v for k, v in model.state_dict().items()}
        tensors |= {f"average/{k}": v for k, v in average.items()}
        for n, state in adam.state_dict()["state"].items():
            tensors |= {f"adam/{n}/{k}": torch.as_tensor(v) for k, v in state.items()}
        meta = {"done": str(done), "wall_s": str(wall_s)}
        write_safetensors(work / "checkpoint.safetensors", tensors, meta)

    def _restore(
        self,
        work: Path,
        model: nn.Module,
        adam: torch.optim.Optimizer,
        average: dict[str, Tensor],
    ) -> tuple[int, float]:
        from safetensors import safe_open

        path = work / "checkpoint.safetensors"
        if not path.exists():
            return 0, 0.0
        with safe_open(path, framework="pt") as file:
            meta = file.metadata()
        tensors = load_file(path)

        def part(head: str) -> dict[str, Tensor]:
            return {k[len(head) :]: v for k, v in tensors.items() if k.startswith(head)}

        model.load_state_dict(part("model/"))
        for k, v in part("average/").items():
            average[k].copy_(v)
        moments: dict[int, dict[str, Tensor]] = {}
        for k, v in part("adam/").items():
            number, name = k.split("/", 1)
            moments.setdefault(int(number), {})[name] = v
        adam.load_state_dict({"state": moments, "param_groups": adam.state_dict()["param_groups"]})
        return int(meta["done"]), float(meta["wall_s"])
