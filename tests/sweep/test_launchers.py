"""Sweeps through joblib, submitit (local and SLURM) and Ray: the same bytes, and nothing lost."""

import importlib.util
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from contextlib import ExitStack
from pathlib import Path

import pytest
import torch
from helpers import BRIEF, ROOT, records
from helpers import start as start_command
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import OmegaConf

from fsig_bench.runner import gpus
from fsig_bench.runner.device import resolve_device
from fsig_bench.store.status import read_status
from fsig_bench.sweep import jobs as sweep_jobs

SMALL = [
    *BRIEF,
    "dataset=babies",
    "k=3",
    "dataset.n_ref=100",
    "suite.shard_size=10",
    "num_images=20",
]
SMALL += ["batch_size=10", "figures.tsne_points=20", "controls=[]"]
COPY = [*SMALL, "method=copy", "subset=${seed}"]  # other pixels for every seed, quickly imported
SOURCE = [*SMALL, "method=source", "method.num_steps=3", "draw=${seed}"]
CRDI = [*SMALL, "num_images=10", "method=crdi", "method.draws=2", "method.segments=6"]
CRDI += ["method.num_steps=12", "method.t_start=2", "method.t_end=8"]
CRDI.append("method.card.reconstruct_sweep=null")


def needs(package, extra):
    there = importlib.util.find_spec(package) is not None
    return pytest.mark.skipif(not there, reason=f"{package} is not installed (extra `{extra}`)")


JOBLIB = needs("hydra_plugins.hydra_joblib_launcher", "joblib")
SUBMITIT, RAY = needs("submitit", "submitit"), needs("ray", "ray")
PRESETS = ROOT / "conf" / "hydra" / "launcher"
SWEEPS = []
# How many jobs run in parallel: each job of its own process takes long to begin.
COUNT = {"side_by_side": "n_jobs=2", "slurm_local": "at_once=2", "ray_here": "at_once=1"}


def start(launcher, *words, path=""):
    """A sweep under way, with one thread a job."""
    env = {"OMP_NUM_THREADS": "1", "RAY_AUTH_MODE": "disabled"}
    if path:
        env["PATH"] = f"{path}{os.pathsep}{os.environ['PATH']}"
    count = [f"hydra.launcher.{COUNT[launcher]}"] if launcher in COUNT else []
    sweep = start_command("-m", f"hydra/launcher={launcher}", *count, *words, env=env)
    SWEEPS.append(sweep)
    return sweep


def ended(sweep, timeout=400):
    out, err = sweep.communicate(timeout=timeout)
    return sweep.returncode, out + err


def pixels(folder):
    return {key[3]: r["pixels_sha256"] for key, r in records(folder).items()}


def process_of(sweep, folder, seed, begun):
    """The process at a seed's run, once `begun` is true."""
    deadline = time.time() + 120
    while time.time() < deadline:
        for path in Path(folder).glob(f"runs/**/k3-seed{seed}-*"):
            if read_status(path).get("status") == "running" and begun():
                return read_status(path)["pid"]
        assert sweep.poll() is None, sweep.communicate()[0]
        time.sleep(0.01)
    raise AssertionError("the job never began")


def undisturbed(folder, *words):
    """Cells by Hydra's own launcher, one after the other."""
    code, out = ended(start("basic", *words, f"results_dir={folder}"))
    assert code == 0, out
    return folder


@pytest.fixture(scope="module")
def basic(tmp_path_factory):
    return undisturbed(tmp_path_factory.mktemp("basic"), *COPY, "seed=0,1,2")


@pytest.fixture(scope="module")
def basic_source(tmp_path_factory):
    return undisturbed(tmp_path_factory.mktemp("basic_source"), *SOURCE, "seed=0,1")


@pytest.fixture(autouse=True)
def none_left():
    """A sweep that a failing test leaves behind ends with it."""
    yield
    while SWEEPS:
        if (sweep := SWEEPS.pop()).poll() is None:
            sweep.kill()
            sweep.communicate()


def break_samples(whole, folder):
    """Reference features as they are, nothing drawn for seeds 0 and 1, a damaged shard for 2."""
    shutil.copytree(whole / "store", folder / "store")
    keys = {seed: r["stages"]["sample"] for (*_, seed), r in records(whole).items()}
    for seed, key in keys.items():
        (stored,) = (p for p in (folder / "store" / "sample").iterdir() if p.name == key[:16])
        if seed < 2:
            shutil.rmtree(stored)
        else:
            shard = next(stored.glob("*.safetensors"))
            shard.write_bytes(shard.read_bytes()[:-7])
    return folder


