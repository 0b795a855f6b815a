"""The settings of a run as typed values, by what they are about.

Nothing here imports torch, so a finished run is recognised in well under a second.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from fsig_bench.api.plain import Json

if TYPE_CHECKING:
    from torch import Tensor

# The arguments of a class from conf/, with its `_target_`: any YAML value.
Spec = Json


class Dataset(Protocol):
    """What the runner needs of a target domain; construction and fingerprints are cheap."""

    name: str
    source_domain: str | None

    def check(self, k: int, subset: int) -> None: ...
    def shots(self, k: int, subset: int) -> Tensor: ...  # uint8 [k, 3, h, w]
    def shot_names(self, k: int, subset: int) -> list[str]: ...
    def reference_images(self, k: int, subset: int) -> Tensor | None: ...
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
    values: tuple[object, ...]  # of the YAML's kind
    fixed: Json  # settings that hold for all values


@dataclass(frozen=True, kw_only=True)
class MethodSettings:
    """A method: what builds it, and its card."""

    name: str
    label: str  # in tables and pictures
    kind: str  # "method" or "control"
    uses_shots: bool
    uses_seed: bool  # false: adapts in the same way for every seed, on purpose
    uses_draw: bool  # false: the same images for every draw seed, on purpose
    needs: tuple[str, ...]  # "fresh": draws fresh target images, as a control may
    speed_only: Json  # settings that change no pixels -> the value that saves memory
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
    networks: Mapping[str, Spec]  # a metric's own network of features, by the metric's name
    metrics: Mapping[str, Spec]
    spec: Spec  # all of the above as the YAML has it


@dataclass(frozen=True, kw_only=True)
class Shots:
    """Which target images the method sees."""

    k: int
    subset: int


@dataclass(frozen=True, kw_only=True)
class Samples:
    """How many samples are drawn and scored."""

    num_images: int
    num_scored: int  # the first ones


@dataclass(frozen=True, kw_only=True)
class Precision:
    """The floating-point policy of each stage; part of its key, or of the rules, unless fp32."""

    adapt: str
    sample: str
    score: str


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
