"""How much quicker are words composed whose groups were composed before?

    python tests/bench/composition.py [REPEATS=20]

Prints processor time by Hydra alone and by `compose_words`, words that differ in their seed.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence

from fsig_bench.runner.composition import compose_by_hydra, compose_words

WORDS = ["method=crdi", "dataset=babies", "k=2", "num_images=8", "controls=[]"]


def measure_ms(compose: Callable[[Sequence[str]], object], repeats: int) -> float:
    """Mean processor time of one composition, after a first one."""
    compose([*WORDS, "seed=0"])
    began = time.process_time()
    for seed in range(1, repeats + 1):
        compose([*WORDS, f"seed={seed}"])
    return 1000 * (time.process_time() - began) / repeats


def main() -> None:
    """Prints one line."""
    repeats = int(sys.argv[1]) if len(sys.argv) > 1 else 20
    whole, kept = (measure_ms(f, repeats) for f in (compose_by_hydra, compose_words))
    print(f"Hydra {whole:.0f} ms, groups kept {kept:.1f} ms: {whole / kept:.0f} times quicker")


if __name__ == "__main__":
    main()
