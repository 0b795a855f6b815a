"""docs/architecture.md lists the rooms that are there, and the files that a run passes through."""

import re
import subprocess
import sys

from helpers import BRIEF, ROOT
from test_layers import FLOOR

PAGE = (ROOT / "docs" / "architecture.md").read_text()
PATH = re.findall(r"^\| `([\w/.]+\.py)` \|", PAGE.split("<!-- path -->")[1], re.M)


def test_the_rooms_and_their_floors_are_those_of_the_contract():
    rows = re.findall(r"^\| (\d) \| `(\w+)/?` \|", PAGE, re.M)
    listed = {room if room == "baselines" else f"fsig_bench.{room}": int(n) for n, room in rows}
    assert listed == FLOOR


def test_the_path_is_short_and_its_files_exist():
    assert 10 <= len(PATH) <= 15 and len(set(PATH)) == len(PATH)
    for file in PATH:
        assert (ROOT / file).is_file(), file


TRACE = """
import inspect, sys
from pathlib import Path
root, seen = Path({root!r}), []
ours = (str(root / "fsig_bench"), str(root / "baselines"))
def look(frame, event, arg):
    file = frame.f_code.co_filename
    function = frame.f_code.co_flags & inspect.CO_OPTIMIZED  # not the body of a module or class
    if event == "call" and function and file.startswith(ours) and seen[-1:] != [file]:
        seen.append(file)
sys.argv = ["fsig_bench", *{words!r}]
sys.settrace(look)  # for calls of Python functions only: `look` returns nothing
try:
    import runpy
    runpy.run_module("fsig_bench", run_name="__main__", alter_sys=True)
except SystemExit as end:
    assert not end.code, end.code
finally:
    sys.settrace(None)
print("SEEN", *(str(Path(f).relative_to(root)) for f in seen))
"""


def test_a_run_enters_every_file_of_the_path_in_that_order(tmp_path):
    words = [*BRIEF, "method=crdi", "dataset=babies", "experiment=smoke"]
    words += [f"results_dir={tmp_path}", "dataset.n_ref=100", "k=2"]
    words += ["method.draws=1", "method.num_steps=9", "method.t_end=6"]
    words += ["num_images=6", "suite.shard_size=6", "figures.tsne_points=6"]
    done = subprocess.run(
        [sys.executable, "-c", TRACE.format(root=str(ROOT), words=words)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    seen = done.stdout.split("SEEN", 1)[1].split()
    assert not [file for file in PATH if file not in seen]
    left = iter(seen)
    found = [file for file in PATH if file in left]  # each behind the one before it
    assert found == PATH
