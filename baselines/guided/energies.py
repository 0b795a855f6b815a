"""Energies of embedded images relative to embedded shots, as pure functions.

Shape legend: u units, b images of a unit, n images, k shots, e embedding.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from baselines.common.choices import check_choices


@dataclass(frozen=True, kw_only=True)
class Kernel:
    """A kernel with its scale; k(a, b) of rows [..., m, e] and [..., n, e] is [..., m, n]."""

    kind: Literal["polynomial", "gaussian"]
    degree: int  # polynomial: (<a, b> / scale + 1)^degree
    scale: float  # polynomial: mean squared length of a row; gaussian: the squared bandwidth

    def __post_init__(self) -> None:
        check_choices(self)

    def __call__(self, a: Tensor, b: Tensor) -> Tensor:
        """The values of the kernel."""
        if self.kind == "polynomial":
            return (a @ b.transpose(-1, -2) / self.scale + 1) ** self.degree
        return (-squared_distances(a, b) / (2 * self.scale)).exp()

    def pull(self, a: Tensor, b: Tensor) -> Tensor:
        """sum_j of the gradient of k(a_i, b_j) with respect to a_i, [..., m, e], written out."""
        if self.kind == "polynomial":
            slope = self.degree * (a @ b.transpose(-1, -2) / self.scale + 1) ** (self.degree - 1)
            return slope @ b / self.scale
        value = self(a, b)
        return (value @ b - value.sum(-1, keepdim=True) * a) / self.scale


def squared_distances(a: Tensor, b: Tensor) -> Tensor:
    """||a_i - b_j||^2 [..., m, n] of rows [..., m, e] and [..., n, e], never below 0."""
    lengths = a.square().sum(-1)[..., :, None] + b.square().sum(-1)[..., None, :]
    return (lengths - 2 * a @ b.transpose(-1, -2)).clamp(min=0)


def typical_distance(shots: Tensor) -> float:
    """The median distance between two of the shots [k, e]; the length of the shot if k is 1."""
    if len(shots) == 1:
        return float(shots.norm())
    return float(torch.pdist(shots).median())


def kernel_for(
    shots: Tensor, *, kind: Literal["polynomial", "gaussian"], degree: int, bandwidth: float
) -> Kernel:
    """A kernel at the scale of the shots' embeddings [k, e].

    Args:
        shots: embedded shots.
        kind: of the kernel.
        degree: of a polynomial.
        bandwidth: of a Gaussian, in units of `typical_distance`.
    """
    if kind == "polynomial":
        scale = float(shots.square().sum(1).mean())
    else:
        scale = (bandwidth * typical_distance(shots)) ** 2
    return Kernel(kind=kind, degree=degree, scale=max(scale, 1e-12))


def mmd(images: Tensor, shots: Tensor, kernel: Kernel) -> Tensor:
    """MMD^2 of each unit [u, b, e] and the shots [k, e], [u] (Gretton et al., JMLR 2012, Eq. 5).

    The estimate with all pairs: never below 0 but for rounding, and 0 for the shots themselves.
    """
    own = kernel(images, images).mean((-1, -2))
    cross = kernel(images, shots).mean((-1, -2))
    return own - 2 * cross + kernel(shots, shots).mean()


def mmd_gradient(images: Tensor, shots: Tensor, kernel: Kernel) -> Tensor:
    """The gradient of `mmd` with respect to images [u, b, e], times b, in closed form.

    Times b, so that the pull on an image does not shrink as its unit grows.
    """
    b, k = images.shape[-2], len(shots)
    return 2 * kernel.pull(images, images) / b - 2 * kernel.pull(images, shots) / k


def nearest(images: Tensor, assigned: Tensor) -> Tensor:
    """Squared distance of each image [n, e] to the shot it is assigned to [n, e], [n]."""
    return (images - assigned).square().sum(-1)


def density(images: Tensor, shots: Tensor, *, scale: float) -> Tensor:
    """-log mean_j exp(-||z - s_j||^2 / (2 scale)) of images [n, e] and shots [k, e], [n]."""
    logits = -squared_distances(images, shots) / (2 * scale)
    return math.log(len(shots)) - logits.logsumexp(-1)
