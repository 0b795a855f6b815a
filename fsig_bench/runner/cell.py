"""From a composed config to stage keys: a key hashes exactly what can change a stage's output.

Not in any key: device, batch size, workers, paths of results, tracker. Weights enter by their
sha256, images by their content's fingerprint. Nothing here imports torch, so a finished run is
recognised in well under a second.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from omegaconf import DictConfig

from fsig_bench.api.assets import Asset, assets_in
from fsig_bench.runner.checks import Dataset, resolved, samples_asked
from fsig_bench.runner.keys import content, weight_files
from fsig_bench.store.keys import STAGE_VERSION, digest


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
