"""Who holds which lock of a results folder, and how to free one by hand."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from fsig_bench.console import duration
from fsig_bench.store.holder import Sign, holder_path, read_sign
from fsig_bench.store.lock import is_held
from fsig_bench.store.status import read_status
from fsig_bench.store.store import Store


def status_of_held(lock: Path, folder: Path) -> tuple[str, str]:
    """The status and its reason of a run whose lock is held.

    Args:
        lock: the run's lock file.
        folder: of the run; its status.json says when the run began.
    """
    began = read_status(folder)
    sign = read_sign(holder_path(lock))
    holder = sign.holder if sign else None
    since = began.get("began") or (holder.since if holder else "?")
    host = holder.host if holder else began.get("host", "?")
    if sign is None or not sign.is_silent:
        return "running", f"since {since} on {host}"
    pid = holder.pid if holder else began.get("pid", "?")
    return "silent", (
        f"no heartbeat for {duration(sign.age_s)}: pid {pid} on {host} since {since}; if it is "
        f"gone: fsig-bench runs unlock {lock.stem}"
    )


def held_locks(store: Store) -> list[str]:
    """The names of all locks that are held, sorted."""
    folder = store.lock_path("any").parent
    return sorted(path.stem for path in folder.glob("*.lock") if is_held(path))


def unlock(store: Store, names: Sequence[str], *, even_working: bool) -> list[str]:
    """Says who holds locks, and frees those that are named.

    A lock is freed by removing its files: the next process makes them anew. A holder that still
    works notices it at its next heartbeat, and what it writes is still whole.

    Args:
        store: the results folder.
        names: of locks; none: all that are held are listed, and stay.
        even_working: whether to free a lock whose holder's heart beats.

    Raises:
        ValueError: there is no such lock, or its holder works.
    """
    if not names:
        found = held_locks(store)
        signs = [read_sign(holder_path(store.lock_path(name))) for name in found]
        lines = [f"{name}: held by {who_of(s)}" for name, s in zip(found, signs, strict=True)]
        how = ": fsig-bench runs unlock NAME frees one" if found else ""
        return [*lines, f"{len(found)} locks are held{how}"]
    lines = []
    for name in names:
        path = store.lock_path(name.removesuffix(".lock"))
        if path.parent != store.lock_path("any").parent or not path.exists():
            known = ", ".join(held_locks(store)) or "none"
            raise ValueError(f"there is no lock {name} in {path.parent}; those held are: {known}")
        sign, held = read_sign(holder_path(path)), is_held(path)
        if sign is None and not held:
            lines.append(f"{path.stem}: nobody holds it")
            continue
        if held and sign is not None and not sign.is_silent and not even_working:
            raise ValueError(
                f"{path.stem} is held by {sign}, which still works; end that process, or free the "
                f"lock all the same with: fsig-bench runs unlock {path.stem} yes=true"
            )
        holder_path(path).unlink(missing_ok=True)
        if held and (sign is None or sign.holder is None or sign.holder.by == "flock"):
            path.unlink(missing_ok=True)  # the kernel's lock stays on the file without a name
        lines.append(f"{path.stem}: freed; it was held by {who_of(sign)}")
    return lines


def who_of(sign: Sign | None) -> str:
    """The process that holds a lock, for messages."""
    return str(sign) if sign else "a process that left no name"
