"""A protocol's rules on the mini suite: its counts, reference and clusters, by the suite's network.

A published protocol scores photographs with Inception and VGG. On drawn faces the suite's own
networks take their place, so that what differs from protocol to protocol is the rules alone. Drawn
images have one size, so that a rule on how the reference is resized changes nothing here.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from fsig_bench.runner.cell import Cell
from fsig_bench.runner.checks import samples_to_score
from fsig_bench.runner.compose import compose_config
from fsig_bench.runner.resolve import resolve

NETWORKS = {"features": "extractor", "perceptual": "perceptual"}  # of a protocol: of the suite


def protocol_names(text: str) -> list[str]:
    """`ours`, or `[ours,cdc2021]`; each once, in their order.

    Raises:
        ValueError: no name.
    """
    names = [name.strip() for name in text.strip().strip("[]").split(",") if name.strip()]
    if not names:
        raise ValueError(f"protocols={text}: name at least one, such as protocols=[ours,cdc2021]")
    return list(dict.fromkeys(names))


def cell_under(protocol: str, words: Sequence[str], config_dir: Path | None = None) -> Cell:
    """The cell of these words under a protocol's rules, with the suite's networks.

    A count of samples is the protocol's own, and at most num_images.

    Args:
        protocol: its name in conf/protocol.
        words: of the command line, without `protocol=`.
        config_dir: a folder of YAML of the user's own.

    Raises:
        ValueError: an unknown protocol, or a setting that is wrong.
    """
    config = compose_config([f"protocol={protocol}", *words], config_dir=config_dir)
    return resolve(with_suite_networks(config))


def with_suite_networks(config: DictConfig) -> DictConfig:
    """The config with the suite's networks in place of a published protocol's, in place."""
    rules, own = config.protocol, config.suite.extractor
    if rules.features != own:
        for network, of_suite in NETWORKS.items():
            rules[network] = config.suite[of_suite]
        OmegaConf.update(rules, "networks", {}, merge=False, force_add=True)
    if rules.samples is not None:
        rules.samples = min(samples_to_score(config), int(config.num_images))
    return config
