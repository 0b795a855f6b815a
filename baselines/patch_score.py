"""The optimal denoiser of the shots' patches: no network, no source model, nothing is fitted.

Kamb & Ganguli, "An analytic theory of creativity in convolutional diffusion models", ICML 2025,
arXiv:2412.20292: what a denoiser does best if it sees a patch around each pixel only. For pixel p
with patch O_p of x_t, candidates are the shots' patches O_{p + s} for shifts s within `reach`:

    x0_hat(p) = sum_{j,s} w_js(p) y_j(p + s),
    w_js(p) = softmax_{j,s} ( -||x_t(O_p) - sqrt(abar) y_j(O_{p+s})||^2 / (2 (1 - abar)) ).

With reach 0 this is the paper's local score machine, with the whole image as reach its equivariant
one with broken boundaries: a patch that the border cuts is compared with patches cut alike. A
patch as large as the image gives the posterior mean over whole shots, which replays them. The paper
calibrates the patch's size at each noise level on a trained network; there is none here, so it
shrinks geometrically from `largest` to `smallest`, which is ours.

Shape legend: n images, k shots, h height, w width.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from baselines.common.diffusion import Schedule, ddim_step
from fsig_bench.api import ImageGenerators, Images, Progress, Sampler, State, upload


def box_sums(x: Tensor, half: int) -> Tensor:
    """Sums over squares of 2 half + 1 pixels, cut at the border: [n, h, w] -> [n, h, w]."""
    for axis in (1, 2):
        side = x.shape[axis]
        if half >= side - 1:
            x = x.sum(axis, keepdim=True).expand_as(x)
            continue
        rows = x.transpose(axis, 2)
        size = 2 * half + 1
        rows = F.avg_pool1d(rows, size, stride=1, padding=half) * size
        x = rows.transpose(axis, 2)
    return x


def matching(side: int, shift: int, half: int) -> Tensor:
    """Bool [side]: places whose patch, moved by the shift, is cut at the border as it was."""
    place = torch.arange(side)
    moved = place + shift

    def cuts(at: Tensor) -> tuple[Tensor, Tensor]:
        return at.clamp(max=half), (side - 1 - at).clamp(max=half)

    alike = [a == b for a, b in zip(cuts(place), cuts(moved), strict=True)]
    return alike[0] & alike[1] & (moved >= 0) & (moved < side)


def shifts(side: int, reach: int, half: int) -> Iterator[tuple[tuple[int, int], Tensor]]:
    """((down, right), bool [side, side] of the places that it is allowed at), (0, 0) first."""
    steps = range(-min(reach, side - 1), min(reach, side - 1) + 1)
    masks = {step: matching(side, step, half) for step in steps}
    pairs = ((down, right) for down in steps for right in steps)
    for down, right in sorted(pairs, key=lambda pair: (abs(pair[0]) + abs(pair[1]), pair)):
        mask = masks[down][:, None] & masks[right]
        if mask.any():
            yield (down, right), mask


def denoise(x: Tensor, shots: Tensor, *, abar: float, half: int, reach: int) -> Tensor:
    """x0_hat [n, 3, h, h] of noisy images under the law of the shots' patches.

    Args:
        x: x_t, [n, 3, h, h].
        shots: [k, 3, h, h].
        abar: of the step.
        half: patches have 2 half + 1 pixels a side.
        reach: pixels that a patch may be moved by, in each direction.
    """
    n, k, side = len(x), len(shots), x.shape[-1]
    top = x.new_full((n, side, side), -torch.inf)
    total, pulled = torch.zeros_like(top), torch.zeros_like(x)
    for (down, right), mask in shifts(side, reach, half):
        moved = torch.roll(shots, (-down, -right), (2, 3))  # moved(p) is the shot at p + shift
        gaps = (x[:, None] - abar**0.5 * moved).square().sum(2)  # [n, k, h, h]
        logits = -box_sums(gaps.flatten(0, 1), half).view(n, k, side, side) / (2 * (1 - abar))
        logits = logits.masked_fill(~mask.to(x.device), -torch.inf)
        # A softmax that is kept up while candidates come in: sums relative to the largest so far.
        peak = torch.maximum(top, logits.amax(1))
        weights = (logits - peak[:, None]).exp()
        fade = (top - peak).exp()
        total = fade * total + weights.sum(1)
        pulled = fade[:, None] * pulled + torch.einsum("nkhw,kchw->nchw", weights, moved)
        top = peak
    return pulled / total[:, None]


@dataclass(frozen=True, kw_only=True)
class PatchScore:
    """The method; its values stand in conf/method/patch_score.yaml."""

    device: str
    num_steps: int
    largest: int  # pixels of a patch's side at the noisiest step
    smallest: int  # and at the last one
    reach: int | None  # None: patches from anywhere in the shots
    mirror: bool  # mirrored shots count as shots too

    def __post_init__(self) -> None:
        if not 1 <= self.smallest <= self.largest:
            raise ValueError(
                f"smallest={self.smallest}, largest={self.largest}: give 1 <= smallest <= largest"
            )
        if self.reach is not None and self.reach < 0:
            raise ValueError(f"reach={self.reach}: give 0 or more, or null for the whole image")

    @property
    def nfe_per_image(self) -> float:
        """No network is asked."""
        return 0

    def planned_nfe(self, k: int) -> int:
        """No network is asked."""
        return 0

    def half(self, i: int) -> int:
        """Half the side of a patch at step i, rounded down: sizes are odd, geometric in i."""
        size = self.smallest * (self.largest / self.smallest) ** (i / max(self.num_steps - 1, 1))
        return round((size - 1) / 2)

    def adapt(self, shots: Images, *, seed: int, progress: Progress) -> State:
        """Keeps the shots."""
        kept = torch.cat([shots, shots.flip(3)]) if self.mirror else shots.clone()
        return State(tensors={"shots": kept}, seed=seed, trained_params=0, nfe_adapt=0)

    def sampler(self, state: State, *, draw: int) -> Sampler:
        """Image i is denoised by DDIM from its own Gaussian noise."""
        shots = state.tensors["shots"].to(self.device)
        schedule, side = Schedule.respaced(self.num_steps), shots.shape[-1]
        reach = side if self.reach is None else self.reach

        @torch.no_grad()
        def images_at(indices: Sequence[int]) -> Images:
            noise = ImageGenerators(draw, indices, "patch_score").randn(*shots.shape[1:])
            x = upload(noise, self.device)
            for i in range(len(schedule) - 1, -1, -1):
                abar = schedule.abar[i]
                x0 = denoise(x, shots, abar=abar, half=self.half(i), reach=reach)
                x = ddim_step(x, x0, abar=abar, abar_prev=schedule.abar_prev(i))
            return x.clamp(-1, 1).cpu()

        return images_at
