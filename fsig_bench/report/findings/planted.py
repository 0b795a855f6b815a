"""What audits say: which faults metrics see or reward, and the smallest set that sees them all."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import combinations
from pathlib import Path

from fsig_bench.api.places import CONF
from fsig_bench.report.audit import table
from fsig_bench.report.audit.table import Row

# The second strength. In audit.csv (conf/audit/planted.yaml) it is what a careful eye just sees; of
# the other audits (conf/audit/court.yaml) nobody has looked at that, and the page names strengths.
EARLY = 2


@dataclass(frozen=True, kw_only=True)
class Seen:
    """From which strength on metrics see faults."""

    levels: Mapping[tuple[str, str], int]  # (metric, fault); absent where it is never seen
    rewarded: frozenset[tuple[str, str]]  # (metric, fault): at some strength
    tried: frozenset[tuple[str, str]]  # (metric, fault)
    metrics: tuple[str, ...]
    faults: Mapping[str, str]  # -> its heading, without the unit
    early_strengths: Mapping[str, float]  # of each fault: that of level EARLY

    def early(self, metric: str, fault: str) -> bool:
        """Whether a metric sees a fault from the second strength on at the latest."""
        return self.levels.get((metric, fault), EARLY + 1) <= EARLY


def seen_in(rows: Sequence[Row]) -> Seen:
    """From the rows of one protocol; where two audits have a fault, the first one counts."""
    texts: dict[tuple[str, str], str] = {}
    for audit in _by_audit(rows):
        for key, text in table.first_levels(audit).items():
            texts.setdefault(key, text)
    return Seen(
        levels={k: int(t.rstrip("!")) for k, t in texts.items() if t.rstrip("!") != "-"},
        tried=frozenset(texts),
        rewarded=frozenset(key for key, text in texts.items() if text.endswith("!")),
        metrics=tuple(dict.fromkeys(row.metric for row in rows)),
        faults={row.fault: row.heading.partition(",")[0] for row in rows},
        early_strengths={r.fault: r.strength for r in reversed(rows) if r.level == EARLY},
    )


def _by_audit(rows: Sequence[Row]) -> Iterable[list[Row]]:
    """Audits differ in their number of images, of sets or of draws of real images."""
    found: dict[tuple[int, int, int], list[Row]] = {}
    for row in rows:
        found.setdefault((row.samples, row.sets, row.floor_draws), []).append(row)
    return found.values()


def tried_throughout(seen: Seen, metrics: Sequence[str] | None = None) -> list[str]:
    """Those of the metrics that were tried for every fault; None: of all."""
    offered = [m for m in seen.metrics if metrics is None or m in metrics]
    return [m for m in offered if all((m, fault) in seen.tried for fault in seen.faults)]


def smallest_sets(
    seen: Seen, metrics: Sequence[str] | None = None, *, beside: Sequence[str] = ()
) -> list[tuple[str, ...]]:
    """The smallest sets of metrics of which one sees each fault early.

    A metric that was not tried for every fault is left out: what it would see is not known.

    Args:
        seen: by the audits.
        metrics: those to choose from; None: all.
        beside: faults that need not be seen.

    Returns:
        Sets of equal size: those that reward the fewest faults first, then those that see the
        faults at the weakest strengths. [] where some fault is seen by none early.
    """
    offered = tried_throughout(seen, metrics)
    asked = [fault for fault in seen.faults if fault not in beside]
    useful = [m for m in offered if any(seen.early(m, fault) for fault in asked)]
    for size in range(1, len(useful) + 1):
        found = [
            some
            for some in combinations(useful, size)
            if all(any(seen.early(m, fault) for m in some) for fault in asked)
        ]
        if found:
            return sorted(found, key=lambda some: (_rewards(seen, some), _strengths(seen, some)))
    return []


def _rewards(seen: Seen, some: Sequence[str]) -> int:
    return sum(metric in some for metric, _ in seen.rewarded)


def _strengths(seen: Seen, some: Sequence[str]) -> int:
    far = 1 + max(seen.levels.values(), default=0)
    return sum(min(seen.levels.get((m, fault), far) for m in some) for fault in seen.faults)


def unseen_early(seen: Seen, metrics: Sequence[str] | None = None) -> list[str]:
    """The faults that no metric sees early, of those that were tried for every fault."""
    offered = tried_throughout(seen, metrics)
    return [f for f in seen.faults if not any(seen.early(m, f) for m in offered)]


@cache
def needs_factors(metric: str) -> bool:
    """Whether a metric of conf/metric reads factors, which only drawn images have."""
    import yaml
    from hydra.utils import get_class

    path = CONF / "metric" / f"{metric}.yaml"
    if not path.is_file():
        return False
    node = yaml.safe_load(path.read_text())
    if "_target_" not in node:
        return needs_factors(node["defaults"][0])
    return "factors" in getattr(get_class(node["_target_"]), "needs", ())


def read_audits(folder: Path) -> list[Row]:
    """The rows of every audit in a folder, audit.csv first; other tables are passed over.

    Raises:
        ValueError: there is none.
    """
    files = sorted(folder.glob("*.csv"), key=lambda path: (path.name != "audit.csv", path.name))
    rows = []
    for path in files:
        text = path.read_text()
        if "verdict" in text.partition("\n")[0].split(","):
            rows += table.from_csv(text)
    if not rows:
        raise ValueError(f"{folder} holds no audit; make one: fsig-bench audit out={folder}")
    return rows
