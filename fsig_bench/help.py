"""`python -m fsig_bench --help`, without importing anything heavy."""

from __future__ import annotations

from fsig_bench.api.places import CONF

GROUPS = {
    "method": "how the k shots become a generator",
    "dataset": "the target domain",
    "suite": "scale: source model, resolution, feature network",
    "protocol": "which metrics, and how they count",
    "tracker": "where runs can be followed live",
    "experiment": "named diffs over everything",
}
TEXT = """\
fsig_bench: a benchmark harness for few-shot image generation.
Takes a method, a source model and k target images; gives samples and numbers that another lab can
reproduce.

Usage: python -m fsig_bench [-m] method=NAME dataset=NAME [setting=value ...]

Examples
  python -m fsig_bench method=crdi dataset=babies
  python -m fsig_bench method=crdi dataset=babies experiment=smoke      half a minute, rough numbers
  python -m fsig_bench method=crdi dataset=babies preflight=only        check, say what is done
  python -m fsig_bench method=crdi dataset=babies method.segments=1 method.sample.anneal_scale=0
  python -m fsig_bench method=crdi dataset=folder dataset.path=~/photos k=10
  python -m fsig_bench -m method=crdi dataset=babies,sketches seed=0,1,2

Choices
{choices}
Settings
  k=10             shots the method may see       seed=0      of every random draw
  num_images=500   samples to draw and score      subset=0    which k shots (0: the canonical list)
  batch_size=50    speed and memory only          workers=1   sampling processes
  device=auto      auto | cpu | cuda              controls=[source,copy,real]  run beside the method
  method.*, dataset.*: see conf/method/NAME.yaml, where each value says where it comes from;
  --cfg job prints the whole resolved config.

Results
  <results_dir>/runs/<suite>/<method>/<dataset>/k<k>-seed<seed>-<run id>/     results_dir=results
    record.json                 every number, setting, version and cost of the run
    samples.png  tsne.png  reconstruction.png
  A run that is there is not made again; a run that was killed continues where it stood.

Beside it
  python -m fsig_bench.report     tables, figures and an HTML report of the runs on disk
  python -m fsig_bench.runs       what is done, running, failed; why not reused; verify, prune
  python -m fsig_bench.tune       settings of a method chosen on the shots alone
  python -m fsig_bench.prepare    the paper suite's images, downloaded or imported
  dry_run=true, preflight=only    what a command would do and what it costs"""


def usage() -> str:
    """The help text, with the choices that conf/ holds."""
    lines = []
    for group, what in GROUPS.items():
        names = " ".join(sorted(p.stem for p in (CONF / group).glob("*.yaml")))
        lines.append(f"  {group + '=':<12} {names}\n{'':<15}{what}\n")
    return TEXT.format(choices="".join(lines))
