"""Runs `python -m fsig_bench WORDS` in a process that has the large libraries imported already.

A server process imports them once and forks for every call, which saves some seconds each. The
forked process is otherwise a fresh one: the package itself is imported in it, and memory, signals,
standard streams, folder and environment are its own.
"""

from __future__ import annotations

import atexit
import json
import os
import runpy
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path

# What a run imports in the end, without anything of the harness.
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
    "rich.table",
    "sklearn.manifold",
    "matplotlib.backends.backend_agg",
    "pandas",
    "PIL.Image",
)


def serve() -> None:
    """Reads one request a line, forks, and answers with the exit status."""
    import importlib

    for name in LIBRARIES:
        importlib.import_module(name)
    for line in sys.stdin:
        request = json.loads(line)
        child = os.fork()
        if child == 0:
            run_forked(request)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        print(status, flush=True)


def run_forked(request: dict) -> None:
    """In the forked process: takes on streams, folder and environment, runs, and leaves."""
    for descriptor, name, mode in ((0, os.devnull, os.O_RDONLY), (1, request["out"], os.O_WRONLY)):
        os.dup2(os.open(name, mode), descriptor)
    os.dup2(os.open(request["err"], os.O_WRONLY), 2)
    for n, name in ((0, "stdin"), (1, "stdout"), (2, "stderr")):
        setattr(sys, name, open(n, "r" if n == 0 else "w", closefd=False, encoding="utf-8"))
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
        env=os.environ | {"MPLBACKEND": "agg"},
    )
    atexit.register(process.stdin.close)
    return process


def run_warm(words, *, cwd: Path, env: dict[str, str]) -> subprocess.CompletedProcess:
    """As `subprocess.run([python, "-m", "fsig_bench", *words], capture_output=True, text=True)`."""
    with tempfile.TemporaryDirectory() as folder:
        names = {stream: str(Path(folder) / stream) for stream in ("out", "err")}
        for name in names.values():
            Path(name).touch()
        request = {"words": list(words), "cwd": str(cwd), "env": dict(env), **names}
        process = server()
        process.stdin.write(json.dumps(request) + "\n")
        process.stdin.flush()
        status = int(process.stdout.readline())
        out, err = (Path(names[stream]).read_text() for stream in ("out", "err"))
    return subprocess.CompletedProcess(words, status, out, err)


if __name__ == "__main__":
    serve()
