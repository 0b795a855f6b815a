"""What an audit was scored under; it lies beside the table and says what compares with it."""

from __future__ import annotations

import json
from pathlib import Path

from fsig_bench.api.plain import Json, JsonDict
from fsig_bench.report.audit.table import Row, from_csv

FILE, TABLE = "setting.json", "audit.csv"
FIELDS = ("suite", "dataset", "protocol", "version", "num_images", "k", "subset")


def setting_of_config(config: Json) -> JsonDict:
    """The setting of a composed config, or of a record's fields with its config's protocol."""
    named = {key: config[key] for key in ("suite", "dataset", "protocol")}
    names = {k: v["name"] if isinstance(v, dict) else v for k, v in named.items()}
    version = config["protocol"].get("version") if isinstance(config["protocol"], dict) else None
    return names | {"version": version} | {k: config[k] for k in ("num_images", "k", "subset")}


def read_audit(folder: Path) -> tuple[JsonDict, list[Row]] | None:
    """An audit's setting and rows; None where the folder has none.

    Raises:
        ValueError: a file is damaged.
    """
    setting, table = folder / FILE, folder / TABLE
    if not setting.is_file() or not table.is_file():
        return None
    found = json.loads(setting.read_text())
    if not isinstance(found, dict) or set(found) != set(FIELDS):
        raise ValueError(f"{setting} does not name {', '.join(FIELDS)}; run the audit again")
    return found, from_csv(table.read_text())
