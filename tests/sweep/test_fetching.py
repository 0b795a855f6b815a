"""A sweep fetches what its cells lack once, before it launches them."""

from pathlib import Path

import pytest
from helpers import SWEEP, cli, records

from fsig_bench.api.assets import Asset
from fsig_bench.sweep.fetching import fetch_absent
from fsig_bench.sweep.planner import Job

SMALL = [*SWEEP, "method=copy", "seed=0,1"]


def asset(server, file, way="plain", **changes):
    values = {"file": file, "url": f"{server.base}/{way}", "page": "http://page", "sha256": None}
    return Asset(**values | {"mib": 1, "licence": "CC0", "path": None} | changes)


def job(number, *absent):
    return Job(
        number=number,
        overrides=[f"seed={number}"],
        runs=(),
        done=(),
        root=Path(),
        title=f"cell {number}",
        absent=absent,
    )


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("FSIG_BENCH_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_each_file_is_fetched_once_and_jobs_without_it_fail(server, cache):
    one, gone = asset(server, "one.bin"), asset(server, "gone.bin", "gone")
    by_hand = asset(server, "hand.bin", url=None)
    jobs = [job(1, one), job(2), job(3, one, gone), job(4, gone), job(5, one), job(6, by_hand)]
    planned_again = []

    def plan(numbers):
        planned_again.extend(sorted(numbers))
        return [job(n) for n in sorted(numbers)], []

    found, failed = fetch_absent(jobs, plan)
    assert [j.number for j in found] == [1, 2, 5] and planned_again == [1, 5]
    assert not any(j.absent for j in found)
    assert [words for words, _ in failed] == [["seed=3"], ["seed=4"], ["seed=6"]]
    assert "404" in failed[0][1] and "hand.bin does not exist" in failed[2][1]
    assert sorted(path for path, _ in server.asked) == ["/gone", "/plain"]
    assert (cache / "one.bin").exists()


def test_too_little_space_fails_the_jobs_before_the_first_byte(server):
    big = asset(server, "big.bin", mib=1e9)
    found, failed = fetch_absent([job(1, big), job(2)], lambda numbers: ([], []))
    assert [j.number for j in found] == [2] and "MiB are to be fetched" in failed[0][1]
    assert not server.asked


def test_cells_of_a_sweep_do_not_each_download(server, tmp_path):
    node = vars(asset(server, "note.bin")) | {"page": "page"}
    words = [
        f"+protocol.note.{k}={'null' if v is None else list(v) if v == () else v}"
        for k, v in node.items()
    ]
    words += [*SMALL, f"results_dir={tmp_path / 'results'}"]
    assert "to run" in cli(*words, "preflight=only").stdout and not server.asked
    out = cli(*words).stdout
    assert server.asked == [("/plain", 0)]
    assert out.count("fetching note.bin") == 1 and out.index("fetching") < out.index("cell 1 of 2")
    found = records(tmp_path / "results").values()
    assert len(found) == 2 and all("note.bin" in record["assets"] for record in found)
    assert "2 finished, 0 to run" in cli(*words).stdout and len(server.asked) == 1
