"""What a metric may look at, and what it must say.

Shape legend: n images, k shots, d features.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol

import torch
from torch import Tensor

from fsig_bench.features import FactorReading, in_batches

Supplied = Callable[[str, Callable[[], Tensor]], Tensor]


class Metric(Protocol):
    """A frozen dataclass without defaults; its values stand in conf/metric/."""

    needs: ClassVar[frozenset[str]]  # of "real" (a reference), "factors" (a reader), "two shots"

    def __call__(self, evidence: Evidence) -> dict[str, Any]:
        """At least value, extractor, n_real, n_fake."""
        ...


@dataclass(kw_only=True)
class Evidence:
    """Images by role, with features computed once and shared by all metrics."""

    shots: Tensor  # uint8 [k, 3, h, w]
    fake: Tensor  # uint8 [n, 3, h, w]
    real: Tensor | None  # the reference, or None
    extractor: Any
    seed: int
    batch_size: int
    source_domain: str | None
    supplied: Supplied | None = None  # keeps what depends on the reference alone, across runs
    _memo: dict[str, Any] = field(default_factory=dict)

    def images(self, role: str) -> Tensor:
        """uint8 [n, 3, h, w] of a role: shots, fake or real."""
        images: Tensor | None = getattr(self, role)
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
            if role == "real" and self.supplied:
                # Looked at before it is kept, so that a failure never reaches the disk, and after.
                return finite(self.supplied(f"{role}/{what}", lambda: finite(compute())))
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

    def shot_distances(self, role: str) -> Tensor:
        """Perceptual distance of each image to each shot, float64 [n, k]."""
        from fsig_bench.metrics.intra_lpips import distances_to

        def compute() -> Tensor:
            return distances_to(
                self.extractor.maps,
                images=self.images(role),
                to=self.shots,
                batch_size=self.batch_size,
            )

        return self._tensor(role, "shot_distances", compute)

    def counts(self) -> dict[str, Any]:
        """What every result carries."""
        return {
            "extractor": self.extractor.name,
            "n_real": 0 if self.real is None else len(self.real),
            "n_fake": len(self.fake),
        }


def missing(metric: Metric, evidence: Evidence) -> str | None:
    """Why a metric cannot be computed here; None if it can."""
    if "real" in metric.needs and evidence.real is None:
        return "needs a reference set and this dataset has none (give dataset.reference=FOLDER)"
    if "two shots" in metric.needs and len(evidence.shots) < 2:
        return "needs at least two shots"
    if "factors" in metric.needs:
        if not isinstance(evidence.extractor, FactorReading):
            return f"needs a factor reader; {evidence.extractor.name} reads no factors"
        if evidence.source_domain is None:
            return "needs a domain with known factors (a faceworld dataset)"
    return None
