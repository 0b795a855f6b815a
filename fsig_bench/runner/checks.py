"""Settings that cannot work are refused, with the value and the remedy, before any work."""

from __future__ import annotations

import inspect
import math
import os
import re
from collections.abc import Mapping
from typing import Any

from hydra.utils import get_object

from fsig_bench.api.plain import Json
from fsig_bench.data.folder import folder_digest
from fsig_bench.data.reading import RECIPES
from fsig_bench.help import nearest
from fsig_bench.metrics.cards import check_card

Config = Json  # a composed config as plain YAML values

REFERENCES = ("held_out", "with_shots", "shots")  # what samples are compared with
READS = ("dataset", "native", *RECIPES)  # how the reference is read
PRECISIONS = {
    "adapt": ("fp32", "torch_default", "tf32", "bf16"),
    "sample": ("fp32", "torch_default", "tf32", "bf16", "fp16"),
    "score": ("fp32", "torch_default", "tf32"),
}
COMPILE = (None, "default", "reduce-overhead", "max-autotune")
LEAST = {"k": 1, "num_images": 2, "batch_size": 1, "workers": 1, "seed": 0, "subset": 0, "draw": 0}
SWITCHES = ("png", "offload", "dry_run")
DEVICE = re.compile(r"auto|cpu|cuda(:\d+)?")
SUITE_PARTS = ("source", "generator", "backend", "source_images", "perceptual")


def check_numbers(config: Config) -> None:
    """Raises ValueError where a count is no whole number or too small."""
    for name, least in LEAST.items():
        check_count(name, config[name], least)
    check_count("figures.tsne_points", config["figures"]["tsne_points"], 1)
    for name in ("seed", "draw"):
        if config[name] >= 2**32:  # scikit-learn takes no larger one
            raise ValueError(f"{name}={config[name]}: give a whole number below 2**32")
    pause = config["checkpoint_s"]
    if not isinstance(pause, int | float) or isinstance(pause, bool) or not 0 <= pause < math.inf:
        raise ValueError(f"checkpoint_s={pause}: give a number of seconds, 0 or more")


def check_count(name: str, value: object, least: int) -> None:
    """Raises ValueError where a value is no whole number or too small."""
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise ValueError(f"{name}={value}: give a whole number of at least {least}")


def check_device(device: str) -> None:
    """Raises ValueError where a device has an unknown name."""
    if not DEVICE.fullmatch(device):
        raise ValueError(f"device={device}: choose auto, cpu, cuda or cuda:N")


REUSE = ("same_code", "any_code")


def check_choices(config: Config) -> None:
    """Raises ValueError where a device, a switch, a precision or a compilation mode is unknown."""
    check_device(str(config["device"]))
    for name in SWITCHES:
        if not isinstance(config[name], bool):
            raise ValueError(f"{name}={config[name]}: choose true or false")
    for stage, known in PRECISIONS.items():
        if (policy := config["precision"][stage]) not in known:
            # fp16 gradients underflow without a loss scale, which no method here has.
            raise ValueError(f"precision.{stage}={policy}: choose one of {', '.join(known)}")
    if config["reuse"] not in REUSE:
        raise ValueError(f"reuse={config['reuse']}: choose {' or '.join(REUSE)}")
    if config["compile"] not in COMPILE:
        modes = ", ".join(mode for mode in COMPILE if mode)
        raise ValueError(f"compile={config['compile']}: choose null, {modes}")


def samples_to_score(config: Config) -> int:
    """How many samples the protocol scores: all of num_images unless it names a number."""
    rule = config["protocol"]["samples"]
    if isinstance(rule, Mapping):
        return int(min(rule["at_most"], rule["per_shot"] * config["k"]))
    if rule is None:
        return int(config["num_images"])
    check_count("protocol.samples", rule, 2)
    return int(rule)


def check_protocol(config: Config) -> None:
    """Raises ValueError for a protocol's unknown or unmet rules."""
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
    for name, metric in protocol["metrics"].items():
        if metric is None:
            raise ValueError(
                f"protocol.metrics.{name}=null is no metric; leave it out with "
                f"~protocol.metrics.{name}"
            )
        check_card(name, metric.get("card"))
    check_networks(protocol)
    needed, there = samples_to_score(config), config["num_images"]
    check_sample_limits(config, needed)
    if there < needed:
        raise ValueError(
            f"protocol={protocol['name']} scores {needed} samples and num_images={there}; "
            f"set num_images={needed}, or protocol.samples={there} for numbers under another hash"
        )