@pytest.fixture
def broken(basic, tmp_path):
    return break_samples(basic, tmp_path)


@pytest.fixture
def broken_source(basic_source, tmp_path):
    return break_samples(basic_source, tmp_path)


def failing_and_sound(launcher, folder, *seeds, meanwhile=lambda sweep: None):
    """What a sweep prints whose cell of seed 2 fails, one of these seeds."""
    sweep = start(launcher, *COPY, f"seed={','.join(map(str, seeds))}", f"results_dir={folder}")
    meanwhile(sweep)
    code, out = ended(sweep)
    assert code == 1 and f"1 of {len(seeds)} cells failed" in out, out
    last = out[out.index(f"1 of {len(seeds)} cells failed") :]
    assert "seed=2" in last and "is damaged" in last and "seed=0" not in last
    assert not list(ROOT.glob(".hydra")) and not (ROOT / "multirun").exists()
    return out


@pytest.mark.slow
@pytest.mark.parametrize(
    "launcher",
    [pytest.param("slurm_local", marks=SUBMITIT), pytest.param("ray_here", marks=RAY)],
)
def test_the_same_bytes_and_a_failing_cell_stops_no_other(launcher, basic, broken):
    """Ray runs them one after the other; two processes in parallel are in the tests that kill."""
    failing_and_sound(launcher, broken, 2, 0)
    assert pixels(broken) == {0: pixels(basic)[0]}


@JOBLIB
@pytest.mark.slow
def test_joblib_goes_on_after_a_failure_and_after_a_process_was_killed(basic, broken):
    def kill(sweep):
        os.kill(process_of(sweep, broken, 0, lambda: True), signal.SIGKILL)

    out = failing_and_sound("side_by_side", broken, 2, 0, 1, meanwhile=kill)
    assert "a process died" in out, out
    whole = pixels(basic)
    assert pixels(broken) == {0: whole[0], 1: whole[1]}


@SUBMITIT
@pytest.mark.slow
def test_submitit_reports_the_killed_and_continues_the_timed_out(tmp_path):
    """Seed 0 gets the signal of a time-out at its first checkpoint, seed 1 is killed."""
    sweep = start("slurm_local", *CRDI, "seed=0,1", "checkpoint_s=0", f"results_dir={tmp_path}")
    os.kill(process_of(sweep, tmp_path, 1, lambda: True), signal.SIGKILL)
    stored = tmp_path / "store" / "adapt"
    pid = process_of(sweep, tmp_path, 0, lambda: list(stored.glob("*/checkpoint.safetensors")))
    os.kill(pid, signal.SIGUSR2)
    code, out = ended(sweep)
    assert code == 1 and "1 of 2 cells failed" in out, out
    last = out[out.index("1 of 2 cells failed") :]
    assert "seed=1" in last and "ended without a result" in last and "_log.err" in last
    logs = [p.read_text() for p in (tmp_path / "multirun" / "submitit").rglob("*_log.out")]
    assert sum("continuing from the checkpoint" in log for log in logs) == 1
    code, out = ended(start("basic", *CRDI, f"results_dir={tmp_path / 'basic'}"))
    assert code == 0 and pixels(tmp_path / "basic") == pixels(tmp_path), out


SBATCH = """
import re, subprocess, sys
text = open(sys.argv[1]).read()
last = int(re.search(r"--array=0-(\\d+)", text)[1])
for n in range(last + 1):
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    subprocess.Popen([sys.executable, {node!r}, sys.argv[1], str(n)], **quiet)
print("Submitted batch job 77")
"""
NODE = """
import os, pathlib, subprocess, sys
job = f"77_{sys.argv[2]}"
env = os.environ | {"SLURM_JOB_ID": f"10{sys.argv[2]}", "SLURM_ARRAY_JOB_ID": "77"}
env |= {"SLURM_ARRAY_TASK_ID": sys.argv[2], "SLURM_NTASKS": "1", "JOB_LOG": {log!r} + job}
queued = True
while queued:
    subprocess.run(["bash", sys.argv[1]], env=env)
    queued = pathlib.Path({log!r} + job + "-requeued")
    queued = queued.exists() and (queued.rename({log!r} + job + "-again"), True)[1]
pathlib.Path({log!r} + job + "-ended").touch()
"""
SRUN = """
import os, sys
words = sys.argv[1:]
for option, values in (("--unbuffered", 0), ("--output", 1), ("--error", 1)):
    at = words.index(option)
    del words[at : at + 1 + values]
log = os.open(os.environ["JOB_LOG"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
os.dup2(log, 1), os.dup2(log, 2)
os.execvp(words[0], words)
"""
SCONTROL = """
import pathlib, sys
assert sys.argv[1] == "requeue"
pathlib.Path({log!r} + sys.argv[2] + "-requeued").touch()
"""
SACCT = """
import pathlib
print("JobID|State|NodeList")
for n in range(2):
    ended = pathlib.Path({log!r} + f"77_{n}-ended").exists()
    print(f"77_{n}|{'COMPLETED' if ended else 'RUNNING'}|here")
"""


