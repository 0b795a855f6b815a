"""The findings page: its statistics by hand, and the committed page byte for byte."""

import math
from dataclasses import replace

import pytest
from helpers import ROOT

from fsig_bench.__main__ import main
from fsig_bench.report.audit import table
from fsig_bench.report.findings import page, papers, planted, text_planted
from fsig_bench.report.published import load_names
from fsig_bench.report.records import load

COMMITTED = ROOT / "results" / "reference"


def row(metric, fault, level, verdict):
    return table.Row(
        fault=fault,
        heading=f"{fault}, share",
        level=level,
        strength=level / 10,
        metric=metric,
        value=1.0,
        floor_mean=0.0,
        floor_spread=1.0,
        floor_draws=10,
        deviation=1.0,
        verdict=verdict,
    )


def made_rows(levels):
    """From (metric, fault) -> the level from which on it is seen, negative where 1 is rewarded."""
    rows = []
    for (metric, fault), first in levels.items():
        for level in range(1, 4):
            verdict = "seen" if level >= abs(first) else "not seen"
            rows.append(
                row(metric, fault, level, "rewarded" if first < 0 and level == 1 else verdict)
            )
    return rows


def test_the_smallest_sets_by_hand():
    levels = {("fd", "blur"): 1, ("fd", "mode"): 3, ("fd", "copies"): 9}
    levels |= {("kid", "blur"): 9, ("kid", "mode"): 2, ("kid", "copies"): 2}
    levels |= {("vendi", "blur"): 9, ("vendi", "mode"): -2, ("vendi", "copies"): 1}
    seen = planted.seen_in(made_rows(levels))
    # One alone sees too little; the pair that rewards nothing comes first.
    assert planted.smallest_sets(seen) == [("fd", "kid"), ("fd", "vendi")]
    assert planted.smallest_sets(seen, ["fd"]) == []
    assert planted.smallest_sets(seen, ["fd", "vendi"], beside=["mode"]) == [("fd", "vendi")]
    assert planted.smallest_sets(seen, ["fd"], beside=["mode", "copies"]) == [("fd",)]
    assert planted.unseen_early(seen, ["fd"]) == ["mode", "copies"]
    assert seen.rewarded == {("vendi", "mode")} and seen.early_strengths["blur"] == 0.2


def test_a_metric_that_was_not_tried_for_every_fault_is_left_out_and_named():
    levels = {("fd", "blur"): 1, ("fd", "mode"): 9, ("kid", "blur"): 9, ("kid", "mode"): 1}
    levels |= {("vendi", "mode"): 2}  # alone with fd it would see all, but of blur nothing is known
    seen = planted.seen_in(made_rows(levels))
    assert planted.tried_throughout(seen) == ["fd", "kid"]
    assert planted.smallest_sets(seen) == [("fd", "kid")]
    assert planted.unseen_early(seen, ["fd", "vendi"]) == ["mode"]
    text = " ".join(text_planted.sections(made_rows(levels)))
    assert "Left out is what was not tried for every fault: Vendi. The smallest sets" in text
    whole = {key: level for key, level in levels.items() if key[0] != "vendi"}
    assert "Left out" not in " ".join(text_planted.sections(made_rows(whole)))


def test_a_fault_that_none_sees_early_is_named_and_the_sets_are_for_the_others():
    levels = {("fd", "blur"): 1, ("fd", "mode"): 3, ("kid", "blur"): 9, ("kid", "mode"): 4}
    text = " ".join(text_planted.sections(made_rows(levels)))
    assert "none of these metrics sees mode early. The smallest sets that see the other 1" in text
    assert "have 1 metric, and there are 1" in text and "**Frechet distance**" in text


def test_the_first_audit_that_has_a_fault_counts():
    first = made_rows({("fd", "blur"): 1})
    second = made_rows({("fd", "blur"): -3, ("fd", "mode"): 2})
    both = planted.seen_in([*first, *(replace(r, samples=5000) for r in second)])
    assert both.levels == {("fd", "blur"): 1, ("fd", "mode"): 2} and not both.rewarded


