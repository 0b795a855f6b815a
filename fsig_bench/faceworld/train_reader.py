"""The recipe of the factor reader: masked regression of the visible factors, plus the domain."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from fsig_bench.api.plain import JsonDict
from fsig_bench.api.seeding import generator
from fsig_bench.api.weights import write_safetensors
from fsig_bench.faceworld.domains import DOMAINS
from fsig_bench.faceworld.factors import FACTORS
from fsig_bench.faceworld.images import FaceworldPool
from fsig_bench.faceworld.reader import (
    CLASSES,
    HUES,
    FactorReader,
    ReaderNet,
    class_of,
    drawn,
    encode,
    visible,
)
from fsig_bench.faceworld.render import render


def encoded_mask(seen: Tensor) -> Tensor:
    """A mask of the factors for the encoded targets: a hue's sine is seen when its cosine is."""
    return torch.cat([seen, seen[:, [FACTORS.index(h) for h in HUES]]], 1)


def classes_of(domains: Tensor) -> Tensor:
    """Places in DOMAINS [n] as the reader's classes [n]; raises ValueError where it has none."""
    names = list(DOMAINS)
    own = {place: class_of(names[place]) for place in domains.unique().tolist()}
    return torch.tensor([own[place] for place in domains.tolist()])


@dataclass(frozen=True, kw_only=True)
class ReaderRecipe:
    """How the reader was made; the values stand in conf/pretrain/reader.yaml."""

    images: FaceworldPool
    widths: list[int]
    features: int
    domain_weight: float
    noise: float  # sd of the pixel noise of half of the training images, in [-1, 1] units
    loop: Any  # Any: baselines.pretrain.loop.Loop, a room that this one may not know

    def run(self, out: Path, work: Path) -> JsonDict:
        """Trains (or continues), writes `out`, returns cost and held-out quality."""
        torch.manual_seed(self.loop.seed)  # initial weights
        net = ReaderNet(tuple(self.widths), self.features).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        data = self.images.labelled(work)
        classes = classes_of(data["domain"])
        targets = encode(data["factors"])
        weight = encoded_mask(drawn(data["factors"], classes)).float()
        mean = (targets * weight).sum(0) / weight.sum(0)
        sd = (((targets - mean) ** 2 * weight).sum(0) / weight.sum(0)).sqrt().clamp(min=1e-3)
        normal = (targets - mean) / sd

        def loss(
            model: Callable[[Tensor], tuple[Tensor, Tensor]], picks: Tensor, step: int
        ) -> tuple[Tensor, dict[str, float]]:
            g = generator(self.loop.seed, "noise", step)
            x = data["images"][picks].float() / 127.5 - 1
            half = (torch.rand(len(x), 1, 1, 1, generator=g) < 0.5).float() * self.noise
            x = x + half * torch.randn(x.shape, generator=g)
            factors, logits = model(x.contiguous(memory_format=torch.channels_last))
            m = weight[picks]
            mse = ((factors.float() - normal[picks]).square() * m).sum() / m.sum()
            ce = F.cross_entropy(logits.float(), classes[picks])
            return mse + self.domain_weight * ce, {
                "mse": float(mse.detach()),
                "ce": float(ce.detach()),
            }

        start = time.perf_counter()
        cost = self.loop.run(net, loss, _Positions(len(normal)), work)
        cost["wall_s"] = round(time.perf_counter() - start + cost.pop("wall_before_s"), 1)
        tensors = {k: v.to(torch.float16) for k, v in net.state_dict().items()}
        tensors |= {"targets.mean": mean, "targets.sd": sd}
        architecture = json.dumps({"widths": self.widths, "features": self.features})
        write_safetensors(out, tensors, {"architecture": architecture})
        return cost | {"parameters": sum(p.numel() for p in net.parameters())}


@dataclass(frozen=True)
class _Positions:
    """A pool of positions: the loss looks images and labels up together."""

    size: int

    def pool(self, work: Path) -> Tensor:
        return torch.arange(self.size)


def held_out_quality(reader: FactorReader, n: int = 700) -> JsonDict:
    """R2 per visible factor and domain accuracy, on `n` unseen images of each domain."""
    tables, reads, domains, guesses = [], [], [], []
    for name in CLASSES:
        images, drawn, shown = render(name, "held_out", range(n))
        factors, logits = reader.read(reader.features(images))
        tables.append(torch.from_numpy(drawn))
        reads.append(factors)
        domains.append(torch.tensor([class_of(s) for s in shown]))
        guesses.append(logits.argmax(1))
    table, read, domain = torch.cat(tables), torch.cat(reads), torch.cat(domains)
    truth, guess, mask = encode(table), encode(read), encoded_mask(visible(table, domain))
    r2 = {}
    for j, name in enumerate([*FACTORS, *(f"{h}_sin" for h in HUES)]):
        t, g = truth[mask[:, j], j], guess[mask[:, j], j]
        r2[name] = round(1 - float(((t - g) ** 2).mean() / t.var()), 4)
    accuracy = float((torch.cat(guesses) == domain).float().mean())
    return {"n_per_domain": n, "domain_accuracy": round(accuracy, 4), "r2": r2}
