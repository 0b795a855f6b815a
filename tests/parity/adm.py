"""Tiny random ADM networks, official and ours with the same weights.

Both CRDI's and DomainStudio's repositories carry a copy of guided-diffusion; `script_util` is the
one of the repository that is compared with.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
from parity.stand_in import enliven

from baselines.common.adm import ADMFlags, convert_adm
from baselines.common.diffusion import linear_abar
from baselines.common.unet import PixelUNet

BASE = ADMFlags(
    image_size=32,
    num_channels=32,
    channel_mult=(1, 2),
    num_res_blocks=1,
    attention_resolutions=(16,),
    num_head_channels=16,
    resblock_updown=True,
    use_scale_shift_norm=True,
    learn_sigma=True,
    use_new_attention_order=False,
    dropout=0.0,
)
SMALL = replace(BASE, image_size=16, attention_resolutions=(8,))
VARIANTS = {
    "as CRDI's": BASE,
    "new attention order": replace(BASE, use_new_attention_order=True),
    "convolutions change the side": replace(BASE, resblock_updown=False),
    "time is added": replace(BASE, use_scale_shift_norm=False),
    "both of these": replace(BASE, resblock_updown=False, use_scale_shift_norm=False),
    "two blocks": replace(BASE, num_res_blocks=2),
    "three blocks": replace(BASE, num_res_blocks=3),
    "attention at the top": replace(SMALL, attention_resolutions=(16,)),
    "attention everywhere": replace(SMALL, attention_resolutions=(16, 8)),
    "attention at the bottom of three": replace(
        BASE, channel_mult=(1, 2, 2), attention_resolutions=(8,)
    ),
    "64 px": replace(BASE, image_size=64, channel_mult=(1, 1, 2)),
    "no variance": replace(BASE, learn_sigma=False),
    "new order, added time, convolutions, two blocks": replace(
        BASE,
        use_new_attention_order=True,
        resblock_updown=False,
        use_scale_shift_norm=False,
        num_res_blocks=2,
        attention_resolutions=(32, 16),
    ),
}


def official_flags(flags: ADMFlags) -> dict[str, Any]:
    """The flags as guided-diffusion's functions and scripts take them."""
    sides = ",".join(map(str, flags.attention_resolutions))
    mult = ",".join(map(str, flags.channel_mult))
    names = ("image_size", "num_channels", "num_res_blocks", "num_head_channels")
    names += ("resblock_updown", "use_scale_shift_norm", "learn_sigma", "use_new_attention_order")
    own = {name: getattr(flags, name) for name in names}
    return own | {"attention_resolutions": sides, "channel_mult": mult, "dropout": flags.dropout}


def official_network(script_util: Any, flags: ADMFlags, seed: int) -> torch.nn.Module:
    """The official network with random weights, in the default precision."""
    net = script_util.create_model(**official_flags(flags))
    net = net.to(torch.get_default_dtype())  # DomainStudio's constructor makes it half precision
    net.dtype = torch.get_default_dtype()
    return enliven(net, seed)


def our_network(official: torch.nn.Module, flags: ADMFlags) -> PixelUNet:
    """Ours with the official one's weights."""
    net = PixelUNet(flags.unet_config())
    net.net.load_state_dict(convert_adm(official.state_dict(), flags))
    return net.eval().requires_grad_(False)


@dataclass(frozen=True, kw_only=True)
class Source:
    """A source model around a network that is there already; as `ADMSource`."""

    unet: PixelUNet
    resolution: int
    device: str = "cpu"

    @property
    def abar(self) -> torch.Tensor:
        return linear_abar()

    def eps(self, x: torch.Tensor, t: int | torch.Tensor) -> torch.Tensor:
        return self.unet.eps(x, t)
