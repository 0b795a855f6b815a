"""Work through the rows of large sets block by block; the standard error from blocks of samples.

Shape legend: b and n rows, d features.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

BLOCK = 1024  # rows of the distance matrix in memory at a time, at most
MOST = 1 << 24  # numbers of the distance matrix in memory at a time
MANY = 16  # where more than one pair in so many is near a limit, all are computed without products


def block_of(columns: int) -> int:
    """How many rows of a distance matrix are computed at a time."""
    return max(1, min(BLOCK, MOST // columns))


def exact_distances(a: Tensor, b: Tensor) -> Tensor:
    """Distances between rows [b, d] and [n, d], float64 [b, n]: equal rows are 0 apart.

    From differences, one pair at a time, so that equal pairs have equal distances wherever they
    stand. Matrix products are some 15 times as fast and leave equal rows up to 1e-7 apart.
    """
    return torch.cdist(a.double(), b.double(), compute_mode="donot_use_mm_for_euclid_dist")


def rough_distances(a: Tensor, b: Tensor) -> Tensor:
    """As `exact_distances` of float64 rows, from a matrix product."""
    return torch.cdist(a, b, compute_mode="use_mm_for_euclid_dist")


def settled(rough: Tensor, a: Tensor, b: Tensor, *limits: Tensor) -> Tensor:
    """Rough distances [b, n], but exact where rounding may put them on a limit's wrong side.

    Args:
        rough: `rough_distances` of a and b; changed in place.
        a: float64 [b, d].
        b: float64 [n, d].
        limits: float64, each of a shape that broadcasts to [b, n].
    """
    d = a.shape[1]
    # Twice the bound on the error of a squared distance from a product of d + 2 terms.
    largest = a.square().sum(1).max() + b.square().sum(1).max()
    slack = 4 * (d + 4) * torch.finfo(torch.float64).eps * largest
    near = torch.zeros_like(rough, dtype=torch.bool)
    for limit in limits:
        least, most = ((limit.square() + s).clamp(min=0).sqrt() for s in (-slack, slack))
        near |= (rough >= least) & (rough <= most)
    rows, columns = near.nonzero(as_tuple=True)
    if len(rows) * MANY > rough.numel():
        return exact_distances(a, b)
    size = max(1, MOST // d)
    for i, j in zip(rows.split(size), columns.split(size), strict=True):
        rough[i, j] = exact_distances(a[i, None], b[j, None])[:, 0, 0]
    return rough


def distances_about(a: Tensor, b: Tensor, *limits: Tensor) -> Tensor:
    """Distances between float64 rows, as `settled` with these limits."""
    return settled(rough_distances(a, b), a, b, *limits)


def radii(x: Tensor, k: int) -> Tensor:
    """Distance of each row of x [n, d] to its k-th nearest other row, float64 [n], exact."""
    x = x.double()

    def of(rows: Tensor) -> Tensor:
        rough = rough_distances(rows, x)
        near = rough.kthvalue(k + 1, dim=1, keepdim=True).values
        return settled(rough, rows, x, near).kthvalue(k + 1, dim=1).values

    return torch.cat([of(rows) for rows in x.split(block_of(len(x)))])


def block_error(
    value: Callable[[Tensor], float], fake: Tensor, blocks: int
) -> dict[str, float | int] | None:
    """How far a number of n samples may move: from equal, disjoint blocks of the samples [n, d].

    The standard error of the whole, taken as the blocks' deviation over the root of their number.
    Without replacement: repeated rows would lower the rank and raise Frechet distances. The blocks'
    own level is biased by their size and is not given. Where samples and reference have nearly the
    same law it is conservative: there Frechet distances and KID move by 1 / n and not by its root,
    so that five blocks say about twice too much. None where blocks would be too small.
    """
    size = len(fake) // blocks
    if blocks < 2 or size < 10:
        return None
    values = torch.tensor([value(part) for part in fake[: size * blocks].split(size)])
    return {"blocks": blocks, "size": size, "standard_error": float(values.std()) / blocks**0.5}
