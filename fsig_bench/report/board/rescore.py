"""The numbers of a hand-in once more, from its images, by the code that scores every run."""

from __future__ import annotations

import io
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from fsig_bench.api.plain import Json, JsonDict, Record
from fsig_bench.metrics.cards import metric_cards
from fsig_bench.report.board.claims import check_code, name_of
from fsig_bench.report.board.tolerance import Compared, compare_all
from fsig_bench.report.board.versions import FrozenTrack, Version
from fsig_bench.runner.compose import compose_config
from fsig_bench.runner.resolve import resolve_scoring
from fsig_bench.store.store import Store

if TYPE_CHECKING:
    from torch import Tensor

    from fsig_bench.report.board.bundle import Bundle, Claim
    from fsig_bench.runner.cell import Cell

AXES = ("seed", "subset", "draw")  # what tells the runs of a method on a dataset apart


def scoring_cell(
    record: Record,
    track: FrozenTrack,
    version: Version,
    *,
    place: Sequence[str] = (),
    config_dir: Path | None = None,
) -> Cell:
    """The cell that scores a record's samples, from the track's words: none are the record's own.

    Args:
        record: of the run; only its numbers of chance and the method's card are used.
        track: whose suite, dataset, protocol and settings count.
        version: which it belongs to.
        place: words on where it is scored, such as device=cpu.
        config_dir: a folder of YAML of the user's own.

    Raises:
        ValueError, OSError: this code has other rules, the images of the dataset are not here, or
            the record names other shots.
    """
    check_code(track, version, config_dir)
    words = [*track.words(record["dataset"]), *place]
    words += [f"{axis}={record.get(axis, 0)}" for axis in AXES]
    card = record["config"]["method"]["card"]
    cell = resolve_scoring(compose_config(words, config_dir=config_dir), card=card | named(record))
    shots = cell.dataset.shot_names(track.k, record.get("subset", 0))
    if "shots" in record and record["shots"] != shots:
        odd = next((a for a in record["shots"] if a not in shots), f"{len(record['shots'])} shots")
        raise ValueError(
            f"{name_of(record)}: it names the shots {odd}, and subset={record.get('subset', 0)} of "
            f"{record['dataset']} has {', '.join(shots[:4])}...; run it on the shots of the dataset"
        )
    return cell


def named(record: Record) -> JsonDict:
    """A method's card gets the name of the record where it has none."""
    return {"name": record["config"]["method"]["card"].get("name", record["method"])}


def read_pictures(bundle: Bundle, claim: Claim, *, count: int, side: int) -> Tensor:
    """The samples of a run, uint8 [count, 3, side, side], whose digest is the record's.

    Raises:
        ValueError: their number or size is wrong, a file is damaged, or the pixels are not those
            that the record says were scored.
    """
    import torch

    from fsig_bench.api.images import pixels_sha256

    run = name_of(claim.record)
    wanted = [f"{claim.folder}/png/{index:06d}.png" for index in range(count)]
    if list(claim.pictures) != wanted:
        raise ValueError(
            f"{run}: the bundle holds {len(claim.pictures)} PNG files, and the protocol scores "
            f"{count}, named png/000000.png to png/{count - 1:06d}.png; make it anew with "
            "fsig-bench submit"
        )
    images = torch.empty((count, 3, side, side), dtype=torch.uint8)
    for index, name in enumerate(wanted):
        images[index] = decoded(bundle.checked(name), side=side, name=name)
    if (found := pixels_sha256(images)) != claim.record["pixels_sha256"]:
        raise ValueError(
            f"{run}: its images have the digest {found[:12]}, and its record was scored on images "
            f"with {claim.record['pixels_sha256'][:12]}; hand in the images that were scored"
        )
    return images


def decoded(data: bytes, *, side: int, name: str) -> Tensor:
    """A PNG file as uint8 [3, side, side]; nothing but 8-bit RGB of this size is decoded.

    Raises:
        ValueError: it is something else, or damaged.
    """
    import numpy as np
    import torch

    from fsig_bench.data.opening import open_image

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            with open_image(io.BytesIO(data)) as image:
                kind = (image.format, image.mode, *image.size)
                if kind != ("PNG", "RGB", side, side):
                    w, h = image.size
                    raise ValueError(f"it is {image.format}, {image.mode} of {w} x {h} pixels")
                pixels = np.array(image)
    except (OSError, ValueError, SyntaxError, Warning, EOFError) as error:
        raise ValueError(
            f"{name} is no PNG file with RGB of {side} x {side} pixels ({str(error)[:120]}); hand "
            "in the samples as fsig-bench submit writes them"
        ) from error
    return torch.from_numpy(pixels).permute(2, 0, 1)


def score_again(cell: Cell, images: Tensor, store: Store, claimed: Record) -> list[Compared]:
    """Every metric of the protocol from the images, beside the record's.

    Raises:
        ValueError: a number of the record is not what its images give; the message names all.
    """
    from fsig_bench.runner.score import score

    values, _ = score(cell, images, store)
    # The cards are those of this code: a record's own could widen the tolerance.
    own = {"config": {"protocol": cell.config["protocol"]}, "metrics": values}
    found = compare_all(claimed["metrics"], values, metric_cards([own]))
    if wrong := [f"{c.metric}: {c.reason}" for c in found if c.reason]:
        more = f"; {len(wrong) - 3} more metrics" if wrong[3:] else ""
        raise ValueError(
            f"{name_of(claimed)}: {'; '.join(wrong[:3])}{more}. Hand in the record that the run "
            "left beside its own samples, or score them again (fsig-bench method=from_folder)"
        )
    return found


def summary(found: Sequence[Compared]) -> Json:
    """What an entry keeps of a comparison."""
    return {c.metric: {"value": c.here, "claimed": c.claimed, "allowed": c.allowed} for c in found}
