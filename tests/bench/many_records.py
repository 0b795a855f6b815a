"""Lists and tables of many records: time and peak memory, first and second time.

    python tests/bench/many_records.py [RECORDS=20000] [FOLDER]

Makes a results folder (in FOLDER, or a temporary one) with that many sealed records: those of
results/reference under other seeds, draw seeds and run ids, with numbers that differ. Then runs
`runs` and `report only=tables` in processes of their own, twice each. The first time makes the
index of the records, the second finds it. Prints a Markdown table.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from fsig_bench.store.files import seal
from fsig_bench.store.store import run_folder_name

ROOT = Path(__file__).parents[2]
REFERENCE = ROOT / "results" / "reference"
GOALS = {"runs": (3.0, 300.0), "report only=tables": (15.0, 500.0)}  # seconds, MB


def make_records(root: Path, count: int) -> None:
    """Writes `count` records below a results folder."""
    models = [json.loads(p.read_text()) for p in sorted(REFERENCE.rglob("record.json"))]
    rng = random.Random(0)
    for n in range(count):
        model = models[n % len(models)]
        own = {k: v for k, v in model.items() if k != "seal"}
        seed = 100 + n // len(models)
        own |= {"record_version": 3, "run_id": f"{n:010x}", "seed": seed, "draw": seed % 3}
        own["config"] = own["config"] | {"seed": seed, "draw": seed % 3}
        own["metrics"] = {name: nudged(m, rng) for name, m in own["metrics"].items()}
        folder = root / run_folder_name(own, own["run_id"])
        folder.mkdir(parents=True)
        text = json.dumps(own | {"seal": seal(own)}, indent=2) + "\n"
        (folder / "record.json").write_text(text)


def nudged(metric: dict, rng: random.Random) -> dict:
    """A metric with a value of its own."""
    value = metric["value"]
    return metric if value is None else metric | {"value": value * rng.uniform(0.9, 1.1)}


def measured(words: list[str], root: Path) -> tuple[float, float, int]:
    """Seconds, peak resident memory in MB, and lines of output of a command."""
    began = time.perf_counter()
    command = [sys.executable, "-m", "fsig_bench", *words, f"results_dir={root}"]
    with tempfile.TemporaryFile() as out:
        process = subprocess.Popen(command, cwd=ROOT, stdout=out, env=os.environ)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        spent = time.perf_counter() - began
        out.seek(0)
        lines = out.read().count(b"\n")
    if process.returncode:
        raise SystemExit(f"{' '.join(words)} failed with exit status {process.returncode}")
    return spent, usage.ru_maxrss / 1024, lines


def measure(root: Path, count: int) -> bool:
    """Prints the table; whether the second times meet the goals."""
    print("| command | records | time | peak memory | goal |")
    print("|---|--:|--:|--:|--:|")
    met = True
    for name, (seconds, megabytes) in GOALS.items():
        for when in ("first", "second"):
            spent, peak, lines = measured(name.split(), root)
            assert lines > (count if name == "runs" else 20), f"{name} printed {lines} lines"
            print(
                f"| {name}, {when} time | {count:,} | {spent:.1f} s | {peak:.0f} MB "
                f"| {seconds:.0f} s, {megabytes:.0f} MB |",
                flush=True,
            )
        met &= spent < seconds and peak < megabytes
    return met


def main(count: int = 20_000, folder: Path | None = None) -> bool:
    """Makes the records and measures."""
    with tempfile.TemporaryDirectory() as temporary:
        root = folder or Path(temporary) / "results"
        if not (root / "runs").is_dir():
            make_records(root, count)
            time.sleep(3)  # an index takes no file that has just been written
        return measure(root, count)


if __name__ == "__main__":
    given = sys.argv[1:]
    met = main(int(given[0]) if given else 20_000, Path(given[1]) if given[1:] else None)
    raise SystemExit(not met)
