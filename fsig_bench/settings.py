"""From a composed config to stage keys: a key hashes exactly what can change a stage's output.

Not in any key: device, batch size, workers, paths of results, tracker. Weights enter by their
sha256, images by their content's fingerprint. Nothing here imports torch, so a finished run is
recognised in well under a second.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import MissingMandatoryValue

from fsig_bench.assets import manifest_entry
from fsig_bench.data.folder import folder_digest
from fsig_bench.data.reading import RECIPES
from fsig_bench.download import Asset, assets_in, is_asset

STAGE_VERSION = 1  # raise when a change of the code changes what a stage makes
REFERENCES = ("held_out", "with_shots", "shots")  # what samples are compared with
READS = ("dataset", "native", *RECIPES)  # how its reference is read
# Config keys that never change pixels beyond rounding.
PLACE_ONLY = ("device", "card", "groups_at_once", "checkpointing")
PRECISIONS = {"adapt": ("fp32", "tf32", "bf16"), "sample": ("fp32", "tf32", "bf16", "fp16")}
COMPILE = (None, "default", "reduce-overhead", "max-autotune")


class Dataset(Protocol):
    """What the runner asks of a target domain; construction and fingerprints are cheap."""

    name: str
    source_domain: str | None

    def check(self, k: int, subset: int) -> None: ...
    def shots(self, k: int, subset: int) -> Any: ...
    def shot_names(self, k: int, subset: int) -> list[str]: ...
    def reference_images(self, k: int, subset: int) -> Any: ...
    def fingerprint(self, k: int, subset: int) -> str: ...
    def reference_fingerprint(self) -> str | None: ...


def digest(value: Any) -> str:
    """sha256 of a JSON value, independent of key order."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


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


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One run's settings, resolved, with the keys of its stages."""

    config: dict[str, Any]
    dataset: Dataset
    adapt_key: str
    sample_key: str
    run_id: str

    @property
    def label(self) -> str:
        c = self.config
        return f"{c['method']['card']['name']} on {c['dataset']['name']}"

    @property
    def weights(self) -> list[str]:
        """The weight files that this run reads: the method's and the protocol's."""
        used = [self.config["method"], self.config["protocol"]]
        return sorted({path for node in used for path in weight_files(node)})

    @property
    def assets(self) -> list[Asset]:
        """Files of others that this run reads."""
        used = [self.config["method"], self.config["protocol"]]
        return sorted({a for node in used for a in assets_in(node)}, key=lambda a: a.file)

    @property
    def protocol_hash(self) -> str:
        """Of everything that a number depends on besides samples, shots and reference images."""
        return digest([content(self.config["protocol"]), self.scored])[:8]

    @property
    def scored(self) -> int:
        """How many samples, from the first, the numbers come from."""
        return samples_asked(self.config) or int(self.config["num_images"])

    @property
    def folder(self) -> str:
        """Where the record goes, below results_dir."""
        c = self.config
        head = f"runs/{c['suite']['name']}/{c['method']['card']['name']}/{c['dataset']['name']}"
        return f"{head}/k{c['k']}-seed{c['seed']}-{self.run_id}"


def samples_asked(config: Mapping[str, Any]) -> int | None:
    """How many samples the protocol scores; None: all there are."""
    asked = config["protocol"]["samples"]
    if isinstance(asked, Mapping):
        return int(min(asked["at_most"], asked["per_shot"] * config["k"]))
    return None if asked is None else int(asked)


def check_protocol(config: Mapping[str, Any]) -> None:
    """Raises ValueError, with the remedy, for a protocol's unknown or unmet rules."""
    protocol = config["protocol"]
    for field, known in (
        ("reference", REFERENCES),
        ("reference_read", READS),
        # A checkpoint chosen by a number on the reference would be chosen by what is reported.
        ("checkpoint", ("fixed",)),
    ):
        if protocol[field] not in known:
            raise ValueError(
                f"protocol.{field}={protocol[field]}: choose one of {', '.join(known)}"
            )
    asked, there = samples_asked(config), config["num_images"]
    if asked is not None and there < asked:
        raise ValueError(
            f"protocol={protocol['name']} scores {asked} samples and num_images={there}; "
            f"set num_images={asked}, or protocol.samples={there} for numbers under another hash"
        )


