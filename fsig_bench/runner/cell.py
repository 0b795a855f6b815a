"""One run's settings as typed values, and the keys of its stages.

`runner.resolve` makes a `Cell` from a composed config; nothing below reads the config again but to
write it into the record. Nothing here imports torch, so a finished run is recognised in well under
a second.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

from fsig_bench.api.assets import Asset, assets_in
from fsig_bench.api.plain import Json, JsonDict
from fsig_bench.runner import keys
from fsig_bench.runner.fingerprint import marks
from fsig_bench.runner.settings import (
    Dataset,
    MethodSettings,
    Place,
    Policy,
    Precision,
    ProtocolSettings,
    Samples,
    Shots,
    Spec,
    Suite,
)
from fsig_bench.store.store import run_folder_name


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One run: its settings by what they are about, and the keys that follow from them."""

    suite: Suite
    method: MethodSettings
    dataset: Dataset
    protocol: ProtocolSettings
    dataset_spec: Spec  # what builds the dataset
    seed: int  # of adapting, and of a metric's random subsets
    draw: int  # of sampling: image i depends on the state and on (draw, i)
    shots: Shots
    samples: Samples
    precision: Precision
    place: Place
    policy: Policy
    config: Json  # as composed, for the record only
    # Stage -> the key of a stage that other code made, under reuse=any_code.
    borrowed: Mapping[str, str] = field(default_factory=dict)

    @property
    def label(self) -> str:
        return f"{self.method.name} on {self.dataset.name}"

    @property
    def identity(self) -> JsonDict:
        """Suite, method, dataset, k, subset, seed, draw, protocol: what a run is called by."""
        return {
            "suite": self.suite.name,
            "method": self.method.name,
            "dataset": self.dataset.name,
            "k": self.shots.k,
            "seed": self.seed,
            "subset": self.shots.subset,
            "draw": self.draw,
            "protocol": self.protocol.name,
        }

    @property
    def weights(self) -> list[str]:
        """The weight files that this run reads: the method's and the protocol's."""
        return sorted({*keys.weight_files([self.method.spec, self.protocol.spec])})

    @property
    def assets(self) -> list[Asset]:
        """The downloaded files that this run reads: the method's and the protocol's."""
        found = {*assets_in(self.method.spec), *assets_in(self.protocol.spec)}
        return sorted(found, key=lambda asset: asset.file)

    @property
    def adapts_by(self) -> Spec:
        """The method's arguments that adapting depends on."""
        return keys.without(self.method.spec, ["sample", *self.method.speed_only])

    @property
    def computed_by(self) -> Spec:
        """All that names a class whose code the numbers depend on."""
        parts = {"method": self.method.spec, "protocol": self.protocol.spec}
        return parts | {"dataset": self.dataset_spec}

    @property
    def shots_fingerprint(self) -> str:
        return self._with_reader(self.dataset.fingerprint(self.shots.k, self.shots.subset))

    def _with_reader(self, fingerprint: str, *, code: bool = True) -> str:
        """The fingerprint of images, with the code that draws or reads them."""
        return keys.images_key(fingerprint, marks(self.dataset_spec) if code else [])

    # The keys hold digests of files, so the files must be there when a key is first needed.

    @cached_property
    def adapt_key(self) -> str:
        """Names the state."""
        return self.borrowed.get("adapt") or self.settings_keys(code=True)["adapt"]

    @cached_property
    def sample_key(self) -> str:
        """Names the samples."""
        return self.borrowed.get("sample") or self._sample_key(self.adapt_key, code=True)

    @cached_property
    def run_id(self) -> str:
        """Names the record."""
        return self._run_id(self.sample_key, code=True)

    def settings_keys(self, *, code: bool = False) -> dict[str, str]:
        """The keys of adapt, sample and run; by default as if the code decided nothing."""
        shots = self.dataset.fingerprint(self.shots.k, self.shots.subset)
        adapt = keys.adapt_key(
            method=self.adapts_by,
            shots=self._with_reader(shots, code=code) if self.method.uses_shots else None,
            seed=self.seed if self.method.uses_seed else None,
            precision=self.precision.adapt,
            code=code,
        )
        sample = self._sample_key(adapt, code=code)
        return {"adapt": adapt, "sample": sample, "run": self._run_id(sample, code=code)}

    def _sample_key(self, adapt_key: str, *, code: bool) -> str:
        return keys.sample_key(
            adapt_key=adapt_key,
            sample=self.method.spec.get("sample"),
            draw=self.draw if self.method.uses_draw else None,
            resolution=self.suite.resolution,
            shard_size=self.suite.shard_size,
            precision=self.precision.sample,
            code=code,
        )

    def _run_id(self, sample_key: str, *, code: bool) -> str:
        shots = self.dataset.fingerprint(self.shots.k, self.shots.subset)
        reference = self.dataset.reference_fingerprint()
        return keys.run_id(
            sample_key=sample_key,
            num_images=self.samples.num_images,
            protocol=self.protocol.spec,
            shots=self._with_reader(shots, code=code),
            reference=None if reference is None else self._with_reader(reference, code=code),
            dataset=self.dataset.name,
            suite=self.suite.name,
            seed=self.seed,
            draw=self.draw,
            borrowed_by=marks(self.method.spec) if self.borrowed and code else [],
            precision=self.precision.score,
            code=code,
        )

    @cached_property
    def protocol_hash(self) -> str:
        """Names everything that a number depends on besides samples, shots and reference."""
        return keys.protocol_hash(
            protocol=self.protocol.spec,
            num_scored=self.samples.num_scored,
            precision=self.precision.score,
        )

    @property
    def folder(self) -> str:
        """Where the record goes, below the results folder."""
        return run_folder_name(self.identity, self.run_id)


def absent_assets(cells: list[Cell]) -> list[Asset]:
    """The files to be downloaded that some cell needs and that are not there, each once."""
    found = {asset.file: asset for cell in cells for asset in cell.assets}
    return [asset for _, asset in sorted(found.items()) if not asset.target.exists()]
