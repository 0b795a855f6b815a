"""A plan of searches: conf/tune/NAME.yaml holds the ranges of several methods, and one budget.

Its `words` are words of `fsig-bench tune` for every method; `spaces` maps a method to its ranges.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from fsig_bench.api.places import CONF
from fsig_bench.api.plain import JsonDict


def read_plan(name: str, folders: Sequence[Path] = ()) -> JsonDict:
    """The plan of that name, from the first of the folders of config groups that has it.

    Raises:
        ValueError: there is no such plan, or it lacks a part.
    """
    import yaml

    files = [folder / "tune" / f"{name}.yaml" for folder in (*folders, CONF)]
    path = next((file for file in files if file.is_file()), None)
    if path is None:
        known = sorted({p.stem for file in files for p in file.parent.glob("*.yaml")})
        raise ValueError(f"plan={name}: choose one of {', '.join(known)}")
    plan = yaml.safe_load(path.read_text(encoding="utf-8"))
    if not isinstance(plan, dict) or set(plan) != {"words", "spaces"}:
        raise ValueError(f"{path}: give the two mappings `words` and `spaces`, and nothing else")
    return plan


def with_plan(words: Sequence[str], config_dir: Path | None = None) -> list[str]:
    """The words, with those of the plan that `plan=NAME` names; typed words come before the plan's.

    Raises:
        ValueError: there is no such plan, or it has no ranges for the method.
    """
    given = dict(word.partition("=")[::2] for word in words)
    name = given.pop("plan", None)
    if name is None:
        return list(words)
    plan = read_plan(name, [config_dir] if config_dir else [])
    method = given.get("method", "")
    if method not in plan["spaces"]:
        there = ", ".join(plan["spaces"])
        raise ValueError(f"method={method}: plan={name} has ranges for {there}; give one of these")
    planned = plan["words"] | plan["spaces"][method]
    typed = [word for word in words if not word.startswith("plan=")]
    return [*typed, *(f"{key}={value}" for key, value in planned.items() if key not in given)]