def check_suite(config: Mapping[str, Any]) -> None:
    """Raises ValueError where a suite has not what the dataset or the method needs."""
    suite, method = config["suite"]["name"], config["method"]
    if "_target_" not in config["dataset"]:
        raise ValueError(
            f"dataset={config['dataset']['name']} is not in suite={suite}; choose another dataset "
            "or suite, or dataset=folder for images of your own"
        )
    for part in ("source", "generator", "backend", "source_images", "perceptual"):
        if part in method and method[part] is None:
            raise ValueError(
                f"method={method['card']['name']} needs `{part}`, and suite={suite} has none; "
                f"give one (method.{part}, or see conf/suite/{suite}.yaml)"
            )


def resolved(cfg: DictConfig) -> tuple[dict[str, Any], Dataset]:
    """A composed config as plain values, and its dataset, after every check that needs no asset.

    Raises:
        ValueError, FileNotFoundError: a setting or an asset is wrong; the message says which.
    """
    try:
        config: dict[str, Any] = OmegaConf.to_container(cfg, resolve=True, throw_on_missing=True)  # type: ignore[assignment]
    except MissingMandatoryValue as error:
        key = error.full_key
        raise ValueError(f"{key} has no value; give one on the command line: {key}=...") from error
    for name, least in (("k", 1), ("num_images", 2), ("batch_size", 1), ("workers", 1)):
        if not isinstance(config[name], int) or config[name] < least:
            raise ValueError(f"{name}={config[name]!r}: give a whole number of at least {least}")
    for stage, known in PRECISIONS.items():
        if (asked := config["precision"][stage]) not in known:
            # fp16 gradients underflow without a loss scale, which no method here has.
            raise ValueError(f"precision.{stage}={asked}: choose one of {', '.join(known)}")
    if config["compile"] not in COMPILE:
        raise ValueError(f"compile={config['compile']}: choose null, {', '.join(COMPILE[1:])}")  # type: ignore[arg-type]
    check_protocol(config)
    check_suite(config)
    method = config["method"]
    spec = {key: v for key, v in config["dataset"].items() if key != "fresh"}
    dataset: Dataset = instantiate(spec, _convert_="all")
    if "fresh" in method["card"].get("needs", []) and not config["dataset"].get("fresh"):
        raise ValueError(
            f"method={method['card']['name']} needs fresh target images, and "
            f"dataset={config['dataset']['name']} has none; leave this control "
            "out (controls=[source,copy])"
        )
    if isinstance(folder := (method.get("images") or {}).get("files"), str):
        found = folder_digest(folder)[1]
        if found < config["num_images"]:
            raise ValueError(
                f"num_images={config['num_images']}, but {folder} holds {found} images; "
                f"set num_images={found} or add images"
            )
    dataset.check(config["k"], config["subset"])
    return config, dataset


def absent_assets(configs: Sequence[Mapping[str, Any]]) -> list[Asset]:
    """Files of others that the methods or the protocol need and that are not there."""
    nodes = [config[part] for config in configs for part in ("method", "protocol")]
    found = {a.file: a for node in nodes for a in assets_in(node)}
    return [a for _, a in sorted(found.items()) if not a.target.exists()]


def cell(cfg: DictConfig) -> Cell:
    """Resolves and keys a composed config.

    Raises:
        ValueError, FileNotFoundError: a setting or an asset is wrong; the message says which.
    """
    config, dataset = resolved(cfg)
    method, k, subset = config["method"], config["k"], config["subset"]
    adapting = content({key: v for key, v in method.items() if key != "sample"})
    seen = dataset.fingerprint(k, subset) if method["card"]["uses_shots"] else None
    policy = {stage: [p] if p != "fp32" else [] for stage, p in config["precision"].items()}
    adapt_key = digest([STAGE_VERSION, "adapt", adapting, seen, config["seed"], *policy["adapt"]])
    sampling = [
        content(method.get("sample")),
        config["suite"]["resolution"],
        config["suite"]["shard_size"],
        *policy["sample"],
    ]
    sample_key = digest([STAGE_VERSION, "sample", adapt_key, sampling])
    scored = {
        "num_images": config["num_images"],
        "protocol": content(config["protocol"]),
        "shots": dataset.fingerprint(k, subset),
        "reference": dataset.reference_fingerprint(),
        "dataset": config["dataset"]["name"],
        "suite": config["suite"]["name"],
    }
    run_id = digest([STAGE_VERSION, sample_key, scored])[:10]
    return Cell(
        config=config, dataset=dataset, adapt_key=adapt_key, sample_key=sample_key, run_id=run_id
    )
