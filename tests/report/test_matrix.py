"""The matrix at the end of a sweep."""

from report_records import record
from rich.console import Console

from fsig_bench.metrics.cards import key_metrics
from fsig_bench.report.matrix import matrices
from fsig_bench.report.terminal import finished_line


def both(fd, lpips):
    return {"fd": {"value": fd}, "kid": {"value": 0.1}, "intra_lpips": {"value": lpips}}


def test_mean_and_spread_over_seeds_methods_down_datasets_across():
    records = [
        record(method=m, dataset=d, seed=s, metrics=both(base + s, 0.5))
        for m, base in (("crdi", 10.0), ("d2c", 20.0))
        for d in ("babies", "cats")
        for s in (0, 1)
    ]
    (matrix,) = matrices(records)
    text = matrix.text()
    lines = [line.replace(" ", "") for line in text.splitlines()]
    assert "|Frechetdistance↓|babies|cats|" in lines and "|Intra-LPIPS|babies|cats|" in lines
    assert "|CRDI|10.50±0.71|10.50±0.71|" in lines and "|D2C|20.50±0.71|20.50±0.71|" in lines
    assert "|CRDI|0.500±0.000|0.500±0.000|" in lines
    assert "over seeds 0, 1" in text and "KID" not in text


def test_cells_of_fewer_runs_and_without_a_value_say_so():
    lacking = {"fd": {"value": None, "reason": "no reference"}}
    records = [
        record(seed=0, metrics=both(10.0, 0.5)),
        record(seed=1, metrics=both(11.0, 0.5)),
        record(seed=0, dataset="cats", metrics=both(12.0, 0.5)),
        record(method="copy", kind="control", metrics=lacking),
    ]
    text = matrices(records)[0].text()
    assert "10.50 ± 0.71 (2)" in text and "12.00 (1)" in text
    assert "COPY on babies: no reference" in text
    rows = [line for line in text.splitlines() if line.startswith(("| CRDI", "| COPY"))]
    assert [row.split()[1] for row in rows[:2]] == ["CRDI", "COPY"]  # controls come last


def test_numbers_that_do_not_compare_stand_in_matrices_of_their_own():
    records = [record(k=k, metrics=both(10.0 + k, 0.5)) for k in (10, 5)]
    assert [m.title.split(", ")[2] for m in matrices(records)] == ["5 shots", "10 shots"]
    assert matrices([]) == []


def test_a_terminal_gets_one_table_with_a_section_a_metric():
    console = Console(width=100, record=True, file=open("/dev/null", "w"))
    console.print(matrices([record(metrics=both(10.0, 0.5))])[0].rich_table(), markup=False)
    console.file.close()
    text = console.export_text()
    assert "Frechet distance" in text and "Intra-LPIPS" in text and "10.00" in text


def test_key_metrics_are_those_that_the_cards_call_main():
    values = {name: {"value": 1.0} for name in ("kid", "spectrum", "own", "copy_rate", "fd")}
    assert key_metrics([record(metrics=values)]) == ["fd", "copy_rate", "spectrum"]


def test_without_main_ones_key_metrics_are_a_distance_and_another():
    assert key_metrics([record(metrics=both(1.0, 0.5))]) == ["fd", "intra_lpips"]
    assert key_metrics([record(metrics={"kid": {}, "fd": {}})]) == ["fd", "kid"]
    assert key_metrics([record(metrics={"vendi": {}, "recall": {}, "own": {}})]) == [
        "recall",
        "vendi",
    ]


def test_the_line_on_a_finished_cell():
    line = finished_line(
        record(metrics=both(12.345, None)), "cell 3 of 8: crdi on babies, seed 1", 34.2
    )
    assert line == (
        "cell 3 of 8 done: crdi on babies, seed 1: Frechet distance 12.35, Intra-LPIPS - (34 s)"
    )
