"""`fsig-bench score fake=FOLDER [reference=FOLDER] [shots=FOLDER]`: numbers of any images.

    fsig-bench score fake=samples reference=held_out shots=shots metrics=fd,kid
    fsig-bench score fake=samples reference=held_out protocol=crdi2024 protocol.samples=1000
    fsig-bench score fake=drawn reference=held_out suite=mini out=values.json

fake holds the samples, reference held-out images of the target, shots what the method has seen;
metrics that need what is not given say so. The networks and the resolution are those of
suite=paper, for photographs; the rendered world has suite=mini. Only the network files that the
chosen metrics use are looked for and fetched.

  metrics=NAME,NAME   of the protocol or of conf/metric      protocol=ours   which metrics, and how
  resize=RECIPE       how files come to the suite's size     seed=0          of the metrics' draws
  device=auto         auto | cpu | cuda                      batch_size=50   speed and memory only
  out=FILE            the results as JSON                    protocol.KEY=, suite.KEY=  a setting
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from omegaconf import OmegaConf

from fsig_bench.api.assets import assets_in, check_space
from fsig_bench.api.files import write_json
from fsig_bench.api.plain import Json, JsonDict
from fsig_bench.api.weights import verified
from fsig_bench.console import console
from fsig_bench.metrics.base import Evidence, Metric, unmet_need
from fsig_bench.metrics.cards import metric_card
from fsig_bench.runner import checks, given_images, keys
from fsig_bench.runner.compose import compose_config
from fsig_bench.runner.device import precision_policy, resolve_device
from fsig_bench.runner.make import fetch_asset
from fsig_bench.runner.resolve import protocol_settings
from fsig_bench.runner.score import apply_metrics, build_metrics, build_networks, own_evidence
from fsig_bench.runner.settings import ProtocolSettings, Spec
from fsig_bench.words import parse_words

if TYPE_CHECKING:
    from fsig_bench.runner.given_images import Given

NETWORKS = ("features", "perceptual")
DEFAULT = {"suite": "paper", "protocol": "ours", "resize": "center_pil_lanczos", "device": "auto"}


def composed_protocol(
    suite: str,
    protocol: str,
    metrics: Sequence[str] | None,
    *,
    overrides: Sequence[str] = (),
    config_dir: str | Path | None = None,
) -> JsonDict:  # `protocol`, `resolution` and `source_domain`
    """The suite and the protocol, with the metrics that are to be added to it.

    Raises:
        ValueError: an unknown suite, protocol or metric; the message lists what there is.
    """
    words = [f"suite={suite}", f"protocol={protocol}", *overrides]
    cfg = compose_config(words, config_dir=config_dir)
    offered = list(cfg.protocol.metrics)
    if added := [name for name in metrics or () if name not in offered]:
        more = [f"+metric@protocol.metrics.{name}={name}" for name in added]
        try:
            cfg = compose_config([*words, *more], config_dir=config_dir)
        except ValueError as error:
            raise ValueError(
                f"metrics={','.join(added)}: protocol={protocol} has {', '.join(offered)}, and "
                f"no metric of this name can be added ({str(error).splitlines()[0]})"
            ) from error
    return {
        "protocol": OmegaConf.to_container(cfg.protocol, resolve=True),
        "resolution": int(cfg.suite.resolution),
        "source_domain": cfg.suite.get("source_domain"),
    }


def network_users(
    protocol: ProtocolSettings, metrics: Mapping[str, Metric]
) -> list[tuple[Spec, list[str]]]:
    """Each network that metrics use, and their names; a metric's own one before the protocol's."""
    found: list[tuple[Spec, list[str]]] = []
    for name, metric in metrics.items():
        own = {"features": protocol.networks.get(name, protocol.features)}
        for network in metric.needs & {*NETWORKS}:
            spec = own.get(network, protocol.perceptual)
            users = next((users for known, users in found if known == spec), None)
            if users is None:
                found.append((spec, users := []))
            users.append(name)
    return found


def fetch_networks(protocol: ProtocolSettings, metrics: Mapping[str, Metric]) -> None:
    """Brings the files of the networks that the metrics use, and of no other, into place.

    A metric that names no network in `needs` fetches what it uses when it runs.

    Raises:
        FileNotFoundError, OSError: a file cannot be had; the message says which metrics need it,
            its size and where it comes from.
    """
    for spec, users in network_users(protocol, metrics):
        assets = assets_in(spec)
        check_space([asset for asset in assets if not asset.target.exists()])
        try:
            for asset in assets:
                fetch_asset(asset)
            for path in keys.weight_files(spec):
                verified(path)
        except FileNotFoundError as error:
            raise FileNotFoundError(
                f"{', '.join(users)}: {error}. Other metrics may do without it: metrics=NAME,NAME"
            ) from error


def known_hash(protocol: ProtocolSettings, num_scored: int) -> str | None:
    """The protocol's hash as records state it; None while a file that it depends on is missing."""
    if any(a.sha256 is None and not a.target.exists() for a in assets_in(protocol.spec)):
        return None
    return keys.protocol_hash(protocol=protocol.spec, num_scored=num_scored)


