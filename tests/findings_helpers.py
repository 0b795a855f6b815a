"""Made-up grids and records for tests of the findings page."""

import numpy as np
from report_records import record

from fsig_bench.report.findings import agreement
from fsig_bench.report.findings import grid as grids

READINGS = ("fd", "kid", "factor_distance", "factor_coverage")


def made_grid(methods, controls=(), targets=("babies", "cats"), **scores):
    """A grid whose metrics order the methods as named: by `scores`, else as they are listed."""
    names = (*methods, *controls)
    as_listed = [float(n) for n in range(len(names))]
    return grids.Grid(
        records=tuple(record(m, t) for m in names for t in targets),
        methods=names,
        controls=frozenset(controls),
        targets=tuple(targets),
        scores={
            grids.Reading(metric=m): [list(scores.get(m, as_listed)) for _ in targets]
            for m in READINGS
        },
    )


def analysed(grid):
    return agreement.analyse(grid, np.random.default_rng(0))


def parted(method, target, domain, *factors, kind="method"):
    parts = dict(zip(("baby", "smile"), factors, strict=True)) | {"domain": domain}
    value = {"value": domain + 0.25 * factors[0], "by_part": parts}
    return record(method, target, kind=kind, metrics={"factor_distance": value, "fd": value})


PARTED = [
    *(parted("copy", t, 0.0, 0.5, 0.5, kind="control") for t in ("babies", "cats")),
    *(parted("source", t, 25.0, 30.0, 10.0, kind="control") for t in ("babies", "cats")),
    *(parted("real", t, 0.0, 0.0, 0.0, kind="control") for t in ("babies", "cats")),
    *(parted("ada", t, 1.0, 4.0, 6.0) for t in ("babies", "cats")),
    *(parted("cdc", t, 2.0, 3.0, 4.0) for t in ("babies", "cats")),
    *(parted("ewc", t, 3.0, 2.0, 3.0) for t in ("babies", "cats")),
]
