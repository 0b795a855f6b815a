"""Feature likelihood divergence (FLD): are held-out images likely under the samples?

Jiralerspong et al., NeurIPS 2023, arXiv:2302.04440. Features are standardised by the reference. A
Gaussian stands on every sample, its variance fitted so that the shots are likely; a sample that
copies a shot gets a tiny one and is lost to all other images. Values are a hundred times a negative
log-likelihood per dimension.

One departure from the authors' code, because k shots are few: its zero is the likelihood under one
half of the training set, fitted to the other half. Here one half of the reference stands in place
of the samples, and likelihoods are those of the other half, so that fresh real images score 0 up to
chance. Fit and likelihood are the authors' own.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from fsig_bench.api.plain import JsonDict
from fsig_bench.metrics.base import Evidence, block_error
from fsig_bench.metrics.blocks import block_of

# The authors' code: a wide Gaussian on the shots' mean takes part in the fit, its distances shrunk;
# Adam with this rate, until the loss stays within TOLERANCE over PATIENCE steps.
SHRUNK = (1 - 0.1) ** 2
RATE, STEPS, PATIENCE, TOLERANCE = 0.5, 50, 5, 5e-4
MOST_LOG_VARIANCE = 40.0
LEAST_SQUARE = 1e-3
HUNDREDFOLD = 100.0
BOUND = 1000.0  # beyond it the authors warn of memorising
APART = 6.0  # deviations of held-out images; of 1,250 on `babies` or `cats` none lies 5 below


def squares(a: Tensor, b: Tensor) -> Tensor:
    """Squared distances between rows [n, d] and [m, d], [n, m], in double precision."""
    return torch.cdist(a.double(), b.double()).square()


def log_gaussians(square: Tensor, log_variance: Tensor, d: int) -> Tensor:
    """Log-densities of isotropic Gaussians in d dimensions at squared distances [n, m]."""
    scaled = square / log_variance.exp() + d * (log_variance + math.log(2 * math.pi))
    return -scaled / 2


def fitted_log_variances(train: Tensor, centres: Tensor) -> Tensor:
    """The log-variance of each centre [n, d] that makes train [k, d] likely, float64 [n].

    Each starts at the best one for its nearest training row alone.
    """
    d, between = train.shape[1], squares(train, centres)
    origin = SHRUNK * squares(train, train.mean(0, keepdim=True))
    log_variance = ((between.min(0).values + LEAST_SQUARE) / d).log().requires_grad_()
    wide = torch.zeros((), dtype=torch.float64, requires_grad=True)
    optimiser = torch.optim.Adam([log_variance, wide], lr=RATE)
    losses: list[float] = []
    with torch.enable_grad():
        for step in range(STEPS):
            optimiser.zero_grad()
            own = log_gaussians(between, log_variance, d) - math.log(len(centres))
            both = torch.cat([own, log_gaussians(origin, wide, d)], 1)
            loss = -both.logsumexp(1).mean() / d
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            with torch.no_grad():
                log_variance.clamp_(-MOST_LOG_VARIANCE, MOST_LOG_VARIANCE)
            losses.append(float(loss.detach()))
            last = losses[-1 - PATIENCE : -1]
            if step > PATIENCE and max(abs(losses[-1] - v) for v in last) < TOLERANCE:
                break
    return log_variance.detach()


def negative_log_likelihood(rows: Tensor, centres: Tensor, log_variance: Tensor) -> Tensor:
    """Per dimension, under the equal mixture of the centres' Gaussians, float64 [len(rows)]."""
    d = rows.shape[1]
    parts = [
        log_gaussians(squares(part, centres), log_variance, d).logsumexp(1)
        for part in rows.split(block_of(len(centres)))
    ]
    return (math.log(len(centres)) - torch.cat(parts)) / d


@dataclass(frozen=True, kw_only=True)
class HeldOut:
    """What is compared: standardised shots [k, d], and two halves of the reference."""

    train: Tensor
    test: Tensor  # whose likelihood is taken
    fresh: Tensor  # stands for the samples of a perfect method
    mean: Tensor
    scale: Tensor

    @classmethod
    def of(cls, *, train: Tensor, real: Tensor) -> HeldOut:
        """From features of the shots [k, d] and of the reference [m, d], every other one a half.

        Raises:
            ValueError: fewer than two shots or four images, or values that are not finite.
        """
        for role, x, least in (("shots", train, 2), ("real", real, 4)):
            if len(x) < least:
                raise ValueError(f"{role} has {len(x)} images; the likelihood needs {least}")
            if not torch.isfinite(x).all():
                raise ValueError(f"{role} features hold NaN or infinity")
        mean, scale = real.double().mean(0), real.double().std(0)
        scale = torch.where(scale > 0, scale, torch.ones_like(scale))
        rows = (real.double() - mean) / scale
        shots = (train.double() - mean) / scale
        return cls(train=shots, test=rows[1::2], fresh=rows[::2], mean=mean, scale=scale)

    def standardised(self, x: Tensor) -> Tensor:
        """Features [n, d] as the reference's are."""
        return (x.double() - self.mean) / self.scale

    def likelihoods(self, centres: Tensor) -> tuple[Tensor, Tensor]:
        """Negative log-likelihoods of the shots [k] and of held-out images, a hundredfold."""
        width = fitted_log_variances(self.train, centres)
        train, test = (
            HUNDREDFOLD * negative_log_likelihood(x, centres, width)
            for x in (self.train, self.test)
        )
        return train, test


