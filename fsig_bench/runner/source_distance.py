"""How far a user's own shots lie from the images of the source model, in the protocol's features.

A source model can only lend what it knows. The yardstick is the source itself: how far held-out
source images lie from their nearest source image.

Shape legend: n images, k shots, d features.
"""

from __future__ import annotations

import torch
from hydra.utils import instantiate
from torch import Tensor

from fsig_bench.api.plain import JsonDict
from fsig_bench.data.folder import ImageFolder
from fsig_bench.data.prepared import PreparedFolder
from fsig_bench.networks.base import Extractor
from fsig_bench.runner.build import with_device
from fsig_bench.runner.cell import Cell
from fsig_bench.runner.device import precision_policy, resolve_device
from fsig_bench.runner.score import kept_features
from fsig_bench.store.store import Store

SOURCE_IMAGES = 400  # half of them are looked up, half measured
LEAST = 40  # fewer say nothing about a quantile
QUANTILE = 0.99
SHARE = 0.5  # of the shots beyond the quantile, above which the run says so


def shots_beyond(shots: Tensor, source: Tensor) -> tuple[int, float]:
    """How many shots lie further from the source than almost all of the source itself.

    Args:
        shots: features [k, d].
        source: features [n, d] of different source images; every second one is measured.

    Returns:
        The number of shots whose distance to the nearest source image exceeds the 0.99 quantile
        of that distance among source images, and the shots' median distance over that quantile.
    """
    known, held_out = source[::2].double(), source[1::2].double()
    usual = torch.cdist(held_out, known).min(1).values.quantile(QUANTILE)
    own = torch.cdist(shots.double(), known).min(1).values
    return int((own > usual).sum()), float(own.quantile(0.5) / usual)


def different_images(images: Tensor) -> Tensor:
    """Each image once, in order: a short folder is repeated by its loader."""
    first = {image.numpy().tobytes(): n for n, image in reversed([*enumerate(images)])}
    return images[sorted(first.values())]


def is_own_folder(dataset: object) -> bool:
    """Whether a dataset is a folder of the user's own, not a set that the harness knows."""
    return isinstance(dataset, ImageFolder) and not isinstance(dataset, PreparedFolder)


def source_distance(cell: Cell, store: Store) -> JsonDict | None:
    """What a record says of it: the counts, and a sentence under `remark` if the shots lie far.

    None for sets that the suite knows, for methods that do not use the shots, and where the suite
    has no images of its source domain.
    """
    spec = cell.suite.source_images
    if spec is None or not is_own_folder(cell.dataset) or not cell.method.uses_shots:
        return None
    images = different_images(instantiate(spec, _convert_="all").load(range(SOURCE_IMAGES)))
    if len(images) < LEAST:
        return None
    device = resolve_device(cell.place.device)
    network = with_device(cell.protocol.features, device)
    extractor: Extractor = instantiate(network, _convert_="all")
    shots = cell.dataset.shots(cell.shots.k, cell.shots.subset)
    with precision_policy("fp32", device):
        known, own = (
            kept_features(x, extractor, cell, store, policy="fp32") for x in (images, shots)
        )
        beyond, ratio = shots_beyond(own, known)
    found = {
        "features": extractor.name,
        "shots_beyond": beyond,
        "shots": len(shots),
        "quantile": QUANTILE,
        "median_over_quantile": round(ratio, 3),
        "source_images": len(images),
    }
    if beyond > SHARE * len(shots):
        found["remark"] = (
            f"{beyond} of {len(shots)} shots lie further from the source model's images than "
            f"{QUANTILE:.0%} of such images lie from each other (nearest neighbours, features of "
            f"{extractor.name}): this source model knows little like them, so expect samples that "
            "copy the shots or stay in the source domain; see README, 'Your own photographs'"
        )
    return found
