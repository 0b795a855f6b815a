"""Does what a table lacks: says all of it, asks once, fetches, prepares, runs, prints the table.

Everything that is made is kept as it is made, so that the same command goes on after a kill.
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from omegaconf import DictConfig

from fsig_bench.api.assets import check_space
from fsig_bench.api.files import write_bytes
from fsig_bench.api.places import cache_folder
from fsig_bench.console import console
from fsig_bench.report.fill.costs import cheapest_first, cost_lines
from fsig_bench.report.fill.plan import FillRun, runs_of
from fsig_bench.report.records import load, record_files, record_folders
from fsig_bench.report.tables import build_table, load_spec, render_markdown, write_tables
from fsig_bench.report.tables.model import Table
from fsig_bench.report.tables.spec import TableSpec
from fsig_bench.runner.needs import Needs, needs_of
from fsig_bench.store.store import Store
from fsig_bench.words import read_switch, switch

PLACE = ("device", "batch_size", "compile", "data_dir")  # passed on to every run
CHOOSING = ("method", "dataset", "protocol", "seed")  # which runs, as comma-separated lists
USER_ERRORS = (ValueError, OSError, FloatingPointError, RuntimeError)


@dataclass(frozen=True, kw_only=True)
class Filling:
    """A table that is to be filled."""

    spec: TableSpec
    results: Path
    out: Path
    given: Mapping[str, str]  # what the user typed
    config_dir: Path | None

    def table(self) -> Table:
        """As the records on disk have it now."""
        folders = record_folders([str(self.results)]) if self.results.is_dir() else []
        there = any(record_files(folder) for folder in folders)
        return build_table(self.spec, load(folders, short=True) if there else [])

    def runs(self) -> list[FillRun]:
        """Those that the table lacks and the user asks for: seed after seed, cheap ones first."""
        only = {key: self.given[key].split(",") for key in CHOOSING if key in self.given}
        return cheapest_first(runs_of(self.table(), self.spec, only), self.spec.num_images)

    def composed(self, run: FillRun) -> DictConfig:
        """The config of a run."""
        from fsig_bench.runner.compose import compose_config

        place = [f"{key}={self.given[key]}" for key in PLACE if key in self.given]
        words = [*run.words, *place, f"results_dir={self.results}", "controls=[]"]
        return compose_config(words, config_dir=self.config_dir)

    def needs(self, runs: Sequence[FillRun]) -> Needs:
        """What all runs lack together; seeds need nothing of their own."""
        alike = {(r.method, r.dataset, r.protocol, r.k): r for r in runs}
        return needs_of([self.composed(run) for run in alike.values()], verify=False)


def say(text: str) -> None:
    """Prints a line as it is."""
    console.print(text)


def fill(filling: Filling) -> int:
    """Fills a table as far as it can be; returns 0 if nothing of the plan is left.

    Raises:
        ValueError: the user was not asked, or said no; nothing has been done then.
    """
    runs = filling.runs()
    if not runs:
        say(f"table {filling.spec.name} lacks no run that could fill it")
        print_table(filling)
        return 0
    needs = filling.needs(runs)
    show_plan(filling, runs, needs)
    if switch(filling.given, "dry_run", default=False):
        return 0
    if not agreed(needs, filling.given.get("accept_licence")):
        raise ValueError("nothing was accepted, and nothing was done")
    unmet = [*needs.by_hand, *needs.packages, *bring_files(needs)]
    failed = make_runs(filling, runs)
    print_table(filling)
    if failed:
        say(f"{len(failed)} of {len(runs)} runs are not there; the same command tries them again:")
        for run, reason in failed:
            say(f"  {run}: {reason}")
        for sentence in unmet:
            say(f"  to do first: {sentence}")
    return int(bool(failed))


def show_plan(filling: Filling, runs: Sequence[FillRun], needs: Needs) -> None:
    """Prints what would be fetched, prepared and run, with what it takes."""
    say(f"To fill table {filling.spec.name}:")
    for line in needs.lines():
        say(f"  {line}")
    known = [asset.mib for asset in needs.assets if asset.mib is not None]
    if needs.assets or needs.sets:
        unknown = len(needs.assets) - len(known)
        more = f", and {unknown} files of unknown size" if unknown else ""
        sets = f", and {len(needs.sets)} image sets of unknown size" if needs.sets else ""
        say(f"  to fetch in all: {sum(known) / 1024:.1f} GiB{more}{sets}, to {cache_folder()}")
    for run in runs:
        say(f"  run       {run}")
        say(f"            {shlex.join(['fsig-bench', *run.words])}")
    for line in cost_lines(runs, filling.spec, filling.results):
        say(f"  {line}")


def agreed(needs: Needs, answer: str | None) -> bool:
    """Whether the user wants all of it under the licences; asked once for the same licences."""
    terms = sorted(
        {f"{asset.file}: {asset.licence}" for asset in needs.assets}
        | {f"{node['name']}: {node['origin']['licence']}" for node in needs.sets}
    )
    note = cache_folder() / "accepted_licences.txt"
    before = note.read_text().splitlines() if note.exists() else []
    if answer is not None:
        yes = read_switch("accept_licence", answer)
    elif note.exists() and set(terms) <= set(before):
        say("  the licences were accepted before")
        return True
    elif not sys.stdin.isatty():
        raise ValueError(
            "nobody is there to be asked: say accept_licence=true if all of this is to be done "
            "and the licences above are accepted, or dry_run=true to see it alone"
        )
    else:
        yes = input("Do all of this under these licences? [y/N] ").strip().lower() in ("y", "yes")
    if yes:
        write_bytes(note, ("\n".join(sorted({*before, *terms})) + "\n").encode())
    return yes


def bring_files(needs: Needs) -> list[str]:
    """Fetches files and prepares sets; returns why, for each that cannot be had."""
    from fsig_bench.runner.make import fetch_asset
    from fsig_bench.runner.sets import prepare_set

    check_space(needs.assets)
    reasons = []
    for asset in needs.assets:
        try:
            fetch_asset(asset)
        except (OSError, ValueError) as error:
            reasons.append(str(error))
    for node in needs.sets:
        say(f"preparing dataset={node['name']}")
        try:
            prepare_set(node)
        except (OSError, ValueError) as error:
            reasons.append(str(error))
    for reason in reasons:
        say(f"error: {reason}")
    return reasons


def make_runs(filling: Filling, runs: Sequence[FillRun]) -> list[tuple[FillRun, str]]:
    """Makes the records; returns the runs that failed, each with the reason."""
    from fsig_bench.runner.cell import absent_assets
    from fsig_bench.runner.make import make_records
    from fsig_bench.runner.resolve import resolve

    failed = []
    for number, run in enumerate(runs, 1):
        say(f"run {number} of {len(runs)}: {run}")
        try:
            cfg = filling.composed(run)
            cell = resolve(cfg)
            if absent := absent_assets([cell]):
                raise ValueError(f"{', '.join(a.file for a in absent)} could not be fetched")
            store = Store(cfg.results_dir)
            if store.record(cell.folder) is None:
                make_records([cell], store, device=cfg.device, wait=True)
        except USER_ERRORS as error:
            say(f"error: {error}")
            failed.append((run, str(error).splitlines()[0] if str(error) else type(error).__name__))
    return failed


def print_table(filling: Filling) -> None:
    """Prints the table, with verdicts on its re-run numbers, and writes it."""
    print(render_markdown(filling.table()))
    folders = record_folders([str(filling.results)]) if filling.results.is_dir() else []
    records = load(folders, short=True) if any(map(record_files, folders)) else []
    names = [filling.spec.name]
    for path in write_tables(records, filling.out / "tables", names, config_dir=filling.config_dir):
        print(path, file=sys.stderr)


def fill_tables(
    names: Sequence[str],
    *,
    results: Path,
    out: Path,
    given: Mapping[str, str],
    config_dir: Path | None,
) -> int:
    """Fills tables one after the other; returns the worst exit status."""
    status = 0
    for name in names:
        spec = load_spec(name, config_dir=config_dir)
        filling = Filling(spec=spec, results=results, out=out, given=given, config_dir=config_dir)
        status = max(status, fill(filling))
    return status
