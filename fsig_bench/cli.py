"""The run command: compose, preview, make records, print."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra import compose
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

if TYPE_CHECKING:
    from fsig_bench.runner.cell import Cell
    from fsig_bench.store.store import Store


CHOICES: dict[str, tuple[Any, ...]] = {"preflight": ("auto", "only"), "on_busy": ("wait", "defer")}
CHOICES |= {"on_failed": ("retry", "skip"), "dry_run": (True, False)}


def control_configs(cfg: DictConfig) -> list[DictConfig]:
    """The cell with each possible control in the method's place."""
    from fsig_bench.runner.controls import applies, control_overrides

    words = control_overrides(HydraConfig.get().overrides.task, cfg)
    return [c for c in (compose("config", w) for w in words) if applies(c)]


def options(group: str) -> list[str]:
    """What a config group offers."""
    return sorted(GlobalHydra.instance().config_loader().get_group_options(group))


def check_choices(cfg: DictConfig) -> None:
    """Raises ValueError for a setting that is none of its choices, and where a group has none."""
    from fsig_bench.pictures.tsne import check_embedding

    for key, known in CHOICES.items():
        if cfg[key] not in known:
            raise ValueError(f"{key}={cfg[key]}: choose {' or '.join(map(str, known))}")
    check_embedding(cfg.figures.embedding)
    for group in ("method", "dataset"):
        if group not in cfg:
            raise ValueError(
                f"no {group} is chosen: add {group}=... (one of {', '.join(options(group))})"
            )


def look(cells: Sequence[Cell], done: Sequence[bool], cfg: DictConfig, store: Store) -> None:
    """What the command would do, without doing it: `dry_run=true` or `preflight=only`."""
    from fsig_bench.console import console
    from fsig_bench.runner.make import bytes_needed, read_reference
    from fsig_bench.runner.preflight import report_lines
    from fsig_bench.sweep.plan import Planned, plan

    runs = [Planned.of(c) for c in cells]
    for line in plan(list(zip(runs, done, strict=True)), store.root) if cfg.dry_run else ():
        console.print(line)
    for c in cells if cfg.preflight == "only" else ():
        read_reference(c)
        for line in report_lines(c, store, bytes_needed(c)):
            console.print(line)


def show(records: Sequence[dict[str, Any]], folder: Path) -> None:
    """The table, what is to be said about it, and where the pictures are."""
    from fsig_bench.console import console
    from fsig_bench.report.printed import published_beside
    from fsig_bench.report.terminal import copying_pays, reasons, terminal_table, warnings

    console.print(terminal_table(records))
    for line in [*warnings(records), *reasons(records), *copying_pays(records)]:
        console.print(f"[dim]{line}[/]")
    for line in published_beside(records[0]):
        console.print(line)
    console.print(f"pictures and record: {folder}")
    for picture in ("samples", "nearest", "tsne", "reconstruction"):
        if (folder / f"{picture}.png").exists():
            console.print(f"  {folder / f'{picture}.png'}")


def perform(cfg: DictConfig) -> None:
    """One cell and its controls, from settings to table."""
    from fsig_bench.api import process
    from fsig_bench.api.assets import check_space
    from fsig_bench.console import console
    from fsig_bench.runner.cell import absent_assets
    from fsig_bench.runner.device import member_device
    from fsig_bench.runner.distributed import barrier, join
    from fsig_bench.runner.make import fetch_asset, make_records
    from fsig_bench.runner.resolve import resolve
    from fsig_bench.store.store import Store

    check_choices(cfg)
    store = Store(cfg.results_dir)
    join(member_device(cfg.device))
    cells = [resolve(c) for c in (cfg, *control_configs(cfg))]
    missing = absent_assets(cells)
    only_look = cfg.preflight == "only" or cfg.dry_run
    if only_look and missing:
        for asset in missing:
            console.print(f"{'to fetch' if asset.url else 'missing':<9} {asset}")
        console.print("the rest depends on them: fetch or import them first")
        return
    check_space(missing)
    for asset in missing if process.rank() == 0 else ():
        fetch_asset(asset)  # keys hold digests of what is there, so this comes first
    barrier()
    found = [store.record(c.folder) for c in cells]
    if only_look:
        look(cells, [r is not None for r in found], cfg, store)
        return
    records = [r for r in found if r]
    if len(records) < len(cells) or cfg.tracker.get("resend"):
        records = make_records(cells, store, device=cfg.device, wait=cfg.on_busy == "wait")
    if cfg.png:
        from fsig_bench.runner.export import export_png

        export_png(cells[0], store)
    show(records, store.root / cells[0].folder)
