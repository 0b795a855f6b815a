"""RS-IMLE's training loop and sampler; the package's docstring explains the method."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from baselines.common.checkpoint import Part, pack, unpack
from baselines.common.ema import Average
from baselines.rs_imle.assignments import Adaptive, Assignments
from baselines.rs_imle.generator import Architecture, Generator, new_generator, parse_blocks
from baselines.rs_imle.goals import Goals
from baselines.rs_imle.search import (
    Perceives,
    Project,
    Projection,
    Rejection,
    distances,
    nearest,
    pool_size,
)
from fsig_bench.api import (
    ImageGenerators,
    Images,
    Progress,
    Sampler,
    State,
    compiled,
    derive,
    generator,
    upload,
)


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """Settings that change the samples but not the generator."""

    use_average: bool


@dataclass(frozen=True, kw_only=True)
class RSIMLE:
    """The method; its values stand in conf/method/rs_imle.yaml."""

    device: str
    resolution: int
    perceptual: Perceives
    architecture: Architecture
    projection: Projection
    rejection: Rejection
    adaptive: Adaptive | None
    pool_factor: float
    pool_round_to: int
    decode_batch: int
    refresh_every: int  # epochs
    perturb: float
    lpips_weight: float
    mse_weight: float
    lr: float
    betas: Sequence[float]
    weight_decay: float
    warmup_iterations: int
    decay_every: int  # epochs
    decay_by: float
    batch: int
    keep_features: bool  # of the shots; else they are computed again in every step
    shuffle: bool
    epochs: int
    max_iterations: int | None
    ema_keep: float
    sample: Sampling

    nfe_per_image = 1.0

    def __post_init__(self) -> None:
        last = parse_blocks(self.architecture.blocks)[-1][0]
        if last != self.resolution:
            raise ValueError(
                f"architecture.blocks ends at {last} px and the suite has {self.resolution} px"
            )

    def rate(self, iteration: int, epoch: int) -> float:
        """Linear warm-up from 0, then a factor `decay_by` every `decay_every` epochs."""
        warm = min(1.0, iteration / self.warmup_iterations) if self.warmup_iterations else 1.0
        return self.lr * warm * self.decay_by ** (epoch // self.decay_every)

    def due(self, epoch: int, pairs: Assignments) -> Tensor:
        """Indices of the shots that get a new code now."""
        if self.adaptive is None or epoch == 0:
            every = epoch % self.refresh_every == 0
            return torch.arange(len(pairs.z) if every else 0, device=pairs.z.device)
        close = (pairs.loss < pairs.tau) & (pairs.age >= self.adaptive.staleness)
        return (close | (pairs.age >= self.refresh_every)).nonzero()[:, 0]

    def losses(self, fake: Tensor, goals: Goals) -> Tensor:
        """d(x, G(z)) = LPIPS + 0.1 MSE of each pair, [n]."""
        real = self.perceptual.perceive(goals.images) if goals.rows is None else goals.rows
        gap = self.perceptual.perceive(fake) - real
        mse = (fake - goals.images).square().mean((1, 2, 3))
        return self.lpips_weight * gap.square().sum(1) + self.mse_weight * mse

    def codes(self, number: int, count: int, seed: int) -> Tensor:
        """The codes of pool `number`, z ~ N(0, I) [m, d]."""
        shape = (count, self.architecture.latent_dim)
        return torch.randn(shape, generator=generator(seed, "rs_imle", "pool", number))

    @torch.no_grad()
    def assign(
        self,
        net: Generator,
        pairs: Assignments,
        due: Tensor,
        targets: Tensor,
        project: Project,
        seed: int,
        epoch: int,
    ) -> None:
        """New codes for the shots `due`: the nearest pool member outside every eps-ball."""
        # Only codes are drawn on the host; the pool stays on the device, as rows of its space.
        m = pool_size(len(targets), self.pool_factor, self.pool_round_to)
        stale = self.adaptive is None or bool((pairs.used[due] == pairs.counts[0]).any())
        if stale or not len(pairs.rows):
            pairs.counts[0] += 1
            z = self.codes(int(pairs.counts[0]), m, seed)
            rows = [project(net(part)) for part in z.to(self.device).split(self.decode_batch)]
            pairs.rows, pairs.counts[1] = torch.cat(rows), pairs.counts[1] + m
        number = int(pairs.counts[0])
        gaps = distances(targets, pairs.rows)
        # The official code tests the balls of the shots that are due only.
        balls = gaps if self.rejection.mode == "exact" else gaps[due]
        rejected = self.rejection.mask(balls, self.rejection.radius(targets))
        pick = nearest(gaps[due], rejected)
        pairs.counts[2] += m
        pairs.counts[3:] += torch.stack([rejected.sum(), (pick < 0).sum()])
        # A shot that no survivor is left for keeps its code; the first time, it takes any nearest.
        pick = torch.where((pick < 0) & (pairs.used[due] == 0), gaps[due].argmin(1), pick)
        found = pick >= 0
        new = self.codes(number, m, seed).to(self.device)[pick.clamp(min=0)]
        g = generator(seed, "rs_imle", "perturb", epoch)
        new = new + (self.perturb * torch.randn(new.shape, generator=g)).to(self.device)
        pairs.z[due[found]] = new[found]
        pairs.used[due[found]], pairs.age[due] = number, 0
        if self.adaptive is not None:
            pairs.tau[due] = (1 - self.adaptive.change) * pairs.loss[due]

    def adapt(self, shots: Images, *, seed: int, progress: Progress) -> State:
        """Trains a generator from scratch on the shots alone."""
        n, d = len(shots), self.architecture.latent_dim
        net = new_generator(self.architecture, derive(seed, "rs_imle", "weights"))
        net = compiled(net.to(self.device, memory_format=torch.channels_last))  # type: ignore[call-overload]
        average = Average.of(net)
        betas = self.betas[0], self.betas[1]
        adam = torch.optim.AdamW(net.parameters(), self.lr, betas, weight_decay=self.weight_decay)
        parts: dict[str, Part] = {"net": net, "average": average, "adam": adam}
        tau = self.adaptive.tau if self.adaptive else 0.0
        pairs = Assignments.fresh(n, d, self.projection.width, tau, self.device)
        first, kept = progress.load()
        if first:
            unpack(kept, parts)
            pairs.put_back(kept, self.device)
        with torch.no_grad():
            x = shots.to(self.device)
            project = self.projection.drawn(self.perceptual, x, seed)
            targets = project(x)
            goals = Goals.of(x, self.perceptual, keep=self.keep_features, batch=self.batch)
            if self.adaptive is not None and not first:  # the first thresholds follow from these
                pairs.loss = self.losses(net(pairs.z), goals).float()
        epochs, limit = self.epochs, self.max_iterations
        if limit is not None:
            epochs = min(epochs, -(-limit // -(-n // self.batch)))
        for epoch in range(first, epochs):
            pairs.age += 1
            if len(due := self.due(epoch, pairs)):
                self.assign(net, pairs, due, targets, project, seed, epoch)
            self._pass(net, average, adam, pairs, goals, seed, epoch)
            loss = float(pairs.loss.mean())  # read once a pass: reading waits for the device
            if not math.isfinite(loss):
                raise FloatingPointError(f"loss {loss} in epoch {epoch}; lower lr={self.lr}")
            progress.report(epoch + 1, epochs, **pairs.shares(), loss=loss)
            progress.save(epoch + 1, pack(parts) | pairs.tensors())
        tensors = {f"net/{k}": v.detach().cpu() for k, v in net.state_dict().items()}
        tensors |= {f"average/{k}": v.cpu() for k, v in average.tensors.items()}
        return State(
            tensors={k: v.contiguous() for k, v in tensors.items()} | {"codes": pairs.z.cpu()},
            seed=seed,
            trained_params=sum(p.numel() for p in net.parameters()),
            nfe_adapt=int(pairs.counts[1]) + epochs * n,
            meta=pairs.shares() | {"radius": round(self.rejection.radius(targets), 4)},
        )

    def _pass(
        self,
        net: Generator,
        average: Average,
        adam: torch.optim.Optimizer,
        pairs: Assignments,
        goals: Goals,
        seed: int,
        epoch: int,
    ) -> None:
        """One pass over the shots at their codes, `batch` at a time."""
        n = len(goals.images)
        order = torch.arange(n, device=self.device)
        if self.shuffle:
            g = generator(seed, "rs_imle", "order", epoch)
            order = torch.randperm(n, generator=g).to(self.device)
        for j, picks in enumerate(order.split(self.batch)):
            for group in adam.param_groups:
                group["lr"] = self.rate(epoch * -(-n // self.batch) + j, epoch)
            each = self.losses(net(pairs.z[picks]), goals.at(picks))
            adam.zero_grad(set_to_none=True)
            each.mean().backward()
            adam.step()
            average.follow(net, keep=self.ema_keep)
            pairs.loss[picks] = each.detach().float()

    def sampler(self, state: State, *, draw: int) -> Sampler:
        """Image i is decoded from its own z ~ N(0, I): no rejection at test time."""
        net = self._network(state, "average" if self.sample.use_average else "net")

        @torch.no_grad()
        def images_at(indices: Sequence[int]) -> Images:
            z = ImageGenerators(draw, indices, "rs_imle").randn(self.architecture.latent_dim)
            return net(upload(z, self.device)).clamp(-1, 1).cpu().contiguous()

        return images_at

    @torch.no_grad()
    def reconstruct(self, state: State) -> Images:
        """The shots as decoded from the codes that they ended with."""
        net = self._network(state, "net")
        return net(state.tensors["codes"].to(self.device)).clamp(-1, 1).cpu().contiguous()

    def _network(self, state: State, part: str) -> Generator:
        head, net = f"{part}/", Generator(self.architecture)
        own = {k[len(head) :]: v for k, v in state.tensors.items() if k.startswith(head)}
        net.load_state_dict(own)
        net = net.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        return compiled(net.eval())