@pytest.fixture
def slurm(tmp_path):
    """A folder with a SLURM of one node: runs an array's jobs at once, and again when asked to."""
    bin_, log = tmp_path / "bin", f"{tmp_path}/bin/job-"
    bin_.mkdir()
    (bin_ / "node.py").write_text(NODE.replace("{log!r}", repr(log)))
    texts = {"sbatch": SBATCH, "srun": SRUN, "scontrol": SCONTROL, "sacct": SACCT}
    for name, text in texts.items():
        text = text.replace("{log!r}", repr(log)).replace("{node!r}", repr(str(bin_ / "node.py")))
        (bin_ / name).write_text(f"#!{sys.executable}\n{text}")
        (bin_ / name).chmod(0o755)
    return bin_


@SUBMITIT
@pytest.mark.slow
def test_slurm_runs_an_array_and_queues_again_what_ran_out_of_time(
    slurm, basic_source, broken_source
):
    from submitit.helpers import DelayedSubmission

    broken = broken_source
    begun = {p.name for p in (broken / "store" / "sample").iterdir()}
    options = ["timeout_min=5", "gpus_per_node=null", "slurm_partition=short", "mem_gb=3"]
    sweep = start(
        "slurm",
        *SOURCE,
        "seed=0,1",
        f"results_dir={broken}",
        *(f"hydra.launcher.{o}" for o in options),
        path=str(slurm),
    )
    stored = broken / "store" / "sample"

    def drawn():
        return [p for p in stored.glob("*/*.safetensors") if p.parent.name not in begun]

    os.kill(process_of(sweep, broken, 0, drawn), signal.SIGUSR2)
    stamps = {p: p.stat().st_mtime_ns for p in drawn()}
    code, out = ended(sweep)
    log = (slurm / "job-77_0").read_text()
    assert code == 0, out + log
    whole = pixels(basic_source)
    assert pixels(broken) == {0: whole[0], 1: whole[1]}
    assert {p: p.stat().st_mtime_ns for p in stamps} == stamps  # continued, not begun anew
    assert (slurm / "job-77_0-again").exists() and not (slurm / "job-77_1-again").exists()
    stored = broken / "multirun" / "submitit"
    left = [
        DelayedSubmission.load(stored / job / f"{job}_submitted.pkl")._timeout_countdown
        for job in ("77_0", "77_1")
    ]
    assert left == [19, 20]
    (batch,) = stored.glob("77/*.sh")
    flags = batch.read_text()
    for flag in ("array=0-1%2", "time=5", "partition=short", "mem=3GB", "cpus-per-task=8"):
        assert f"#SBATCH --{flag}" in flags
    assert "gpus" not in flags and "signal=USR2@120" in flags


@pytest.mark.parametrize("preset", sorted(p.stem for p in PRESETS.glob("*.yaml")))
def test_an_absent_package_is_named_with_its_extra(monkeypatch, preset):
    target = OmegaConf.load(PRESETS / f"{preset}.yaml")._target_
    monkeypatch.setattr(sweep_jobs.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"pip install 'fsig-bench\[(joblib|submitit|ray)\]'"):
        sweep_jobs.check_installed(target)
    sweep_jobs.check_installed("hydra._internal.core_plugins.basic_launcher.BasicLauncher")


@pytest.mark.parametrize(
    ("launcher", "threads"),
    [
        ({"n_jobs": 2}, "4"),
        ({"n_jobs": -1}, "1"),
        ({"at_once": 4}, "2"),
        (
            {"_target_": "hydra_plugins.hydra_submitit_launcher.submitit_launcher.LocalLauncher"},
            "1",
        ),
        ({"slurm_array_parallelism": 64}, None),  # other machines
        ({}, None),
    ],
)
def test_jobs_side_by_side_share_the_cores(monkeypatch, launcher, threads):
    monkeypatch.setattr(sweep_jobs, "cores", lambda: 8)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    with sweep_jobs.shared_threads(launcher, 10):
        assert os.environ.get("OMP_NUM_THREADS") == threads
    assert "OMP_NUM_THREADS" not in os.environ
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    with sweep_jobs.shared_threads(launcher, 10):
        assert os.environ["OMP_NUM_THREADS"] == "3"  # the user knows better


