"""A source model of the user's own: a folder that diffusers' `save_pretrained` wrote.

The noise schedule and the prediction type are read from the scheduler's config in the folder, never
assumed: a model that was trained under another schedule would be sampled wrongly without a word.

    DIR/config.json, DIR/diffusion_pytorch_model.safetensors    a UNet2DModel, or in DIR/unet/
    DIR/scheduler_config.json                                   its scheduler, or in DIR/scheduler/
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from torch import Tensor

from baselines.common.unet import PixelUNet
from fsig_bench.api import Json, JsonDict

INNER: dict[str, Literal["eps", "v", "sample"]] = {
    "epsilon": "eps",
    "v_prediction": "v",
    "sample": "sample",
}
WEIGHTS = "diffusion_pytorch_model.safetensors"


def read_json(folder: Path, places: tuple[str, ...]) -> JsonDict | None:
    """The first of some JSON files below a folder without diffusers' own fields; None: no file."""
    for place in places:
        if (path := folder / place).is_file():
            return {k: v for k, v in json.loads(path.read_text()).items() if not k.startswith("_")}
    return None


def refusal(net: Json, schedule: Json, resolution: int) -> str | None:
    """Why a network under a schedule is of no use here; None if it is."""
    sides = net.get("sample_size")
    sides = sides if isinstance(sides, list | tuple) else [sides, sides]
    channels, out = net.get("in_channels", 3), net.get("out_channels", 3)
    if channels != 3 or out not in (3, 6):
        return f"it maps {channels} to {out} channels; images need 3 to 3, or 3 to 6"
    if net.get("num_class_embeds") or net.get("class_embed_type"):
        return "it is conditional on classes; an unconditional model is needed"
    if list(sides) != [resolution, resolution]:
        return (
            f"it was made for {sides[0]} x {sides[1]} pixels and the suite has {resolution}; "
            f"set suite.resolution={sides[0]} for a suite of that size"
        )
    if schedule.get("prediction_type", "epsilon") not in INNER:
        return f"its prediction_type {schedule['prediction_type']} is none of {', '.join(INNER)}"
    if schedule.get("rescale_betas_zero_snr"):
        return (
            "its schedule ends at pure noise (rescale_betas_zero_snr), where epsilon says nothing"
        )
    if net.get("time_embedding_type", "positional") != "positional":
        return f"it takes noise levels ({net['time_embedding_type']}) and not whole timesteps"
    if schedule.get("beta_schedule") is None and schedule.get("trained_betas") is None:
        return (
            "its scheduler's config states no betas (beta_schedule or trained_betas), so it was "
            "trained in another way, or suite.source.schedule.beta_schedule has to state them"
        )
    if out == 6 and (kind := schedule.get("variance_type")) != "learned_range":
        return (
            f"it has a variance head, and its schedule says variance_type={kind}; only "
            "learned_range can be read"
        )
    return None


@dataclass(frozen=True, kw_only=True)
class DiffusersSource:
    """A frozen pixel diffusion model from a diffusers folder; interface of `DiffusionSource`.

    Raises:
        ValueError: the folder holds no such model, no scheduler's config, or one that does not fit.
    """

    path: str  # the folder
    schedule: Json | None  # fields of the scheduler's config that count instead
    resolution: int  # pixels, the suite's
    device: str

    def __post_init__(self) -> None:
        reason = refusal(self.unet_config, self.schedule_config, self.resolution)
        if reason:
            raise ValueError(f"the model in {self.path} cannot be the source model: {reason}")

    @property
    def folder(self) -> Path:
        """Where the network lies: the folder itself, or its `unet`."""
        root = Path(self.path).expanduser()
        return root / "unet" if (root / "unet" / "config.json").is_file() else root

    @cached_property
    def unet_config(self) -> JsonDict:
        """The arguments of `UNet2DModel`."""
        config = read_json(self.folder, ("config.json",))
        if config is None or not (self.folder / WEIGHTS).is_file():
            raise ValueError(
                f"suite.source.path={self.path} holds no {WEIGHTS} with its config.json: give a "
                "folder that UNet2DModel.save_pretrained(DIR) or a pipeline's wrote"
            )
        return config

    @cached_property
    def schedule_config(self) -> JsonDict:
        """The fields of the scheduler's config."""
        places = ("scheduler/scheduler_config.json", "scheduler_config.json")
        found = read_json(Path(self.path).expanduser(), places)
        if found is None and self.schedule is None:
            raise ValueError(
                f"{self.path} holds no scheduler_config.json, and the noise schedule is not "
                "guessed: save the scheduler there with scheduler.save_pretrained(DIR), or state "
                "it: suite.source.schedule={beta_schedule:linear,prediction_type:epsilon}"
            )
        return {**(found or {}), **(self.schedule or {})}

    @cached_property
    def abar(self) -> Tensor:
        """The schedule that the model was trained under, float64 [steps]."""
        from diffusers import DDPMScheduler

        try:
            scheduler: Any = DDPMScheduler.from_config(self.schedule_config)
        except NotImplementedError as error:
            raise ValueError(f"the schedule of {self.path} is not known: {error}") from error
        table: Tensor = scheduler.alphas_cumprod.double()
        return table

    @cached_property
    def unet(self) -> PixelUNet:
        from safetensors.torch import load_file

        inner = INNER[self.schedule_config.get("prediction_type", "epsilon")]
        unet = PixelUNet(self.unet_config, 1, inner, self.abar)
        unet.net.load_state_dict(load_file(self.folder / WEIGHTS))
        return unet.eval().requires_grad_(False).to(self.device)

    def eps(self, x: Tensor, t: int | Tensor) -> Tensor:
        """Predicted noise; see `PixelUNet.eps`."""
        return self.unet.eps(x, t)