def test_metrics_that_read_factors_are_known():
    known = {"factor_coverage", "source_leakage", "rendering_residual", "factor_distance"}
    assert all(map(planted.needs_factors, known))
    assert not any(map(planted.needs_factors, ("fd", "intra_lpips_cdc2021", "kid", "my_own")))


def test_fiellers_interval_by_hand():
    assert papers.fieller(0.5, 4) is None
    low, high = papers.fieller(0.5, 10)
    half = 1.96 * math.sqrt(0.437 / 6)
    assert (math.atanh(high) + math.atanh(low)) / 2 == pytest.approx(math.atanh(0.5))
    assert math.atanh(high) - math.atanh(0.5) == pytest.approx(half)
    assert papers.fieller(1.0, 6)[1] < 1


def test_a_published_ranking_beside_minis():
    from fsig_bench.report.published import load_published

    # Records of mini by the printed values of one table, in which two neighbours are exchanged.
    rows = [
        r
        for r in load_published()
        if (r.paper, r.table, r.dataset) == ("DPMs-ANT", "Table 2", "babies") and r.harness_method
    ]
    printed = {r.harness_method: r.value for r in rows if r.metric == "FID"}
    base = next(r for r in load([COMMITTED]) if r["dataset"] == "babies")
    swap = {"cdc": printed["ewc"], "ewc": printed["cdc"]}
    records = [
        base | {"method": m, "metrics": {"fd": {"value": swap.get(m, v)}}, "run_id": m}
        for m, v in printed.items()
    ]
    found, count = papers.rankings(records, rows, load_names())
    assert count == 1 and len(found) == 1
    assert found[0].tau == pytest.approx(1 - 2 / (len(printed) * (len(printed) - 1) / 2))
    assert set(found[0].methods) == set(printed) and found[0].low < found[0].tau < found[0].high


def ranking(methods, p):
    place = {"paper": "A", "table": "1", "metric": "FID", "dataset": "babies"}
    return papers.Ranking(**place, methods=tuple(methods), tau=1.0, p=p, low=None, high=None)


def test_rankings_of_papers_that_no_test_can_tell_from_chance_say_so():
    few, many = ranking("abc", 2 / 6), ranking("abcdef", 2 / 720)
    said = "Of so few methods no order could hold after the correction for all of them"
    assert said in page.papers_section([few], 5, [few.p])[1]
    assert "no order could hold" not in page.papers_section([few, many], 5, [few.p, 2 * many.p])[1]


def test_the_committed_page_is_made_again_byte_for_byte(tmp_path):
    sources = page.read_sources(COMMITTED, ROOT / "docs" / "audit")
    made, figure, taus = page.write_page(sources, tmp_path / "findings.md")
    for path in (made, taus):
        assert path.read_bytes() == (ROOT / "docs" / path.name).read_bytes()
    assert f"({taus.name})" in made.read_text() and f"({figure.name})" in made.read_text()
    assert figure.stat().st_size > 1000
    # What is absent is said, and other numbers make another page.
    other = replace(sources.audits[0], verdict="rewarded")
    page.write_page(replace(sources, audits=[other, *sources.audits[1:]]), made)
    assert made.read_bytes() != (ROOT / "docs" / "findings.md").read_bytes()


def test_versions_of_a_protocol_are_named_only_where_they_differ():
    audited = {"protocol": "ours", "version": 4}
    records = [{"protocol": "ours", "config": {"protocol": {"version": 5}}}]
    text = page.versions_sentence(audited, records)
    assert text.startswith("The audits were made under version 4 of the protocol `ours`")
    assert "the grid under version 5" in text
    rows = made_rows({("fd", "blur"): 1})
    assert text in " ".join(text_planted.sections(rows, text))
    assert "version" not in " ".join(text_planted.sections(rows))
    for other in (audited | {"version": 5}, audited | {"protocol": "cdc2021"}, None):
        assert page.versions_sentence(other, records) == ""


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "out=PAGE.md"),
        (["out=page.html"], "out=PAGE.md"),
        (["out=nowhere/page.md"], "there is no folder"),
    ],
)
def test_what_is_wrong_is_said(words, message, capsys):
    assert main(["report", "findings=true", *words]) == 1
    assert message in capsys.readouterr().err