def test_as_many_jobs_as_gpus_or_as_cores_and_memory_allow(monkeypatch):
    monkeypatch.setattr(sweep_jobs, "cores", lambda: 8)
    monkeypatch.setattr(
        sweep_jobs.os, "sysconf", {"SC_PAGE_SIZE": 4096, "SC_PHYS_PAGES": 2**22}.get
    )
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 3)
    assert (sweep_jobs.jobs_that_fit("auto"), sweep_jobs.jobs_that_fit("cpu")) == (3, 4)  # 16 GiB
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    assert sweep_jobs.jobs_that_fit("auto") == 4


@pytest.fixture
def two_gpus(monkeypatch, tmp_path):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    for name in ("CUDA_VISIBLE_DEVICES", "SLURM_JOB_ID", "LOCAL_RANK", gpus.GPU):
        monkeypatch.delenv(name, raising=False)
    chosen = []
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "set_device", chosen.append)
    monkeypatch.setattr(gpus, "runs_beside_other_jobs", lambda: True)
    return chosen


def test_jobs_claim_a_gpu_each_and_leave_it(two_gpus):
    with gpus.claim_gpu("auto"):
        assert resolve_device("auto") == resolve_device("cuda") == "cuda:0"
        with ExitStack() as other:
            assert gpus.claim_first_free(gpus.lock_paths(2), other) == 1
            third: list[int] = []
            held = ExitStack()
            paths = gpus.lock_paths(2)
            waits = threading.Thread(
                target=lambda: third.append(gpus.claim_first_free(paths, held, poll_s=0.01))
            )
            waits.start()
            time.sleep(0.1)
            assert third == []  # none is free
            other.close()
            waits.join(5)
            assert third == [1]
            held.close()
    assert two_gpus == [0] and resolve_device("auto") == "cuda"


def test_a_gpu_is_free_when_its_holder_is_killed(two_gpus, tmp_path):
    code = "import sys, time; from pathlib import Path; from contextlib import ExitStack\n"
    code += "from fsig_bench.runner.gpus import claim_first_free; held = ExitStack()\n"
    code += (
        "print(claim_first_free([Path(p) for p in sys.argv[1:]], held), flush=True); time.sleep(60)"
    )
    paths = gpus.lock_paths(2)
    holder = subprocess.Popen(
        [sys.executable, "-c", code, *map(str, paths)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout is not None and holder.stdout.readline() == "0\n"
    with ExitStack() as held:
        assert gpus.claim_first_free(paths, held) == 1
    holder.kill()
    holder.communicate()
    with ExitStack() as held:
        assert gpus.claim_first_free(paths, held) == 0


@pytest.mark.parametrize("device", ["cpu", "cuda:1"])
def test_who_says_which_device_claims_none(two_gpus, device):
    with gpus.claim_gpu(device):
        assert gpus.GPU not in os.environ and resolve_device(device) == device
    assert two_gpus == []


def test_locks_are_named_by_what_is_visible_and_the_allocation(two_gpus, monkeypatch):
    assert [p.name for p in gpus.lock_paths(2)] == ["node-0.lock", "node-1.lock"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,3")
    monkeypatch.setenv("SLURM_JOB_ID", "9")
    assert [p.name for p in gpus.lock_paths(2)] == ["9-2.lock", "9-3.lock"]


@pytest.mark.parametrize(
    ("launcher", "mode", "yes"),
    [
        ("slurm_local", RunMode.MULTIRUN, True),
        ("basic", RunMode.MULTIRUN, False),
        ("slurm_local", RunMode.RUN, False),
    ],
)
def test_only_jobs_of_a_parallel_sweep_claim(monkeypatch, launcher, mode, yes):
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        words = ["method=source", "dataset=babies", f"hydra/launcher={launcher}"]
        config = compose("config", words, return_hydra_config=True)
    config.hydra.mode = mode
    monkeypatch.setattr(HydraConfig.instance(), "cfg", config)
    assert gpus.runs_beside_other_jobs() is yes
