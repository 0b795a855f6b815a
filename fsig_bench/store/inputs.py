"""Looks through what runs read: downloads, weights, prepared sets, and what was left half-made.

Nothing here is removed by `runs verify`: these files are not results, and may be the user's own.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path

import yaml

from fsig_bench.api.assets import Asset, assets_in
from fsig_bench.api.digests import check_at_rest, sha256_once
from fsig_bench.api.owners import is_abandoned
from fsig_bench.api.places import CONF, ROOT, cache_folder
from fsig_bench.api.plain import Json
from fsig_bench.api.weights import locate, verified
from fsig_bench.data.importing import differing
from fsig_bench.store.records import read_record
from fsig_bench.store.store import Store

Piece = tuple[Path, str]  # a file or folder, and what is wrong with it
PIN = ".sha256.json"


def damaged_inputs(store: Store, data_dir: Path | None = None) -> Iterator[Piece]:
    """Every downloaded file, weight file and prepared set that is not what it was; all are read.

    Args:
        store: whose records name files besides those of conf/asset and the shipped weights.
        data_dir: where prepared sets are; None: in the cache.
    """
    configs, weights = _named_in_records(store)
    stated = {asset.target: asset.sha256 for config in configs for asset in _assets(config)}
    stated |= {asset.target: asset.sha256 for asset in _own_assets()}
    for pin in sorted(cache_folder().rglob(f"?*{PIN}")):
        stated.setdefault(pin.with_name(pin.name.removesuffix(PIN)), None)
    for path, sha256 in sorted(stated.items()):
        if path.is_file():
            try:
                check_at_rest(path, sha256, pin_it=False)
            except (ValueError, OSError) as error:
                yield path, f"damaged ({error})"
    for manifest in sorted((ROOT / "baselines").rglob("manifest.json")):
        weights |= {manifest.parent / name for name in json.loads(manifest.read_text())}
    for path in sorted(weights):
        try:
            verified(path)
        except (ValueError, OSError, KeyError) as error:
            yield path, f"damaged ({error})"
    for manifest in sorted((data_dir or cache_folder() / "data").glob("*/manifest.json")):
        try:
            changed = differing(manifest.parent, json.loads(manifest.read_text()), sha256_once)
        except (ValueError, OSError, KeyError, TypeError, AttributeError) as error:
            changed = [f"its manifest cannot be read ({error})"]
        if changed:
            more = f" and {len(changed) - 5} more" if len(changed) > 5 else ""
            yield manifest.parent, f"changed since it was prepared ({'; '.join(changed[:5])}{more})"


def _named_in_records(store: Store) -> tuple[list[Json], set[Path]]:
    """The configs of all records that can be read, and the weight files that they name."""
    configs: list[Json] = []
    weights: set[Path] = set()
    for path in sorted((store.root / "runs").rglob("record.json")):
        try:
            record = read_record(path)
        except (ValueError, OSError):
            continue  # `damaged_files` names it
        if isinstance(config := record.get("config"), dict):
            configs.append(config)
        named = record.get("weights")
        found = [locate(name) for name in named or ()] if isinstance(named, dict) else []
        weights |= {file for file in found if file.is_file()}
    return configs, weights


def _own_assets() -> Iterable[Asset]:
    for path in sorted((CONF / "asset").glob("*.yaml")):
        yield from _assets(yaml.safe_load(path.read_text()))


def _assets(node: object) -> Iterable[Asset]:
    for asset in assets_in(node):
        if isinstance(asset.file, str) and isinstance(asset.path, str | None):
            yield asset


def leftovers(data_dir: Path | None = None) -> Iterator[Piece]:
    """Imports and downloads that were killed, and that no living process goes on with.

    Args:
        data_dir: where prepared sets are; None: in the cache.
    """
    for path in sorted((data_dir or cache_folder() / "data").glob("*/.*.tmp")):
        if is_abandoned(path):
            yield path, "left by an import that was killed"
    for folder in (cache_folder(), cache_folder() / "downloads"):
        for path in sorted(folder.glob("*.part")):
            if is_abandoned(path):
                yield path, f"an unfinished download ({path.stat().st_size / 2**20:.1f} MiB)"


def remove(path: Path) -> None:
    """Removes a file, or a folder with all that it holds."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
        if path.suffix == ".part":
            path.with_name(f"{path.name}.json").unlink(missing_ok=True)
