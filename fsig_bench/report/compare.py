"""`fsig-bench compare METHOD OTHER [FOLDER ...]`: is one method better than another?

    fsig-bench compare crdi domainstudio                       the runs in results/
    fsig-bench compare crdi domainstudio results/reference     records in a folder
    fsig-bench compare crdi domainstudio results_dir=DIR       another results folder
    fsig-bench compare crdi domainstudio test=mmd_test         and a test of the samples themselves

FOLDER: where records lie, or a results folder (default: results). results_dir=DIR is the same.

Differences are paired: the same target, shots, seed, draw seed, number of samples and protocol on
both sides, so what they share cancels. Within a target the set of shots is the unit of the
interval; where all pairs have one set, a seed is, and the page says that other shots are left out.
Over all targets the target is the unit, so that pairs of one target do not count as independent. A
metric that is best where real images score the same is compared by its distance to `real`.
p-values are corrected over the whole page (Holm). Nothing is resampled with replacement: that
inflates Frechet distances. test=NAME is a permutation test of conf/metric; it needs the samples of
the runs, which lie in the store of a results folder.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from fsig_bench.api.plain import Record
from fsig_bench.console import run_word
from fsig_bench.metrics.cards import metric_cards
from fsig_bench.report.inference.intervals import RISK, holm
from fsig_bench.report.inference.paired import OVER_TARGETS, Difference, differences
from fsig_bench.report.inference.ranks import rank_changes
from fsig_bench.report.inference.reranking import Changes
from fsig_bench.report.inference.scores import Scores, scores_of
from fsig_bench.report.records import comparable_setting, load, record_folders
from fsig_bench.report.variants import main_variant
from fsig_bench.words import parse_words

UNITS = {"target": "targets", "subset": "sets of shots", "seed": "seeds", "draw": "draws"}
DECIDED, OF_THESE_SHOTS = "*", "†"


@dataclass(frozen=True, kw_only=True)
class Compared:
    """Two methods by one metric, of records of one setting."""

    setting: str  # in words
    scores: Scores
    rows: tuple[Difference, ...]
    changes: Changes | None = None  # of the ranks over several targets, on new shots


def setting_words(record: Record) -> str:
    """Suite, protocol, shots and samples."""
    suite, protocol, version, k, count = comparable_setting(record)
    name = f"{protocol} ({version})" if version else protocol
    return f"suite {suite}, protocol {name}, {k} shots, {count} samples"


def compared(records: Sequence[Record], first: str, second: str) -> list[Compared]:
    """Every metric by which the two methods have pairs, setting by setting."""
    groups: dict[tuple[object, ...], list[Record]] = defaultdict(list)
    for record in records:
        groups[comparable_setting(record)].append(record)
    found = []
    for key in sorted(groups, key=str):
        for metric, card in metric_cards(groups[key]).items():
            scores = scores_of(groups[key], metric)
            rows = () if card.is_p_value else tuple(differences(scores, first, second))
            if rows:
                words = setting_words(groups[key][0])
                several = rows[-1].place == OVER_TARGETS
                changes = rank_changes(scores, (first, second)) if several else None
                found.append(Compared(setting=words, scores=scores, rows=rows, changes=changes))
    return found


def adjusted_p(pages: Sequence[Compared]) -> dict[tuple[int, int], float]:
    """The p-values of all rows of a page, by page and row, after Holm's correction."""
    tests = {
        (i, j): row.estimate.p
        for i, page in enumerate(pages)
        for j, row in enumerate(page.rows)
        if row.estimate.p is not None
    }
    return holm(tests)


