"""Ranges in the words of a command, as Hydra's own parser reads them.

    method.lr=tag(log,interval(1e-5,1e-3))      a real number, uniform in its logarithm
    method.l=interval(0,1)                      a real number, uniform
    method.iterations=range(50,401,50)          a whole number below the stop, as in Python
    method.sample.kind=choice(ddim,ancestral)   one of these, or without `choice`: ddim,ancestral
    method/objective=choice(paper,code)         one of a group's presets

The words of earlier versions are read too: log(LOW,HIGH), lin(LOW,HIGH), LOW:HIGH:STEP, [A,B].
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from fsig_bench.tune.space import Dimension

if TYPE_CHECKING:
    from hydra.core.override_parser.types import Override, RangeSweep

METHOD = ("method.", "method/")  # what a searched setting starts with
REAL = "interval(LOW,HIGH) or tag(log,interval(LOW,HIGH)), with two numbers"
FORMS = {
    "interval": REAL,
    "tag": REAL,
    "range": "range(START,STOP,STEP), with numbers",
    "choice": "choice(A,B), or A,B where one of them is null",
}


def parse(word: str) -> Dimension | None:
    """The dimension that a key=value word spans; None where it is an ordinary override.

    Raises:
        ValueError: it looks like a range and is none, or the setting is not the method's.
    """
    key = word.partition("=")[0]
    override = _parsed(word, in_present_words(word))
    if override is None or not override.is_sweep_override():
        return None
    if not key.startswith(METHOD):
        raise ValueError(
            f"{word}: only settings of the method are searched (method.*); dataset, k, seed "
            "and the rest say what is compared, so give one value of each"
        )
    made = _dimension(word, key, override)
    if made.kind != "choice" and not -math.inf < made.low < made.high < math.inf:
        raise ValueError(f"{word}: the range is empty or has no end; give the lower end first")
    if made.log and made.low <= 0:
        raise ValueError(f"{word}: a logarithmic range starts above 0, and {made.low:g} does not")
    return made


def in_present_words(word: str) -> str:
    """A word of earlier versions as it is written now; any other word as it is."""
    key, _, value = word.partition("=")
    if value.startswith("log("):
        return f"{key}=tag(log,interval{value[3:]})"
    if value.startswith("lin("):
        return f"{key}=interval{value[3:]}"
    if key.startswith(METHOD) and value.startswith("[") and value.endswith("]"):
        if _is_sweep(word):  # [a,b],[c,d] are two lists
            return word
        listed = f"{key}={value[1:-1]}"  # with `choice`, Hydra takes no null
        return listed if _is_sweep(listed) else f"{key}=choice({value[1:-1]})"
    parts = value.split(":")
    if len(parts) in (2, 3) and all(part.lstrip("+-").isdecimal() for part in parts):
        low, high, step = int(parts[0]), int(parts[1]), parts[2] if len(parts) == 3 else "1"
        return f"{key}=range({low},{high + 1},{step})"
    return word


def outdated(words: Sequence[str]) -> list[tuple[str, str]]:
    """Every word of an earlier version, and how it is written now."""
    return [(word, now) for word in words if (now := in_present_words(word)) != word]


def _is_sweep(word: str) -> bool:
    override = _parsed(word, word)
    return override is not None and override.is_sweep_override()


def _parsed(typed: str, word: str) -> Override | None:
    """A word as Hydra reads it; None where it cannot, and the word is no range.

    Raises:
        ValueError: it begins as a range does; the message holds the word as typed.
    """
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    try:
        return OverridesParser.create().parse_override(word)
    except HydraException as error:
        function = word.partition("=")[2].partition("(")[0]
        if function in FORMS:
            reason = str(error).splitlines()[0]
            raise ValueError(f"{typed}: {reason}; write {FORMS[function]}") from error
        return None


def _dimension(word: str, key: str, override: Override) -> Dimension:
    from hydra.core.override_parser.types import ChoiceSweep, IntervalSweep, RangeSweep

    sweep = override.value()
    tags: set[str] = getattr(sweep, "tags", set())
    if getattr(sweep, "shuffle", False) or tags - {"log"}:
        raise ValueError(f"{word}: there is no order here, and no tag but log; write {REAL}")
    if isinstance(sweep, IntervalSweep):
        low, high = float(sweep.start or 0), float(sweep.end or 0)
        return Dimension(key=key, kind="real", low=low, high=high, log="log" in tags)
    if isinstance(sweep, RangeSweep) and not sweep.step:
        raise ValueError(f"{word}: the step is 0; give another one")
    if isinstance(sweep, RangeSweep) and isinstance(sweep.start, int):
        if isinstance(sweep.stop, int) and isinstance(sweep.step, int):
            return _whole(word, key, sweep)
    if not isinstance(sweep, ChoiceSweep | RangeSweep) or tags:
        raise ValueError(f"{word}: write the choices out, as in {key}=choice(A,B)")
    choices = tuple(override.sweep_string_iterator())
    if "" in choices or len(set(choices)) < len(choices):
        raise ValueError(f"{word}: give different choices, none of them empty")
    return Dimension(key=key, kind="choice", choices=choices)


def _whole(word: str, key: str, sweep: RangeSweep) -> Dimension:
    values = range(int(sweep.start or 0), int(sweep.stop or 0), int(sweep.step))
    log, step = "log" in sweep.tags, abs(values.step)
    if not values:
        raise ValueError(f"{word}: the range is empty; its stop is not included")
    if log and step != 1:
        raise ValueError(f"{word}: a logarithmic range has no step but 1; leave it out")
    low, high = sorted((values[0], values[-1]))
    return Dimension(key=key, kind="whole", low=low, high=high, step=step, log=log)
