"""What a sweep prints: a number for each cell, a line for each finished one, a matrix."""

from helpers import SWEEP, cli


def test_cells_are_numbered_and_summed_up_and_finished_ones_count(tmp_path):
    words = [*SWEEP, f"results_dir={tmp_path}"]
    first = cli(*words, "method=copy", "seed=0").stdout
    assert "cell 1 of 1: copy on babies, seed 0\n" in first
    assert "adapt copy" not in first and "record " not in first  # one line a cell
    out = cli(*words, "method=copy,crdy", "seed=0,1", check=False).stdout
    lines = out.splitlines()
    assert "cell 2 of 4: copy on babies, seed 1" in lines and "cell 1 of 4" not in out
    (done,) = [line for line in lines if line.startswith("cell 2 of 4 done: copy on babies")]
    assert "Frechet distance" in done and done.endswith(" s)")
    assert "protocol brief, 2 shots, 8 images: mean over seeds 0, 1" in out
    (row,) = [line for line in lines if line.startswith("| copy") and "0.000" not in line]
    assert "±" in row
    assert out.index("| copy") < out.index("2 of 4 cells failed")
    again = cli(*words, "method=copy", "seed=0,1").stdout
    assert "cell 1 of" not in again and row in again
    assert "| copy" not in cli(*words, "method=copy", "seed=0,1", "preflight=only").stdout