def check_networks(protocol: Config) -> None:
    """Raises ValueError where a network is for no metric, or for one that would not use it."""
    if strangers := sorted({*(networks := protocol.get("networks", {}))} - {*protocol["metrics"]}):
        raise ValueError(
            f"protocol.networks.{strangers[0]}: the protocol has no metric of that name; "
            f"it has {', '.join(protocol['metrics'])}; leave the network out with "
            f"~protocol.networks.{strangers[0]}"
        )
    for name in networks:
        target = protocol["metrics"][name]["_target_"]
        metric = _imported(target, f"protocol.metrics.{name}")
        needs: frozenset[str] = getattr(metric, "needs", frozenset())
        if "features" not in needs:
            other = "only the perceptual network (network@protocol.perceptual=NAME changes it)"
            raise ValueError(
                f"protocol.networks.{name}: {name} uses "
                f"{other if 'perceptual' in needs else 'no network'}, so that this one would "
                "change the protocol's hash and no number; leave it out with "
                f"~protocol.networks.{name}"
            )


def check_sample_limits(config: Config, scored: int) -> None:
    """Raises ValueError where a metric cannot take so many samples."""
    for name, metric in config["protocol"]["metrics"].items():
        limit = (metric.get("card") or {}).get("max_samples")
        if limit is not None and scored > limit:
            raise ValueError(
                f"metric {name} takes at most {limit} samples, since its memory grows with their "
                f"square, and {scored} would be scored; leave it out with "
                f"~protocol.metrics.{name}, or set num_images={limit}"
            )


def check_pixels(config: Config) -> None:
    """Raises ValueError where memory cannot hold the samples."""
    side, count = config["suite"]["resolution"], config["num_images"]
    needed, there = count * 3 * side**2 / 2**30, memory_gib()
    if there is not None and needed > 0.8 * there:
        most = int(0.8 * there * 2**30 / (3 * side**2))
        raise ValueError(
            f"num_images={count}: {side} x {side} pixels take {needed:.1f} GiB of memory together, "
            f"and this machine has {there:.1f} GiB; set num_images={most} or less"
        )


def memory_gib() -> float | None:
    """The machine's memory; None where it does not say."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    except (AttributeError, OSError, ValueError):
        return None


def check_suite(config: Config) -> None:
    """Raises ValueError where a suite lacks what the dataset or the method needs."""
    suite, method = config["suite"]["name"], config["method"]
    if "_target_" not in config["dataset"]:
        raise ValueError(
            f"dataset={config['dataset']['name']} is not in suite={suite}; choose another dataset "
            "or suite, or dataset=folder for images of your own"
        )
    for part in SUITE_PARTS:
        if part in method and method[part] is None:
            raise ValueError(
                f"method={method['card']['name']} needs `{part}`, and suite={suite} has none; "
                f"give one (method.{part}, or see conf/suite/{suite}.yaml)"
            )


def check_method(config: Config) -> None:
    """Raises ValueError where the dataset or a folder lacks the images that a method draws."""
    method = config["method"]
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


def check_arguments(node: Config, *, key: str) -> None:
    """Raises ValueError where a part's class is not there or does not take one of its settings.

    Args:
        node: a YAML value with `_target_`.
        key: its place in the config, for the message.
    """
    parameters = inspect.signature(_imported(node["_target_"], key)).parameters
    if any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
        return
    for name in node:
        if name not in parameters and not name.startswith("_"):
            hint = nearest(name, list(parameters))
            raise ValueError(f"{key}.{name}: {node['_target_']} has no argument {name}.{hint}")


def _imported(target: str, key: str) -> Any:  # Any: a class or a function
    """What a dotted path names.

    Raises:
        ValueError: it cannot be imported; the message names its key.
    """
    try:
        return get_object(target)
    except ImportError as error:
        raise ValueError(
            f"{key}._target_: {target} cannot be imported ({error.__cause__ or error}); "
            "install its package, or name the folder that holds it in PYTHONPATH"
        ) from error
