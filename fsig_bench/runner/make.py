"""Cells to records: files are fetched, what does not fit is refused, then each cell runs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from fsig_bench.api.assets import Asset, check_space
from fsig_bench.api.digests import hashing_cost, start_hashing
from fsig_bench.api.plain import Record
from fsig_bench.api.weights import verified
from fsig_bench.runner.cell import Cell, absent_assets
from fsig_bench.store.store import Store

ONLY_ON_COMMAND_LINE = ("dry_run", "preflight", "on_busy", "on_failed")


def bytes_needed(cell: Cell) -> int:
    """A generous guess of what one run writes."""
    image = 3 * cell.suite.resolution**2
    return cell.samples.num_images * image + 64 * image * cell.shots.k + 2**25


def fetch_asset(asset: Asset) -> None:
    """Finds or fetches a downloaded file, showing its licence when it is fetched.

    Raises:
        FileNotFoundError: it cannot be had; the message names it, its size and where it lies.
    """
    from fsig_bench.console import Bar, console

    if asset.path or asset.url is None or asset.target.exists():
        check_asset(asset)
        return
    console.print(f"fetching {asset} to {asset.target}")
    with Bar(asset.file, int(asset.mib or 1), "MiB") as bar:
        asset.get(
            lambda have, total: bar.update(have >> 20, max(total >> 20, 1)),
            console.print,
        )


def check_asset(asset: Asset) -> None:
    """Hashes a file that is about to be used, and prints what that cost if the file is large.

    Raises:
        FileNotFoundError, ValueError: it is not there, or not the right one.
    """
    from fsig_bench.console import console

    asset.get()
    if line := hashing_cost(asset.target):
        console.print(line)


def read_reference(cell: Cell) -> None:
    """Reads a user's reference whole, so that a damaged file is named before the run."""
    read = getattr(cell.dataset, "read_all", None)
    if read is not None:
        read()


def make_records(cells: Sequence[Cell], store: Store, *, device: str, wait: bool) -> list[Record]:
    """The cells' records; what is missing is made, once it is known to fit.

    Args:
        cells: whose assets are there.
        store: the results folder.
        device: auto | cpu | cuda | cuda:N.
        wait: whether to wait for a run that another process makes; else it is an error.

    Raises:
        ValueError, OSError: a file, the disk or the memory is not as it has to be.
    """
    from fsig_bench.runner.device import resolve_device
    from fsig_bench.runner.gpus import claim_gpu
    from fsig_bench.runner.preflight import check_memory
    from fsig_bench.runner.run import run

    store.check_writable(len(cells) * bytes_needed(cells[0]))
    for path in sorted({path for cell in cells for path in cell.weights}):
        verified(path)
    assets = list(dict.fromkeys(asset for cell in cells for asset in cell.assets))
    for asset in assets:
        if asset.target.exists():
            start_hashing(asset.target)  # while a GPU is waited for and images are read
    with claim_gpu(device):
        for cell in cells:
            read_reference(cell)
            check_memory(cell, resolve_device(device))
        for asset in assets:
            check_asset(asset)
        return [run(cell, store, wait=wait)[0] for cell in cells]


def run_overrides(overrides: Sequence[str], *, config_dir: str | Path | None = None) -> Record:
    """See `fsig_bench.run`."""
    from fsig_bench.runner.compose import compose_config
    from fsig_bench.runner.resolve import resolve

    for word in overrides:
        if word.startswith("-"):
            raise ValueError(
                f"{word!r} is an option of the command line; give settings such as "
                "'method=crdi', and config_dir=FOLDER for --config-dir"
            )
        if (key := word.lstrip("+~").split("=")[0]) in ONLY_ON_COMMAND_LINE:
            raise ValueError(
                f"{word!r}: {key} belongs to the command line; run() makes the run in any case"
            )
        if word.lstrip("+~").startswith("controls"):
            raise ValueError(
                f"{word!r}: run() makes the record of the method alone; a control is a method, "
                "so call it again with 'method=source', 'method=copy' or 'method=real'"
            )
    cfg = compose_config([*overrides, "controls=[]"], config_dir=config_dir)
    for group in ("method", "dataset"):
        if group not in cfg:
            raise ValueError(f"no {group} is chosen: add '{group}=NAME'")
    cell, store = resolve(cfg), Store(cfg.results_dir)
    missing = absent_assets([cell])
    check_space(missing)
    for asset in missing:
        fetch_asset(asset)
    record = store.record(cell.folder)
    if record is None:
        record = make_records([cell], store, device=cfg.device, wait=True)[0]
    if cfg.png:
        from fsig_bench.runner.export import export_png

        export_png(cell, store)
    return record
