"""The config ends here: `resolve` turns it once into a typed `Cell`, after every cheap check."""

from __future__ import annotations

from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import MissingMandatoryValue

from fsig_bench.api.plain import JsonDict
from fsig_bench.runner import checks, settings
from fsig_bench.runner.cell import Cell, absent_assets
from fsig_bench.runner.reuse import borrow
from fsig_bench.store.store import Store


def plain_values(cfg: DictConfig) -> JsonDict:
    """A composed config as plain YAML values, all references filled in.

    Raises:
        ValueError: a value is missing; the message names its key.
    """
    try:
        return OmegaConf.to_container(cfg, resolve=True, throw_on_missing=True)  # type: ignore[return-value]
    except MissingMandatoryValue as error:
        key = error.full_key
        raise ValueError(f"{key} has no value; give one on the command line: {key}=...") from error


def method_settings(node: JsonDict) -> settings.MethodSettings:
    """From the config's `method`."""
    card = node["card"]
    sweep = card.get("reconstruct_sweep")
    return settings.MethodSettings(
        name=card["name"],
        label=card["label"],
        kind=card["kind"],
        uses_shots=card["uses_shots"],
        uses_seed=card.get("uses_seed", True),
        uses_draw=card.get("uses_draw", True),
        needs=tuple(card.get("needs", ())),
        speed_only=card.get("speed_only", {}),
        weight_copies=card.get("weight_copies", 1),
        reconstruct_sweep=sweep
        and settings.ReconstructSweep(
            key=sweep["key"],
            label=sweep["label"],
            values=tuple(sweep["values"]),
            fixed=sweep.get("fixed", {}),
        ),
        spec={key: value for key, value in node.items() if key != "card"},
    )


def protocol_settings(node: JsonDict) -> settings.ProtocolSettings:
    """From the config's `protocol`."""
    return settings.ProtocolSettings(
        name=node["name"],
        reference=node["reference"],
        reference_read=node["reference_read"],
        features=node["features"],
        perceptual=node["perceptual"],
        networks=node.get("networks", {}),
        metrics={
            name: {key: value for key, value in metric.items() if key != "card"}
            for name, metric in node["metrics"].items()
        },
        spec=node,
    )


def checked_dataset(config: JsonDict) -> tuple[settings.Dataset, settings.Spec]:
    """The dataset of a config and what builds it, after the checks of all but the method.

    Raises:
        ValueError, FileNotFoundError: a setting or a file is wrong; the message says which.
    """
    checks.check_numbers(config)
    checks.check_choices(config)
    checks.check_protocol(config)
    checks.check_suite(config)
    checks.check_pixels(config)
    spec = {key: value for key, value in config["dataset"].items() if key != "fresh"}
    checks.check_arguments(spec, key="dataset")
    return instantiate(spec, _convert_="all"), spec


def resolve(cfg: DictConfig) -> Cell:
    """A composed config as a cell, after every check that needs no downloaded file.

    Raises:
        ValueError, FileNotFoundError: a setting or a file is wrong; the message says which.
    """
    config = plain_values(cfg)
    dataset, spec = checked_dataset(config)
    checks.check_method(config)
    method = method_settings(config["method"])
    checks.check_arguments(method.spec, key="method")
    dataset.check(config["k"], config["subset"])
    cell = typed_cell(config, method=method, dataset=dataset, dataset_spec=spec)
    if config["reuse"] == "same_code" or absent_assets([cell]):
        return cell
    return borrow(cell, Store(config["results_dir"]))


def resolve_scoring(cfg: DictConfig, *, card: JsonDict) -> Cell:
    """A cell that is only to be scored, from a config that chooses no method.

    Its samples are at hand. Nothing of the method but its card is known, and nothing of it is
    imported, so it may be a method that is not installed here.

    Args:
        cfg: suite, dataset, protocol and numbers, composed.
        card: the method's card, as records hold it.

    Raises:
        ValueError, FileNotFoundError: a setting or a file is wrong; the message says which.
    """
    config = plain_values(cfg) | {"method": {"card": card}}
    dataset, spec = checked_dataset(config)
    dataset.check(config["k"], config["subset"])
    method = settings.MethodSettings(
        name=card["name"],
        label=card["label"],
        kind=card["kind"],
        uses_shots=True,
        uses_seed=True,
        uses_draw=True,
        needs=(),
        speed_only={},
        weight_copies=1,
        reconstruct_sweep=None,
        spec={},
    )
    return typed_cell(config, method=method, dataset=dataset, dataset_spec=spec)


def typed_cell(
    config: JsonDict,
    *,
    method: settings.MethodSettings,
    dataset: settings.Dataset,
    dataset_spec: settings.Spec,
) -> Cell:
    """A config that has been checked, as a cell."""
    suite = config["suite"]
    return Cell(
        suite=settings.Suite(
            name=suite["name"],
            resolution=suite["resolution"],
            shard_size=suite["shard_size"],
            source_images=suite.get("source_images"),
        ),
        method=method,
        dataset=dataset,
        protocol=protocol_settings(config["protocol"]),
        dataset_spec=dataset_spec,
        seed=config["seed"],
        draw=config["draw"],
        shots=settings.Shots(k=config["k"], subset=config["subset"]),
        samples=settings.Samples(
            num_images=config["num_images"], num_scored=checks.samples_to_score(config)
        ),
        precision=settings.Precision(**config["precision"]),
        place=settings.Place(
            device=config["device"],
            batch_size=config["batch_size"],
            workers=config["workers"],
            compile=config["compile"],
            offload=config["offload"],
        ),
        policy=settings.Policy(
            checkpoint_s=config["checkpoint_s"],
            tracker=config["tracker"],
            tsne_points=config["figures"]["tsne_points"],
            embedding=config["figures"]["embedding"],
        ),
        config=config,
    )
