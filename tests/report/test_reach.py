"""How many printed numbers can be run whole."""

import dataclasses

from fsig_bench.report.published import load_names, load_published
from fsig_bench.report.reach import lacking, reach_lines


def first(method, domain, family):
    rows = load_published()
    return next(
        r for r in rows if (r.method, r.target_domain, r.family) == (method, domain, family)
    )


def test_what_a_number_lacks():
    names = load_names()
    whole = first("CDC", "Babies", "cdc")
    assert lacking(whole, names) == [] and whole.harness_method == "cdc"
    changes = {
        "its target set": {"dataset": None},
        "its metric": {"harness_metric": None},
        "its method": {"harness_method": None},
        "its source model": {"source_domain": "LSUN-Church"},
        "a text-to-image model (out of scope)": {"source_domain": "StableDiffusion"},
        "a known protocol": {"family": "unknown"},
    }
    for part, change in changes.items():
        assert lacking(dataclasses.replace(whole, **change), names) == [part]


def test_the_table_by_hand():
    names = load_names()
    whole = first("CDC", "Babies", "cdc")
    far = dataclasses.replace(whole, source_domain="LSUN-Church", dataset=None)
    near = dataclasses.replace(whole, dataset=None)
    lines = reach_lines([whole, whole, far, near], names)
    assert "| can be run whole | 2 | 50.0 % |  |" in lines
    assert "| lack its source model | 1 | 25.0 % | 0 |" in lines  # the target set lacks too
    assert "| lack its target set | 1 | 25.0 % | 1 |" in lines
    assert lines[-1] == "Run whole: CDC 2 (`cdc`)."


def test_a_fifth_of_all_numbers_can_be_run_and_the_page_says_so():
    from helpers import ROOT

    rows, names = load_published(), load_names()
    assert sum(not lacking(row, names) for row in rows) >= len(rows) / 5
    page = (ROOT / "docs" / "tables.md").read_text()
    assert all(line in page for line in reach_lines(rows, names))


def test_the_pages_say_how_many_of_them_rest_on_values_that_nobody_has_checked():
    from helpers import ROOT

    names = load_names()
    whole = [row.harness_method for row in load_published() if not lacking(row, names)]
    ewc, dcl = (whole.count(name) for name in ("ewc", "dcl"))
    tables, own = (
        " ".join((ROOT / "docs" / page).read_text().split())
        for page in ("tables.md", "methods/gan_adapt.md")
    )
    assert f"Of these {len(whole)} numbers, {ewc + dcl} rest on methods" in tables
    assert f"{ewc} on `ewc`" in tables and f"{dcl} on `dcl`" in tables
    assert f"counts {len(whole)} printed numbers that can be run whole" in own
    assert f"{ewc} of these rest on `ewc` and {dcl} on `dcl`" in own
