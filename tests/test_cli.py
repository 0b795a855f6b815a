"""The command line as a user meets it: mistakes, Ctrl-C, completion; in a few subprocesses."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from helpers import ROOT, cli, composed, start

from fsig_bench.runner.controls import control_configs
from fsig_bench.runner.resolve import resolve
from fsig_bench.runs import found_runs
from fsig_bench.store.status import read_status
from fsig_bench.store.store import Store

CELL = ["method=crdi", "dataset=babies", "controls=[]", "dry_run=true"]


@pytest.mark.parametrize(
    "word, message",
    {
        "num_image=10": "there is no setting num_image. Did you mean num_images?",
        "+num_image=10": "nothing reads num_image; leave it out. Did you mean num_images?",
        "method=cridi": "method=cridi: there is no method 'cridi'. Did you mean crdi?",
        "dataset=babes": "dataset=babes: there is no dataset 'babes'. Did you mean babies?",
        "suite=minni": "Did you mean mini?",
        "protocol=our": "Did you mean ours?",
        "tracker=wandbb": "Did you mean wandb?",
        "experiment=smok": "Did you mean smoke?",
        "method.semgents=3": "method=crdi has no semgents. Did you mean segments?",
        "method.sample.sart=a": "method=crdi has no sample.sart. Did you mean start?",
        "method/objective=paper": "method=crdi has no choice of method/objective",
        "foo/bar=x": "there is no config group foo/bar",
        "+method=crdi": "method is chosen already; leave out the +",
        "+k=3": "k exists already; leave out the +",
        "seed=0,1": "several values make a sweep, which starts with -m",
        "k=a{": "quote it twice: \"k='a{'\"",
        "k": "a setting is key=value",
        "k.x=1": "k has no x",
    }.items(),
)
def test_a_mistake_is_one_sentence(word, message):
    with pytest.raises(ValueError) as error:
        composed(*CELL[:2], word)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_a_setting_of_another_method_names_the_methods():
    with pytest.raises(ValueError, match=r"method=copy has no segments\. crdi has it\."):
        composed("method=copy", "dataset=babies", "method.segments=3")


@pytest.mark.parametrize(
    "word, message",
    {
        "seed=1.5": "seed=1.5: give a whole number of at least 0",
        "seed=-3": "seed=-3: give a whole number of at least 0",
        "seed=abc": "seed=abc: give a whole number of at least 0",
        "seed=true": "seed=True: give a whole number",
        "subset=-1": "subset=-1: give a whole number",
        "k=0": "k=0: give a whole number of at least 1",
        "k=abc": "k=abc: give a whole number of at least 1",
        "num_images=0": "num_images=0: give a whole number of at least 2",
        "workers=0": "workers=0: give",
        "seed=4294967296": "seed=4294967296: give a whole number below 2**32",
        "checkpoint_s=soon": "checkpoint_s=soon: give a number of seconds",
        "checkpoint_s=-1": "checkpoint_s=-1: give a number of seconds",
        "figures.tsne_points=abc": "figures.tsne_points=abc: give a whole number of at least 1",
        "protocol.samples=-5": "protocol.samples=-5: give a whole number of at least 2",
        "protocol.samples=1.5": "protocol.samples=1.5: give a whole number of at least 2",
        "batch_size=0": "batch_size=0: give",
        "device=gpu": "device=gpu: choose auto, cpu, cuda or cuda:N",
        "png=yes": "png=yes: choose true or false",
        "offload=1": "offload=1: choose true or false",
        "+method.foo=1": "method.foo: baselines.crdi.CRDI has no argument foo",
        "+dataset.foo=1": "dataset.foo: ",
    }.items(),
)
def test_a_value_that_cannot_work_is_refused_before_any_work(word, message):
    cfg = composed(*CELL[:2], word)
    with pytest.raises(ValueError) as error:
        resolve(cfg)
    assert message in str(error.value)


@pytest.mark.parametrize("device", ["auto", "cpu", "cuda", "cuda:1"])
def test_devices_pass(device):
    assert resolve(composed(*CELL[:2], f"device={device}")).place.device == device


def test_metrics_and_parts_can_be_added():
    cfg = composed(*CELL[:2], "+metric@protocol.metrics.fd_infinity=fd_infinity")
    assert "fd_infinity" in cfg.protocol.metrics
    cfg = composed("method=from_folder", "dataset=babies", "method.images.files=~/my [photos], 2")
    assert cfg.method.images.files == "~/my [photos], 2"


def test_controls_keep_their_own_settings_under_an_experiment(tmp_path):
    """The experiment sets method.segments, which neither `source` nor `copy` has."""
    words = ["method=crdi", "dataset=babies", "experiment=crdi_metfaces", "dry_run=true"]
    out = cli(*words, "controls=[source,finetune]", f"results_dir={tmp_path}").stdout
    assert "source" in out and "finetune" in out
    swept = cli("-m", *words, "controls=[source]", f"results_dir={tmp_path}").stdout
    assert "source on babies" in swept
    # What an experiment sets for a control by the control's name holds.
    smoke = ["method=crdi", "dataset=babies", "experiment=smoke", "controls=[finetune]"]
    cfg = composed(*smoke)
    (config,) = control_configs(smoke, cfg, lambda w: composed(*w))
    assert config.method == composed("method=finetune", *smoke[1:]).method
    assert config.num_images == cfg.num_images


@pytest.mark.parametrize("words", [["method=cridi"], ["num_image=3"], ["controls=[sorce]"], ["~k"]])
def test_the_command_prints_one_sentence_and_no_traceback(words):
    done = cli(*CELL[:2], *words, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("error: ") and done.stderr.count("\n") == 1, done.stderr


def test_a_mistake_in_one_cell_of_a_sweep_leaves_the_others():
    words = ["method=crdi,cridi,copy", "dataset=babies", "method.segments=3", *CELL[2:]]
    done = cli("-m", *words, check=False)
    assert done.returncode == 1
    assert "crdi on babies" in done.stdout
    assert "method=copy has no segments. crdi has it." in done.stdout
    assert "Did you mean crdi?" in done.stdout
    assert "2 of 3 cells failed" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr


@pytest.mark.parametrize(
    "given, count",
    [({}, "1000"), ({"GOMP_SPINCOUNT": "7"}, "7"), ({"OMP_WAIT_POLICY": "active"}, "None")],
)
def test_waits_of_threads_are_short_before_torch_comes_unless_the_user_sets_them(given, count):
    text = (
        "import os, sys, fsig_bench.__main__ as program; program.main(['--help']);"
        "print(os.environ.get('GOMP_SPINCOUNT'), 'torch' in sys.modules)"
    )
    names = ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")
    environment = {k: v for k, v in os.environ.items() if k not in names} | given
    done = subprocess.run(
        [sys.executable, "-c", text], cwd=ROOT, env=environment, capture_output=True, text=True
    )
    assert done.stdout.splitlines()[-1] == f"{count} False", done.stderr


@pytest.mark.parametrize("mode", [[], ["-m"], ["workers=2"]], ids=["run", "sweep", "workers"])
def test_an_interrupt_is_one_line_and_says_how_to_go_on(mode, tmp_path):
    words = [*mode, "method=source", "dataset=babies", "controls=[]", "num_images=20000"]
    words += [f"results_dir={tmp_path}", "device=cpu"]
    process = start(*words, new_session=True)  # as a terminal does: the workers get the signal too
    started = time.monotonic()
    while not is_running(tmp_path):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() - started < 240
        time.sleep(0.2)
    time.sleep(3)  # the workers start
    os.killpg(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=120)
    # Python ends itself with the signal if it came within `exec`; a shell says 130 for both.
    assert process.returncode in (130, -signal.SIGINT), out + err
    assert err.splitlines()[-1].startswith("interrupted; the same command goes on: fsig-bench ")
    assert "Traceback" not in out + err
    (folder,) = tmp_path.glob("runs/*/*/*/*")
    assert read_status(folder)["status"] == "interrupted"
    assert [run.status for run in found_runs(Store(tmp_path))] == ["interrupted"]


def is_running(root):
    return any(read_status(f).get("status") == "running" for f in root.glob("runs/*/*/*/*"))


COMPLETE = """
eval "$(fsig-bench -sc install=bash)"
complete -p fsig-bench
COMP_LINE="fsig-bench method=gan_i"; COMP_POINT=${#COMP_LINE}; COMP_CWORD=1
hydra_bash_completion
echo "${COMPREPLY[@]}"
"""


def test_bash_completes_the_console_script(tmp_path):
    script = Path(tmp_path, "fsig-bench")
    text = "import sys\nfrom fsig_bench.__main__ import main\nsys.exit(main())\n"
    script.write_text(f"#!{sys.executable}\n{text}")
    script.chmod(0o755)
    env = os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        ["bash", "-c", COMPLETE], env=env, cwd=tmp_path, capture_output=True, text=True, timeout=120
    )
    registered, completed = done.stdout.splitlines()
    assert registered.endswith("-F hydra_bash_completion fsig-bench"), done.stderr
    assert completed == "method=gan_inversion"
