"""Are jobs side by side faster than one after the other?  python tests/bench/side_by_side.py

Two cells through Hydra's own launcher and through `side_by_side`; prints seconds and their ratio.
Arguments are further overrides: `hydra.launcher.n_jobs=4`, another method, more images.
"""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CELL = ["dataset=babies", "k=3", "dataset.n_ref=100", "controls=[]", "method=source", "device=cpu"]
CELL += ["num_images=20", "suite.shard_size=10", "method.num_steps=10", "seed=0,1"]


def seconds(launcher: str, more: list[str]) -> float:
    env = {k: v for k, v in os.environ.items() if k != "OMP_NUM_THREADS"}
    with tempfile.TemporaryDirectory() as folder:
        words = ["-m", f"hydra/launcher={launcher}", *CELL, f"results_dir={folder}", *more]
        began = time.perf_counter()
        subprocess.run(
            [sys.executable, "-m", "fsig_bench", *words],
            cwd=ROOT,
            env=env,
            stdout=subprocess.DEVNULL,
            check=True,
            timeout=600,
        )
        return time.perf_counter() - began


own = [word for word in sys.argv[1:] if not word.startswith("hydra.launcher.")]
one = seconds("basic", own)
print(f"one after the other {one:6.1f} s")
many = seconds("side_by_side", sys.argv[1:])
print(f"side by side        {many:6.1f} s   ratio {many / one:.2f}")
