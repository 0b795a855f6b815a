"""The crossed part of records: every one of some shots with every one of some seeds and draws."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from fsig_bench.report.inference.components import Component, components
from fsig_bench.report.inference.units import Chance

Levels = tuple[int, ...]
ANY = -1  # the draw's level where a draw belongs to its seed: no axis of its own


@dataclass(frozen=True, kw_only=True)
class Block:
    """A balanced design that runs fill."""

    subsets: Levels
    seeds: Levels
    draws: Levels

    @property
    def shape(self) -> tuple[int, int, int]:
        return len(self.subsets), len(self.seeds), len(self.draws)

    @property
    def size(self) -> int:
        return len(self.subsets) * len(self.seeds) * len(self.draws)


@dataclass(frozen=True, kw_only=True)
class Pooled:
    """Variance components of one method and metric, pooled over targets of one design."""

    targets: tuple[str, ...]
    shape: tuple[int, int, int]  # subsets, seeds, draws
    components: Mapping[str, Component]  # arrays without axes
    shared: tuple[str, ...]  # of "seeds" and "draws", those that targets have in common


def crossed_block(there: Iterable[Chance]) -> Block | None:
    """The largest balanced design of at least two sets of shots and two seeds.

    Runs whose draw seed equals their seed make a design with one draw for each state.
    """
    chances = set(there)
    tied = {Chance(c.subset, c.seed, ANY) for c in chances if c.draw == c.seed}
    found = [block for c in (chances, tied) if (block := _largest(c))]
    return max(found, key=lambda b: (b.size, len(b.draws), b.subsets), default=None)


def _largest(chances: Iterable[Chance]) -> Block | None:
    by_state: dict[tuple[int, int], set[int]] = {}
    for chance in chances:
        by_state.setdefault((chance.subset, chance.seed), set()).add(chance.draw)
    best: Block | None = None
    for draws in _closed({frozenset(d) for d in by_state.values()}):
        seeds_of: dict[int, set[int]] = {}
        for (subset, seed), own in by_state.items():
            if draws <= own:
                seeds_of.setdefault(subset, set()).add(seed)
        for seeds in _closed({frozenset(s) for s in seeds_of.values()}):
            subsets = tuple(sorted(s for s, own in seeds_of.items() if seeds <= own))
            block = Block(subsets=subsets, seeds=tuple(sorted(seeds)), draws=tuple(sorted(draws)))
            if len(subsets) < 2 or len(seeds) < 2:
                continue
            if best is None or _order(block) > _order(best):
                best = block
    return best


def _order(block: Block) -> tuple[int, int, Levels, Levels, Levels]:
    return block.size, len(block.subsets), block.subsets, block.seeds, block.draws


def _closed(sets: set[frozenset[int]]) -> list[frozenset[int]]:
    """The sets and the intersections of two of them, without the empty one, in a fixed order."""
    both = {a & b for a, b in combinations(sorted(sets, key=sorted), 2)}
    return sorted((sets | both) - {frozenset()}, key=sorted)


def pooled_components(by_target: Mapping[str, Mapping[Chance, float]]) -> Pooled | None:
    """The components of one method and metric.

    Targets whose crossed parts have unlike shapes are not pooled: those of the shape with the most
    runs are taken.

    Args:
        by_target: a value for each run.

    Returns:
        None where no target has a crossed part.
    """
    blocks = {t: block for t, runs in by_target.items() if (block := crossed_block(runs))}
    if not blocks:
        return None
    runs_of: dict[tuple[int, int, int], int] = {}
    for block in blocks.values():
        runs_of[block.shape] = runs_of.get(block.shape, 0) + block.size
    shape = max(runs_of, key=lambda s: (runs_of[s], s))
    targets = tuple(sorted(t for t, block in blocks.items() if block.shape == shape))
    values = [_filled(by_target[t], blocks[t]) for t in targets]
    own = [blocks[t] for t in targets]
    levels = {"seeds": [b.seeds for b in own], "draws": [b.draws for b in own]}
    shared = tuple(name for name, found in levels.items() if _overlap(found))
    found = components(np.array(values), shared=shared)
    return Pooled(targets=targets, shape=shape, components=found, shared=shared)


def _overlap(levels: Sequence[Levels]) -> bool:
    """Whether two targets have a level in common."""
    return sum(map(len, levels)) > len({level for own in levels for level in own})


def _filled(runs: Mapping[Chance, float], block: Block) -> list[list[list[float]]]:
    """The runs' values, [subsets][seeds][draws]."""

    def value(subset: int, seed: int, draw: int) -> float:
        return runs[Chance(subset, seed, seed if draw == ANY else draw)]

    return [[[value(s, a, d) for d in block.draws] for a in block.seeds] for s in block.subsets]
