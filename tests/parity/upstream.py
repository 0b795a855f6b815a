"""The repositories that we are compared with, and a user's own checkouts of them.

Nothing of them lies here: they are imported from where the user keeps them, each in a process of
its own, since several have modules of the same names.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Repository:
    """An upstream repository."""

    name: str
    address: str
    commit: str  # that the cases were written for
    roots: tuple[str, ...]  # folders of a checkout that go on the import path
    witness: str  # a file by which a checkout is known

    @property
    def variable(self) -> str:
        """The environment variable that holds the checkout's path."""
        return f"FSIG_UPSTREAM_{self.name.upper()}"

    @property
    def title(self) -> str:
        return self.address.removeprefix("https://github.com/")


REPOSITORIES = {
    r.name: r
    for r in (
        Repository(
            name="crdi",
            address="https://github.com/YuCao16/CRDI",
            commit="6fb0cd5",
            roots=(".", "scripts"),
            witness="src/fs_gradients/diffusion.py",
        ),
        Repository(
            name="domainstudio",
            address="https://github.com/bbzhu-jy16/DomainStudio",
            commit="cc69341",
            roots=("Unconditional",),
            witness="Unconditional/guided_diffusion/gaussian_diffusion.py",
        ),
        Repository(
            name="stylegan2",
            address="https://github.com/rosinality/stylegan2-pytorch",
            commit="bef283a",
            roots=(".",),
            witness="op/conv2d_gradfix.py",
        ),
        Repository(
            name="rs_imle",
            address="https://github.com/SerChirag/rs-imle",
            commit="85c8267",
            roots=(".",),
            witness="helpers/imle_helpers.py",
        ),
        Repository(
            name="d2c",
            address="https://github.com/jiamings/d2c",
            commit="ae3b0b9",
            roots=(".",),
            witness="d2c/diffusion/functions/denoising.py",
        ),
        Repository(
            name="cdc",
            address="https://github.com/utkarshojha/few-shot-gan-adaptation",
            commit="5617920",
            roots=(".",),
            witness="feat_cluster.py",
        ),
    )
}


def why_not(repository: Repository, environment: Mapping[str, str] = os.environ) -> str | None:
    """Why a repository cannot be compared with; None if it can.

    Raises:
        FileNotFoundError: a path is given, and there is no such checkout.
    """
    if not (given := environment.get(repository.variable)):
        return f"{repository.variable} is not set: the path of a checkout of {repository.address}"
    if not (Path(given).expanduser() / repository.witness).is_file():
        raise FileNotFoundError(
            f"{repository.variable}={given} holds no {repository.witness}; "
            f"git clone {repository.address}"
        )
    return None


def checkout(repository: Repository) -> Path:
    """The folder that the variable names, as an absolute path."""
    return Path(os.environ[repository.variable]).expanduser().resolve()


def commit(folder: Path) -> str:
    """The checkout's commit, seven digits, with a mark where its Python files were changed."""

    def git(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(["git", "-C", str(folder), *words], capture_output=True, text=True)

    head = git("rev-parse", "--short=7", "HEAD")
    if head.returncode:
        return "unknown"
    changed = git("diff", "--quiet", "HEAD", "--", "*.py").returncode
    return head.stdout.strip() + (" changed" if changed else "")
