"""Golden cases: tiny fixed runs whose bytes say whether edited code still does the same.

    fsig-bench check method=crdi accept=true               the cases that this code touches
    fsig-bench check accept=true                           all cases
    fsig-bench check method=crdi accept=true version=next  its results are meant to differ

A case with the same bytes as before locks the present code under the same version in versions.json
(`fsig_bench.runner.fingerprint`); other bytes need `version=next`, which makes new keys. A class
that no case reaches, such as a network whose weights are downloaded, needs it after every change.
"""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from fsig_bench.api.files import write_json
from fsig_bench.api.plain import Json, JsonDict
from fsig_bench.runner.fingerprint import code_of, lock_file, lock_of, read_locks
from fsig_bench.runner.golden_cases import Case, Digests, digests_of


@dataclass
class Verdicts:
    """What became of the cases and classes."""

    lines: list[str] = field(default_factory=list)
    refused: bool = False


def made_on() -> str:
    """What may change the last bits of a golden case: versions, processor, threads."""
    import torch

    from fsig_bench.store.versions import made_with

    cpu = f"{cpu_vendor()} {platform.machine()} {torch.backends.cpu.get_cpu_capability()}"
    return f"{made_with()}, {cpu}, {torch.get_num_threads()} threads"


def cpu_vendor() -> str:
    """Who made the processor: libraries choose their code by it as well as by its instructions."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:  # not Linux
        return platform.processor() or platform.system()
    lines = (line.partition(":") for line in text.splitlines())
    return next((v.strip() for k, _, v in lines if k.strip() == "vendor_id"), "unknown vendor")


def golden_entry(case: Case) -> Json | None:
    """What the lock file holds of a case: digests, classes, made_on."""
    found = read_locks(lock_file(case.classes[0]))["golden"].get(case.label)
    return found if isinstance(found, Mapping) else None


def is_unlocked(target: str) -> bool:
    """Whether the present code of a class is not the locked one."""
    lock = lock_of(target)
    return lock is None or lock.fingerprint != code_of(target).fingerprint


def to_run(cases: Sequence[Case], chosen: Sequence[Case]) -> list[Case]:
    """The chosen cases, and every other one that a changed class of theirs is part of."""
    changed = {t for case in chosen for t in case.classes if is_unlocked(t)}
    return [case for case in cases if case in chosen or changed & {*case.classes}]


def judge(case: Case, found: Digests, here: str) -> tuple[str, bool]:
    """A sentence on a case, and whether its bytes stand against a lock under the same version."""
    known = golden_entry(case)
    unlocked = [t for t in case.classes if is_unlocked(t)]
    if known is None:
        return f"{case.label}: first golden bytes", False
    if known["digests"] == found:
        return f"{case.label}: the same bytes", False
    if not unlocked:
        return f"{case.label}: other bytes from the locked code, renewed for {here}", False
    parts = [k for k in found if known["digests"].get(k) != found[k]]
    reason = f"{case.label}: OTHER BYTES ({', '.join(parts)})"
    if known["made_on"] != here:
        reason += (
            f"; the golden ones were made on {known['made_on']} and this is {here}: run `check "
            "accept=true` on the locked code first, which renews them"
        )
    return reason, True


def accept(
    cases: Sequence[Case], chosen: Sequence[Case], others: Sequence[str], *, next_version: bool
) -> Verdicts:
    """Runs the cases and locks what they allow.

    Args:
        cases: all there are.
        chosen: those asked for.
        others: classes that no case reaches and that are to be locked as well.
        next_version: whether changed results are meant.
    """
    verdicts, here = Verdicts(), made_on()
    locked: dict[str, bool] = {}  # class -> whether it gets the next version
    golden: dict[str, tuple[Case, Digests]] = {}
    blocked: set[str] = set()
    for case in to_run(cases, chosen):
        found = digests_of(case)
        line, differs = judge(case, found, here)
        verdicts.lines.append(line)
        unlocked = [t for t in case.classes if is_unlocked(t)]
        if differs and not next_version:
            blocked |= {*unlocked}
            continue
        golden[case.label] = case, found
        for target in unlocked:
            locked[target] = locked.get(target, False) or differs
    for target in others:
        if is_unlocked(target):
            first = lock_of(target) is None
            if not first and not next_version:
                verdicts.lines.append(f"{target}: CHANGED, and no golden case reaches it")
                blocked.add(target)
            else:
                locked[target] = not first
    for case, _ in list(golden.values()):
        if blocked & {*case.classes}:
            del golden[case.label]
    locked = {target: raised for target, raised in locked.items() if target not in blocked}
    _write(locked, golden, here)
    verdicts.lines += [_named(target, raised) for target, raised in sorted(locked.items())]
    if blocked:
        verdicts.refused = True
        verdicts.lines.append(
            f"not locked: {', '.join(sorted(blocked))}; restore what they computed, or add "
            "version=next if other results are meant"
        )
    return verdicts


def _named(target: str, raised: bool) -> str:
    lock = lock_of(target)
    assert lock is not None  # just written
    return f"locked: {target} version {lock.version}{' (raised)' if raised else ''}"


def _write(
    locked: Mapping[str, bool], golden: Mapping[str, tuple[Case, Digests]], here: str
) -> None:
    files: dict[Path, JsonDict] = {}

    def content(target: str) -> JsonDict:
        file = lock_file(target)
        if file not in files:
            files[file] = json.loads(json.dumps(read_locks(file)))
        return files[file]

    for target, raised in locked.items():
        before = lock_of(target)
        version = (before.version if before else 1) + int(raised)
        entry = {"version": version, "fingerprint": code_of(target).fingerprint}
        content(target)["classes"][target] = entry
    for case, found in golden.values():
        entry = {"digests": found, "classes": list(case.classes), "made_on": here}
        content(case.classes[0])["golden"][case.label] = entry
    for file, value in files.items():
        ordered = {part: dict(sorted(value[part].items())) for part in ("classes", "golden")}
        write_json(file, ordered)