def num_scored(protocol: Json, *, num_fake: int, num_shots: int) -> int:
    """How many of the samples, from the first, the protocol scores.

    Raises:
        ValueError: the protocol has an unknown rule, scores more samples than there are, or counts
            them by shots and there are none.
    """
    name, rule = protocol["name"], protocol["samples"]
    if isinstance(rule, Mapping) and num_shots == 0:
        raise ValueError(
            f"protocol={name} scores a number of samples for each shot: give the shots"
        )
    config = {"protocol": protocol, "k": num_shots, "num_images": num_fake}
    needed = checks.samples_to_score(config)
    checks.check_protocol(config | {"num_images": max(needed, num_fake)})
    if num_fake < max(needed, 2):
        raise ValueError(
            f"protocol={name} scores {max(needed, 2)} images and fake holds {num_fake}; give more, "
            f"or protocol.samples={num_fake} for numbers under another hash"
        )
    return needed


def score_images(
    fake: Given,
    *,
    reference: Given | None,
    shots: Given | None,
    suite: str = DEFAULT["suite"],
    protocol: str = DEFAULT["protocol"],
    metrics: Sequence[str] | None = None,
    resize: str = DEFAULT["resize"],
    seed: int = 0,
    device: str = DEFAULT["device"],
    batch_size: int = 50,
    overrides: Sequence[str] = (),
    config_dir: str | Path | None = None,
) -> dict[str, JsonDict]:
    """See `fsig_bench.score`."""
    if metrics is not None and not metrics:
        raise ValueError("metrics=[] names no metric; leave it out for all of the protocol")
    checks.check_device(device)
    checks.check_count("batch_size", batch_size, 1)
    config = composed_protocol(suite, protocol, metrics, overrides=overrides, config_dir=config_dir)
    side, rules = config["resolution"], config["protocol"]
    given_images.check_reference(rules, reference, shots)
    samples = given_images.read_given(fake, "fake", resolution=side, resize=resize)
    seen = samples[:0]
    if shots is not None:
        seen = given_images.read_given(shots, "shots", resolution=side, resize=resize)
    count = num_scored(rules, num_fake=len(samples), num_shots=len(seen))
    real = given_images.read_reference(
        reference,
        shots,
        rule=rules["reference"],
        read=rules["reference_read"],
        resolution=side,
        resize=resize,
    )
    settings = protocol_settings(rules)
    chosen = list(settings.metrics) if metrics is None else metrics
    built = build_metrics({name: settings.metrics[name] for name in chosen})
    where = resolve_device(device)
    extractor, perceptual = build_networks(settings, where)
    evidence = Evidence(
        shots=seen,
        fake=samples[:count],
        real=real,
        extractor=extractor,
        perceptual=perceptual,
        seed=seed,
        batch_size=batch_size,
        source_domain=config["source_domain"],
    )
    fetch_networks(settings, {n: m for n, m in built.items() if not unmet_need(m, evidence)})
    own, title = own_evidence(settings, evidence, where), f"score under {protocol}, {suite}"
    with precision_policy("fp32", where):  # as records are scored
        values = apply_metrics(built, evidence, own=own, title=title)
    name = known_hash(settings, count)
    return {metric: value | {"protocol_hash": name} for metric, value in values.items()}


KEYS = ("fake", "reference", "shots", "metrics", *DEFAULT, "seed", "batch_size", "out")


def arguments(words: Sequence[str]) -> JsonDict:  # of `score_images`, and `out`
    """The words of the command as arguments.

    Raises:
        ValueError: an unknown word, a number that is none, or no `fake`.
    """
    overrides = [word for word in words if word.lstrip("+~").startswith(("protocol.", "suite."))]
    rest = [word for word in words if word not in overrides]
    given = parse_words(rest, word="score", keys=KEYS)
    for word in given.positional:
        raise ValueError(f"score takes settings, not {word!r}; write fake={word}")
    found: JsonDict = {"reference": None, "shots": None, **given.settings}
    for key in {"seed", "batch_size"} & set(found):
        if not found[key].isdecimal():
            raise ValueError(f"{key}={found[key]}: give a whole number")
        found[key] = int(found[key])
    if "metrics" in found:
        found["metrics"] = [name for name in found["metrics"].strip("[]").split(",") if name]
    if "fake" not in found:
        raise ValueError("give the samples: fsig-bench score fake=FOLDER reference=FOLDER")
    return found | {"overrides": overrides, "config_dir": given.config_dir}


def main(words: Sequence[str]) -> int:
    """Prints every metric's value, or why it has none; returns 0; raises as `fsig_bench.score`."""
    given = arguments(words)
    out = given.pop("out", None)
    values = score_images(given.pop("fake"), **given)
    for name, result in values.items():
        card, value = metric_card(name), result["value"]
        shown = f"-  {result['reason']}" if value is None else card.text(value)
        console.print(f"{card.title:<30} {shown}")
    if some := next((r for r in values.values() if r["value"] is not None), None):
        console.print(f"{some['n_fake']} samples, reference of {some['n_real']} images")
    if out:
        write_json(Path(out).expanduser(), values)
        console.print(f"written to {out}")
    return 0
