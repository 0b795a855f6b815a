"""From samples to numbers: every metric of a protocol on one body of evidence."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from hydra.utils import instantiate
from torch import Tensor

from fsig_bench.api.images import pixels_sha256
from fsig_bench.api.plain import JsonDict
from fsig_bench.api.stopping import stop_if_asked
from fsig_bench.api.types import Perceptual
from fsig_bench.console import Bar
from fsig_bench.data.native import read_again
from fsig_bench.metrics.base import DiskCache, Evidence, Metric, unmet_need
from fsig_bench.networks.base import Extractor, LazyImages, in_batches
from fsig_bench.runner.build import computing, with_device
from fsig_bench.runner.cell import Cell
from fsig_bench.runner.device import resolve_device
from fsig_bench.runner.fingerprint import code_of
from fsig_bench.runner.keys import key_content
from fsig_bench.runner.settings import ProtocolSettings, Spec
from fsig_bench.store.keys import STAGE_VERSION, digest
from fsig_bench.store.store import Store


def build_networks(protocol: ProtocolSettings, device: str) -> tuple[Extractor, Perceptual]:
    """The protocol's feature network and its perceptual one; one object where they are the same."""
    features = instantiate(with_device(protocol.features, device), _convert_="all")
    if protocol.perceptual == protocol.features:
        return features, features
    return features, instantiate(with_device(protocol.perceptual, device), _convert_="all")


def build_metrics(specs: Mapping[str, Spec]) -> dict[str, Metric]:
    """The metrics of a protocol by name."""
    return {name: instantiate(spec, _convert_="all") for name, spec in specs.items()}


def own_evidence(
    protocol: ProtocolSettings,
    evidence: Evidence,
    device: str,
    disk_cache_of: Callable[[Spec], DiskCache] | None = None,
) -> dict[str, Evidence]:
    """The evidence through the networks of metrics that have their own, by the metric's name.

    Metrics with the same network share one, and with it the features.

    Args:
        protocol: names the networks.
        evidence: what all metrics look at.
        device: of the networks.
        disk_cache_of: the cache for features of a network; None: they are not kept.
    """
    found, by_network = {}, dict[str, Evidence]()
    for name, spec in protocol.networks.items():
        network = json.dumps(spec, sort_keys=True)
        if network not in by_network:
            extractor = instantiate(with_device(spec, device), _convert_="all")
            kept = None if disk_cache_of is None else disk_cache_of(spec)
            by_network[network] = evidence.with_extractor(extractor, kept)
        found[name] = by_network[network]
    return found


def apply_metrics(
    metrics: Mapping[str, Metric],
    evidence: Evidence,
    *,
    own: Mapping[str, Evidence] | None = None,
    title: str,
) -> dict[str, JsonDict]:
    """What every metric makes of the evidence, by the metric's name.

    Args:
        metrics: by name.
        evidence: what they look at.
        own: the same images through a metric's own network, by the metric's name.
        title: of the progress bar.

    Returns:
        A result for each. It holds at least `value`: None, with a `reason`, where the metric
        needs what the evidence lacks or is not defined for it; a metric may give its own reason.
    """
    values: dict[str, JsonDict] = {}
    with Bar(title, len(metrics), "metrics") as bar:
        for n, (name, metric) in enumerate(metrics.items()):
            stop_if_asked()
            seen = (own or {}).get(name, evidence)
            if reason := unmet_need(metric, seen):
                values[name] = {"value": None, "reason": reason}
            else:
                values[name] = metric(seen)
                if not math.isfinite(values[name]["value"]):
                    usual = f"not defined for these {len(seen.fake)} samples"
                    reason = values[name].get("reason", usual)
                    values[name] |= {"value": None, "reason": reason}
            bar.update(n + 1)
    return values


