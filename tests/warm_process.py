"""Runs `python -m fsig_bench WORDS` in a process that has everything large imported already.

A server process imports the libraries and the package once and forks for every command, which saves
some seconds each. The forked process is otherwise a fresh one: memory, signals, standard streams,
folder and environment are its own. What the package reads from the environment while it is imported
(`AT_IMPORT`) counts too: where it differs from the server's, the package is imported anew.
"""

from __future__ import annotations

import atexit
import gc
import importlib
import json
import os
import runpy
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import weakref
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
# What a run imports in the end.
LIBRARIES = (
    "torch",
    "torchvision",
    "diffusers.models.unets.unet_2d",
    "diffusers.models.resnet",
    "hydra.main",
    "hydra._internal.hydra",
    "hydra.core.override_parser.overrides_parser",
    "omegaconf",
    "safetensors.torch",
    "rich.live",
    "rich.table",
    "scipy.special",
    "scipy.stats",
    "sklearn.decomposition",
    "sklearn.linear_model",
    "sklearn.manifold",
    "matplotlib.backends.backend_agg",
    "matplotlib.figure",
    "pandas",
    "PIL.Image",
)
ROOMS = ("api", "runner", "store", "metrics", "networks", "faceworld", "data", "pictures", "sweep")
AT_IMPORT = ("COLUMNS", "LINES", "TERM", "NO_COLOR", "FORCE_COLOR", "RANK", "WORLD_SIZE")
AT_IMPORT += ("PYTHONPATH",)


def import_all() -> None:
    """Everything that a command may need, and what Hydra and the source reader remember of it."""
    for name in LIBRARIES:
        importlib.import_module(name)
    from hydra.core.plugins import Plugins

    Plugins.instance()  # loads Hydra's sweepers anew, so ours is derived after that
    sys.path.insert(0, str(ROOT))
    for folder in (*(ROOT / "fsig_bench" / room for room in ROOMS), ROOT / "baselines"):
        for path in sorted({*folder.rglob("*.py")} - {*folder.rglob("__main__.py")}):
            parts = path.relative_to(ROOT).with_suffix("").parts
            importlib.import_module(".".join(p for p in parts if p != "__init__"))
    for name in ("fsig_bench.cli", "fsig_bench.runs", "fsig_bench.report.run_output"):
        importlib.import_module(name)
    from fsig_bench.runner.compose import compose_config
    from fsig_bench.runner.source_files import read_source

    compose_config(["method=copy", "dataset=babies"])
    for module in list(sys.modules.values()):
        if is_ours(module.__name__) and getattr(module, "__file__", None):
            read_source(Path(module.__file__))
    sys.path.remove(str(ROOT))


def is_ours(module: str) -> bool:
    return module.split(".")[0] in ("fsig_bench", "baselines")


def serve() -> None:
    """Reads one request a line, forks and answers with the number of the new process.

    The exit status of a process is written to the file that its request names.
    """
    import_all()
    gc.collect()
    gc.freeze()
    woken, wakes = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(wakes)
    running: dict[int, Path] = {}
    unread = b""
    while True:
        ready, _, _ = select.select([0, woken], [], [])
        if woken in ready:
            os.read(woken, 4096)
            for pid in [*running]:
                if (ended := os.waitpid(pid, os.WNOHANG))[0]:
                    keep_status(running.pop(pid), os.waitstatus_to_exitcode(ended[1]))
        if 0 in ready:
            if not (more := os.read(0, 65536)):
                return
            *lines, unread = (unread + more).split(b"\n")
            for line in lines:
                request = json.loads(line)
                child = os.fork()
                if child == 0:
                    signal.set_wakeup_fd(-1)
                    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                    # A job that a script starts in the background inherits an ignored SIGINT.
                    signal.signal(signal.SIGINT, signal.default_int_handler)
                    run_forked(request)
                running[child] = Path(request["status"])
                print(child, flush=True)


def keep_status(file: Path, status: int) -> None:
    """Whole at once; there is no folder for it where nobody waits any more."""
    if file.parent.is_dir():
        file.with_suffix(".new").write_text(str(status))
        file.with_suffix(".new").rename(file)


def run_forked(request: dict) -> None:
    """In the forked process: takes on streams, folder and environment, runs, and leaves."""
    if request["new_session"]:
        os.setsid()
    for descriptor, name, mode in ((0, os.devnull, os.O_RDONLY), (1, request["out"], os.O_WRONLY)):
        os.dup2(os.open(name, mode), descriptor)
    os.dup2(os.open(request["err"], os.O_WRONLY), 2)
    for n, name in ((0, "stdin"), (1, "stdout"), (2, "stderr")):
        setattr(sys, name, open(n, "r" if n == 0 else "w", closefd=False, encoding="utf-8"))
    if any(os.environ.get(name) != request["env"].get(name) for name in AT_IMPORT):
        for name in [*filter(is_ours, sys.modules)]:
            del sys.modules[name]
    os.environ.clear()
    os.environ.update(request["env"])
    os.chdir(request["cwd"])
    more = request["env"].get("PYTHONPATH", "").split(os.pathsep)
    sys.path[:1] = [request["cwd"], *filter(None, more)]
    sys.argv = ["-m", *request["words"]]
    runpy.run_module("fsig_bench", run_name="__main__", alter_sys=True)
    raise SystemExit(0)


@cache
def server() -> subprocess.Popen:
    """The server of this test process."""
    process = subprocess.Popen(
        [sys.executable, __file__],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"MPLBACKEND": "agg", "COLUMNS": "200"},
    )
    atexit.register(process.stdin.close)
    return process


class WarmProcess:
    """A command under way: of `subprocess.Popen`, what the tests use."""

    def __init__(self, words, *, cwd: Path, env: dict[str, str], new_session: bool = False) -> None:
        self.args, self.returncode = list(words), None
        folder = tempfile.mkdtemp()
        weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
        self.files = {name: Path(folder, name) for name in ("out", "err", "status")}
        for name in ("out", "err"):
            self.files[name].touch()
        request = {"words": self.args, "cwd": str(cwd), "env": dict(env)}
        request |= {"new_session": new_session}
        request |= {name: str(path) for name, path in self.files.items()}
        process = server()
        process.stdin.write(json.dumps(request) + "\n")
        process.stdin.flush()
        self.pid = int(process.stdout.readline())

    def poll(self) -> int | None:
        if self.returncode is None and self.files["status"].exists():
            self.returncode = int(self.files["status"].read_text())
        return self.returncode

    def wait(self, timeout: float = 600) -> int:
        deadline, pause = time.monotonic() + timeout, 0.002
        while self.poll() is None:
            if time.monotonic() > deadline:
                raise subprocess.TimeoutExpired(self.args, timeout)
            time.sleep(pause)
            pause = min(0.05, 1.2 * pause)
        return self.returncode

    def communicate(self, timeout: float = 600) -> tuple[str, str]:
        """What it wrote to its two streams, once it has ended."""
        self.wait(timeout)
        return self.files["out"].read_text(), self.files["err"].read_text()

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


def run_warm(words, *, cwd: Path, env: dict[str, str]) -> subprocess.CompletedProcess:
    """As `subprocess.run([python, "-m", "fsig_bench", *words], capture_output=True, text=True)`."""
    process = WarmProcess(words, cwd=cwd, env=env)
    out, err = process.communicate()
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


if __name__ == "__main__":
    serve()
