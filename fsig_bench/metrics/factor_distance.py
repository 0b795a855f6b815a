"""A scalar truth for images whose factors are known: how far is their law from the domain's?

The energy distance of two laws is 2 E|X - Y| - E|X - X'| - E|Y - Y'| (Szekely and Rizzo, "Energy
statistics", Journal of Statistical Planning and Inference 143, 2013). It is 0 for equal laws and
for no others. Here X and Y are what the factor reader reads off samples and off real images, so
the reader's errors enter both sides alike. The U-statistic is free of bias: small negative values
are valid. A share p of samples from another law moves it by p^2 times that law's distance.

Shape legend: n images, f factors, c coordinates.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar, Protocol

import torch
from torch import Tensor

from fsig_bench.api import JsonDict
from fsig_bench.metrics.base import Evidence, block_error
from fsig_bench.metrics.kernels import Fitted, mmd2_to

DOMAIN = "domain"  # the part that is no factor
EVEN = 1 / math.sqrt(12)  # the standard deviation of what is spread evenly over a range of 1


class DomainLaw(Protocol):
    """The exact law of a domain's factors."""

    def factors(self, domain: str) -> Tensor:
        """Independent draws [m, f]."""
        ...

    def ranges(self) -> Tensor:
        """The width of each factor's scale [f]."""
        ...


def energy_to(real: Tensor) -> Callable[[Tensor], float]:
    """The U-statistic of the energy distance between fixed rows [m, c] and rows [n, c].

    It is the squared maximum mean discrepancy with the kernel -|x - y|.

    Raises:
        ValueError: fewer than two rows on a side, or values that are not finite.
    """

    def between(a: Tensor, b: Tensor) -> Tensor:
        return -torch.cdist(a, b, compute_mode="donot_use_mm_for_euclid_dist")

    return mmd2_to(real, Fitted(between=between, own=lambda a: a.new_zeros(len(a)), width=None))


@dataclass(frozen=True, kw_only=True)
class Coordinates:
    """Where images lie: their visible factors in units of the domain's exact law, and the domain.

    A factor's unit is its standard deviation in the exact law. One whose deviation is below
    `min_sd` of its range is fixed by the domain: its unit is the deviation that it would have if
    it were spread evenly over its range. So has the probability of the domain, which is 1 in the
    exact law. With these units, samples that all lie at the law's mean are about as far from it as
    samples that all left the domain. A hidden value lies at the law's mean. Hues are points on a
    circle.
    """

    names: tuple[str, ...]  # of the factors that the domain shows
    columns: tuple[int, ...]  # of these among all factors
    circular: frozenset[str]
    centre: Tensor  # [c - 1]
    unit: Tensor  # [c - 1]

    @classmethod
    def of(
        cls,
        law: Tensor,
        seen: Tensor,
        *,
        names: Sequence[str],
        circular: Sequence[str],
        ranges: Tensor,
        min_sd: float,
    ) -> Coordinates:
        """From draws of the exact law [m, f] and which of their values can be seen, bool [m, f]."""
        shown = [j for j in range(len(names)) if float(seen[:, j].float().mean()) >= 0.5]
        centre, unit = [], []
        for j in shown:
            hue, scale = names[j] in circular, float(ranges[j])
            points = on_circle(law[seen[:, j], j], circular=hue)
            width, even = (2.0, 1.0) if hue else (scale, EVEN * scale)
            sd = math.sqrt(float(points.var(0).sum()))
            centre.append(points.mean(0))
            unit.append(torch.full_like(centre[-1], sd if sd >= min_sd * width else even))
        return cls(
            names=tuple(names[j] for j in shown),
            columns=tuple(shown),
            circular=frozenset(circular),
            centre=torch.cat(centre),
            unit=torch.cat(unit),
        )

    @property
    def owners(self) -> tuple[str, ...]:
        """The factor of each coordinate; the last one is DOMAIN."""
        twice = [n for n in self.names for _ in range(2 if n in self.circular else 1)]
        return (*twice, DOMAIN)

    def place(self, factors: Tensor, seen: Tensor, probability: Tensor) -> Tensor:
        """Float64 [n, c] from factors [n, f], what is seen [n, f], and the domain's probability."""
        points, there = [], []
        for j, name in zip(self.columns, self.names, strict=True):
            points.append(on_circle(factors[:, j], circular=name in self.circular))
            there.append(seen[:, j, None].expand(points[-1].shape))
        rows = (torch.cat(points, 1) - self.centre) / self.unit
        rows = torch.where(torch.cat(there, 1), rows, 0.0)
        return torch.cat([rows, (probability.double()[:, None] - 1) / EVEN], 1)

    def parts(self, rows: Tensor) -> dict[str, Tensor]:
        """The coordinates of each factor, and of the domain."""
        owners = self.owners
        return {
            name: rows[:, [i for i, owner in enumerate(owners) if owner == name]]
            for name in dict.fromkeys(owners)
        }


def on_circle(values: Tensor, *, circular: bool) -> Tensor:
    """Float64 [n, 1] as they are, or [n, 2] on the unit circle from values in [0, 1)."""
    x = values.double()[:, None]
    angle = 2 * math.pi * x
    return torch.cat([angle.cos(), angle.sin()], 1) if circular else x


@dataclass(frozen=True, kw_only=True)
class FactorDistance:
    """`factor_distance`: energy distance between what is read off samples and off real images."""

    law: DomainLaw
    min_sd: float  # a smaller deviation, as a share of a factor's range, is none: it is fixed
    blocks: int  # of samples, for the standard error of a single run

    needs: ClassVar[frozenset[str]] = frozenset({"real", "pairs", "factors", "features"})

    def __call__(self, evidence: Evidence) -> JsonDict:
        """Also its parts, and the distances of samples and of real images to the exact law.

        `by_part` holds the energy distance of each factor alone and of the domain's probability
        alone; these do not add up to the value. `to_law` is the distance of samples to factors
        that were drawn and not read, `real_to_law` that of real images: the reader's own error.
        Their difference is no distance, since readings without error would make it negative.
        """
        reader = evidence.extractor
        logits = evidence.reading("real")[1]
        domain = int(logits.argmax(1).mode().values)
        if evidence.target_domain is not None:
            domain = reader.domain_names.index(evidence.target_domain)
        law = self.law.factors(reader.domain_names[domain])
        seen = reader.visible(law, domain)
        space = Coordinates.of(
            law,
            seen,
            names=reader.factor_names,
            circular=getattr(reader, "circular_factors", ()),
            ranges=self.law.ranges(),
            min_sd=self.min_sd,
        )

        def rows_of(role: str) -> Tensor:
            factors, logits = evidence.reading(role)
            probability = logits.double().softmax(1)[:, domain]
            return space.place(factors, reader.visible(factors, domain), probability)

        real, fake = rows_of("real"), rows_of("fake")
        exact = energy_to(space.place(law, seen, torch.ones(len(law))))
        value = energy_to(real)
        pairs = zip(space.parts(real).items(), space.parts(fake).values(), strict=True)
        return {
            "value": value(fake),
            **evidence.counts(),
            "error": block_error(value, fake, self.blocks),
            "by_part": {name: round(energy_to(r)(f), 6) for (name, r), f in pairs},
            "to_law": exact(fake),
            "real_to_law": exact(real),
        }
