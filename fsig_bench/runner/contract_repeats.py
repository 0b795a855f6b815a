"""Promises of repetition, a function each: the same words give the same images, whatever happens.

As in `contract_checks`: None, or a sentence that says what is broken.
"""

from __future__ import annotations

import math
import tempfile
from dataclasses import replace

import torch

from fsig_bench.api.types import State
from fsig_bench.runner.contract_trial import (
    INDICES,
    Adapted,
    Killed,
    NotChecked,
    Trial,
    WatchedProgress,
    image_gap,
    state_difference,
)
from fsig_bench.store.store import Store

TOLERANCE = 1e-3  # rounding, of pixels in [-1, 1]: a quarter of a step of 8 bits is 2e-3
DIFFERENT = 0.02  # two images differ if some pixel does by as much
KILLS = 4  # checkpoints that an adaptation is killed at, where it keeps more of them
SEED_HINT = (
    "take every draw from fsig_bench.api.generator(seed, 'purpose') in adapt and from "
    "fsig_bench.api.ImageGenerators(draw, indices, 'purpose') in the sampler"
)


def adapting_twice_gives_the_same_state(trial: Trial) -> str | None:
    """Adapting twice to the same shots with the same seed gives the same state, to the byte."""
    if gap := state_difference(trial.adapted().state, trial.adapt().state):
        return f"two adaptations with the same shots and seed differ: {gap}; {SEED_HINT}"
    return None


def nothing_is_drawn_from_global_generators(trial: Trial) -> str | None:
    """The global random generators of torch, numpy and Python decide nothing and are not seeded."""
    one, other = trial.adapted(), trial.adapt(random_state=1)
    if gap := state_difference(one.state, other.state):
        return f"`adapt` depends on the global random state: {gap}; {SEED_HINT}"
    again = trial.draw(one.sampler, random_state=1)
    if (gap_px := image_gap(trial.drawn(), again)) > 0:
        return (
            f"images depend on the global random state, by up to {gap_px:.3g}; take the draws of "
            "image i from fsig_bench.api.ImageGenerators(draw, indices, 'purpose')"
        )
    names = ("torch's", "numpy's", "Python's")
    # Drawing moves a generator on from where it stood; seeding takes it to one place from anywhere.
    for name, a, b in zip(names, one.global_states, other.global_states, strict=True):
        if a == b:
            return (
                f"`adapt` seeds {name} global random generator, which other code shares; "
                "use a generator of its own, or seed within torch.random.fork_rng(devices=[])"
            )
    return None


def image_i_does_not_depend_on_its_batch(trial: Trial) -> str | None:
    """Image i is the same alone and in any batch, and to the byte in the same call."""
    sampler = trial.adapted().sampler
    many = trial.drawn()
    if not torch.equal(many, trial.draw(sampler)):
        return f"the same call of the sampler twice gives other images; {SEED_HINT}"
    for part in ([INDICES[1]], [INDICES[2], INDICES[0]]):
        images = trial.draw(sampler, part)
        for n, i in enumerate(part):
            if (gap := image_gap(many[INDICES.index(i)], images[n])) > TOLERANCE:
                return (
                    f"image {i} in the batch {list(INDICES)} and in the batch {part} differs by up "
                    f"to {gap:.3g}; draw image i from (draw, i) alone, by "
                    "fsig_bench.api.ImageGenerators, and put every network into eval mode"
                )
    return None


def different_indices_give_different_images(trial: Trial) -> str | None:
    """Different indices give different images."""
    if trial.k == 1 and trial.cell.method.kind == "control":
        raise NotChecked("a control may have only one image with k=1; choose k=5")
    one, other = trial.drawn()[:2]
    if (gap := image_gap(one, other)) < DIFFERENT:
        return (
            f"images {INDICES[0]} and {INDICES[1]} differ by at most {gap:.3g}; let image i depend "
            "on i, by fsig_bench.api.ImageGenerators(draw, indices, 'purpose')"
        )
    return None


