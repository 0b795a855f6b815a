"""`fsig-bench report verify`: are the numbers still those of the records?

A record is replayed without running anything: its seal, its pixels and weights against their
digests, its run id from its own command. What cannot be replayed is compared: versions, threads and
device of then and of now.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fsig_bench.api.weights import manifest_entry
from fsig_bench.store.store import Store

MATTERS = {
    "torch": "rounding of every network; samples may differ in the last grey level",
    "diffusers": "the networks' code",
    "numpy": "the renderer of the mini suite and the metrics' linear algebra",
    "scipy": "the metrics' linear algebra",
    "scikit-learn": "nearest neighbours and t-SNE",
}


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """One record: what is wrong with it, and what could make its numbers differ here."""

    name: str
    wrong: tuple[str, ...]
    could_change: tuple[str, ...]

    def __str__(self) -> str:
        state = "WRONG" if self.wrong else "could change" if self.could_change else "as recorded"
        lines = [f"{self.name}: {state}", *(f"    wrong: {w}" for w in self.wrong)]
        return "\n".join([*lines, *(f"    {c}" for c in self.could_change)])


def wrong_weights(record: Mapping[str, Any]) -> list[str]:
    """Weight files that are not those of the record."""
    found = []
    for path, digest in record.get("weights", {}).items():
        try:
            here = manifest_entry(path)["sha256"]
        except FileNotFoundError:
            found.append(f"weights {path} are not here")
            continue
        if here != digest:
            found.append(f"weights {path} are others now (sha256 {here[:8]}, then {digest[:8]})")
    return found


def environment_changes(record: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Differences between the environment of a record and that of now, with what they touch."""
    then = record["environment"]
    found = []
    for name, version in (then.get("packages") or {}).items():
        here = (now.get("packages") or {}).get(name)
        if name in MATTERS and here != version:
            found.append(f"{name} {version} then, {here} now: {MATTERS[name]}")
    if then.get("gpu") != now.get("gpu"):
        found.append(
            f"device {then.get('gpu') or 'CPU'} then, {now.get('gpu') or 'CPU'} now: rounding"
        )
    if then.get("threads") != now.get("threads"):
        found.append(
            f"{then.get('threads')} threads then, {now.get('threads')} now: sums in another order, "
            "equal to about five digits"
        )
    if then.get("git_dirty"):
        found.append("the code then had changes that no commit holds")
    elif then.get("git_commit") != now.get("git_commit"):
        found.append(
            f"code {str(then.get('git_commit'))[:10]} then, {str(now.get('git_commit'))[:10]} now: "
            f"git diff {str(then.get('git_commit'))[:10]} -- fsig_bench baselines conf"
        )
    return found


def replayed(
    record: Mapping[str, Any],
    store: Store,
    now: Mapping[str, Any],
    config_dir: Path | None = None,
) -> Verdict:
    """Checks one record; its shards too, where the store has them."""
    from fsig_bench.report.rerun import rerun_command
    from fsig_bench.runner.compose import compose_config
    from fsig_bench.runner.resolve import resolve
    from fsig_bench.store.maintenance import pixels_match

    wrong, moved = wrong_weights(record), environment_changes(record, now)
    command = rerun_command(dict(record), config_dir)
    if command.note:
        moved.append(command.note)
    else:
        try:
            run_id = resolve(compose_config(command.words)).run_id
            if run_id != record["run_id"]:
                wrong.append(f"its settings give run {run_id} now: the code's keys have changed")
        except (ValueError, OSError) as error:
            moved.append(f"its run id cannot be computed here: {error}")
    try:
        if not pixels_match(dict(record), store, set()):
            wrong.append("the stored samples are not those that were scored")
    except (ValueError, OSError) as error:
        wrong.append(str(error))
    name = f"{record['suite']}/{record['method']}/{record['dataset']} {record['run_id']}"
    return Verdict(name=name, wrong=tuple(wrong), could_change=tuple(moved))


def replay(
    records: Sequence[Mapping[str, Any]], results: Path, config_dir: Path | None = None
) -> list[Verdict]:
    """Every record, in order; `config_dir` holds YAML of the user's own."""
    from fsig_bench.runner.record import environment

    now, store = environment(), Store(results)
    return [replayed(r, store, now, config_dir) for r in records]
