"""`fsig-bench check method=NAME [--config-dir DIR] [setting=value ...]`: does it keep the contract?

    fsig-bench check method=crdi
    fsig-bench check --config-dir my_conf method=my_method
    fsig-bench check method=gan_inversion dataset=sketches method.projector.steps=5

Adapts the method about ten times and says of each promise whether it holds: values in the YAML,
images in shape and range, determinism, independence of the batch, continuing after a kill, a state
that the store keeps whole, no look at the reference. A broken promise comes with its cause and its
remedy, and the exit status is 1.

With accept=true the golden cases run instead, and versions.json locks the present code where their
bytes are as before (docs/add_a_method.md); version=next: other bytes are meant.

Settings are those of a run. These stand unless others are given: dataset=babies k=5 device=cpu
controls=[] and experiment=smoke, for which in_experiment/method/smoke/NAME.yaml of the folder DIR
may hold what makes the method's training short.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from fsig_bench.runner.contract_cell import cell_to_check

if TYPE_CHECKING:
    from fsig_bench.runner.cell import Cell
    from fsig_bench.runner.contract_trial import Trial

    Promise = Callable[[Trial], str | None]


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of one promise."""

    name: str  # of the function that checks it
    promise: str  # a sentence
    verdict: str  # "kept", "BROKEN", "skipped"
    reason: str | None  # a sentence, unless it is kept


def promises() -> list[Promise]:
    """The functions that check a promise, quick ones first."""
    from fsig_bench.runner import contract_checks as c
    from fsig_bench.runner import contract_repeats as r

    return [
        c.values_stand_in_the_yaml,
        c.its_functions_take_what_they_are_given,
        c.settings_do_not_name_the_target,
        c.images_fit_at_one_shot,
        c.images_fit_at_five_shots,
        c.shots_stay_as_they_are,
        r.adapting_twice_gives_the_same_state,
        r.nothing_is_drawn_from_global_generators,
        r.image_i_does_not_depend_on_its_batch,
        r.different_indices_give_different_images,
        r.another_draw_gives_other_images,
        r.another_seed_gives_another_state,
        r.the_state_survives_the_store,  # after another seed's adaptation, which it needs
        r.a_killed_adaptation_continues,
        c.the_reference_is_out_of_reach,
    ]


def check_promise(promise: Promise, trial: Trial) -> Outcome:
    """One promise; an exception of the method breaks it."""
    from fsig_bench.runner.contract_trial import NotChecked

    verdict: str
    reason: str | None
    try:
        reason = promise(trial)
        verdict = "kept" if reason is None else "BROKEN"
    except NotChecked as error:
        verdict, reason = "skipped", str(error)
    except Exception as error:  # whatever somebody's method raises
        verdict, reason = "BROKEN", describe_error(error)
    sentence = (promise.__doc__ or promise.__name__).splitlines()[0]
    return Outcome(name=promise.__name__, promise=sentence, verdict=verdict, reason=reason)


def describe_error(error: Exception) -> str:
    """A sentence about an exception, with the line that raised it."""
    place, trace = "", error.__traceback__
    while trace is not None:
        frame = trace.tb_frame
        name = frame.f_globals.get("__name__", "")
        if not name.startswith(("fsig_bench.", "torch", "hydra", "omegaconf", "numpy")):
            place = f" ({Path(frame.f_code.co_filename).name}, line {trace.tb_lineno})"
        trace = trace.tb_next
    return f"the method raises {type(error).__name__}{place}: {error}"


def check_contract(cell: Cell) -> Iterator[Outcome]:
    """The promises of a cell's method, each as soon as it is checked."""
    from fsig_bench.runner.contract_trial import Trial

    trial = Trial(cell)
    for promise in promises():
        yield check_promise(promise, trial)


def main(words: Sequence[str]) -> int:
    """Prints every promise with its verdict; returns 1 if one is broken.

    Args:
        words: overrides, and --config-dir DIR.

    Raises:
        ValueError, OSError: the settings or a file are not as they have to be.
    """
    from fsig_bench.console import console, duration
    from fsig_bench.words import split_config_dir

    overrides, config_dir = split_config_dir(words)
    if "accept=true" in overrides:
        return accept_main([w for w in overrides if w != "accept=true"], config_dir)
    for word in overrides:
        if word.startswith("-") or "=" not in word:
            raise ValueError(f"check knows no {word!r}; write key=value, or see check --help")
    cell = cell_to_check(overrides, config_dir)
    began = time.perf_counter()
    console.print(f"checking {cell.label}, k={cell.shots.k}, seed={cell.seed}")
    found: list[Outcome] = []
    for outcome in check_contract(cell):
        found.append(outcome)
        console.print(f"  {outcome.verdict:<8} {outcome.promise}")
        if outcome.reason is not None:
            console.print(f"{'':<11}{as_sentence(outcome.reason)}")
    counts = {v: sum(o.verdict == v for o in found) for v in ("kept", "BROKEN", "skipped")}
    spent = duration(time.perf_counter() - began)
    console.print(
        f"{cell.method.name}: {counts['kept']} promises kept, {counts['BROKEN']} broken, "
        f"{counts['skipped']} skipped, in {spent}"
    )
    return 1 if counts["BROKEN"] else 0


def accept_main(words: Sequence[str], config_dir: str | Path | None) -> int:
    """Runs golden cases and locks the code that they allow; returns 1 if some is refused.

    Raises:
        ValueError: a word names no case.
    """
    from fsig_bench.api.places import CONF
    from fsig_bench.console import console
    from fsig_bench.runner.golden import accept
    from fsig_bench.runner.golden_cases import all_cases, named_classes

    typed = [word.replace("=", " ", 1) for word in words if word != "version=next"]
    cases = all_cases(config_dir)
    known = {case.label: case for case in cases}
    if unknown := [word for word in typed if word not in known]:
        raise ValueError(
            f"{unknown[0].replace(' ', '=')}: no golden case has this name; with accept=true give "
            "method=NAME, metric=NAME, network=NAME or dataset=NAME without downloaded files, or "
            "nothing for all"
        )
    chosen = [known[word] for word in typed] or cases
    folder = CONF if config_dir is None else Path(config_dir).expanduser()
    reached = {target for case in cases for target in case.classes}
    others = [] if typed else [t for t in named_classes(folder) if t not in reached]
    verdicts = accept(cases, chosen, others, next_version="version=next" in words)
    for line in verdicts.lines:
        console.print(line)
    return int(verdicts.refused)


def as_sentence(text: str) -> str:
    """With a capital and a full stop."""
    return f"{text[:1].upper()}{text[1:].rstrip('.')}."


if __name__ == "__main__":
    from fsig_bench.console import run_word

    sys.exit(run_word("check", main))
