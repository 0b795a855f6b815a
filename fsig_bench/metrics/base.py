"""What a metric may look at, and what it must give: all that a metric imports of its room.

Shape legend: n images, k shots, d features.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Literal, Protocol, TypeVar

import torch
from torch import Tensor

from fsig_bench.api.plain import JsonDict
from fsig_bench.metrics.blocks import block_error
from fsig_bench.metrics.lpips import (
    mean_pairwise,
    mean_pairwise_of_parts,
    shuffled,
    squared_distances,
)
from fsig_bench.metrics.needs import too_few
from fsig_bench.metrics.redraw import redraw_gaps
from fsig_bench.networks.base import Extractor, FactorReading, LazyImages, Named, in_batches

# What a metric imports of its room; see also `fsig_bench.api`.
__all__ = [
    "Evidence",
    "InputRange",
    "Metric",
    "block_error",
    "in_batches",
    "mean_pairwise",
    "mean_pairwise_of_parts",
    "shuffled",
    "squared_distances",
    "unmet_need",
]

Network = Literal["features", "perceptual", "both"]
# What LPIPS is handed: [-1, 1], which it expects; by some evaluators [0, 1] or [0, 255].
InputRange = Literal["signed", "unit", "bytes"]
T = TypeVar("T")


class DiskCache(Protocol):
    """Tensors that outlast a run, found again by everything that decides them."""

    def __call__(
        self,
        compute: Callable[[], Tensor],
        *,
        what: str,
        roles: Sequence[str],
        networks: Sequence[str],
    ) -> Tensor:
        """The stored value, or `compute()`, stored.

        Args:
            compute: makes the value.
            what: names the computation.
            roles: of the images that decide the value, in order.
            networks: of "features" and "perceptual", those that decide the value.
        """
        ...


class Metric(Protocol):
    """A frozen dataclass without defaults; its values stand in conf/metric/."""

    # Of "real" (a reference), "shots", "two shots", "factors" (a network that reads factors),
    # "pairs" (two images of either side), "four real", "neighbours" (more images of either side
    # than the metric's `k`); and the networks that it uses, "features" and "perceptual", which are
    # fetched beforehand.
    needs: ClassVar[frozenset[str]]

    def __call__(self, evidence: Evidence) -> JsonDict:
        """At least value, extractor, n_real, n_fake."""
        ...


@dataclass(kw_only=True)
class Evidence:
    """Images by role, with features computed once and shared by all metrics."""

    shots: Tensor  # uint8 [k, 3, h, w]; k may be 0 where a folder is scored without its shots
    fake: Tensor  # uint8 [n, 3, h, w]
    real: Tensor | LazyImages | None  # the reference, or None
    extractor: Any  # Any: an `Extractor` of features, which may be `FactorReading` too
    perceptual: Any  # Any: a `Perceptual` for LPIPS distances, which has a name too
    seed: int
    batch_size: int
    source_domain: str | None
    target_domain: str | None = None  # of images that are drawn from named factors
    disk_cache: DiskCache | None = None
    _memo: dict[str, Any] = field(default_factory=dict)  # Any: whatever was computed

    def with_extractor(self, extractor: Extractor, disk_cache: DiskCache | None = None) -> Evidence:
        """The same images, with features of another network."""
        return replace(self, extractor=extractor, disk_cache=disk_cache, _memo={})

    def images(self, role: str) -> Any:  # Any: a Tensor, or `LazyImages`
        """uint8 [n, 3, h, w] of a role: shots, fake or real; the latter may be `LazyImages`."""
        images = getattr(self, role)
        if images is None:
            raise ValueError(f"there are no {role!r} images")
        return images

    def memoised(self, name: str, compute: Callable[[], T]) -> T:
        """`compute()`, the first time; afterwards the same value again."""
        if name not in self._memo:
            self._memo[name] = compute()
        value: T = self._memo[name]
        return value

    def cached(
        self,
        role: str,
        what: str,
        network: Network,
        compute: Callable[[], Tensor],
        *,
        other_roles: Sequence[str] = (),
    ) -> Tensor:
        """`compute()`, once for all runs that have the same images and the same networks.

        Args:
            role: the images that the value belongs to: shots, fake or real.
            what: names the computation, with every number that it depends on.
            network: the network that `compute` uses: the value is found again only for this one.
            compute: makes the value; must use no network and no images but those named here.
            other_roles: further images that `compute` uses.

        Raises:
            ValueError: the value holds NaN or infinity.
        """
        networks = ("features", "perceptual") if network == "both" else (network,)
        roles = (role, *other_roles)

        def finite(value: Tensor) -> Tensor:
            if not torch.isfinite(value).all():
                raise ValueError(f"{what} of the {role} images hold NaN or infinity")
            return value

        def look_up() -> Tensor:
            if self.disk_cache is None:
                return finite(compute())
            # Checked before it is stored, so that a failure never reaches the disk, and after.
            return finite(
                self.disk_cache(
                    lambda: finite(compute()), what=what, roles=roles, networks=networks
                )
            )

        return self.memoised(f"{what} of {roles} by {networks}", look_up)

    def features(self, role: str) -> Tensor:
        """float32 [n, d]."""
        fn, images = self.extractor.features, lambda: self.images(role)
        return self.cached(
            role, "features", "features", lambda: in_batches(fn, images(), self.batch_size)
        )

    def reading(self, role: str) -> tuple[Tensor, Tensor]:
        """Factors [n, f] and domain logits [n, domains]."""
        count = len(self.extractor.factor_names)

        def compute() -> Tensor:
            parts = self.features(role).split(self.batch_size)
            return torch.cat([torch.cat(self.extractor.read(part), 1) for part in parts])

        both = self.cached(role, "reading", "features", compute)
        return both[:, :count], both[:, count:]

    @torch.no_grad()
    def perceive(self, images: Tensor, *, input_range: InputRange = "signed") -> Tensor:
        """Rows [n, e] of uint8 images: their squared distances are LPIPS."""
        x = images.float() if input_range == "bytes" else images.float() / 255
        rows: Tensor = self.perceptual.perceive(2 * x - 1 if input_range == "signed" else x)
        return rows

    def shot_distances(self, role: str) -> Tensor:
        """LPIPS of each image to each shot, float64 [n, k]."""

        def compute() -> Tensor:
            z = self.perceive(self.shots)

            def distances(part: Tensor) -> Tensor:
                return squared_distances(self.perceive(part), z)

            return in_batches(distances, self.images(role), self.batch_size)

        return self.cached(role, "shot_distances", "perceptual", compute, other_roles=("shots",))

    def redraw_gaps(self, role: str, domain: int) -> Tensor:
        """Distance of each image to a drawing of the factors read off it, float32 [n, 2].

        In pixels (root mean square, grey levels) and in LPIPS; drawn in the style of a domain.
        """
        factors, _ = self.reading(role)

        def compute() -> Tensor:
            return redraw_gaps(
                self.images(role),
                factors,
                redraw=lambda own: self.extractor.redraw(own, domain),
                perceive=self.perceive,
                batch_size=self.batch_size,
            )

        return self.cached(role, f"redraw_gaps/{domain}", "both", compute)

    def counts(self, network: Named | None = None) -> JsonDict:
        """What every result carries; `network` is the one it comes from (default: features')."""
        return {
            "extractor": (network or self.extractor).name,
            "n_real": 0 if self.real is None else len(self.real),
            "n_fake": len(self.fake),
        }


def unmet_need(metric: Metric, evidence: Evidence) -> str | None:
    """Why a metric cannot be computed here; None if it can."""
    if "real" in metric.needs and evidence.real is None:
        return (
            "needs a reference set, and there is none (give dataset.reference=FOLDER for a run, "
            "reference=FOLDER to score)"
        )
    if "shots" in metric.needs and len(evidence.shots) < 1:
        return "needs the shots, and none are given (give shots=FOLDER)"
    if "two shots" in metric.needs and len(evidence.shots) < 2:
        return "needs at least two shots"
    if evidence.real is not None:
        counts = {"real": len(evidence.real), "fake": len(evidence.fake)}
        if reason := too_few(metric.needs, k=getattr(metric, "k", 1), **counts):
            return reason
    if "factors" in metric.needs:
        if not isinstance(evidence.extractor, FactorReading):
            return f"needs a factor reader; {evidence.extractor.name} reads no factors"
        if evidence.source_domain is None:
            return "needs a domain with known factors (a faceworld dataset)"
        known = evidence.extractor.domain_names
        if evidence.target_domain is not None and evidence.target_domain not in known:
            return f"the factor reader has no class for {evidence.target_domain}"
    return None
