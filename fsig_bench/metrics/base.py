"""What a metric may look at, and what it must say.

Shape legend: n images, k shots, d features.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol

import torch
from torch import Tensor

from fsig_bench.networks.base import FactorReading, LazyImages, batches, in_batches

Kept = Callable[[str, str, Callable[[], Tensor]], Tensor]  # (role, what, compute) -> value


class Metric(Protocol):
    """A frozen dataclass without defaults; its values stand in conf/metric/."""

    # Of "real" (a reference), "shots", "two shots", "factors" (a network that reads factors); and
    # the networks that it uses, "features" and "perceptual", which are fetched beforehand.
    needs: ClassVar[frozenset[str]]

    def __call__(self, evidence: Evidence) -> dict[str, Any]:
        """At least value, extractor, n_real, n_fake."""
        ...


@dataclass(kw_only=True)
class Evidence:
    """Images by role, with features computed once and shared by all metrics."""

    shots: Tensor  # uint8 [k, 3, h, w]; k may be 0 where a folder is scored without its shots
    fake: Tensor  # uint8 [n, 3, h, w]
    real: Tensor | LazyImages | None  # the reference, or None
    extractor: Any  # features; see `fsig_bench.networks.base`
    perceptual: Any  # LPIPS distances; see `fsig_bench.api.types.Perceptual`
    seed: int
    batch_size: int
    source_domain: str | None
    kept: Kept | None = None  # looks up what networks made of these images before
    _memo: dict[str, Any] = field(default_factory=dict)

    def images(self, role: str) -> Any:
        """uint8 [n, 3, h, w] of a role: shots, fake or real; the latter may be `LazyImages`."""
        images = getattr(self, role)
        if images is None:
            raise ValueError(f"there are no {role!r} images")
        return images

    def once(self, name: str, compute: Callable[[], Any]) -> Any:
        """`compute()`, the first time."""
        if name not in self._memo:
            self._memo[name] = compute()
        return self._memo[name]

    def _tensor(self, role: str, what: str, compute: Callable[[], Tensor]) -> Tensor:
        def finite(value: Tensor) -> Tensor:
            if not torch.isfinite(value).all():
                raise ValueError(f"{what} of the {role} images hold NaN or infinity")
            return value

        def make() -> Tensor:
            if self.kept:
                # Looked at before it is kept, so that a failure never reaches the disk, and after.
                return finite(self.kept(role, what, lambda: finite(compute())))
            return finite(compute())

        value: Tensor = self.once(f"{role}/{what}", make)
        return value

    def of_real(self, what: str, compute: Callable[[], Tensor]) -> Tensor:
        """What depends on the reference alone, computed once for all runs that share it."""
        return self._tensor("real", what, compute)

    def features(self, role: str) -> Tensor:
        """float32 [n, d]."""
        fn, images = self.extractor.features, lambda: self.images(role)
        return self._tensor(role, "features", lambda: in_batches(fn, images(), self.batch_size))

    def reading(self, role: str) -> tuple[Tensor, Tensor]:
        """Factors [n, f] and domain logits [n, domains]."""
        count = len(self.extractor.factor_names)

        def read(part: Tensor) -> Tensor:
            return torch.cat(self.extractor.read(part), 1)

        both = self._tensor(
            role, "reading", lambda: in_batches(read, self.images(role), self.batch_size)
        )
        return both[:, :count], both[:, count:]

    @torch.no_grad()
    def perceive(self, images: Tensor, *, unit_range: bool = False) -> Tensor:
        """Rows [n, e] of uint8 images: their squared distances are LPIPS.

        `unit_range` hands the network [0, 1], which it does not expect: some evaluators do.
        """
        x = images.float() / 255
        rows: Tensor = self.perceptual.perceive(x if unit_range else 2 * x - 1)
        return rows

    def shot_distances(self, role: str) -> Tensor:
        """LPIPS of each image to each shot, float64 [n, k]."""
        from fsig_bench.metrics.lpips import squared_distances

        def compute() -> Tensor:
            z = self.perceive(self.shots)
            parts = batches(self.images(role), self.batch_size)
            return torch.cat([squared_distances(self.perceive(part), z) for part in parts])

        return self._tensor(role, "shot_distances", compute)

    def redraw_gaps(self, role: str, domain: int) -> Tensor:
        """LPIPS of each image to a drawing of the factors read off it, float32 [n]."""
        factors, _ = self.reading(role)

        def compute() -> Tensor:
            drawn = self.extractor.redraw(factors, domain)
            pairs = zip(
                self.images(role).split(self.batch_size), drawn.split(self.batch_size), strict=True
            )
            gaps = [(self.perceive(a) - self.perceive(b)).square().sum(1).cpu() for a, b in pairs]
            return torch.cat(gaps)

        return self._tensor(role, f"redraw_gaps/{domain}", compute)

    def counts(self, network: Any = None) -> dict[str, Any]:
        """What every result carries; `network` is the one it comes from (default: features')."""
        return {
            "extractor": (network or self.extractor).name,
            "n_real": 0 if self.real is None else len(self.real),
            "n_fake": len(self.fake),
        }


def block_error(
    value: Callable[[Tensor], float], fake: Tensor, blocks: int
) -> dict[str, float | int] | None:
    """How far a number of n samples may move: from equal, disjoint blocks of the samples [n, d].

    The standard error of the whole, taken as the blocks' deviation over the root of their number.
    Without replacement: repeated rows would lower the rank and raise Frechet distances. The blocks'
    own level is biased by their size and is not given. None where blocks would be too small.
    """
    size = len(fake) // blocks
    if blocks < 2 or size < 10:
        return None
    values = torch.tensor([value(part) for part in fake[: size * blocks].split(size)])
    return {"blocks": blocks, "size": size, "standard_error": float(values.std()) / blocks**0.5}


def missing(metric: Metric, evidence: Evidence) -> str | None:
    """Why a metric cannot be computed here; None if it can."""
    if "real" in metric.needs and evidence.real is None:
        return "needs a reference set and this dataset has none (give dataset.reference=FOLDER)"
    if "shots" in metric.needs and len(evidence.shots) < 1:
        return "needs the shots, and none are given (give shots=FOLDER)"
    if "two shots" in metric.needs and len(evidence.shots) < 2:
        return "needs at least two shots"
    if "factors" in metric.needs:
        if not isinstance(evidence.extractor, FactorReading):
            return f"needs a factor reader; {evidence.extractor.name} reads no factors"
        if evidence.source_domain is None:
            return "needs a domain with known factors (a faceworld dataset)"
    return None