Which = Literal["fld", "gap"]


@dataclass(frozen=True, kw_only=True)
class Likelihood:
    """`fld` (the divergence) and `fld_gap` (shots minus held-out images, below 0 for memorising).

    FLD sees shifts, blur, samples of few kinds, and samples that all repeat the shots, in one
    number that does not say which. It hardly sees bad samples or copies among good ones, since a
    mixture needs only some good samples near each image: without a share p of them it rises by
    about -100 log(1 - p) / d, which is 0.36 for half the samples in 192 dimensions. And it rewards
    samples that are drawn towards the mean, since the fitted Gaussians are as wide as the distance
    to the nearest shot, about that between any two images: on `babies` of the mini suite, real
    features moved half the way to their mean score -12.6, and as much with 1,000 shots. With ten
    shots it moves by 0.4 between equally good sets of 500, about twice what the blocks' error says.

    The gap sees copies of the shots, exact or close, even where they are few, and nothing else. It
    is the mean of k numbers: read it beside `fresh_gap`, that of fresh real images. `over_shots`
    has the standard error of the difference; where that is within two errors, a warning says so,
    and then the gap is no evidence of anything: on `babies`, ten other shots move it by 4. A shot
    that is repeated raises the mean and the error alike, so each is also held against the held-out
    images: `over_shots` counts those that the samples make likelier, beyond what fresh images
    would, by APART of their deviations, and the warning then says that these shots are repeated.

    An exact copy, one or many, makes its shot likelier by 1,650 to 1,900, since the log-variance
    ends at -40. So each of ten shots that is repeated exactly moves the gap by -165 to -190, and
    one copy of each of six takes it to -1,000, where values end either way: it counts repeated
    shots, as far as there, and not their copies. With one shot neither is defined.
    """

    which: Which
    most: int  # samples that carry a Gaussian; the authors take 10,000
    blocks: int  # of samples, for the standard error of a single run

    needs: ClassVar[frozenset[str]] = frozenset({"real", "four real", "two shots", "features"})

    def __call__(self, evidence: Evidence) -> JsonDict:
        """Samples and fresh images take part in equal numbers: at most half the reference.

        Of more samples, the first ones.
        """

        def prepare() -> tuple[HeldOut, Tensor, tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
            held = HeldOut.of(train=evidence.features("shots"), real=evidence.features("real"))
            fake = evidence.features("fake")[: min(self.most, len(held.fresh))]
            own = held.likelihoods(held.standardised(fake))
            return held, fake, own, held.likelihoods(held.fresh[: len(fake)])

        held, fake, own, fresh = evidence.memoised(f"likelihood/{self.most}", prepare)
        counts = {**evidence.counts(), "shots": len(held.train), "gaussians": len(fake)}
        if self.which == "gap":
            return {**_gap(own, fresh), **counts}

        def value(part: Tensor) -> float:
            return _cut(float(held.likelihoods(held.standardised(part))[1].mean()))

        error = block_error(value, fake, self.blocks)
        return {"value": _cut(float(own[1].mean() - fresh[1].mean())), **counts, "error": error}


def _cut(value: float) -> float:
    return max(-BOUND, min(value, BOUND))


def deviation(x: Tensor) -> Tensor:
    """A robust standard deviation, from the median of absolute differences."""
    return 1.4826 * (x - x.median()).abs().median()


def likelier(own: tuple[Tensor, Tensor], fresh: tuple[Tensor, Tensor]) -> int:
    """How many shots the samples make likelier by more than held-out images tell of chance.

    By APART deviations, beyond what they do for the median held-out image if they help it at all.
    Where all samples repeat shots, held-out images become unlikely at once and without limit, so
    the deviation is that of their change or that under fresh images, whichever is smaller.

    Args:
        own: negative log-likelihoods of shots and of held-out images under the samples.
        fresh: the same under fresh images.
    """
    shots, held_out = own[0] - fresh[0], own[1] - fresh[1]
    spread = torch.minimum(deviation(held_out), deviation(fresh[1]))
    return int((shots < held_out.median().clamp(max=0) - APART * spread).sum())


def _gap(own: tuple[Tensor, Tensor], fresh: tuple[Tensor, Tensor]) -> JsonDict:
    gap, fresh_gap = (float(train.mean() - test.mean()) for train, test in (own, fresh))
    apart = own[0] - fresh[0]  # of the same shots, so that what makes some unlikely cancels
    error, repeated = float(apart.std()) / len(apart) ** 0.5, likelier(own, fresh)
    warning, named = None, {"repeated": repeated} if repeated else {}
    if abs(gap - fresh_gap) < 2 * error:
        warning = f"with {len(apart)} shots this gap cannot be told from that of fresh real images "
        warning += f"({fresh_gap:.1f}): no sign of memorising, and no proof that there is none"
    if warning and repeated:
        warning = f"the samples make {repeated} of {len(apart)} shots far likelier than held-out "
        warning += "images, a sign of memorising that the standard error over shots hides"
    return {
        "value": _cut(gap),
        "fresh_gap": fresh_gap,
        "over_shots": {"shots": len(apart), "standard_error": error, **named},
        "warning": warning,
    }
