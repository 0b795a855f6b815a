"""The golden cases of the repository and of folders with YAML of one's own, and how each is run."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from omegaconf import OmegaConf

from fsig_bench.api.assets import assets_in
from fsig_bench.api.images import pixels_sha256, to_uint8
from fsig_bench.api.places import CONF
from fsig_bench.api.plain import JsonDict
from fsig_bench.runner.compose import compose_config
from fsig_bench.runner.fingerprint import targets_in
from fsig_bench.runner.imports import is_counted
from fsig_bench.runner.targets import targets_below

Digests = dict[str, str]

SHOTS = 2  # of a method's case
IMAGES = 24  # samples of a metric's case; its reference has as many
PARTS = ("method", "suite", "in_suite", "dataset", "metric", "network", "protocol")
NO_CASE = ("from_folder",)  # its images are files of the user's


@dataclass(frozen=True, kw_only=True)
class Case:
    """One golden case."""

    kind: str  # method, metric, network, dataset
    name: str  # its choice in conf/
    classes: tuple[str, ...]  # what the case locks; the first names the lock file
    config_dir: str | Path | None = None  # with YAML of the user's own

    @property
    def label(self) -> str:
        return f"{self.kind} {self.name}"


def named_classes(folder: Path) -> list[str]:
    """Every counted class that the YAML of a conf folder names, sorted."""
    return sorted(filter(is_counted, targets_below(folder, PARTS)))


# The words beside a choice, by its kind.
WORDS = {
    "dataset": ["method=copy", "controls=[]"],
    "network": ["dataset=babies", "method=copy"],
    "metric": ["dataset=babies", "method=copy"],
    "method": ["dataset=babies"],
}


def all_cases(config_dir: str | Path | None = None) -> list[Case]:
    """A case for every method, metric, network and domain that needs no downloaded file."""
    folder = CONF if config_dir is None else Path(config_dir).expanduser()
    names = [(kind, path.stem) for kind in WORDS for path in sorted((folder / kind).glob("*.yaml"))]
    found = (case_of(kind, name, config_dir) for kind, name in names if name not in NO_CASE)
    return [case for case in found if case is not None]


def case_of(kind: str, name: str, config_dir: str | Path | None = None) -> Case | None:
    """The case of one choice; None where it does not compose on the mini suite or needs files."""
    try:
        node = chosen_node(kind, name, WORDS[kind], config_dir)
    except ValueError:
        return None  # of another suite
    classes = targets_in(node)
    if not classes:
        return None
    own = str(node["_target_"])
    rest = [target for target in classes if target != own]
    return Case(kind=kind, name=name, classes=(own, *rest), config_dir=config_dir)


def chosen_node(
    kind: str, name: str, words: Sequence[str], config_dir: str | Path | None
) -> JsonDict:
    """The composed node of a choice, on the mini suite.

    Raises:
        ValueError: it does not compose there, or needs downloaded files.
    """
    at = {
        "network": f"network@suite.extractor={name}",
        "metric": f"+metric@protocol.metrics.golden={name}",
    }.get(kind, f"{kind}={name}")
    cfg = compose_config([*words, at], config_dir=config_dir)
    parts = {"network": "suite.extractor", "metric": "protocol.metrics.golden"}
    node = OmegaConf.to_container(OmegaConf.select(cfg, parts.get(kind, kind)), resolve=True)
    assert isinstance(node, dict)
    if "???" in node.values():
        raise ValueError(f"{kind}={name} needs values of the user's")
    own = {str(key): value for key, value in node.items() if key not in ("card", "fresh")}
    if assets_in([own]) or "_target_" not in own:
        raise ValueError(f"{kind}={name} needs downloaded files")
    return own


def digests_of(case: Case) -> Digests:
    """Runs a case; the sha256 of what came out, by its part."""
    return {"method": _method, "metric": _metric, "network": _network, "dataset": _dataset}[
        case.kind
    ](case)


def _method(case: Case) -> Digests:
    from fsig_bench.runner.contract_cell import cell_to_check
    from fsig_bench.runner.contract_trial import Trial, bytes_of

    trial = Trial(cell_to_check([f"method={case.name}", f"k={SHOTS}"], case.config_dir))
    state = hashlib.sha256()
    for key, tensor in sorted(trial.adapted().state.tensors.items()):
        state.update(f"{key} {tensor.dtype} {tuple(tensor.shape)}".encode())
        state.update(bytes_of(tensor).numpy().tobytes())
    return {"state": state.hexdigest(), "images": pixels_sha256(to_uint8(trial.drawn()))}


def _images(domain: str, split: str, count: int) -> torch.Tensor:
    from fsig_bench.faceworld.render import render

    return render(domain, split, range(count))[0]


def _metric(case: Case) -> Digests:
    """On samples that are half of the source domain and half of the target."""
    from hydra.utils import instantiate

    from fsig_bench.metrics.base import Evidence, unmet_need
    from fsig_bench.runner.resolve import protocol_settings
    from fsig_bench.runner.score import build_networks

    words = ["dataset=babies", "method=copy", f"+metric@protocol.metrics.golden={case.name}"]
    cfg = compose_config(words, config_dir=case.config_dir)
    node: Any = OmegaConf.to_container(cfg.protocol, resolve=True)
    settings = protocol_settings(node)
    features, perceptual = build_networks(settings, "cpu")
    half = IMAGES // 2
    evidence = Evidence(
        shots=_images("babies", "shots", 5),
        fake=torch.cat([_images("adults", "fresh", half), _images("babies", "fresh", half)]),
        real=_images("babies", "reference", IMAGES),
        extractor=features,
        perceptual=perceptual,
        seed=0,
        batch_size=IMAGES,
        source_domain="adults",
    )
    metric = instantiate(settings.metrics["golden"], _convert_="all")
    if reason := unmet_need(metric, evidence):
        return {"value": f"none: {reason}"}
    return {
        "value": hashlib.sha256(json.dumps(metric(evidence), sort_keys=True).encode()).hexdigest()
    }


def _network(case: Case) -> Digests:
    from hydra.utils import instantiate

    node = chosen_node("network", case.name, WORDS["network"], case.config_dir)
    network = instantiate(node | ({"device": "cpu"} if "device" in node else {}), _convert_="all")
    images, found = _images("babies", "fresh", 4), {}
    with torch.no_grad():
        if hasattr(network, "features"):
            found["features"] = network.features(images)
        if hasattr(network, "perceive"):
            found["perceive"] = network.perceive(images.float() / 127.5 - 1)
    return {
        part: hashlib.sha256(value.cpu().contiguous().numpy().tobytes()).hexdigest()
        for part, value in found.items()
    }


def _dataset(case: Case) -> Digests:
    from hydra.utils import instantiate

    node = chosen_node("dataset", case.name, WORDS["dataset"], case.config_dir)
    dataset = instantiate(node, _convert_="all")
    reference = dataset.reference_at(range(SHOTS)) if hasattr(dataset, "reference_at") else None
    parts = {"shots": dataset.shots(SHOTS, 0), "reference": reference}
    return {part: pixels_sha256(images) for part, images in parts.items() if images is not None}
