"""A faceworld domain as a few-shot target: shots, reference and fresh images never overlap."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from fsig_bench.faceworld.domains import RENDERING, check

if TYPE_CHECKING:
    from torch import Tensor

SHOTS_PER_SUBSET = 100


@dataclass(frozen=True, kw_only=True)
class FaceworldDataset:
    """The mini suite's dataset; `subset` picks other shots of the same domain."""

    name: str
    domain: str
    n_ref: int
    source_domain: str
    is_computed = True  # from code alone: no file of the user's can change it

    def check(self, k: int, subset: int) -> None:
        """Raises ValueError when k, subset or n_ref cannot be had."""
        check(self.domain, "shots")
        if k > SHOTS_PER_SUBSET:
            raise ValueError(
                f"k={k} shots asked for, but faceworld's {self.domain} has {SHOTS_PER_SUBSET} in "
                f"each subset; ask for k<={SHOTS_PER_SUBSET}"
            )
        if subset < 0:
            raise ValueError(f"subset={subset}: subsets count from 0, the canonical shot list")
        if self.n_ref < 100:
            raise ValueError(
                f"dataset.n_ref={self.n_ref} reference images are too few to score against; "
                "give at least 100 (the default is 2500)"
            )

    def _shot_indices(self, k: int, subset: int) -> range:
        first = subset * SHOTS_PER_SUBSET
        return range(first, first + k)

    def shots(self, k: int, subset: int) -> Tensor:
        """uint8 [k, 3, 64, 64]."""
        from fsig_bench.faceworld.render import render

        return render(self.domain, "shots", self._shot_indices(k, subset))[0]

    def shot_names(self, k: int, subset: int) -> list[str]:
        """One name a shot."""
        return [f"{self.domain}/shots/{i}" for i in self._shot_indices(k, subset)]

    def reference_images(self, k: int, subset: int) -> Tensor:
        """uint8 [n_ref, 3, 64, 64], the same for every k and subset."""
        return _reference(self.domain, self.n_ref)

    def reference_at(self, indices: Sequence[int]) -> Tensor:
        """Some of `reference_images`, uint8 [n, 3, 64, 64], without drawing the others."""
        from fsig_bench.faceworld.render import render

        if outside := [i for i in indices if not 0 <= i < self.n_ref]:
            raise ValueError(f"reference images {outside}: {self.name} has 0 to {self.n_ref - 1}")
        return render(self.domain, "reference", indices)[0]

    def fingerprint(self, k: int, subset: int) -> str:
        """What decides the shots' pixels."""
        return _digest(f"{RENDERING}/{self.domain}/shots/{k}/{subset}")

    def reference_fingerprint(self) -> str:
        """What decides the reference's pixels."""
        return _digest(f"{RENDERING}/{self.domain}/reference/{self.n_ref}")


@lru_cache(maxsize=4)
def _reference(domain: str, n_ref: int) -> Tensor:
    """Drawn once for a method and its controls."""
    from fsig_bench.faceworld.render import render

    return render(domain, "reference", range(n_ref))[0]


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
