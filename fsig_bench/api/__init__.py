"""The one door: all that a method or a metric imports of the harness.

    from fsig_bench.api import Images, Progress, Sampler, State, generator, to_float

Images       float32 [n, 3, h, w] in [-1, 1]: what methods take and give
Pixels       uint8 [n, 3, h, w] in [0, 255]: what is stored and scored
State        what adapting leaves: named tensors and plain values
Sampler      indices -> Images; given a state, image i depends on (draw, i) only
Method       adapt(shots, seed=, progress=) -> State; sampler(state, draw=) -> Sampler
Progress     where `adapt` reports, keeps checkpoints and shares work; NoProgress keeps nothing

Optional abilities of a method, found by their names: PlansWork, AdaptsInTeam, Annotates,
SharesWork, Reconstructs. Networks that a suite offers to methods: Perceptual, Trunk. Fresh
images: ImagesByIndex. Values from JSON or YAML: Json to be read, JsonDict to be made.

Names are looked up when they are first used, so `import fsig_bench.api` does not import torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fsig_bench.api.assets import Asset
    from fsig_bench.api.compiling import compiled
    from fsig_bench.api.digests import check_at_rest, sha256_of
    from fsig_bench.api.files import write_json, write_whole
    from fsig_bench.api.images import pixels_sha256, to_float, to_uint8, upload
    from fsig_bench.api.places import CONF, ROOT, cache_folder
    from fsig_bench.api.plain import Json, JsonDict
    from fsig_bench.api.seeding import ImageGenerators, derive, generator
    from fsig_bench.api.types import (
        AdaptsInTeam,
        Annotates,
        Images,
        ImagesByIndex,
        Method,
        NoProgress,
        Perceptual,
        Pixels,
        PlansWork,
        Progress,
        Reconstructs,
        Sampler,
        Shared,
        SharesWork,
        State,
        Trunk,
        no_sharing,
    )
    from fsig_bench.api.weights import (
        locate,
        manifest_entry,
        record_in_manifest,
        verified,
        write_safetensors,
    )

HOMES = {
    "assets": ("Asset",),
    "compiling": ("compiled",),
    "digests": ("check_at_rest", "sha256_of"),
    "files": ("write_json", "write_whole"),
    "images": ("pixels_sha256", "to_float", "to_uint8", "upload"),
    "places": ("CONF", "ROOT", "cache_folder"),
    "plain": ("Json", "JsonDict"),
    "seeding": ("ImageGenerators", "derive", "generator"),
    "types": (
        *("AdaptsInTeam", "Annotates", "Images", "ImagesByIndex", "Method", "NoProgress"),
        *("Perceptual", "Pixels", "PlansWork", "Progress", "Reconstructs", "Sampler", "Shared"),
        *("SharesWork", "State", "Trunk", "no_sharing"),
    ),
    "weights": (
        *("locate", "manifest_entry", "record_in_manifest", "verified"),
        "write_safetensors",
    ),
}
__all__ = [
    "CONF",
    "ROOT",
    "AdaptsInTeam",
    "Annotates",
    "Asset",
    "ImageGenerators",
    "Images",
    "ImagesByIndex",
    "Json",
    "JsonDict",
    "Method",
    "NoProgress",
    "Perceptual",
    "Pixels",
    "PlansWork",
    "Progress",
    "Reconstructs",
    "Sampler",
    "Shared",
    "SharesWork",
    "State",
    "Trunk",
    "cache_folder",
    "check_at_rest",
    "compiled",
    "derive",
    "generator",
    "locate",
    "manifest_entry",
    "no_sharing",
    "pixels_sha256",
    "record_in_manifest",
    "sha256_of",
    "to_float",
    "to_uint8",
    "upload",
    "verified",
    "write_json",
    "write_safetensors",
    "write_whole",
]


def __getattr__(name: str) -> object:
    """Imports a name of the door from the file that holds it."""
    for home, names in HOMES.items():
        if name in names:
            return getattr(import_module(f"fsig_bench.api.{home}"), name)
    raise AttributeError(f"fsig_bench.api has no {name}; it offers {', '.join(__all__)}")
