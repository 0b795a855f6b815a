"""faceworld splits as image pools and index-addressed images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import torch
from torch import Tensor

from fsig_bench.faceworld.domains import DOMAINS, check
from fsig_bench.faceworld.render import render


@dataclass(frozen=True, kw_only=True)
class FaceworldPool:
    """A fixed pool of `size` images, `domains` interleaved: what pretraining draws from."""

    domains: tuple[str, ...]
    split: str
    size: int

    def labelled(self, work: Path) -> dict[str, Tensor]:
        """Images uint8 [size, 3, 64, 64], factors [size, f], domain [size], a place in DOMAINS.

        They are kept in `work`.
        """
        from safetensors.torch import load_file, save_file

        path = work / f"pool-{'-'.join(self.domains)}-{self.split}-{self.size}.safetensors"
        if not path.exists():
            work.mkdir(parents=True, exist_ok=True)
            each = -(-self.size // len(self.domains))
            parts = [render(d, self.split, range(each)) for d in self.domains]
            names = list(DOMAINS)
            shown = [names.index(s) for part in parts for s in part[2]]
            tensors = {
                "images": torch.cat([part[0] for part in parts]),
                "factors": torch.cat([torch.from_numpy(part[1]) for part in parts]),
                "domain": torch.tensor(shown),
            }
            temporary = path.with_suffix(".tmp")
            save_file(tensors, temporary)
            temporary.replace(path)
        return load_file(path)

    def pool(self, work: Path) -> Tensor:
        """uint8 [size, 3, 64, 64]."""
        return self.labelled(work)["images"]


@lru_cache(maxsize=8)
def rendered(domain: str, split: str, indices: tuple[int, ...]) -> Tensor:
    """uint8 [n, 3, 64, 64]; kept, since every cell of a sweep asks for the same source images."""
    return render(domain, split, indices)[0]


@dataclass(frozen=True, kw_only=True)
class FaceworldImages:
    """One domain's split, addressed by index without end."""

    domain: str
    split: str

    def __post_init__(self) -> None:
        check(self.domain, self.split)

    def load(self, indices: Sequence[int]) -> Tensor:
        """uint8 [n, 3, 64, 64]."""
        return rendered(self.domain, self.split, tuple(indices)).clone()
