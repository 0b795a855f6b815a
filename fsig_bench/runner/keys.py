"""What of a config enters a key."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fsig_bench.api.assets import assets_in, is_asset
from fsig_bench.api.weights import manifest_entry
from fsig_bench.data.folder import folder_digest
from fsig_bench.store.keys import PLACE_ONLY


def content(node: Any) -> Any:
    """A config node without what cannot change its output; weights and files by their content."""
    if is_asset(node):
        return {"sha256": assets_in(node)[0].digest}
    if isinstance(node, Mapping):
        out = {k: content(v) for k, v in node.items() if k not in PLACE_ONLY}
        if isinstance(path := node.get("weights"), str):
            out["weights"] = manifest_entry(path)["sha256"]
        if isinstance(path := node.get("files"), str):
            out["files"] = folder_digest(path)[0]
        return out
    return [content(v) for v in node] if isinstance(node, list) else node


def weight_files(node: Any) -> list[str]:
    """Every path under a key `weights`, at any depth."""
    if isinstance(node, Mapping):
        own = [node["weights"]] if isinstance(node.get("weights"), str) else []
        return own + [p for k, v in node.items() if k != "weights" for p in weight_files(v)]
    return [p for v in node for p in weight_files(v)] if isinstance(node, list) else []
