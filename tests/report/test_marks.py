"""Which of our own numbers are marked: in tables and on pages, after one correction."""

from statistics import NormalDist

import pytest
from report_records import record

from fsig_bench.report.html.marks import marks_of
from fsig_bench.report.tables import build_table, load_spec, render_markdown

CHANCE = [NormalDist().inv_cdf((i + 0.5) / 5) for i in (0, 3, 1, 4, 2)]  # five sets of shots


def runs(method, level, *, metric="fd", own=(0.0,) * 5, dataset="babies", kind="method", **axes):
    """Runs whose common chance is that of the shots, with what is the method's own."""
    return [
        record(
            method,
            dataset=dataset,
            seed=s,
            kind=kind,
            protocol_hash="h",
            metrics={metric: {"value": level + 5 * CHANCE[s] + own[s]}},
            **({"subset": s} | axes),
        )
        for s in range(5)
    ]


def marks(records, metric="Frechet distance"):
    table = build_table(load_spec("main"), records)
    panel = next(p for p in table.panels if p.title.startswith(metric))
    return {row.label: row.cells[0].mark for row in panel.rows if row.cells[0].value is not None}


NOISE = [0.3, -0.2, 0.1, -0.1, -0.1]
OTHER = [-0.2, 0.2, 0.3, -0.4, 0.1]


def test_pairs_on_the_same_shots_decide_what_single_numbers_do_not():
    """The spread over shots is 4.6 and the difference 3, but the shots' chance is shared."""
    found = marks([*runs("a", 10.0), *runs("b", 13.0, own=NOISE), *runs("c", 20.0, own=OTHER)])
    assert found == {"A": "best", "B": "second", "C": ""}


def test_the_best_has_to_differ_from_every_other():
    found = marks([*runs("a", 10.0), *runs("b", 10.02, own=NOISE), *runs("c", 20.0, own=OTHER)])
    assert set(found.values()) == {""}


def test_of_two_that_are_not_told_apart_none_is_second():
    """Both are better than a third beyond chance, which says nothing of the order of the two."""
    apart = [0.9, -1.0, 0.8, -0.9, 0.2]
    pair = [*runs("a", 10.0), *runs("b", 10.4, own=apart)]
    assert set(marks([*pair, *runs("c", 30.0, own=OTHER)]).values()) == {""}
    assert marks([*runs("b", 10.4, own=NOISE), *runs("c", 30.0, own=OTHER)])["B"] == "best"


def test_a_second_best_needs_the_best_beside_it_after_holms_correction():
    """The order of the first two has p = 0.03 by itself: among two claims none of them holds."""
    own = [1.0, -1.0, 3.3, 0.2, 1.9]  # mean 1.08: added to 1.0, t = 2.9
    three = [*runs("a", 10.0), *runs("b", 11.0, own=own), *runs("c", 90.0, own=OTHER)]
    assert set(marks(three).values()) == {""}


def test_without_several_sets_of_shots_nothing_is_marked():
    records = [*runs("a", 10.0, subset=0), *runs("b", 30.0, own=NOISE, subset=0)]
    assert set(marks(records).values()) == {""}


def test_one_row_without_shared_runs_withholds_the_mark():
    records = [*runs("a", 10.0), *runs("b", 30.0, own=NOISE)]
    assert marks(records)["A"] == "best"
    assert set(marks([*records, *runs("c", 40.0)[:1]]).values()) == {""}


def test_holm_counts_every_column_of_the_table():
    """One column by itself has p = 0.03; among six of that kind nothing holds."""
    own = [1.0, -1.0, 3.3, 0.2, 1.9]  # mean 1.08: added to 1.0, t = 2.9

    def pair(dataset):
        return [*runs("a", 10.0, dataset=dataset), *runs("b", 11.0, own=own, dataset=dataset)]

    targets = ("babies", "sunglasses", "sketches", "metfaces", "obama", "cats")
    assert marks(pair("babies"))["A"] == "best"
    assert marks([r for target in targets for r in pair(target)])["A"] == ""


@pytest.mark.parametrize("real", [0.7, None])
def test_what_is_best_like_real_is_marked_by_its_distance(real):
    """Half as far above real images as the other is below; the highest is no good sign."""
    shift = [0.01 * v for v in NOISE]
    records = [
        *runs("near", 0.8, metric="intra_lpips"),
        *runs("far", 0.4, metric="intra_lpips", own=shift),
        *runs("source", 1.2, metric="intra_lpips", kind="control"),
    ]
    if real is not None:
        records += runs("real", real, metric="intra_lpips", kind="control")
    found = marks(records, "Intra-LPIPS")
    assert (found["NEAR"], found["FAR"]) == (("best", "") if real else ("", ""))


def test_a_caption_says_what_the_deviation_holds():
    table = build_table(load_spec("main"), [*runs("a", 10.0), *runs("b", 20.0, own=NOISE)])
    assert (
        "± is the standard deviation over 5 sets of shots; it holds the chance of the choice"
        in (render_markdown(table))
    )
    assert "leaves out" not in table.caption
    assert "±" not in build_table(load_spec("main"), []).caption


# Marks of a report's pages: bold, underlined and ≈ come from one correction.
CLOSE = [1.0, -1.0, 3.6, 0.4, 2.0]  # mean 1.2: added to 1.0, t = 2.8
TARGETS = ("babies", "cats", "obama", "sketches")


def shown(records, metric="fd"):
    """The mark of each method on each target; "" where its runs have none."""
    found = marks_of(records, [metric])
    places = {(r["dataset"], r["method"]): r["run_id"] for r in records}
    return {place: found.get((metric, run), "") for place, run in places.items()}


def pair(dataset, own=CLOSE):
    return [*runs("a", 10.0, dataset=dataset), *runs("b", 11.0, own=own, dataset=dataset)]


def test_one_correction_decides_what_is_bold_and_what_is_open():
    """By itself the order on each of four targets has p below 0.05; corrected, none holds."""
    assert set(shown(pair("babies")).values()) == {"best", ""}
    found = shown([r for target in TARGETS for r in pair(target)])
    assert set(found.values()) == {"open"} and len(found) == 8


@pytest.mark.parametrize("own", [CLOSE, NOISE, [0.0] * 5, [-9.0, 9.0, 5.0, -5.0, 0.0]])
def test_no_number_is_open_alone(own):
    """Whatever is told apart: a column has a bold number, or two or more with the sign."""
    records = [*pair("babies", own), *pair("cats", NOISE), *runs("c", 40.0, own=OTHER)]
    found = shown(records)
    for target in ("babies", "cats"):
        marks = [mark for (where, _), mark in found.items() if where == target]
        assert ("best" in marks) != (marks.count("open") > 1), (target, marks)
        assert marks.count("open") != 1


def test_a_method_far_below_an_open_order_is_told_apart():
    own = [0.9, -1.0, 0.8, -0.9, 0.2]
    found = shown([*runs("a", 10.0), *runs("b", 10.4, own=own), *runs("c", 40.0, own=OTHER)])
    assert list(found.values()) == ["open", "open", ""]


def test_what_shares_no_shots_is_not_told_apart():
    lone = runs("c", 90.0)[:1]
    found = shown([*runs("a", 10.0), *runs("b", 60.0, own=NOISE), *lone])
    assert list(found.values()) == ["open", "", "open"]
    single = [runs(name, level, subset=0)[0] for name, level in (("a", 1.0), ("b", 9.0))]
    assert list(shown(single).values()) == ["open", "open"]
