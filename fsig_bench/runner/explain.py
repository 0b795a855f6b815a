"""What Hydra's errors mean, in a sentence that names the word and the remedy."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from hydra.errors import InstantiationException, MissingConfigException, OverrideParseException

from fsig_bench.api.plain import Json
from fsig_bench.help import nearest
from fsig_bench.runner.typed import split_word


@dataclass(frozen=True, kw_only=True)
class Known:
    """What can be chosen and set, for hints."""

    config: Json = field(default_factory=dict)  # as the chosen groups compose it
    owners: Callable[[str], Sequence[str]] = lambda key: ()  # the methods with a key below `method`
    groups: Sequence[str] = ()


def is_mistake(error: Exception) -> bool:
    """Whether an error of Hydra is of what was typed, and not of the code that it calls."""
    cause = error.__cause__
    if not isinstance(error, InstantiationException) or cause is None:
        return True
    return isinstance(cause, ValueError | OSError) or "unexpected keyword" in str(cause)


def explain(error: Exception, *, words: Sequence[str] = (), known: Known | None = None) -> str:
    """The error of Hydra or OmegaConf as a sentence.

    Args:
        error: what was raised while the words were composed.
        words: as typed; the sentence names the one that is wrong.
        known: for hints at the nearest name.
    """
    known = known or Known()
    text = str(error) or str(error.__cause__ or "")
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    first = lines[0] if lines else type(error).__name__
    if isinstance(error, OverrideParseException):
        return _unreadable(error.override, lines)
    if isinstance(error, MissingConfigException) and error.missing_cfg_file:
        return _no_choice(error.missing_cfg_file, list(error.options or ()), words)
    if found := re.match(r"Could not override '(.+?)'", first):
        return _no_key(found[1], words, known)
    if found := re.match(r"Could not append to config. An item is already at '(.+?)'", first):
        word = _typed(found[1], words) or f"+{found[1]}=..."
        return f"{word}: {found[1]} exists already; leave out the +"
    if found := re.match(r"(\S+) appears more than once in the final defaults list", first):
        return (
            f"{_typed(found[1], words) or found[1]}: {found[1]} is chosen already; leave out the +"
        )
    if found := re.match(r"Multiple values for (\S+?)\. ", first + " "):
        return f"{found[1]} is chosen twice; give it once, or several with -m {found[1]}=A,B"
    if found := re.match(r"Ambiguous value for argument '(.+)'", first):
        key, _, value = found[1].partition("=")
        return (
            f"{found[1]}: several values make a sweep, which starts with -m; "
            f"or give one value, or a list: {key}=[{value}]"
        )
    if found := re.match(r"Could not delete from config. '(.+?)' does not exist", first):
        return _no_key(found[1], words, known)
    cause = error.__cause__ or error.__context__
    more = str(cause).splitlines()[:1] if cause else []
    place = getattr(error, "full_key", None) or getattr(cause, "full_key", None)
    sentence = "; ".join(dict.fromkeys([first, *more]))
    return f"{place}: {sentence}" if place else sentence


def _typed(key: str, words: Sequence[str]) -> str | None:
    """The last typed word with a key."""
    return next((w for w in reversed(words) if split_word(w)[1] == key), None)


def _unreadable(word: str, lines: Sequence[str]) -> str:
    """For a word that is not in Hydra's grammar."""
    if "=" not in word:
        return f"{word}: a setting is key=value; see fsig-bench --help"
    marks, key, value = split_word(word)
    reason = lines[1] if len(lines) > 1 else "not in Hydra's grammar"
    inner = value.replace("'", r"\'")
    return (
        f"{word} cannot be read ({reason}); for a text, quote it twice: \"{marks}{key}='{inner}'\""
    )


def _no_choice(missing: str, options: Sequence[str], words: Sequence[str]) -> str:
    """For a choice that a group does not have."""
    group, _, name = missing.rpartition("/")
    typed = [w for w in words if split_word(w)[1].partition("@")[0] == group]
    is_typed = any(name in re.split(r"[,=()\[\]]", w) for w in typed)
    where = f"{group}={name}" if is_typed or group != "method" else f"controls=[{name}]"
    hint = nearest(name, list(options)) or (f" There are {', '.join(options)}." if options else "")
    return f"{where}: there is no {group.replace('/', ' ')} {name!r}.{hint}"


def _no_key(key: str, words: Sequence[str], known: Known) -> str:
    """For a setting that the config does not have."""
    word = _typed(key, words) or key
    if "/" in key:
        group = key.partition("@")[0]
        if group not in known.groups:
            return f"{word}: there is no config group {group}.{nearest(group, list(known.groups))}"
        return f"{word}: {_owner(group.partition('/')[0], known)} has no choice of {group}"
    parts = key.split(".")
    node: Any = known.config
    depth = 0
    while depth < len(parts) - 1 and isinstance(node, Mapping) and parts[depth] in node:
        node = node[parts[depth]]
        depth += 1
    part = parts[depth]
    names = [str(name) for name in node if name != "card"] if isinstance(node, Mapping) else []
    hint = nearest(part, [n for n in names if not n.startswith("_")])
    if depth == 0:
        return f"{word}: there is no setting {part}.{hint or ' See fsig-bench --help.'}"
    if parts[0] in known.config and depth > 0:
        inner = ".".join(parts[1:depth])
        lacking = f"{_owner(parts[0], known)} has no {inner + '.' if inner else ''}{part}"
        others = known.owners(".".join(parts[1:])) if parts[0] == "method" else ()
        if others:  # no slip: it is meant for another method
            hint = f" {', '.join(others)} {'has' if len(others) == 1 else 'have'} it."
        return f"{word}: {lacking}.{hint}" if hint else f"{word}: {lacking}"
    return f"{word}: there is no setting {key}.{hint}"


def _owner(group: str, known: Known) -> str:
    """A group as it is chosen: `method=crdi`."""
    node = known.config.get(group)
    node = node if isinstance(node, Mapping) else {}
    card = node.get("card")
    name = node.get("name") or (card.get("name") if isinstance(card, Mapping) else None)
    return f"{group}={name}" if name else group
