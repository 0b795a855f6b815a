"""`python -m fsig_bench`: one run, or a sweep with -m. See --help."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import hydra
from hydra import compose
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

if TYPE_CHECKING:
    from fsig_bench.download import Asset


CHOICES: dict[str, tuple[Any, ...]] = {"preflight": ("auto", "only"), "on_busy": ("wait", "defer")}
CHOICES |= {"on_failed": ("retry", "skip"), "dry_run": (True, False)}


def control_configs(cfg: DictConfig) -> list[DictConfig]:
    """The cell with each possible control in the method's place."""
    from fsig_bench.controls import control_words, possible

    words = control_words(HydraConfig.get().overrides.task, cfg)
    return [c for c in (compose("config", w) for w in words) if possible(c)]


def options(group: str) -> list[str]:
    """What a config group offers."""
    return sorted(GlobalHydra.instance().config_loader().get_group_options(group))


def bytes_needed(config: dict[str, Any]) -> int:
    """A generous guess of what one run writes."""
    side = config["suite"]["resolution"]
    return int(config["num_images"] * side * side * 3 + 64 * side * side * 3 * config["k"] + 2**25)


def get_asset(asset: Asset) -> None:
    """Finds or fetches a file of others, showing its licence when it is fetched."""
    from fsig_bench.console import Bar, console

    if asset.path or asset.url is None:
        asset.get()
        return
    console.print(f"fetching {asset} to {asset.target}")
    with Bar(asset.file, int(asset.mib), "MiB") as bar:
        asset.get(lambda have, total: bar.update(have >> 20, max(total >> 20, 1)))


@hydra.main(version_base="1.3", config_path="../conf", config_name="config")
def main(cfg: DictConfig) -> None:
    """Runs the cell and its controls, prints the table and where the pictures are."""
    from fsig_bench import team
    from fsig_bench.assets import verified
    from fsig_bench.beside import published_beside
    from fsig_bench.console import console, fail
    from fsig_bench.costs import Planned, plan
    from fsig_bench.download import check_space
    from fsig_bench.settings import absent_assets, cell, resolved
    from fsig_bench.store import Store
    from fsig_bench.table import copying_pays, reasons, terminal_table, warnings

    try:
        for key, known in CHOICES.items():
            if cfg[key] not in known:
                raise ValueError(f"{key}={cfg[key]}: choose {' or '.join(map(str, known))}")
        for group in ("method", "dataset"):
            if group not in cfg:
                raise ValueError(
                    f"no {group} is chosen: add {group}=... (one of {', '.join(options(group))})"
                )
        store = Store(cfg.results_dir)
        team.assemble(team.device(cfg.device))
        configs = [cfg, *control_configs(cfg)]
        missing = absent_assets([resolved(c)[0] for c in configs])
        if cfg.preflight == "only" and missing:
            for asset in missing:
                console.print(f"{'to fetch' if asset.url else 'missing':<9} {asset}")
            console.print("the rest of the preflight needs them: fetch or import them first")
            return
        check_space(missing)
        for asset in missing if team.rank() == 0 else ():
            get_asset(asset)  # keys hold digests of what is there, so this comes first
        team.meet()
        cells = [cell(c) for c in configs]
        done = [store.record(c.folder) is not None for c in cells]
        if not all(done):
            store.check_writable(len(cells) * bytes_needed(cells[0].config))
            for path in sorted({p for c in cells for p in c.weights}):
                verified(path)
            for asset in dict.fromkeys(a for c in cells for a in c.assets):
                asset.get()
        if cfg.dry_run:
            runs = [Planned.of(c.config, c.folder) for c in cells]
            for line in plan(list(zip(runs, done, strict=True)), store.root):
                console.print(line)
            return
        if cfg.preflight == "only":
            from fsig_bench.preflight import account

            for c in cells:
                for line in account(c, store, bytes_needed(c.config)):
                    console.print(line)
            return
        if all(done) and not cfg.tracker.get("resend"):
            records = [r for c in cells if (r := store.record(c.folder))]
        else:
            from fsig_bench.gpus import own_gpu
            from fsig_bench.placing import resolve_device
            from fsig_bench.preflight import check_memory
            from fsig_bench.runner import run

            with own_gpu(cfg.device):
                for c in cells:
                    check_memory(c, resolve_device(cfg.device))
                records = [run(c, store, wait=cfg.on_busy == "wait")[0] for c in cells]
        if cfg.png:
            from fsig_bench.export import export_png

            export_png(cells[0], store)
        console.print(terminal_table(records))
        for line in [*warnings(records), *reasons(records), *copying_pays(records)]:
            console.print(f"[dim]{line}[/]")
        for line in published_beside(records[0]):
            console.print(line)
        folder = store.root / cells[0].folder
        console.print(f"pictures and record: {folder}")
        for picture in ("samples", "nearest", "tsne", "reconstruction"):
            if (folder / f"{picture}.png").exists():
                console.print(f"  {folder / f'{picture}.png'}")
    except (ValueError, OSError, FloatingPointError) as error:
        if HydraConfig.get().mode == RunMode.MULTIRUN:
            console.print(f"[bold red]error[/]: {error}")
            raise  # the sweep goes on and names it again at the end
        fail(error)


if __name__ == "__main__":
    if len(sys.argv) == 1 or {"--help", "-h"} & set(sys.argv):
        from fsig_bench.usage import usage

        print(usage())
    else:
        if {"-m", "--multirun"} & set(sys.argv):
            from hydra.core.plugins import Plugins

            Plugins.instance()  # loads Hydra's sweepers anew, so ours is derived after that
            from fsig_bench.sweep import register

            register()
        main()
