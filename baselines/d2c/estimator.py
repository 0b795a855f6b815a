"""The few-shot classifier on latents: positive-unlabelled, linear, calibrated by leaving shots out.

Step 2 of D2C's Algorithm 1 trains r(c | z) on latents; with k = 10 in a thousand dimensions it must
be regularised, so that the default is Fisher's discriminant in a few principal directions.

Shape legend: p positives (shots and their mirror images), u unlabelled, e features.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from baselines.common.choices import check_choices


@dataclass(frozen=True)
class Score:
    """logit r(z) = weight . basis^T (z - mean) + bias, on flat latents [n, e]."""

    mean: Tensor  # [e]
    basis: Tensor  # orthonormal columns [e, f]
    weight: Tensor  # [f]
    bias: Tensor  # []
    ceiling: Tensor  # [], 1 without Elkan and Noto's correction

    def probability(self, logit: Tensor) -> Tensor:
        """r(c | z) from its logit."""
        return elkan_noto(logit.sigmoid(), self.ceiling)

    def __call__(self, z: Tensor) -> Tensor:
        """Logits [n]."""
        return (z.flatten(1) - self.mean) @ self.basis @ self.weight + self.bias

    def direction(self) -> Tensor:
        """The logit's gradient with respect to a flat latent [e]."""
        return self.basis @ self.weight


def elkan_noto(g: Tensor, ceiling: Tensor) -> Tensor:
    """P(y = 1 | z) = g(z) / c, clipped to 1, where the unlabelled hold positives as well.

    g = P(labelled | z), c = P(labelled | y = 1): the mean of g over held-out positives (Elkan &
    Noto, KDD 2008, section 2).
    """
    return (g / ceiling).clamp(max=1)


def auc(positive: Tensor, negative: Tensor) -> float:
    """P(positive > negative), ties counted half."""
    gap = positive[:, None] - negative[None, :]
    return float(((gap > 0).double() + (gap == 0).double() / 2).mean())


def principal(unlabelled: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Mean [e] and the first principal directions [e, f] of the unlabelled."""
    mean = unlabelled.mean(0)
    _, _, v = torch.linalg.svd(unlabelled - mean, full_matrices=False)
    return mean, v[:count].T.contiguous()


def discriminant(positive: Tensor, unlabelled: Tensor, shrink: float) -> tuple[Tensor, Tensor]:
    """Fisher's w = S^-1 (mu_T - mu_S) with S shrunk towards its mean variance, and its bias.

    With one Gaussian a class and equal priors this is the log density ratio.
    """
    mu_t, mu_s = positive.mean(0), unlabelled.mean(0)
    s = torch.cov(unlabelled.T)
    s = (1 - shrink) * s + shrink * s.diagonal().mean() * torch.eye(len(s))
    w = torch.linalg.solve(s, mu_t - mu_s)
    return w, -w @ (mu_t + mu_s) / 2


def logistic(positive: Tensor, unlabelled: Tensor, c: float) -> tuple[Tensor, Tensor]:
    """L2-regularised logistic regression with balanced classes."""
    from sklearn.linear_model import LogisticRegression

    x = torch.cat([positive, unlabelled]).double().numpy()
    y = [1] * len(positive) + [0] * len(unlabelled)
    fit = LogisticRegression(C=c, class_weight="balanced", max_iter=2000).fit(x, y)
    return torch.from_numpy(fit.coef_[0]).float(), torch.tensor(float(fit.intercept_[0]))


def probe_auc(source: Tensor, prior: Tensor, directions: int = 64) -> float:
    """Can encoded source images be told from prior samples? AUC on the halves not trained on.

    Above 0.6 a classifier of shots against prior samples may see the encoder and not the target.
    """
    half = min(len(source), len(prior)) // 2
    mean, basis = principal(prior[:half], min(directions, half - 1, prior.shape[1]))
    a, b = ((x - mean) @ basis for x in (source, prior))
    w, _ = discriminant(a[:half], b[:half], 0.1)
    return auc(a[half:] @ w, b[half:] @ w)


def temperature(positive: Tensor, negative: Tensor) -> float:
    """T > 0 that minimises the balanced logistic loss of logits / T, by a fine scan."""
    scan = torch.logspace(-2, 2, 401)
    softplus = torch.nn.functional.softplus
    loss = [softplus(-positive / t).mean() + softplus(negative / t).mean() for t in scan]
    return float(scan[int(torch.stack(loss).argmin())])


@dataclass(frozen=True, kw_only=True)
class Estimator:
    """Settings of the classifier."""

    kind: Literal["lda", "logreg"]
    directions: int  # principal directions of the unlabelled that it may look at
    shrink: float  # lda
    c: float  # logreg
    calibrate: bool
    elkan_noto: bool

    def __post_init__(self) -> None:
        check_choices(self)

    def fit(self, positive: Tensor, unlabelled: Tensor, held_out: Tensor) -> tuple[Score, float]:
        """The calibrated score, and its leave-one-shot-out AUC against held-out unlabelled.

        Args:
            positive: flat latents [k, v, e], v views (mirror images) of each shot.
            unlabelled: [u, e], to train on.
            held_out: [u', e], never trained on.
        """
        k, _, e = positive.shape
        mean, basis = principal(unlabelled, min(self.directions, len(unlabelled) - 1, e))
        p, u, h = ((a - mean) @ basis for a in (positive, unlabelled, held_out))

        def solve(rows: Tensor) -> tuple[Tensor, Tensor]:
            if self.kind == "lda":
                return discriminant(rows, u, self.shrink)
            return logistic(rows, u, self.c)

        w, b = solve(p.flatten(0, 1))
        left_out, against = [], []
        for i in range(k):
            rest = [j for j in range(k) if j != i] or [i]  # one shot: nothing to leave out
            w_i, b_i = solve(p[rest].flatten(0, 1))
            left_out.append(p[i] @ w_i + b_i)
            against.append(h @ w_i + b_i)
        scores, others = torch.cat(left_out), torch.cat(against)
        quality = sum(auc(a, o) for a, o in zip(left_out, against, strict=True)) / k
        t = temperature(scores, others) if self.calibrate else 1.0
        ceiling = (scores / t).sigmoid().mean() if self.elkan_noto else torch.ones(())
        return Score(mean, basis, w / t, b / t, ceiling), quality
