"""Settings that cannot work, refused with the value and the remedy."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import MissingMandatoryValue

from fsig_bench.data.folder import folder_digest
from fsig_bench.data.reading import RECIPES

REFERENCES = ("held_out", "with_shots", "shots")  # what samples are compared with


READS = ("dataset", "native", *RECIPES)  # how its reference is read


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