def a_killed_adaptation_continues(trial: Trial) -> str | None:
    """An adaptation that is killed at its checkpoints continues to the same state, to the byte."""
    whole = trial.adapted()
    if not (points := sorted({*whole.saved})):
        raise NotChecked(
            "`adapt` keeps no checkpoint (progress.save), so a killed adaptation starts again"
        )
    step = max(1, math.ceil(len(points) / KILLS))
    kills = [*reversed(points[::-1][::step])]  # the last one in any case
    again: Adapted | None = None
    progress = WatchedProgress()
    for kill_at in [*kills, -1]:
        before = progress.done
        progress = WatchedProgress(before, progress.tensors, kill_at=kill_at)
        try:
            again = trial.adapt(progress=progress)
        except Killed:
            pass
        if fault := _restart_fault(progress, before):
            return fault
        if again is not None:
            break
    assert again is not None  # the last turn kills nothing
    if gap := state_difference(whole.state, again.state):
        return (
            f"an adaptation that was killed after {kills} steps and continued ends elsewhere: "
            f"{gap}; keep weights, moments, averages and counts in progress.save, and "
            "draw each step from generator(seed, 'purpose', step)"
        )
    return None


def _restart_fault(progress: WatchedProgress, before: int) -> str | None:
    """A sentence if an adaptation that had reached `before` steps began again."""
    if before and not progress.was_loaded:
        return (
            "`adapt` keeps checkpoints by progress.save and never calls progress.load; begin with "
            "`done, kept = progress.load()` and go on from there"
        )
    first = min([*progress.reported[:1], *progress.saved[:1]], default=before)
    if before and (first < before or before in progress.saved):
        return (
            f"`adapt` was killed after {before} steps and then reports step {first} again in place "
            f"of {before + 1}; start the loop at the steps that progress.load() returns"
        )
    return None


def the_state_survives_the_store(trial: Trial) -> str | None:
    """A new object of the method draws the same images from the state that the store keeps."""
    adapted = trial.adapted()
    images = trial.drawn()
    if trial.last_seed == trial.seed:
        # Whatever a module or a class remembers is then another adaptation's.
        trial.adapt(seed=trial.seed + 1)
    with tempfile.TemporaryDirectory() as folder:
        loaded = _stored(adapted.state, folder)
    if gap := state_difference(adapted.state, loaded):
        return f"the stored state is not the same: {gap}; keep plain tensors in `State.tensors`"
    try:
        again = trial.draw(trial.build().sampler(loaded, draw=trial.cell.draw))
    except (AttributeError, KeyError, TypeError) as error:
        return (
            f"a new object of the method cannot draw from the stored state ({_named(error)}); keep "
            "everything that the sampler needs in `State`, and nothing on the method"
        )
    if (gap_px := image_gap(images, again)) > 0:
        return (
            f"a new object of the method draws other images from the stored state, by up to "
            f"{gap_px:.3g}; keep everything that the sampler needs in `State`"
        )
    return None


def _stored(state: State, folder: str) -> State:
    store = Store(folder)
    store.save_state("contract", state, 0.0)
    found = store.load_state("contract")
    assert found is not None
    return found[0]


def _named(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"


def another_draw_gives_other_images(trial: Trial) -> str | None:
    """Another draw seed gives other images from the same state."""
    if not trial.cell.method.uses_draw:
        raise NotChecked(
            "the card says `uses_draw: false`: its images are the same for every draw seed"
        )
    adapted, draw = trial.adapted(), trial.cell.draw
    other = trial.draw(adapted.method.sampler(adapted.state, draw=draw + 1))
    if (gap := image_gap(trial.drawn(), other)) <= TOLERANCE:
        return (
            f"draw seeds {draw} and {draw + 1} give the same images (they differ by at most "
            f"{gap:.3g}); take every random number of image i from "
            "fsig_bench.api.ImageGenerators(draw, indices, 'purpose'). A method whose images are "
            "the same on purpose says `uses_draw: false` in its card"
        )
    return None


def another_seed_gives_another_state(trial: Trial) -> str | None:
    """Another seed gives another state; under a card's `uses_seed: false`, the same one."""
    one, other = trial.adapted(), trial.adapted(seed=trial.seed + 1)
    gap = state_difference(one.state, replace(other.state, seed=one.state.seed))
    seeds = f"seeds {trial.seed} and {trial.seed + 1}"
    if trial.cell.method.uses_seed and gap is None:
        return (
            f"{seeds} give the same state; {SEED_HINT}. A method whose adaptation draws nothing "
            "says `uses_seed: false` in its card, and is then adapted once for all seeds"
        )
    if not trial.cell.method.uses_seed and gap is not None:
        return (
            f"the card says `uses_seed: false`, and {seeds} give other states: {gap}; drop it from "
            "the card"
        )
    return None
