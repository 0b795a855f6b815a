"""How proposals become samples, and what a record says about it.

Runs that differ in these settings alone share their classifier, so that nothing here may enter the
state: the notes are made for each run from the state's held-out logits.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from baselines.common.choices import check_choices
from baselines.d2c.estimator import Score, probe_auc
from fsig_bench.api import ImageGenerators, Json, JsonDict

# Notes that follow from these settings; states of earlier versions hold those of the first run.
SELECTED = ("acceptance_rate", "fallback_share_expected", "fallback", "warning", "nfe_per_image")


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """Settings that change the samples but not the classifier."""

    kind: Literal["accept_prob", "accept_prob_thresh", "ratio", "sir", "topk", "naive", "edit"]
    budget: int  # proposals for an image before the best of them is taken (fallback)
    threshold: float  # accept_prob_thresh
    edit_step: float  # edit: 1 moves the logit to the shots' mean
    edit_alpha: float  # edit: noise level abar of the partial re-diffusion
    share: bool  # proposals are kept for other shots, a batch of images at a time

    def __post_init__(self) -> None:
        check_choices(self)
        if self.budget < 1:
            raise ValueError(f"budget={self.budget}: at least one proposal an image")

    @property
    def rejects(self) -> bool:
        """Whether proposals are accepted or not, rather than all taken or compared."""
        return self.kind in ("accept_prob", "accept_prob_thresh", "ratio")

    def accepted(self, score: Score, logit: Tensor, u: Tensor, log_bound: float) -> Tensor:
        """Bool [n]: accepted, with u ~ U(0, 1)."""
        if self.kind == "ratio":  # rho = g / (1 - g) = exp(logit), accepted with rho / M
            return u.log() < logit - log_bound
        g = score.probability(logit)
        if self.kind == "accept_prob_thresh":
            return (g > self.threshold) & (u < g)
        return u < g

    def expected_tries(self, rate: float) -> float:
        """Proposals an image takes on average, at an acceptance rate."""
        if self.kind in ("naive", "edit"):
            return 1.0
        if not self.rejects or rate == 0:
            return float(self.budget)
        return (1 - (1 - rate) ** self.budget) / rate

    def rate(self, score: Score, logits: Tensor, log_bound: float, seed: int) -> float:
        """Share of held-out proposals that are accepted, one draw each."""
        u = ImageGenerators(seed, range(len(logits)), "d2c", "accept").rand()
        return float(self.accepted(score, logits, u, log_bound).double().mean())

    def notes(self, rate: float) -> JsonDict:
        """Acceptance, and how many images will be the best of their proposals instead."""
        fallback = (1 - rate) ** self.budget
        notes: JsonDict = {
            "acceptance_rate": round(rate, 5),
            "fallback_share_expected": round(fallback, 5),
        }
        if fallback > 0.1:
            notes["fallback"] = "topk"
            notes["warning"] = (
                f"{100 * fallback:.0f} % of the images are the best of {self.budget} "
                f"proposals and not accepted ones (acceptance rate {rate:.4f}): the prior "
                "hardly reaches this target"
            )
        return notes


def fitted_notes(
    logits: Tensor, loo: float, log_bound: float, source: Tensor, held: Tensor
) -> JsonDict:
    """How far the classifier can be trusted, measured on the held-out part of the bank."""
    weight = (logits - logits.max()).exp().double()
    return {
        "log_ratio_bound": log_bound,
        "effective_sample_share": round(
            float(weight.sum() ** 2 / weight.square().sum()) / len(weight), 5
        ),
        "leave_one_out_auc": round(loo, 4),
        # Far from 1: the backend scales its latents otherwise than its prior learned them.
        "latent_sd_ratio": round(float(held.std() / source.std()), 4),
        # Can encoded source images be told from prior samples? Near 0.5 is good.
        "encoder_probe_auc": round(probe_auc(source, held), 4),
    }


def doubts(fitted: Json, *, kind: str, unlabelled: str) -> list[str]:
    """What speaks against the backend and the classifier."""
    found = []
    if not 2 / 3 < (ratio := fitted.get("latent_sd_ratio", 1.0)) < 3 / 2:
        found.append(
            f"latents of the prior spread {ratio} times as far as encoded images: the backend's "
            "scale is wrong, or its prior is of another domain"
        )
    told = fitted["encoder_probe_auc"]
    if kind != "naive" and unlabelled == "prior" and told > 0.6:
        found.append(
            f"encoded source images can be told from samples of the prior (AUC {told:.2f}): the "
            "classifier may see the encoder and not the target (method.unlabelled=encoded)"
        )
    return found
