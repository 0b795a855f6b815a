"""`python tests/bench/openmp_waits.py`: what short waits of OpenMP's threads are worth.

CRDI's adaptation on a target of the mini suite, with as many threads as there are cores: with the
waits that `fsig-bench` sets, and with GNU OpenMP's own; alone, and beside a busy process for every
core. The two take turns; each ratio is that of the medians.
"""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

ROOT = Path(__file__).resolve().parents[2]
REPEATS = 3
WORDS = "method=crdi dataset=babies controls=[]".split()
# What GNU OpenMP does without a setting, on a machine with at least as many cores as threads.
WAITS = {"short waits": {}, "OpenMP's own": {"GOMP_SPINCOUNT": "300000"}}


@contextmanager
def busy(count: int) -> Iterator[None]:
    """`count` processes that keep a core busy each."""
    loops = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
    try:
        yield
    finally:
        for loop in loops:
            loop.kill()
            loop.wait()


def adapting_s(waits: dict[str, str]) -> float:
    """Seconds that one adaptation takes, from the run's own line; the run ends with it."""
    unset = ("OMP_NUM_THREADS", "OMP_WAIT_POLICY", "GOMP_SPINCOUNT")
    environment = {k: v for k, v in os.environ.items() if k not in unset} | waits
    environment["PYTHONUNBUFFERED"] = "1"  # the line comes when it is printed
    with TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "fsig_bench", *WORDS, f"results_dir={folder}"]
        with subprocess.Popen(
            command,
            cwd=ROOT,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        ) as run:
            assert run.stdout
            printed = []
            for line in run.stdout:
                printed.append(line)
                if found := re.match(r"adapt crdi .* in ([0-9.]+) s", line):
                    run.kill()
                    return float(found[1])
    raise SystemExit("".join(printed))


def main() -> None:
    """Prints the seconds and the ratio, alone and beside busy processes."""
    cores = len(os.sched_getaffinity(0))
    for others in (0, cores):
        took: dict[str, list[float]] = {name: [] for name in WAITS}
        with busy(others):
            for _ in range(REPEATS):
                for name, waits in WAITS.items():
                    took[name].append(adapting_s(waits))
        short, own = (median(seconds) for seconds in took.values())
        print(f"beside {others} busy processes: {short:.1f} s, {own:.1f} s: {own / short:.2f}")
        print(f"  {took}", flush=True)


if __name__ == "__main__":
    main()
