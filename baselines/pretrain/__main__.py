"""`python -m baselines.pretrain RECIPE [out=FILE] [work=DIR] [key=value ...]` makes a weight file.

The mini suite's files go where they ship; those of other recipes need `out`. A manifest is written
beside the file. Checkpoint, curve and rendered images lie in `work`.
"""

from __future__ import annotations

import sys
from pathlib import Path

from hydra.utils import instantiate
from omegaconf import OmegaConf

from fsig_bench.api import CONF, ROOT, record_in_manifest

WEIGHTS = ROOT / "baselines" / "weights" / "mini"


def main(argv: list[str]) -> None:
    """Runs conf/pretrain/RECIPE.yaml; a stopped run continues from its checkpoint."""
    recipes = sorted(p.stem for p in (CONF / "pretrain").glob("*.yaml"))
    if not argv or argv[0] not in recipes:
        raise SystemExit(f"usage: python -m baselines.pretrain {{{','.join(recipes)}}} [key=value]")
    name, overrides = argv[0], argv[1:]
    config = OmegaConf.load(CONF / "pretrain" / f"{name}.yaml")
    OmegaConf.set_struct(config, True)
    own_out = [w.removeprefix("out=") for w in overrides if w.startswith("out=")]
    own_work = [w.removeprefix("work=") for w in overrides if w.startswith("work=")]
    settings = [w for w in overrides if not w.startswith(("out=", "work="))]
    config = OmegaConf.merge(config, OmegaConf.from_dotlist(settings))
    if missing := sorted(OmegaConf.missing_keys(config)):
        raise SystemExit(f"{name} needs {', '.join(f'{key}=...' for key in missing)}")
    trained_on = "faceworld"
    if "images" in config and "files" in config.images:
        trained_on = str(config.images.files)
        if not own_out:
            raise SystemExit(f"{name} needs out=FILE.safetensors: it does not ship")
    seed = config.loop.seed if "loop" in config else config.seed
    out = Path(own_out[-1]).expanduser() if own_out else WEIGHTS / f"{name}.safetensors"
    work = Path(own_work[-1]).expanduser() if own_work else Path("outputs/pretrain") / out.stem
    recipe = instantiate(config, _convert_="all")
    cost = recipe.run(out, work)
    command = " ".join(["python -m baselines.pretrain", name, *overrides])
    entry = {"command": command, "recipe": f"conf/pretrain/{name}.yaml", "seed": seed}
    licence = "Apache-2.0" if trained_on == "faceworld" else "that of the images"
    record_in_manifest(out, entry | {"cost": cost, "licence": licence, "trained_on": trained_on})
    print(f"wrote {out}")


if __name__ == "__main__":
    main(sys.argv[1:])