def reference_images(cell: Cell, shots: Tensor) -> Tensor | LazyImages | None:
    """What the protocol compares samples with; None where the dataset has none."""
    rule, read = cell.protocol.reference, cell.protocol.reference_read
    k, subset = cell.shots.k, cell.shots.subset
    # Drawn images have no files: they are made at the samples' size.
    if read != "dataset" and hasattr(cell.dataset, "files"):
        files = {
            "shots": lambda: cell.dataset.files("shots", k, subset),
            "held_out": lambda: cell.dataset.files("reference", k, subset),
        }
        roles = {"with_shots": ("shots", "held_out")}.get(rule, (rule,))
        found = [files[r]() for r in roles]
        if any(f is None for f in found):
            return None
        return read_again([p for part in found for p in part], read, cell.suite.resolution)
    if rule == "shots":
        return shots
    held_out: Tensor | None = cell.dataset.reference_images(k, subset)
    if held_out is None or rule == "held_out":
        return held_out
    return torch.cat([shots, held_out])


def content_digest(images: Tensor | LazyImages) -> str:
    """Digest of images in order, whatever brought them here."""
    return pixels_sha256(images) if isinstance(images, Tensor) else images.digest


def caches_in(
    store: Store,
    images: Mapping[str, Tensor | LazyImages],
    *,
    perceptual: Spec,
    policy: str = "fp32",
) -> Callable[[Spec], DiskCache]:
    """The cache for what a feature network makes of images, by the network.

    Args:
        store: where it lies.
        images: by their role in the evidence.
        perceptual: the network of LPIPS distances.
        policy: of the arithmetic, as `fsig_bench.runner.device.precision_policy` sets it.
    """
    arithmetic = "float32" if policy == "fp32" else policy  # as keys have named it so far
    digests: dict[str, str] = {}
    code = code_of("fsig_bench.metrics.base.Evidence").fingerprint  # it computes what is kept

    def disk_cache_of(features: Spec) -> DiskCache:
        specs = {"features": features, "perceptual": perceptual}

        def disk_cache(
            compute: Callable[[], Tensor],
            *,
            what: str,
            roles: Sequence[str],
            networks: Sequence[str],
        ) -> Tensor:
            for role in roles:
                if role not in digests:
                    digests[role] = content_digest(images[role])
            used = [key_content(specs[network]) for network in networks]
            key = [STAGE_VERSION, arithmetic, what, [digests[role] for role in roles], used, code]
            return store.cached_features(digest(key), compute)

        return disk_cache

    return disk_cache_of


def kept_features(
    images: Tensor, extractor: Extractor, cell: Cell, store: Store, *, policy: str
) -> Tensor:
    """Features [n, d] in the protocol's feature network, computed once for all runs of a store.

    Args:
        images: uint8 [n, 3, h, w], whatever their role.
        extractor: the protocol's feature network.
        cell: names the network, and holds the batch size.
        store: where they are kept.
        policy: the precision that is set around this call, as in `precision.score`.
    """
    keep = caches_in(store, {"images": images}, perceptual=cell.protocol.perceptual, policy=policy)
    return keep(cell.protocol.features)(
        lambda: in_batches(extractor.features, images, cell.place.batch_size),
        what="features",
        roles=["images"],
        networks=["features"],
    )


def score(cell: Cell, fake: Tensor, store: Store) -> tuple[JsonDict, Evidence]:
    """Every metric of the protocol, and the evidence for the pictures."""
    protocol = cell.protocol
    device = resolve_device(cell.place.device)
    extractor, perceptual = build_networks(protocol, device)
    shots = cell.dataset.shots(cell.shots.k, cell.shots.subset)
    real = reference_images(cell, shots)
    images: dict[str, Any] = {"shots": shots, "fake": fake, "real": real}
    policy = cell.precision.score
    disk_cache_of = caches_in(store, images, perceptual=protocol.perceptual, policy=policy)
    evidence = Evidence(
        shots=shots,
        fake=fake,
        real=real,
        extractor=extractor,
        perceptual=perceptual,
        seed=cell.seed,
        batch_size=cell.place.batch_size,
        source_domain=cell.dataset.source_domain,
        target_domain=getattr(cell.dataset, "domain", None),  # of faceworld only
        disk_cache=disk_cache_of(protocol.features),
    )
    own = own_evidence(protocol, evidence, device, disk_cache_of)
    metrics = build_metrics(protocol.metrics)
    with computing(cell.place, cell.precision.score):
        values = apply_metrics(metrics, evidence, own=own, title=f"score {cell.label}")
    return {n: v | {"protocol_hash": cell.protocol_hash} for n, v in values.items()}, evidence
