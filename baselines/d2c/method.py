"""D2C-style latent conditioning; the method is told in the package's docstring."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, Protocol

import torch
from torch import Tensor

from baselines.common.choices import check_choices
from baselines.d2c.backend import LatentBackend
from baselines.d2c.estimator import Estimator, Score, probe_auc
from fsig_bench.images import to_float
from fsig_bench.seeding import ImageGenerators
from fsig_bench.types import Images, Progress, Sampler, Shared, State, alone


class SourceImages(Protocol):
    """What real source images look like, uint8 by index."""

    def load(self, indices: Sequence[int]) -> Tensor: ...


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

    def accepted(self, score: Score, logit: Tensor, u: Tensor, log_bound: float) -> Tensor:
        """Bool [n]: accepted, with u ~ U(0, 1)."""
        if self.kind == "ratio":  # rho = g / (1 - g) = exp(logit), accepted with rho / M
            return u.log() < logit - log_bound
        g = score.probability(logit)
        if self.kind == "accept_prob_thresh":
            return (g > self.threshold) & (u < g)
        return u < g


@dataclass(frozen=True, kw_only=True)
class D2C:
    """The method; its values stand in conf/method/d2c.yaml."""

    backend: LatentBackend
    source_images: SourceImages
    num_steps: int  # of the prior
    estimator: Estimator
    mirror: bool  # mirror images of the shots are positives too, in the same fold
    unlabelled: Literal["prior", "encoded"]
    unlabelled_count: int
    held_out_count: int
    bank_seed: int
    ratio_quantile: float  # M of `ratio`
    decode_batch: int
    sample: Sampling

    def __post_init__(self) -> None:
        check_choices(self)

    @property
    def nfe_per_image(self) -> float:
        """At most; a state's notes hold what is expected at its acceptance rate."""
        return self.num_steps * self.expected_tries(0.0)

    def proposals(self, seed: int, indices: Sequence[int], *purpose: str | int) -> Tensor:
        """Latents of the prior, each from its own generator."""
        noise = ImageGenerators(seed, indices, "d2c", *purpose).randn(*self.backend.shape)
        return self.backend.denoise(noise, self.num_steps).cpu()

    def bank(self, name: str, count: int, progress: Progress) -> Tensor:
        """A part of the proposal bank, [count, c, r, r]; the same for every run of a backend."""
        parts = []
        for start in range(0, count, self.decode_batch):
            part = range(start, min(start + self.decode_batch, count))
            key = ["d2c bank", self.backend.digest, self.num_steps, self.bank_seed, name]
            make = partial(self.proposals, self.bank_seed, part, name)
            parts.append(progress.shared([*key, part.start, part.stop], make))
            progress.report(part.stop, count)
        return torch.cat(parts)

    def encode(self, images: Tensor) -> Tensor:
        """Latents on the CPU, in batches."""
        return torch.cat([self.backend.encode(p).cpu() for p in images.split(self.decode_batch)])

    def planned_nfe(self, k: int) -> int:
        """Evaluations of the prior that the unlabelled bank takes, whatever the shots."""
        return (self.unlabelled_count + self.held_out_count) * self.num_steps

    def adapt(self, shots: Images, *, seed: int, progress: Progress) -> State:
        """Fits the classifier and says how far it can be trusted."""
        train = self.bank("unlabelled", self.unlabelled_count, progress).flatten(1)
        held = self.bank("held_out", self.held_out_count, progress).flatten(1)
        source = self.encode(to_float(self.source_images.load(range(self.held_out_count))))
        views = [shots, shots.flip(3)] if self.mirror else [shots]
        positive = torch.stack([self.encode(v).flatten(1) for v in views], 1)
        unlabelled = source.flatten(1) if self.unlabelled == "encoded" else train
        score, loo = self.estimator.fit(positive, unlabelled, held)
        logits = score(held)
        log_bound = float(torch.quantile(logits, self.ratio_quantile))
        tensors = {f"score/{k}": v for k, v in vars(score).items()}
        return State(
            tensors={k: v.contiguous() for k, v in tensors.items()}
            | {"shots": positive[:, 0].reshape(-1, *self.backend.shape).contiguous()},
            seed=seed,
            trained_params=score.weight.numel() + 1,
            nfe_adapt=self.planned_nfe(len(shots)),
            meta=self.diagnosis(score, logits, loo, log_bound, source.flatten(1), held),
        )

    def diagnosis(
        self,
        score: Score,
        logits: Tensor,
        loo: float,
        log_bound: float,
        source: Tensor,
        held: Tensor,
    ) -> dict[str, Any]:
        """What the record says about the selection, measured on the held-out part of the bank."""
        u = ImageGenerators(self.bank_seed, range(len(logits)), "d2c", "accept").rand()
        rate = float(self.sample.accepted(score, logits, u, log_bound).double().mean())
        weight = (logits - logits.max()).exp().double()
        fallback = (1 - rate) ** self.sample.budget
        out: dict[str, Any] = {
            "log_ratio_bound": log_bound,
            "nfe_per_image": round(self.num_steps * self.expected_tries(rate), 1),
            "acceptance_rate": round(rate, 5),
            "fallback_share_expected": round(fallback, 5),
            "effective_sample_share": round(
                float(weight.sum() ** 2 / weight.square().sum()) / len(weight), 5
            ),
            "leave_one_out_auc": round(loo, 4),
            # Far from 1: the backend scales its latents otherwise than its prior learned them.
            "latent_sd_ratio": round(float(held.std() / source.std()), 4),
            # Can encoded source images be told from prior samples? Near 0.5 is good.
            "encoder_probe_auc": round(probe_auc(source, held), 4),
        }
        if not 2 / 3 < out["latent_sd_ratio"] < 3 / 2:
            out["warning"] = (
                f"latents of the prior spread {out['latent_sd_ratio']} times as far as encoded "
                "images: the backend's scale is wrong, or its prior is of another domain"
            )
        if self.sample.kind not in ("naive", "edit", "sir", "topk") and fallback > 0.1:
            out["fallback"] = "topk"
            before = f"{out['warning']}; " if "warning" in out else ""
            out["warning"] = before + (
                f"{100 * fallback:.0f} % of the images are the best of {self.sample.budget} "
                f"proposals and not accepted ones (acceptance rate {rate:.4f}): the prior "
                "hardly reaches this target"
            )
        return out

    def expected_tries(self, rate: float) -> float:
        """Proposals an image takes on average, at an acceptance rate."""
        if self.sample.kind in ("naive", "edit"):
            return 1.0
        if self.sample.kind in ("sir", "topk") or rate == 0:
            return float(self.sample.budget)
        return (1 - (1 - rate) ** self.sample.budget) / rate

    def proposed(
        self, seed: int, indices: list[int], rows: Sequence[int], attempt: int, shared: Shared
    ) -> Tensor:
        """Proposals (i, attempt) of some rows of a batch; they depend on no shot."""
        if not self.sample.share:
            return self.proposals(seed, [indices[j] for j in rows], "proposal", attempt)
        key = ["d2c proposals", self.backend.digest, self.num_steps, seed, indices, attempt]
        make = partial(self.proposals, seed, indices, "proposal", attempt)
        return shared(key, make)[list(rows)]

    def select(self, state: State, indices: Sequence[int], shared: Shared = alone) -> Tensor:
        """One latent an image, by rejection over proposals (i, 0), (i, 1), ... of its own."""
        s, score, indices = self.sample, self.score(state), list(indices)
        if s.kind == "naive":
            return self.proposed(state.seed, indices, range(len(indices)), 0, shared)
        best = torch.zeros(len(indices), *self.backend.shape)
        top = torch.full((len(indices),), -torch.inf)
        open_ = list(range(len(indices)))
        for attempt in range(s.budget):
            own = [indices[j] for j in open_]
            z = self.proposed(state.seed, indices, open_, attempt, shared)
            u = ImageGenerators(state.seed, own, "d2c", "accept", attempt).rand()
            logit = score(z)
            # sir: the largest of log rho + Gumbel noise is a draw with weights rho.
            rank = logit - (-u.log()).log() if s.kind == "sir" else logit
            take = torch.zeros(len(own), dtype=torch.bool)
            if s.kind not in ("topk", "sir"):
                take = s.accepted(score, logit, u, state.meta["log_ratio_bound"])
            better = take | (rank > top[open_])
            for row in better.nonzero()[:, 0].tolist():
                best[open_[row]], top[open_[row]] = z[row], rank[row]
            open_ = [j for row, j in enumerate(open_) if not take[row]]
            if not open_:
                break
        return best

    def edit(self, state: State, indices: Sequence[int], shared: Shared = alone) -> Tensor:
        """D2C's manipulation as a generator: a step up the classifier, noise, denoise."""
        z = self.proposed(state.seed, list(indices), range(len(indices)), 0, shared)
        score, w = self.score(state), self.score(state).direction()
        goal = score(state.tensors["shots"]).mean()
        step = self.sample.edit_step * (goal - score(z)) / w.square().sum()
        moved = z + (step[:, None] * w).view_as(z)
        noise = ImageGenerators(state.seed, indices, "d2c", "edit").randn(*self.backend.shape)
        alpha = self.sample.edit_alpha
        return self.backend.denoise_from(moved, noise, alpha, self.num_steps).cpu()

    @staticmethod
    def score(state: State) -> Score:
        """The classifier of a state."""
        head = "score/"
        own = {k[len(head) :]: v for k, v in state.tensors.items() if k.startswith(head)}
        return Score(**own)

    def sampler(self, state: State) -> Sampler:
        """Image i: a selected (or edited) latent of the prior, decoded."""
        return self.sharing_sampler(state, alone)

    def sharing_sampler(self, state: State, shared: Shared) -> Sampler:
        """`sampler`, its proposals shared with runs on other shots."""
        pick = self.edit if self.sample.kind == "edit" else self.select

        def draw(indices: Sequence[int]) -> Images:
            return self.backend.decode(pick(state, indices, shared)).cpu().contiguous()

        return draw

    def reconstruct(self, state: State) -> Images:
        """The shots through the autoencoder: the decoder's ceiling."""
        return self.backend.decode(state.tensors["shots"]).cpu().contiguous()
