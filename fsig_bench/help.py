"""The words of the command line and their help texts. Imports nothing that is slow to import."""

from __future__ import annotations

import ast
import difflib
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent

# word -> the module whose `main(words)` does the word's work and whose docstring is its help
WORDS = {
    "report": "fsig_bench.report.__main__",
    "runs": "fsig_bench.runs",
    "compare": "fsig_bench.report.compare",
    "gallery": "fsig_bench.report.gallery",
    "prepare": "fsig_bench.prepare",
    "tune": "fsig_bench.tune.__main__",
    "score": "fsig_bench.runner.score_files",
    "check": "fsig_bench.runner.contract",
    "audit": "fsig_bench.report.audit.__main__",
    "submit": "fsig_bench.report.board.submit",
    "leaderboard": "fsig_bench.report.board.__main__",
    "list": "fsig_bench.listing",
}
GROUPS = {
    "method": "how the k shots become a generator",
    "dataset": "the target domain",
    "suite": "scale: source model, resolution, feature network",
    "protocol": "which metrics, and how they count",
    "tracker": "where runs can be followed live",
    "experiment": "named changes to everything",
}
TEXT = """\
fsig_bench: a benchmark harness for few-shot image generation.
Takes a method, a source model and k target images; gives samples and numbers that another lab can
reproduce.

Usage: fsig-bench [-m] method=NAME dataset=NAME [setting=value ...]      one run, or a sweep with -m
       fsig-bench WORD ...                                               {words}
       `python -m fsig_bench` is the same as `fsig-bench`. Each word has its own --help.

Examples
  fsig-bench method=crdi dataset=babies
  fsig-bench method=crdi dataset=babies experiment=smoke      a minute at most, rough numbers
  fsig-bench method=crdi dataset=babies preflight=only        checks everything, says what is done
  fsig-bench method=crdi dataset=babies method.segments=1 method.sample.anneal_scale=0
  fsig-bench method=crdi dataset=folder dataset.path=~/photos k=10
  fsig-bench -m method=crdi dataset=babies,sketches seed=0,1,2

Choices
{choices}
Settings
  k=10             shots the method may see       subset=0    which k shots (0: the canonical list)
  num_images=500   samples to draw and score      seed=0      of adapting     draw=0   of sampling
  batch_size=50    speed and memory only          workers=1   sampling processes
  device=auto      auto | cpu | cuda              controls=[source,copy,real]  run with the method
  method.*, dataset.*: see conf/method/NAME.yaml, where each value says where it comes from;
  --cfg job prints the whole resolved config; --config-dir DIR adds a folder of your own YAML.

Results
  <results_dir>/runs/<suite>/<method>/<dataset>/k<k>-seed<seed>-<run id>/     results_dir=results
    record.json                 every number, setting, version and cost of the run
    samples.png  tsne.png  reconstruction.png
  A run that is there is not made again; a run that was killed continues where it stood.

Other words
  fsig-bench report     tables, figures and an HTML report of the runs on disk; verify
  fsig-bench runs       what is done, running, failed; why a run is not reused; verify, prune
  fsig-bench compare    two methods, by paired differences
  fsig-bench gallery    one row of samples for each method
  fsig-bench score      numbers of images that were made elsewhere
  fsig-bench check      does a method keep the contract?
  fsig-bench audit      which metric sees which planted fault, and how early?
  fsig-bench tune       settings of a method chosen on the shots alone
  fsig-bench prepare    the paper suite's images, downloaded or imported
  fsig-bench submit     a bundle of runs for the leaderboard
  fsig-bench leaderboard    checks bundles, scores them again, and builds the page
  fsig-bench list       methods, datasets, protocols, metrics, suites and presets, a line each
  dry_run=true, preflight=only    what a run would do and what it costs"""


def usage(conf: Path) -> str:
    """The help text of a run, with the choices that the folder `conf` holds."""
    lines = []
    for group, what in GROUPS.items():
        names = " ".join(sorted(p.stem for p in (conf / group).glob("*.yaml")))
        lines.append(f"  {group + '=':<12} {names}\n{'':<15}{what}\n")
    return TEXT.format(choices="".join(lines), words=" ".join(WORDS))


def word_usage(word: str) -> str:
    """The help text of a word: the docstring of its module, which is not imported."""
    path = Path(PACKAGE, *WORDS[word].split(".")[1:]).with_suffix(".py")
    text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
    assert text is not None  # a test reads all of them
    return text


def asks_for_help(words: list[str]) -> bool:
    """Whether `--help` or `-h` is among the words."""
    return bool({"--help", "-h"} & set(words))


def nearest(name: str, known: list[str]) -> str:
    """A hint at the known name that is spelled most like `name`, with a leading blank, or ""."""
    found = difflib.get_close_matches(name, known, 1, 0.5)
    return f" Did you mean {found[0]}?" if found else ""
