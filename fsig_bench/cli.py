"""The run command: overrides -> cells -> records -> the table; a sweep with -m."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

import hydra
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from fsig_bench.api.places import CONF

if TYPE_CHECKING:
    from fsig_bench.runner.cell import Cell
    from fsig_bench.store.store import Store

CHOICES: dict[str, tuple[str | bool, ...]] = {
    "preflight": ("auto", "only"),
    "on_busy": ("wait", "defer"),
    "on_failed": ("retry", "skip"),
    "dry_run": (True, False),
}


def run_command(words: Sequence[str]) -> int:
    """Runs a cell with its controls, or a sweep; returns the exit status."""
    from fsig_bench.runner.command_line import interruption, is_sweep, readable

    if is_sweep(words):
        from hydra.core.plugins import Plugins

        Plugins.instance()  # loads Hydra's sweepers anew, so ours is derived after that
        from fsig_bench.report.run_output import print_summary
        from fsig_bench.runner.typed import split_sweep
        from fsig_bench.sweep.sweeper import CellSweeper, register

        register(print_summary)
    from fsig_bench.runner.distributed import leave

    try:
        with readable(words) as overrides:
            if is_sweep(words):
                overrides, CellSweeper.cell_words = split_sweep(overrides)
            sys.argv[1:] = overrides
            hydra_main()
    except KeyboardInterrupt:
        print(interruption(words), file=sys.stderr)
        return 130
    finally:
        leave()
    return 0


@hydra.main(version_base="1.3", config_path=str(CONF), config_name="config")
def hydra_main(cfg: DictConfig) -> str | None:
    """One run, or one job of a sweep, which returns its line; a user's error is one sentence."""
    from fsig_bench.console import brief_stages, fail, print_error
    from fsig_bench.runner.command_line import HYDRA_ERRORS, explained_error

    in_sweep = HydraConfig.get().mode == RunMode.MULTIRUN
    try:
        if not in_sweep:
            return run_with_controls(cfg)
        with brief_stages():
            return run_with_controls(cfg, title=HydraConfig.get().job.name)
    except (ValueError, OSError, FloatingPointError, *HYDRA_ERRORS) as raised:
        error = explained_error(raised)
        if in_sweep:
            print_error(error)
            raise error from raised.__cause__  # the sweep continues and names it again at the end
        if isinstance(error, HYDRA_ERRORS):
            raise
        fail(error)


def check_command(cfg: DictConfig) -> None:
    """Raises ValueError where a choice is unknown, or no method or dataset is chosen."""
    from fsig_bench.pictures.tsne import check_embedding

    for key, known in CHOICES.items():
        if cfg[key] not in known:
            raise ValueError(f"{key}={cfg[key]}: choose {' or '.join(map(str, known))}")
    check_embedding(cfg.figures.embedding)
    for group in ("method", "dataset"):
        if group not in cfg:
            options = sorted(GlobalHydra.instance().config_loader().get_group_options(group))
            raise ValueError(f"no {group} is chosen: add {group}=... (one of {', '.join(options)})")


def run_with_controls(cfg: DictConfig, *, title: str | None = None) -> str | None:
    """One cell and its controls, from the config to the table.

    Args:
        cfg: of the cell.
        title: what a sweep calls the cell; None outside a sweep.

    Returns:
        The line that a sweep prints on the finished cell, in place of the table.
    """
    from fsig_bench.api import process
    from fsig_bench.api.assets import check_space
    from fsig_bench.console import console
    from fsig_bench.runner.cell import absent_assets
    from fsig_bench.runner.composition import compose_words, words_of_search_path
    from fsig_bench.runner.controls import control_configs
    from fsig_bench.runner.device import member_device
    from fsig_bench.runner.distributed import barrier, first_decides, join, recorded
    from fsig_bench.runner.make import fetch_asset, make_records
    from fsig_bench.runner.resolve import resolve
    from fsig_bench.store.store import Store

    began = time.perf_counter()
    if title is not None:
        console.print(title, style="bold")
    check_command(cfg)
    store = Store(cfg.results_dir)
    join(member_device(cfg.device))
    own = HydraConfig.get()
    more = words_of_search_path(GlobalHydra.instance().config_loader(), own.searchpath)
    controls = control_configs(own.overrides.task, cfg, partial(compose_words, more=more))
    previews = cfg.preflight == "only" or cfg.dry_run
    if previews and not show_needs((cfg, *controls), verify=cfg.preflight == "only"):
        return None
    cells = [resolve(c) for c in (cfg, *controls)]
    missing = absent_assets(cells)
    check_space(missing)
    for asset in missing if process.rank() == 0 else ():
        fetch_asset(asset)  # keys hold digests of what is there, so this comes first
    barrier()
    found = [store.record(cell.folder) for cell in cells]
    if previews:
        preview(cells, [record is not None for record in found], cfg, store)
        return None
    finished = all(first_decides(*(record is not None for record in found)))
    if not finished or cfg.tracker.get("resend"):
        wait = cfg.on_busy == "wait"
        records = make_records(cells, store, device=cfg.device, wait=wait)
    else:
        records = [r or recorded(cell, store) for r, cell in zip(found, cells, strict=True)]
    if cfg.png:
        from fsig_bench.runner.export import export_png

        export_png(cells[0], store)
    from fsig_bench.report import run_output

    if title is None:
        run_output.print_results(records, store.root / cells[0].folder)
        return None
    return run_output.print_line(records[0], title=title, seconds=time.perf_counter() - began)


def show_needs(configs: Sequence[DictConfig], *, verify: bool) -> bool:
    """Prints all that is missing at once; returns whether nothing is."""
    from fsig_bench.console import console
    from fsig_bench.runner.needs import needs_of

    needs = needs_of(configs, verify=verify)
    for line in needs.lines():
        console.print(line)
    if not needs.is_met:
        console.print("the rest depends on these: files are fetched when a run needs them")
    return needs.is_met


def preview(cells: Sequence[Cell], done: Sequence[bool], cfg: DictConfig, store: Store) -> None:
    """Prints what the command would do, for `dry_run=true` and `preflight=only`."""
    from fsig_bench.console import console
    from fsig_bench.runner.make import bytes_needed, read_reference
    from fsig_bench.runner.preflight import report_lines
    from fsig_bench.sweep.plan import PlannedRun, plan_lines

    runs = [PlannedRun.of(cell) for cell in cells]
    pairs = list(zip(runs, done, strict=True))
    for line in plan_lines(pairs, store.root) if cfg.dry_run else ():
        console.print(line)
    for cell in cells if cfg.preflight == "only" else ():
        read_reference(cell)
        for line in report_lines(cell, store, bytes_needed(cell)):
            console.print(line)
