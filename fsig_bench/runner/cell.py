"""One run's settings as typed values, and the keys of its stages.

`runner.resolve` makes a `Cell` from a composed config; nothing below reads the config again but to
write it into the record. Nothing here imports torch, so a finished run is recognised in well under
a second.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

from fsig_bench.api.assets import Asset, assets_in
from fsig_bench.runner import keys
from fsig_bench.store.store import run_folder_name

# The arguments of a class from conf/, with its `_target_`: any YAML value.
Spec = Mapping[str, Any]


class Dataset(Protocol):
    """What the runner needs of a target domain; construction and fingerprints are cheap."""

    name: str
    source_domain: str | None

    def check(self, k: int, subset: int) -> None: ...
    def shots(self, k: int, subset: int) -> Any: ...  # uint8 [k, 3, h, w]; torch is not imported
    def shot_names(self, k: int, subset: int) -> list[str]: ...
    def reference_images(self, k: int, subset: int) -> Any: ...
    def fingerprint(self, k: int, subset: int) -> str: ...
    def reference_fingerprint(self) -> str | None: ...


@dataclass(frozen=True, kw_only=True)
class Suite:
    """The scale of a run."""

    name: str
    resolution: int  # pixels, of samples and shots
    shard_size: int  # images in a shard; batches start at the edges of shards
    source_images: Spec | None  # what the source domain looks like, for the t-SNE plot


@dataclass(frozen=True, kw_only=True)
class ReconstructSweep:
    """The settings under which a method rebuilds the shots, one at a time."""

    key: str  # below `method`, dotted
    label: str  # with {} for the value
    values: tuple[Any, ...]  # of the YAML's kind
    fixed: Mapping[str, Any]  # settings that hold for all values


@dataclass(frozen=True, kw_only=True)
class MethodSettings:
    """A method: what builds it, and its card."""

    name: str
    label: str  # in tables and pictures
    kind: str  # "method" or "control"
    uses_shots: bool
    uses_seed: bool  # false: the same images for every seed, on purpose
    needs: tuple[str, ...]  # "fresh": draws fresh target images, as a control may
    speed_only: Mapping[str, Any]  # settings that change no pixels -> the value that saves memory
    weight_copies: float  # how often adapting holds the weights: gradients, moments, averages
    reconstruct_sweep: ReconstructSweep | None
    spec: Spec  # the constructor's arguments


@dataclass(frozen=True, kw_only=True)
class ProtocolSettings:
    """How samples are scored."""

    name: str
    reference: str  # held_out | with_shots | shots
    reference_read: str  # dataset | native | a recipe of data.reading
    features: Spec
    perceptual: Spec
    metrics: Mapping[str, Spec]
    spec: Spec  # all of the above as the YAML has it


@dataclass(frozen=True, kw_only=True)
class Shots:
    """Which target images the method sees."""

    k: int
    subset: int


@dataclass(frozen=True, kw_only=True)
class Draws:
    """How many samples are drawn and scored."""

    num_images: int
    num_scored: int  # the first ones


@dataclass(frozen=True, kw_only=True)
class Precision:
    """The floating-point policy of each stage; part of its key unless fp32."""

    adapt: str
    sample: str


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where and how fast a run computes; changes nothing beyond rounding and enters no key."""

    device: str  # auto | cpu | cuda | cuda:N
    batch_size: int
    workers: int  # sampling processes
    compile: str | None  # a mode of torch.compile
    offload: bool  # frozen networks stay in the host's memory


@dataclass(frozen=True, kw_only=True)
class Policy:
    """What a run leaves besides its numbers."""

    checkpoint_s: float  # seconds between an adaptation's checkpoints
    tracker: Spec
    tsne_points: int  # in the plot, of each role
    embedding: str  # tsne | pca | umap


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One run: its settings by what they are about, and the keys that follow from them."""

    suite: Suite
    method: MethodSettings
    dataset: Dataset
    protocol: ProtocolSettings
    seed: int
    shots: Shots
    draws: Draws
    precision: Precision
    place: Place
    policy: Policy
    config: Mapping[str, Any]  # as composed, for the record only

    @property
    def label(self) -> str:
        return f"{self.method.name} on {self.dataset.name}"

    @property
    def identity(self) -> dict[str, Any]:
        """Suite, method, dataset, k, seed, subset, protocol: what a run is called by."""
        return {
            "suite": self.suite.name,
            "method": self.method.name,
            "dataset": self.dataset.name,
            "k": self.shots.k,
            "seed": self.seed,
            "subset": self.shots.subset,
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
        return {name: value for name, value in self.method.spec.items() if name != "sample"}

    @property
    def shots_fingerprint(self) -> str:
        return self.dataset.fingerprint(self.shots.k, self.shots.subset)

    # The keys hold digests of files, so the files must be there when a key is first needed.

    @cached_property
    def adapt_key(self) -> str:
        """Names the state."""
        return keys.adapt_key(
            method=self.adapts_by,
            shots=self.shots_fingerprint if self.method.uses_shots else None,
            seed=self.seed,
            precision=self.precision.adapt,
        )

    @cached_property
    def sample_key(self) -> str:
        """Names the samples."""
        return keys.sample_key(
            adapt_key=self.adapt_key,
            sample=self.method.spec.get("sample"),
            resolution=self.suite.resolution,
            shard_size=self.suite.shard_size,
            precision=self.precision.sample,
        )

    @cached_property
    def run_id(self) -> str:
        """Names the record."""
        return keys.run_id(
            sample_key=self.sample_key,
            num_images=self.draws.num_images,
            protocol=self.protocol.spec,
            shots=self.shots_fingerprint,
            reference=self.dataset.reference_fingerprint(),
            dataset=self.dataset.name,
            suite=self.suite.name,
        )

    @cached_property
    def protocol_hash(self) -> str:
        """Names everything that a number depends on besides samples, shots and reference."""
        return keys.protocol_hash(protocol=self.protocol.spec, num_scored=self.draws.num_scored)

    @property
    def folder(self) -> str:
        """Where the record goes, below the results folder."""
        return run_folder_name(self.identity, self.run_id)


def absent_assets(cells: list[Cell]) -> list[Asset]:
    """The files to be downloaded that some cell needs and that are not there, each once."""
    found = {asset.file: asset for cell in cells for asset in cell.assets}
    return [asset for _, asset in sorted(found.items()) if not asset.target.exists()]
