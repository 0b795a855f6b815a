"""`python -m fsig_bench`: one run, or a sweep with -m. See --help."""

from __future__ import annotations

import sys

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from fsig_bench.api.places import CONF
from fsig_bench.cli import perform


@hydra.main(version_base="1.3", config_path=str(CONF), config_name="config")
def run(cfg: DictConfig) -> None:
    """Performs the command; a user's error is one sentence."""
    try:
        perform(cfg)
    except (ValueError, OSError, FloatingPointError) as error:
        from fsig_bench.console import console, fail

        if HydraConfig.get().mode == RunMode.MULTIRUN:
            console.print(f"[bold red]error[/]: {error}")
            raise  # the sweep goes on and names it again at the end
        fail(error)


def main() -> None:
    """What the console script `fsig-bench` and `python -m fsig_bench` do."""
    if len(sys.argv) == 1 or {"--help", "-h"} & set(sys.argv):
        from fsig_bench.help import usage

        print(usage())
        return
    if {"-m", "--multirun"} & set(sys.argv):
        from hydra.core.plugins import Plugins

        Plugins.instance()  # loads Hydra's sweepers anew, so ours is derived after that
        from fsig_bench.sweep.sweeper import register

        register()
    run()


if __name__ == "__main__":
    main()
