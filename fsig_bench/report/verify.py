"""`fsig-bench report verify`: are the numbers still those of the records?

A record is replayed without running anything: its seal, its pixels and weights against their
digests, its run id from its own command. What cannot be replayed is compared: versions, threads and
device of then and of now. A record is foreign where it names a class that the local configuration
does not: nothing of it is imported or built then. Of any record at most the dataset is built, which
is of a class that conf/dataset names, since the digest of the images enters the run id.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from fsig_bench.api.plain import Json, Record
from fsig_bench.api.weights import manifest_entry
from fsig_bench.console import printable
from fsig_bench.report.local_targets import IMAGES, foreign_reason
from fsig_bench.store.store import Store

MATTERS = {
    "torch": "rounding of every network; samples may differ in the last grey level",
    "diffusers": "the networks' code",
    "numpy": "the renderer of the mini suite and the metrics' linear algebra",
    "scipy": "the metrics' linear algebra",
    "scikit-learn": "nearest neighbours and t-SNE",
}


KEYED_BY_CODE = 3  # the first version of records whose keys hold the code


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """One record: what is wrong with it, and what could make its numbers differ here."""

    name: str
    wrong: tuple[str, ...]
    could_change: tuple[str, ...]
    foreign: str | None = None  # why its settings are not composed here, so its run id is not known

    def __str__(self) -> str:
        state = "WRONG" if self.wrong else "could change" if self.could_change else "as recorded"
        state = "FOREIGN" if self.foreign and not self.wrong else state
        lines = [f"{self.name}: {state}", *(f"    wrong: {w}" for w in self.wrong)]
        lines += [f"    foreign: {self.foreign}"] if self.foreign else []
        return printable("\n".join([*lines, *(f"    {c}" for c in self.could_change)]))


def wrong_weights(record: Record) -> list[str]:
    """Weight files that are not those of the record."""
    found = []
    for path, digest in record.get("weights", {}).items():
        try:
            here = manifest_entry(path)["sha256"]
        except FileNotFoundError:
            found.append(f"weights {path} are not here")
            continue
        except (ValueError, OSError, KeyError, TypeError):
            found.append(f"weights {path} have no manifest that can be read")
            continue
        if here != digest:
            found.append(f"weights {path} are others now (sha256 {here[:8]}, then {digest[:8]})")
    return found


def environment_changes(record: Record, now: Json) -> list[str]:
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
    record: Record,
    store: Store,
    now: Json,
    config_dir: Path | None = None,
) -> Verdict:
    """Checks one record; its shards too, where the store has them."""
    from fsig_bench.runner.reuse import code_changes
    from fsig_bench.store.maintenance import pixels_match

    wrong, moved = wrong_weights(record), environment_changes(record, now)
    if record.get("record_version", 1) < KEYED_BY_CODE:  # weights have been exchanged since
        wrong, moved = [], [*moved, *wrong]
    foreign = foreign_reason(record["config"], config_dir)
    if foreign is None:
        try:
            run_id, note = run_id_now(record, config_dir)
            if note:
                moved.append(note)
            elif run_id != record["run_id"]:
                changed = code_changes(record)
                moved += [f"its settings give run {run_id} now: {line}" for line in changed]
                if not changed:
                    wrong.append(f"its settings give run {run_id} now, under the same code")
        except Foreign as error:
            foreign = str(error)
        except (ValueError, OSError, LookupError, TypeError) as error:
            moved.append(f"its run id cannot be computed here: {error}")
    try:
        if not pixels_match(dict(record), store, set()):
            wrong.append("the stored samples are not those that were scored")
    except (ValueError, OSError) as error:
        wrong.append(str(error))
    name = f"{record['suite']}/{record['method']}/{record['dataset']} {record['run_id']}"
    return Verdict(name=name, wrong=tuple(wrong), could_change=tuple(moved), foreign=foreign)


class Foreign(ValueError):
    """A record's settings name something that is not to be built here."""


def run_id_now(record: Record, config_dir: Path | None) -> tuple[str | None, str | None]:
    """The run id that a record's settings have today; or None and why they cannot be restored.

    Raises:
        Foreign: the settings name a class that is not to be built here.
        ValueError, OSError: they do not resolve, or an image or a weight file is not here.
    """
    from fsig_bench.report.rerun import rerun_command
    from fsig_bench.runner.compose import compose_config
    from fsig_bench.runner.resolve import plain_values, resolve

    command = rerun_command(dict(record), config_dir)
    if command.note:
        return None, command.note
    config = compose_config(command.words)
    values = plain_values(config)
    dataset = {k: v for k, v in values["dataset"].items() if k != "fresh"}
    reason = foreign_reason(values, config_dir)
    reason = reason or foreign_reason(dataset, config_dir, groups=IMAGES)
    if reason:
        raise Foreign(reason)
    return resolve(config).run_id, None


def replay(
    records: Sequence[Record], results: Path, config_dir: Path | None = None
) -> list[Verdict]:
    """Every record, in order; `config_dir` holds YAML of the user's own."""
    from fsig_bench.runner.record import environment

    now, store = environment(), Store(results)
    return [replayed(r, store, now, config_dir) for r in records]
