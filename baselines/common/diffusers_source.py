"""Any `UNet2DModel` in a folder of diffusers' layout as a suite's source model.

What the network was trained for stands in the folder and is read from there: betas, the number of
timesteps, what the network predicts and whether it has a variance head. Nothing of it is assumed.

Ho et al., arXiv:2006.11239 (linear betas); Rombach et al., arXiv:2112.10752 (scaled linear);
Nichol & Dhariwal, arXiv:2102.09672 (cosine, learned variance); Salimans & Ho, arXiv:2202.00512 (v).
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import torch
from torch import Tensor

from baselines.common.diffusion import linear_abar, scaled_linear_abar
from baselines.common.unet import PixelUNet
from fsig_bench.api import ModelFiles, model_files

Prediction = Literal["eps", "v", "sample"]
PREDICTIONS: dict[str, Prediction] = {"epsilon": "eps", "v_prediction": "v", "sample": "sample"}
STATE_IT = (
    "state the schedule that the model was trained with: suite.source.schedule="
    "'{beta_schedule: linear, beta_start: 0.0001, beta_end: 0.02, num_train_timesteps: 1000, "
    "prediction_type: epsilon}'"
)


def cosine_abar(num_steps: int) -> Tensor:
    """abar_t of the cosine schedule with betas of at most 0.999, float64 (IDDPM, Eq. 17)."""

    def level(t: float) -> float:
        return math.cos((t + 0.008) / 1.008 * math.pi / 2) ** 2

    ratios = [level((i + 1) / num_steps) / level(i / num_steps) for i in range(num_steps)]
    betas = torch.tensor([min(1 - ratio, 0.999) for ratio in ratios], dtype=torch.float64)
    return (1 - betas).cumprod(0)


def read_abar(schedule: Mapping[str, Any], where: str) -> Tensor:
    """abar_t of a scheduler's config, float64 [num_train_timesteps].

    Args:
        schedule: the fields of diffusers' scheduler_config.json.
        where: what to call it in a message.

    Raises:
        ValueError: a field is missing, or the schedule is of another kind.
    """
    if schedule.get("rescale_betas_zero_snr"):
        raise ValueError(
            f"{where} rescales its betas to a last step without signal (rescale_betas_zero_snr), "
            "where no noise prediction determines an image; use a model trained without that"
        )
    if schedule.get("trained_betas") is not None:
        betas = torch.tensor(schedule["trained_betas"], dtype=torch.float64)
        return (1 - betas).cumprod(0)
    kind = _field(schedule, "beta_schedule", where)
    steps = int(_field(schedule, "num_train_timesteps", where))
    if kind == "squaredcos_cap_v2":
        return cosine_abar(steps)
    known = {"linear": linear_abar, "scaled_linear": scaled_linear_abar}
    if kind not in known:
        names = ", ".join([*known, "squaredcos_cap_v2"])
        raise ValueError(
            f"{where} says beta_schedule={kind!r}, which is not known here (known: {names}); give "
            "the betas themselves as suite.source.schedule.trained_betas"
        )
    ends = (_field(schedule, "beta_start", where), _field(schedule, "beta_end", where))
    return known[kind](steps, *map(float, ends))


def read_prediction(schedule: Mapping[str, Any], where: str) -> Prediction:
    """What the network predicts; epsilon where a file does not say so, as diffusers reads it.

    Raises:
        ValueError: it is none of the three kinds.
    """
    kind = schedule.get("prediction_type", "epsilon")
    if kind not in PREDICTIONS:
        raise ValueError(
            f"{where} says prediction_type={kind!r}; this harness reads {', '.join(PREDICTIONS)}"
        )
    return PREDICTIONS[kind]


def check_network(config: Mapping[str, Any], schedule: Mapping[str, Any], where: str) -> None:
    """Raises ValueError, with the reason, for a network that cannot be a source model here."""
    kind = config.get("_class_name", "UNet2DModel")
    if kind != "UNet2DModel":
        raise ValueError(f"{where} describes a {kind}; a source model is a UNet2DModel on pixels")
    if config.get("num_class_embeds") or config.get("class_embed_type"):
        raise ValueError(
            f"{where} describes a network that takes a class with every image; a source model "
            "takes none"
        )
    if config.get("time_embedding_type", "positional") != "positional":
        raise ValueError(
            f"{where} says time_embedding_type={config['time_embedding_type']!r}; a source model "
            "takes whole timesteps (positional)"
        )
    own, out = config.get("in_channels", 3), config.get("out_channels", 3)
    if own != 3 or out not in (3, 6):
        raise ValueError(
            f"{where} has {own} channels in and {out} out; a source model takes 3 (RGB) and gives "
            "3, or 6 with a learned variance"
        )
    variance = schedule.get("variance_type")
    if out == 6 and variance != "learned_range":
        raise ValueError(
            f"{where} has 6 channels out, and its schedule says variance_type={variance!r}; only "
            "'learned_range' (arXiv:2102.09672, Eq. 15) is read here"
        )


def _field(schedule: Mapping[str, Any], name: str, where: str) -> Any:  # a JSON value
    if schedule.get(name) is None:
        raise ValueError(f"{where} does not say {name}; {STATE_IT}")
    return schedule[name]


@dataclass(frozen=True, kw_only=True)
class DiffusersSource:
    """A frozen pixel diffusion model from a folder; interface of `DiffusionSource`.

    Its small files are read when it is made, so that what does not fit is refused at once.

    Raises:
        FileNotFoundError: the folder lacks a file.
        ValueError: the model cannot be used, or its size is not the suite's.
    """

    path: str  # a folder; keys hold the digest of its files instead
    schedule: Mapping[str, Any] | None  # as in scheduler_config.json; None: read from the folder
    image_size: int  # the suite's resolution in pixels, which the model must have
    device: str

    def __post_init__(self) -> None:
        where = str(self._files.config)
        check_network(self._config, self._schedule, where)
        if not 0 < float(self.abar.min()) <= float(self.abar.max()) < 1:
            raise ValueError(f"the schedule of {where} leaves no signal or no noise at some step")
        read_prediction(self._schedule, self._where)
        if self.resolution != self.image_size:
            raise ValueError(
                f"{where} draws images of {self.resolution} px, and the suite has "
                f"{self.image_size} px; give a model of {self.image_size} px, or, with images of your "
                f"own (dataset=folder), suite.resolution={self.resolution}"
            )

    @cached_property
    def _files(self) -> ModelFiles:
        return model_files(self.path)

    @cached_property
    def _config(self) -> dict[str, Any]:
        return dict(json.loads(self._files.config.read_text()))

    @property
    def _where(self) -> str:
        return "suite.source.schedule" if self.schedule else str(self._files.scheduler)

    @cached_property
    def _schedule(self) -> Mapping[str, Any]:
        if self.schedule:
            if "prediction_type" not in self.schedule:
                raise ValueError(f"suite.source.schedule lacks prediction_type; {STATE_IT}")
            return self.schedule
        if self._files.scheduler is None:
            raise ValueError(
                f"{self.path} holds no scheduler_config.json, so its noise schedule and what it "
                f"predicts are unknown; copy that file from where the model was trained, or "
                f"{STATE_IT}"
            )
        return dict(json.loads(self._files.scheduler.read_text()))

    @cached_property
    def abar(self) -> Tensor:
        """Cumulative product of alpha, float64 [timesteps]."""
        return read_abar(self._schedule, self._where)

    @property
    def resolution(self) -> int:
        size = self._config.get("sample_size")
        height, width = size if isinstance(size, list) else (size, size)
        if height is None or height != width:
            raise ValueError(
                f"{self._files.config} says sample_size={size}; write the side of its square "
                "images there"
            )
        return int(height)

    @cached_property
    def unet(self) -> PixelUNet:
        from diffusers import UNet2DModel

        # Diffusers fills tensors that a file lacks at random, with no more than a warning.
        net, found = UNet2DModel.from_pretrained(
            self._files.config.parent,
            use_safetensors=True,
            local_files_only=True,
            low_cpu_mem_usage=False,
            torch_dtype=torch.float32,
            output_loading_info=True,
        )
        if wrong := [*found["missing_keys"], *found["mismatched_keys"], *found["unexpected_keys"]]:
            raise ValueError(
                f"{self._files.weights} does not fit its config.json: {len(wrong)} tensors are "
                f"missing, left over or of another shape ({', '.join(map(str, wrong[:3]))})"
            )
        inner = read_prediction(self._schedule, self._where)
        unet = PixelUNet(net.config, 1, inner, abar=self.abar, net=net)
        unet = unet.eval().requires_grad_(False).to(self.device)
        return unet.to(memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]

    def eps(self, x: Tensor, t: int | Tensor) -> Tensor:
        """Predicted noise; see `PixelUNet.eps`."""
        return self.unet.eps(x, t)
