"""From samples to numbers: every metric of a protocol on one body of evidence."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from hydra.utils import instantiate
from torch import Tensor

from fsig_bench.console import Bar
from fsig_bench.metrics.base import Evidence, missing
from fsig_bench.placing import placed, resolve_device
from fsig_bench.settings import STAGE_VERSION, Cell, content, digest
from fsig_bench.store import Store


def build_networks(config: Mapping[str, Any]) -> tuple[Any, Any]:
    """The protocol's feature network and its perceptual one; one object where they are the same."""
    protocol, device = config["protocol"], resolve_device(config["device"])
    features = instantiate(placed(protocol["features"], device), _convert_="all")
    if protocol["perceptual"] == protocol["features"]:
        return features, features
    return features, instantiate(placed(protocol["perceptual"], device), _convert_="all")


def reference_images(cell: Cell, shots: Tensor) -> Tensor | None:
    """What the protocol compares samples with; None where the dataset has none."""
    rule, config = cell.config["protocol"]["reference"], cell.config
    if rule == "shots":
        return shots
    held_out: Tensor | None = cell.dataset.reference_images(config["k"], config["subset"])
    if held_out is None or rule == "held_out":
        return held_out
    return torch.cat([shots, held_out])


def score(cell: Cell, fake: Tensor, store: Store) -> tuple[dict[str, Any], Any]:
    """Every metric of the protocol, and the evidence for the pictures."""
    config = cell.config
    k, subset = config["k"], config["subset"]
    extractor, perceptual = build_networks(config)
    rule = config["protocol"]["reference"]
    reference = [rule, cell.dataset.reference_fingerprint()]

    def supplied(what: str, compute: Any) -> Tensor:
        # A folder's reference leaves the shots out, and distances are to the shots.
        near = what.endswith("shot_distances")
        both = ("features", "perceptual")  # drawings of what is read depend on both networks
        used = ("perceptual",) if near else both if "redraw" in what else ("features",)
        apart = near or rule != "held_out" or not cell.dataset.source_domain
        shots = cell.dataset.fingerprint(k, subset) if apart else None
        networks = [content(config["protocol"][role]) for role in used]
        key = digest([STAGE_VERSION, reference, shots, networks, what])
        return store.remembered(key, compute)

    metrics = {n: instantiate(m, _convert_="all") for n, m in config["protocol"]["metrics"].items()}
    shots = cell.dataset.shots(k, subset)
    evidence = Evidence(
        shots=shots,
        fake=fake,
        real=reference_images(cell, shots),
        extractor=extractor,
        perceptual=perceptual,
        seed=config["seed"],
        batch_size=config["batch_size"],
        source_domain=cell.dataset.source_domain,
        supplied=supplied,
    )
    values: dict[str, Any] = {}
    with Bar(f"score {cell.label}", len(metrics), "metrics") as bar:
        for n, (name, metric) in enumerate(metrics.items()):
            if reason := missing(metric, evidence):
                values[name] = {"value": None, "reason": reason}
            else:
                values[name] = metric(evidence)
                if not math.isfinite(values[name]["value"]):
                    reason = f"not defined for these {len(fake)} samples"
                    values[name] |= {"value": None, "reason": reason}
            values[name]["protocol_hash"] = cell.protocol_hash
            bar.update(n + 1)
    return values, evidence
