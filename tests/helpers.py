"""Composes and runs cells as the command line does."""

import json
import os
import subprocess
import sys
from copy import deepcopy
from functools import lru_cache
from pathlib import Path

from warm_process import WarmProcess, run_warm

from fsig_bench.runner.build import build_method
from fsig_bench.runner.compose import compose_config
from fsig_bench.runner.resolve import resolve

ROOT = Path(__file__).resolve().parent.parent
# Two quick metrics and a quick picture, where a test is about neither.
BRIEF = [f"hydra.searchpath=[file://{ROOT / 'tests' / 'conf'}]", "protocol=brief"]
BRIEF += ["figures.embedding=pca"]
# A sweep of the smallest cells, as the command takes it.
SWEEP = ["-m", *BRIEF, "dataset=babies", "k=2", "dataset.n_ref=100", "suite.shard_size=4"]
SWEEP += ["num_images=8", "batch_size=4", "figures.tsne_points=12", "controls=[]"]
PIPES = {"capture_output": True, "text": True}


def composed(*overrides):
    """The config of these words; the files of conf/ stay as they are during the tests."""
    own = [w for w in overrides if "searchpath" in w and w not in BRIEF]
    return compose_config(overrides) if own else deepcopy(composed_once(overrides))


@lru_cache(maxsize=512)
def composed_once(overrides):
    return compose_config(overrides)


def make_cell(*overrides):
    return resolve(composed(*overrides))


def build(cell):
    return build_method(cell.method, cell.place)


def command(*overrides):
    return [sys.executable, "-m", "fsig_bench", *overrides]


def start(*overrides, env=None, cwd=ROOT, new_session=False):
    """The command with these words, under way; its standard output and error are kept apart."""
    own = os.environ | {"COLUMNS": "200"} | (env or {})
    return WarmProcess(overrides, cwd=cwd, env=own, new_session=new_session)


def cli(*overrides, check=True, env=None, warm=True, cwd=ROOT):
    """The command with these words; `warm=False`: with all that starting an interpreter takes."""
    own = os.environ | {"COLUMNS": "200"} | (env or {})
    if warm:
        done = run_warm(overrides, cwd=cwd, env=own)
    else:
        done = subprocess.run(command(*overrides), cwd=cwd, env=own, **PIPES)
    if check and done.returncode:
        raise AssertionError(f"{overrides} failed:\n{done.stdout}\n{done.stderr}")
    return done


def records(results_dir):
    found = [json.loads(p.read_text()) for p in Path(results_dir).glob("runs/**/record.json")]
    return {(r["method"], r["dataset"], r["num_images"], r["seed"]): r for r in found}
