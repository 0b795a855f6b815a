"""Printed numbers beside a run's own."""

from fsig_bench.report.printed import published_lines


def record(**changes):
    base = {"suite": "paper", "method": "crdi_official", "dataset": "babies", "k": 10}
    base |= {"protocol": "crdi2024", "metrics": {"fd": {"value": 50.004}}}
    return base | changes


def test_the_papers_number_stands_beside_ours():
    (line,) = [s for s in published_lines(record()) if "Table 2" in s and s.startswith("FID")]
    assert "50.00 here" in line and "in CRDI 2024, Table 2" in line and "same protocol" in line


def test_another_protocol_is_said():
    lines = published_lines(record(protocol="cdc2021"))
    assert lines and all("same protocol" not in s for s in lines if s.startswith("FID"))
    assert any("scored as crdi2024, this run as cdc2021: not to be compared" in s for s in lines)


def test_another_number_of_samples_is_not_the_same_protocol():
    lines = published_lines(record(method="cdc", protocol="cdc2021"))
    (rerun,) = [s for s in lines if "86.62 in" in s]
    assert "no protocol that is known here, this run as cdc2021: not to be compared" in rerun
    assert any("74.39 in" in s and "the same protocol" in s for s in lines)


def test_nothing_is_said_where_nothing_compares():
    assert published_lines(record(suite="mini")) == []
    assert published_lines(record(dataset="folder")) == []
    assert published_lines(record(k=7)) == []
