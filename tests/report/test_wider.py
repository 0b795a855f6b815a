"""The comparison on the set of targets that holds the most methods."""

from findings_helpers import analysed, parted

from fsig_bench.report.findings import grid as grids
from fsig_bench.report.findings import text_wider
from fsig_bench.report.findings.kendall import PERMUTATIONS


def test_the_set_of_targets_with_the_most_methods():
    everywhere, some = frozenset("abcd"), frozenset("bc")
    find = grids.wider_targets
    assert find([everywhere, everywhere, some], "abcd", more_than=2) == ("b", "c")
    assert find([everywhere, everywhere], "abcd", more_than=2) is None
    # A single target is no set, and the larger of two sets with as many methods is taken.
    assert find([everywhere, frozenset("b")], "abcd", more_than=1) is None
    assert find([everywhere, frozenset("bcd"), some], "abcd", more_than=1) == ("b", "c")
    assert find([everywhere, frozenset("bcd")], "abcd", more_than=1) == ("b", "c", "d")
    assert find([frozenset("ab"), frozenset("cd")], "abcd", more_than=0) == ("a", "b")


def families():
    """Four methods on three targets, ten others on two, and one on two with one set of shots."""
    main, other = ("tgan", "ada", "cdc", "dcl"), [f"m{n}" for n in range(10)]
    places = [(m, t) for m in main for t in ("babies", "cats", "sketches")]
    places += [(m, t) for m in other for t in ("babies", "sketches")]
    found = []
    for n, (method, target) in enumerate(places):
        for s in range(2):
            one = parted(method, target, float(n % 7), 1.0 + n + s, 3.0)
            found.append(
                one | {"subset": s, "seed": s, "draw": s, "run_id": f"{method}{target}{s}"}
            )
    lonely = parted("m99", "babies", 1.0, 1.0, 1.0), parted("m99", "sketches", 1.0, 1.0, 1.0)
    return [*found, *lonely]


def test_more_methods_on_fewer_targets():
    records = families()
    whole = grids.grid_of(records)
    wider = grids.wider_grid(records, whole)
    assert len(whole.methods) == 4 and wider.targets == ("babies", "sketches")
    assert len(wider.methods) == 14 and "m99" not in wider.methods
    assert {r["dataset"] for r in wider.records} == {"babies", "sketches"}
    found = analysed(wider)
    # Too many orders to try them all; the one that was found counts among the random ones.
    assert found.methods.least_p == 1 / (PERMUTATIONS + 1)
    assert all(line.found.p >= found.methods.least_p for line in found.methods.lines)
    assert analysed(wider) == found  # the generator has a fixed seed
    text = "\n".join(text_wider.section(found))
    assert "babies and sketches hold the most methods" in text and "each: 14, namely ada," in text
    assert "Methods with less on these targets are left out: m99." in text
    assert "settings of 14 classes of code" in text and "100,000 random orders" in text
    line = next(x for x in found.methods.lines if x.reading.metric == "fd")
    assert line.holds and line.truth == "factor distance"  # fd is the factor distance here
    assert "the same order is given by Frechet distance (1.00" in text


def test_where_no_set_of_targets_holds_more_methods_it_is_said_what_makes_records():
    records = [r for r in families() if not r["method"].startswith("m")]
    assert grids.wider_grid(records, grids.grid_of(records)) is None
    assert "`fsig-bench -m experiment=grid_families` makes records" in text_wider.section(None)[1]


def test_controls_alone_make_no_wider_grid():
    records = families()
    card = {"label": "X", "kind": "control"}
    records = [
        r | {"config": {"method": {"card": card}}} if r["method"].startswith("m") else r
        for r in records
    ]
    assert grids.wider_grid(records, grids.grid_of(records)) is None