def row_text(row: Difference, decimals: int, p: float | None, tests: int) -> str:
    """One line: where, difference, interval, what it counts, p and its mark, new shots."""
    e = row.estimate
    # Adding 0.0 makes a 0 of -0.0.
    head = f"  {row.place:<12} {round(e.mean, decimals) + 0.0:+.{decimals}f}"
    if e.low is None or e.high is None:
        return f"{head}  (one pair)"
    if p is None:
        return f"{head}  (the same in {e.count} {UNITS[row.unit]}, so there is no test)"
    low, high = (f"{round(v, decimals) + 0.0:.{decimals}f}" for v in (e.low, e.high))
    text = f"{head}  ({low} to {high}; {e.count} {UNITS[row.unit]})  p {p:.2g}"
    if p <= RISK:
        text += f" {DECIDED if row.holds_shots else OF_THESE_SHOTS}"
    if row.flips is not None:
        text += f"  flips {row.flips:.0%}"
        needed = row.sets_needed(tests)
        text += f", needs {needed}" if needed else ", needs more than there can be"
    return text


def notes_on(pages: Sequence[Compared], tests: Mapping[tuple[int, int], float]) -> list[str]:
    """How to read the page; only what it shows."""
    rows = [row for page in pages for row in page.rows]
    notes = [f"p: after Holm's correction over the {len(tests)} tests of this page"]
    if any(row.holds_shots for row in rows):
        notes.append(f"{DECIDED} p is at most {RISK:.2g}")
    if fixed := [row for row in rows if not row.holds_shots]:
        notes.append(
            f"{OF_THESE_SHOTS} p is at most {RISK:.2g} for these shots only; {len(fixed)} rows "
            "have one set of shots, so their intervals leave out the choice of the shots"
        )
    if any(row.flips is not None for row in rows):
        notes.append(
            "flips: probability that the order is another one on one new set of shots; needs: "
            "how many sets of shots a paired test takes to see this difference with power 0.8 "
            f"on a page of {len(tests)} tests"
        )
    if any(page.scores.card.better == "like_real" for page in pages):
        notes.append(
            "distance to real: how far a method's value is from that of real images beside the "
            "same shots; runs without such a run of `real` are left out"
        )
    return notes


def comparison(records: Sequence[Record], first: str, second: str) -> str:
    """Every metric of both methods: difference and interval, by target and over all.

    Raises:
        ValueError: there is no record of a method, or the two share nothing.
    """
    known = {r["method"] for r in records}
    for name in (first, second):
        if name not in known:
            raise ValueError(f"no record of {name}; there are {', '.join(sorted(known))}")
    records, asked = main_variant(records), len(records)
    pages = compared(records, first, second)
    if not pages:
        raise ValueError(f"{first} and {second} share no target, shots, seed and protocol")
    tests, settings = adjusted_p(pages), {page.setting for page in pages}
    lines = [f"{first} minus {second}: mean of paired differences, 95 % interval, p", ""]
    for i, page in enumerate(pages):
        if len(settings) > 1 and (i == 0 or pages[i - 1].setting != page.setting):
            lines.append(f"[{page.setting}]")
        scores = page.scores
        decimals = scores.card.decimals_for(row.estimate.mean for row in page.rows)
        lines.append(f"{scores.compared_as} {scores.card.arrow}".rstrip())
        lines += [
            row_text(row, decimals, tests.get((i, j)), len(tests))
            for j, row in enumerate(page.rows)
        ]
        lines += [f"  {page.changes.text}"] if page.changes else []
    notes = notes_on(pages, tests)
    if left := asked - len(records):
        notes.append(f"{left} records of other settings than a method's most frequent are left out")
    return "\n".join([*lines, "", *notes])


def main(words: Sequence[str]) -> int:
    """Prints the comparison.

    Raises:
        ValueError: other than two methods, no such folder, or no record of a method.
    """
    given = parse_words(words, word="compare", keys=("results_dir", "test"))
    if len(given.positional) < 2:
        raise ValueError("give two methods: fsig-bench compare crdi domainstudio [FOLDER]")
    first, second, *folders = given.positional
    folders += [given.settings["results_dir"]] if "results_dir" in given.settings else []
    name = given.settings.get("test")
    places = record_folders(folders)
    records = load(places, short=name is None)
    print(comparison(records, first, second))
    if name is not None:
        from fsig_bench.report.sample_test import tested_samples

        print("\n" + tested_samples(records, first, second, name=name, folders=places))
    return 0


if __name__ == "__main__":
    sys.exit(run_word("compare", main))
