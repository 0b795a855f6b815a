"""`python -m baselines.pretrain RECIPE [key=value ...]` makes a weight file."""

from __future__ import annotations

import sys
from pathlib import Path

from hydra.utils import instantiate
from omegaconf import OmegaConf

from fsig_bench.assets import ROOT, record_in_manifest

WEIGHTS = ROOT / "baselines" / "weights" / "mini"


def main(argv: list[str]) -> None:
    """Runs conf/pretrain/RECIPE.yaml; a stopped run continues from its checkpoint."""
    recipes = sorted(p.stem for p in (ROOT / "conf" / "pretrain").glob("*.yaml"))
    if not argv or argv[0] not in recipes:
        raise SystemExit(f"usage: python -m baselines.pretrain {{{','.join(recipes)}}} [key=value]")
    name, overrides = argv[0], argv[1:]
    config = OmegaConf.load(ROOT / "conf" / "pretrain" / f"{name}.yaml")
    OmegaConf.set_struct(config, True)
    config = OmegaConf.merge(config, OmegaConf.from_dotlist(overrides))
    seed = config.loop.seed if "loop" in config else config.seed
    out = WEIGHTS / f"{name}.safetensors"
    recipe = instantiate(config, _convert_="all")
    cost = recipe.run(out, Path("outputs") / "pretrain" / name)
    command = " ".join(["python -m baselines.pretrain", name, *overrides])
    entry = {"command": command, "recipe": f"conf/pretrain/{name}.yaml", "seed": seed}
    record_in_manifest(
        out, entry | {"cost": cost, "licence": "Apache-2.0", "trained_on": "faceworld"}
    )
    print(f"wrote {out}")


if __name__ == "__main__":
    main(sys.argv[1:])
