"""D2C-style latent conditioning; the method is told in the package's docstring."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal, Protocol

import torch
from torch import Tensor

from baselines.common.choices import check_choices
from baselines.common.halving import in_halves
from baselines.d2c.backend import LatentBackend
from baselines.d2c.estimator import Estimator, Score
from baselines.d2c.selection import SELECTED, Sampling, doubts, fitted_notes
from fsig_bench.api import (
    ImageGenerators,
    Images,
    JsonDict,
    Progress,
    Sampler,
    Shared,
    State,
    no_sharing,
    to_float,
)


class SourceImages(Protocol):
    """What real source images look like, uint8 by index."""

    def load(self, indices: Sequence[int]) -> Tensor: ...


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
        """At most; the notes hold what is expected at the acceptance rate."""
        return self.evaluations(0.0)

    def evaluations(self, rate: float) -> float:
        """Of the prior, for an image, at an acceptance rate."""
        again = 0
        if self.sample.kind == "edit":  # the steps from abar = alpha down
            again = self.backend.schedule(self.num_steps).nearest(self.sample.edit_alpha) + 1
        return self.num_steps * self.sample.expected_tries(rate) + again

    def proposals(self, seed: int, indices: Sequence[int], *purpose: str | int) -> Tensor:
        """Latents of the prior, each from its own generator."""
        noise = ImageGenerators(seed, indices, "d2c", *purpose).randn(*self.backend.shape)
        return in_halves(lambda x: self.backend.denoise(x, self.num_steps).cpu(), noise)

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
        parts = images.split(self.decode_batch)
        return torch.cat([in_halves(lambda x: self.backend.encode(x).cpu(), p) for p in parts])

    def planned_nfe(self, k: int) -> int:
        """Evaluations of the prior that its bank takes, whatever the shots."""
        count = self.unlabelled_count if self.unlabelled == "prior" else 0
        return (count + self.held_out_count) * self.num_steps

    def adapt(self, shots: Images, *, seed: int, progress: Progress) -> State:
        """Fits the classifier and says how far it can be trusted."""
        # The autoencoder first: what is wrong with it shows before hours go into the bank.
        seen = to_float(self.source_images.load(range(self.held_out_count)))
        if check := getattr(self.backend, "check", None):
            check(seen)
        source = self.encode(seen)
        views = [shots, shots.flip(3)] if self.mirror else [shots]
        positive = torch.stack([self.encode(v).flatten(1) for v in views], 1)
        unlabelled = source.flatten(1)
        if self.unlabelled == "prior":
            unlabelled = self.bank("unlabelled", self.unlabelled_count, progress).flatten(1)
        held = self.bank("held_out", self.held_out_count, progress).flatten(1)
        score, loo = self.estimator.fit(positive, unlabelled, held)
        logits = score(held)
        log_bound = float(torch.quantile(logits, self.ratio_quantile))
        tensors = {f"score/{k}": v for k, v in vars(score).items()}
        return State(
            tensors={k: v.contiguous() for k, v in tensors.items()}
            | {"shots": positive[:, 0].reshape(-1, *self.backend.shape).contiguous()}
            | {"held_logits": logits},
            seed=seed,
            trained_params=score.weight.numel() + 1,
            nfe_adapt=self.planned_nfe(len(shots)),
            meta=fitted_notes(logits, loo, log_bound, source.flatten(1), held),
        )

    def notes(self, state: State) -> JsonDict:
        """What the record says of the classifier, and of the selection under these settings."""
        logits, sample, rate = state.tensors.get("held_logits"), self.sample, 0.0
        if sample.rejects and logits is None:  # of an earlier version: its meta says all there is
            return dict(state.meta)
        out = {k: v for k, v in state.meta.items() if k not in SELECTED}
        warnings = doubts(out, kind=sample.kind, unlabelled=self.unlabelled)
        if sample.rejects and logits is not None:
            bound = state.meta["log_ratio_bound"]
            rate = sample.rate(self.score(state), logits, bound, self.bank_seed)
            out |= sample.notes(rate)
            warnings += [out["warning"]] if "warning" in out else []
        out["nfe_per_image"] = round(self.evaluations(rate), 1)
        return out | ({"warning": "; ".join(warnings)} if warnings else {})

    def proposed(
        self, draw: int, indices: list[int], rows: Sequence[int], attempt: int, shared: Shared
    ) -> Tensor:
        """Proposals (i, attempt) of some rows of a batch; they depend on no shot."""
        if not self.sample.share:
            return self.proposals(draw, [indices[j] for j in rows], "proposal", attempt)
        key = ["d2c proposals", self.backend.digest, self.num_steps, draw, indices, attempt]
        make = partial(self.proposals, draw, indices, "proposal", attempt)
        return shared(key, make)[list(rows)]

    def select(
        self, state: State, draw: int, indices: Sequence[int], shared: Shared = no_sharing
    ) -> Tensor:
        """One latent an image, by rejection over proposals (i, 0), (i, 1), ... of its own."""
        s, score, indices = self.sample, self.score(state), list(indices)
        if s.kind == "naive":
            return self.proposed(draw, indices, range(len(indices)), 0, shared)
        best = torch.zeros(len(indices), *self.backend.shape)
        top = torch.full((len(indices),), -torch.inf)
        open_ = list(range(len(indices)))
        for attempt in range(s.budget):
            own = [indices[j] for j in open_]
            z = self.proposed(draw, indices, open_, attempt, shared)
            u = ImageGenerators(draw, own, "d2c", "accept", attempt).rand()
            logit = score(z)
            # sir: the largest of log rho + Gumbel noise is a draw with weights rho.
            rank = logit - (-u.log()).log() if s.kind == "sir" else logit
            take = torch.zeros(len(own), dtype=torch.bool)
            if s.kind not in ("topk", "sir"):
                take = s.accepted(score, logit, u, state.meta["log_ratio_bound"])
            rows = (take | (rank > top[open_])).nonzero()[:, 0]
            at = torch.tensor(open_)[rows]
            best[at], top[at] = z[rows], rank[rows]
            open_ = [j for row, j in enumerate(open_) if not take[row]]
            if not open_:
                break
        return best

    def edit(
        self, state: State, draw: int, indices: Sequence[int], shared: Shared = no_sharing
    ) -> Tensor:
        """D2C's manipulation as a generator: a step up the classifier, noise, denoise."""
        z = self.proposed(draw, list(indices), range(len(indices)), 0, shared)
        score, w = self.score(state), self.score(state).direction()
        goal = score(state.tensors["shots"]).mean()
        step = self.sample.edit_step * (goal - score(z)) / w.square().sum()
        moved = z + (step[:, None] * w).view_as(z)
        noise = ImageGenerators(draw, indices, "d2c", "edit").randn(*self.backend.shape)
        alpha = self.sample.edit_alpha
        return self.backend.denoise_from(moved, noise, alpha, self.num_steps).cpu()

    @staticmethod
    def score(state: State) -> Score:
        """The classifier of a state."""
        head = "score/"
        own = {k[len(head) :]: v for k, v in state.tensors.items() if k.startswith(head)}
        return Score(**own)

    def sampler(self, state: State, *, draw: int) -> Sampler:
        """Image i: a selected (or edited) latent of the prior, decoded."""
        return self.sharing_sampler(state, draw=draw, shared=no_sharing)

    def sharing_sampler(self, state: State, *, draw: int, shared: Shared) -> Sampler:
        """`sampler`, its proposals shared with runs on other shots."""
        pick = self.edit if self.sample.kind == "edit" else self.select

        def images_at(indices: Sequence[int]) -> Images:
            return self.backend.decode(pick(state, draw, indices, shared)).cpu().contiguous()

        return images_at

    def reconstruct(self, state: State) -> Images:
        """The shots through the autoencoder: the decoder's ceiling."""
        return self.backend.decode(state.tensors["shots"]).cpu().contiguous()
