"""A sweep fetches each missing file once, before it launches any of its jobs."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

from fsig_bench.api.assets import Asset, check_space
from fsig_bench.console import print_error
from fsig_bench.runner.make import fetch_asset
from fsig_bench.sweep.planner import Failure, Job

Plan = Callable[[Collection[int]], tuple[list[Job], list[Failure]]]


def fetch_absent(planned: Sequence[Job], plan: Plan) -> tuple[list[Job], list[Failure]]:
    """All jobs that can run, with their runs, and those that lack a file that cannot be had.

    Args:
        planned: all jobs; some may lack files.
        plan: plans the jobs of these numbers anew.
    """
    lacking = [job for job in planned if job.absent]
    if not lacking:
        return list(planned), []
    reasons = fetch_each([asset for job in lacking for asset in job.absent])
    failed: list[Failure] = []
    complete: set[int] = set()
    for job in lacking:
        if found := [reasons[a.file] for a in job.absent if a.file in reasons]:
            failed.append((job.overrides, found[0]))
        else:
            complete.add(job.number)
    again, more = plan(complete)
    known = [job for job in planned if not job.absent]
    return sorted([*known, *again], key=lambda job: job.number), [*failed, *more]


def fetch_each(assets: Sequence[Asset]) -> dict[str, str]:
    """Fetches every file once; returns why, by file, where that was not possible."""
    wanted = {asset.file: asset for asset in assets}
    try:
        check_space(list(wanted.values()))
    except OSError as error:
        return dict.fromkeys(wanted, str(error))
    reasons: dict[str, str] = {}
    for file, asset in sorted(wanted.items()):
        try:
            fetch_asset(asset)
        except (OSError, ValueError) as error:
            reasons[file] = str(error)
            print_error(error)
    return reasons
