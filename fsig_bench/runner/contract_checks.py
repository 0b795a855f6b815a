"""Promises of form and fairness, a function each: None, or a sentence that says what is broken.

A function raises `NotChecked` where its promise does not apply. Its docstring is the promise.
"""

from __future__ import annotations

import dataclasses
import inspect
import math
from collections.abc import Sequence

import torch

from fsig_bench.api.types import Images
from fsig_bench.runner.contract_honesty import (
    leaves,
    names_target,
    reference_out_of_reach,
    target_names,
)
from fsig_bench.runner.contract_trial import (
    NotChecked,
    Trial,
    image_gap,
)


def values_stand_in_the_yaml(trial: Trial) -> str | None:
    """The method is a frozen dataclass, and its values stand in the YAML only."""
    kind = type(trial.build())
    if not dataclasses.is_dataclass(kind):
        return f"{kind.__name__} is no dataclass; write @dataclass(frozen=True, kw_only=True) on it"
    if not kind.__dataclass_params__.frozen:  # type: ignore[attr-defined]  # of every dataclass
        return f"{kind.__name__} can be changed after it is built; write frozen=True in @dataclass"
    known = inspect.signature(kind).parameters.values()
    if by_place := [p.name for p in known if p.kind is not p.KEYWORD_ONLY]:
        return (
            f"{kind.__name__} takes {', '.join(by_place)} by position; write kw_only=True in "
            "@dataclass"
        )
    if preset := [p.name for p in known if p.default is not p.empty]:
        return (
            f"{kind.__name__} has default values for {', '.join(preset)}, which records and keys "
            "do not see; drop them and write the values into the method's YAML"
        )
    return None


def its_functions_take_what_they_are_given(trial: Trial) -> str | None:
    """`adapt` takes shots, seed and progress, `sampler` takes state and draw, and nothing else."""
    method = trial.build()
    for name, wanted in (("adapt", ["shots", "seed", "progress"]), ("sampler", ["state", "draw"])):
        if (function := getattr(method, name, None)) is None:
            return f"{type(method).__name__} has no function `{name}`; add {name}{_call(wanted)}"
        if (taken := list(inspect.signature(function).parameters)) != wanted:
            return (
                f"`{name}` takes ({', '.join(taken)}); let it take {_call(wanted)}, and everything "
                "else from the fields of the dataclass"
            )
    cost = getattr(method, "nfe_per_image", None)
    if not isinstance(cost, int | float) or not math.isfinite(cost) or cost < 0:
        return (
            f"nfe_per_image is {cost!r}; give the number of network evaluations that drawing one "
            "image takes, 0 where no network is evaluated"
        )
    return None


def _call(names: Sequence[str]) -> str:
    return f"({names[0]}, *, {', '.join(names[1:])})" if names[1:] else f"({names[0]})"


def images_fit_at_one_shot(trial: Trial) -> str | None:
    """With one shot, images are float32 on the CPU, of the suite's size, finite, in [-1, 1]."""
    return _images_fit(trial, 1)


def images_fit_at_five_shots(trial: Trial) -> str | None:
    """With five shots, images are float32 on the CPU, of the suite's size, finite, in [-1, 1]."""
    return _images_fit(trial, 5)


def _images_fit(trial: Trial, k: int) -> str | None:
    try:
        adapted = trial.adapted(k=k)
    except ValueError as error:
        raise NotChecked(f"`adapt` refuses k={k} by a ValueError: {error}") from error
    return image_fault(trial.draw(adapted.sampler, [0, 4]), 2, trial.cell.suite.resolution)


def image_fault(images: Images, n: int, side: int) -> str | None:
    """What is wrong with n images of this side, as a sentence."""
    if not isinstance(images, torch.Tensor):
        return f"the sampler returns {type(images).__name__}; return a float32 tensor"
    if images.device.type != "cpu":
        return f"the sampler returns images on {images.device}; add .cpu()"
    if images.dtype != torch.float32:
        return f"the sampler returns {images.dtype}; return torch.float32, as by .float()"
    if list(images.shape) != [n, 3, side, side]:
        return (
            f"the sampler returns shape {list(images.shape)} for {n} indices; return "
            f"[{n}, 3, {side}, {side}]"
        )
    if not torch.isfinite(images).all():
        return "the sampler returns values that are not finite; find the division or the overflow"
    if images.abs().max() > 1:
        low, high = images.min().item(), images.max().item()
        return (
            f"the sampler returns values from {low:.3g} to {high:.3g}; return images in [-1, 1], "
            "as by .clamp(-1, 1)"
        )
    return None


def shots_stay_as_they_are(trial: Trial) -> str | None:
    """Adapting and sampling leave the shots as they were given."""
    adapted = trial.adapted()
    given = trial.shots(trial.k)
    if not torch.equal(given, adapted.shots):
        gap = image_gap(given, adapted.shots)
        return f"`adapt` changes the shots in place, by up to {gap:.3g}; work on shots.clone()"
    trial.drawn()
    if not torch.equal(given, adapted.shots):
        return "the sampler changes the shots in place; keep shots.clone() in the state"
    return None


def the_reference_is_out_of_reach(trial: Trial) -> str | None:
    """The method adapts and samples where every way to the reference raises."""
    with reference_out_of_reach(trial.cell) as attempts:
        try:
            trial.draw(trial.adapt().sampler)
        except Exception:
            if not attempts:
                raise
    if attempts:
        return (
            f"the method reaches for {attempts[0]}; all that it may see of the target are the "
            "shots that `adapt` receives"
        )
    return None


def settings_do_not_name_the_target(trial: Trial) -> str | None:
    """No setting of the method names the target or its reference."""
    method = trial.cell.method
    if "fresh" in method.needs:
        if method.kind == "control":
            raise NotChecked(
                "the card says `needs: [fresh]`: a control may draw fresh target images"
            )
        return "the card says `needs: [fresh]`; only `kind: control` may draw fresh target images"
    names = target_names(trial.cell.dataset)
    for path, value in leaves(method.spec):
        if names_target(value, names):
            return (
                f"{path}={value} names the target, and a method must not know it; give what every "
                "target has in common, the shots reach `adapt` by themselves"
            )
    return None
