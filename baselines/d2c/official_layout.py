"""Names and shapes of D2C's own checkpoint, and ours.

The layout is that of github.com/jiamings/d2c: `autoencoder` (a MoCo pair, of which the query
encoder counts), `diffusion` (the network of ermongroup/ddim) and `latent_mod` (mean and deviation).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

import torch
from torch import Tensor

from baselines.common.weights import Checkpoint
from baselines.d2c.official_autoencoder import OfficialSizes


def cells_of(sizes: OfficialSizes) -> Iterator[tuple[str, str, str]]:
    """(kind, module in the checkpoint, module here); kind enc, down, dec or up."""
    stages, finest = len(sizes.widths), sizes.encoder_cells[0]
    own, tower = 1, 0
    for stage, cells in enumerate(sizes.encoder_cells):
        # The finest stage and the way down from it are called pre_process.
        if stage:
            theirs = f"pre_process.{finest}" if stage == 1 else f"enc_tower.{tower}"
            tower += stage > 1
            yield "down", theirs, f"encoder.{own}"
            own += 1
        for n in range(cells):
            theirs = f"pre_process.{n}" if stage == 0 else f"enc_tower.{tower}"
            tower += stage > 0
            yield "enc", theirs, f"encoder.{own}"
            own += 1
    own, tower, post = 1, 0, 0
    for stage in reversed(range(stages)):
        kinds = ["up"] * (stage < stages - 1) + ["dec"] * sizes.decoder_cells[stage]
        for kind in kinds:
            # The finest stage and the way up to it are called post_process.
            theirs = f"post_process.{post}" if stage == 0 else f"dec_tower.{tower}"
            post, tower = post + (stage == 0), tower + (stage > 0)
            yield kind, theirs, f"decoder.{own}"
            own += 1


class Mover:
    """Takes tensors out of a checkpoint by name, and notes what is missing."""

    def __init__(self, left: Mapping[str, Tensor]) -> None:
        self.left, self.out = dict(left), dict[str, Tensor]()
        self.absent: list[str] = []

    def take(self, name: str) -> Tensor | None:
        """A tensor, which is then no longer left."""
        if name not in self.left:
            self.absent.append(name)
        return self.left.pop(name, None)

    def move(self, theirs: str, own: str, *parts: str) -> None:
        """Parts of a module as they are."""
        for part in parts:
            if (found := self.take(f"{theirs}.{part}")) is not None:
                self.out[f"{own}.{part}"] = found

    def norm(self, theirs: str, own: str) -> None:
        """A batch norm."""
        names = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
        self.move(theirs, own, *names)

    def folded(self, theirs: str) -> Tensor | None:
        """The weight of a weight-normalised convolution: exp(log norm) w / |w|, per output."""
        weight, log_norm = self.take(f"{theirs}.weight"), self.take(f"{theirs}.log_weight_norm")
        if weight is None or log_norm is None:
            return None
        size = weight.square().sum((1, 2, 3), keepdim=True).sqrt()
        return log_norm.exp() * weight / (size + 1e-5)

    def conv(self, theirs: str, own: str) -> None:
        """A weight-normalised convolution with a bias."""
        if (weight := self.folded(theirs)) is not None:
            self.out[f"{own}.weight"] = weight
        self.move(theirs, own, "bias")


def move_encoder_cell(mover: Mover, theirs: str, own: str, *, down: bool) -> None:
    """Two of norm, swish, convolution; squeeze-excite; the way past them."""
    for n, place in enumerate(("body.0.0", "body.2.0")):
        mover.norm(f"{theirs}._ops.{n}.bn_act", f"{own}.{place}")
        mover.conv(f"{theirs}._ops.{n}.conv_0", f"{own}.body.{2 * n + 1}")
    move_gate(mover, theirs, f"{own}.body.4")
    if not down:
        return
    # Four convolutions, each of one pixel of every 2 x 2, as one over all four.
    parts = []
    for number, (row, column) in enumerate(((0, 0), (1, 1), (0, 1), (1, 0)), 1):
        weight = mover.folded(f"{theirs}.skip.conv_{number}")
        bias = mover.take(f"{theirs}.skip.conv_{number}.bias")
        if weight is None or bias is None:
            return
        wide = weight.new_zeros(len(weight), 4 * weight.shape[1], 1, 1)
        wide[:, 2 * row + column :: 4] = weight
        parts.append((wide, bias))
    mover.out[f"{own}.skip.2.weight"] = torch.cat([w for w, _ in parts])
    mover.out[f"{own}.skip.2.bias"] = torch.cat([b for _, b in parts])


def move_decoder_cell(mover: Mover, theirs: str, own: str, *, up: bool) -> None:
    """An inverted residual; its modules count from 1 where an upsampling comes first."""
    head = f"{theirs}._ops.0.conv"
    mover.norm(f"{head}.{up + 0}.bn", f"{own}.body.0")
    for n in (1, 2):
        mover.move(f"{head}.{up + n}.conv.0", f"{own}.body.{2 * n - 1}", "weight")
        mover.norm(f"{head}.{up + n}.conv.1", f"{own}.body.{2 * n}.0")
    mover.move(f"{head}.{up + 3}", f"{own}.body.5", "weight")
    mover.norm(f"{head}.{up + 4}.bn", f"{own}.body.6")
    move_gate(mover, theirs, f"{own}.body.7")
    if up and (weight := mover.folded(f"{theirs}.skip.1")) is not None:
        mover.out[f"{own}.skip.weight"] = weight
        mover.out[f"{own}.skip.bias"] = weight.new_zeros(len(weight))


def move_gate(mover: Mover, theirs: str, own: str) -> None:
    """Squeeze-excite."""
    for n in (0, 2):
        mover.move(f"{theirs}.se.se.{n}", f"{own}.gate.{n}", "weight", "bias")


def convert_autoencoder(state: Mapping[str, Tensor], sizes: OfficialSizes) -> Mover:
    """The query encoder's tensors under our names; the other parts of MoCo are dropped."""
    head = "encoder_q."
    own = {k.removeprefix(head): v for k, v in state.items() if k.startswith(head)}
    mover = Mover({k: v for k, v in own.items() if not k.startswith("fc.")})
    last = 1 + sum(sizes.encoder_cells) + len(sizes.widths) - 1
    mover.conv("stem", "encoder.0")
    mover.conv("enc0.1", f"encoder.{last + 1}")
    mover.conv("enc_sampler", f"encoder.{last + 3}")
    mover.conv("dec0", "decoder.0")
    for kind, theirs, place in cells_of(sizes):
        if kind in ("enc", "down"):
            move_encoder_cell(mover, theirs, place, down=kind == "down")
        else:
            move_decoder_cell(mover, theirs, place, up=kind == "up")
    out = f"decoder.{2 + sum(sizes.decoder_cells) + len(sizes.widths) - 1}"
    mover.conv("image_conditional.1", out)
    for part in ("weight", "bias"):
        if (name := f"{out}.{part}") in mover.out:
            mover.out[name] = by_kind(mover.out[name], sizes.mixtures)
    return mover


def by_kind(said: Tensor, m: int) -> Tensor:
    """Output channels of the mixture, colours outermost, as ours: means, scales, coefficients."""
    rest = said[m:].reshape(3, 3, m, *said.shape[1:]).transpose(0, 1)
    return torch.cat([said[:m], rest.reshape(9 * m, *said.shape[1:])])


# Parts of a name in the checkpoint's diffusion network and in diffusers', applied in this order.
PRIOR = (
    (r"^temb\.dense\.(\d)", lambda m: f"time_embedding.linear_{int(m[1]) + 1}"),
    (r"^mid\.block_(\d)", lambda m: f"mid_block.resnets.{int(m[1]) - 1}"),
    (r"^mid\.attn_1", lambda m: "mid_block.attentions.0"),
    (r"^down\.(\d+)", lambda m: f"down_blocks.{m[1]}"),
    (r"\.block\.(\d+)", lambda m: f".resnets.{m[1]}"),
    (r"\.attn\.(\d+)", lambda m: f".attentions.{m[1]}"),
    (r"\.downsample\.", lambda m: ".downsamplers.0."),
    (r"\.upsample\.", lambda m: ".upsamplers.0."),
    (r"\.temb_proj\.", lambda m: ".time_emb_proj."),
    (r"\.nin_shortcut\.", lambda m: ".conv_shortcut."),
    (r"^norm_out", lambda m: "conv_norm_out"),
)
ATTENTION = {"norm": "group_norm", "q": "to_q", "k": "to_k", "v": "to_v", "proj_out": "to_out.0"}


def convert_prior(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The diffusion network's tensors under diffusers' names."""
    levels = 1 + max((int(k.split(".")[1]) for k in state if k.startswith("up.")), default=0)
    out = {}
    for name, tensor in state.items():
        own = re.sub(r"^up\.(\d+)", lambda m: f"up_blocks.{levels - 1 - int(m[1])}", name)
        for pattern, replacement in PRIOR:
            own = re.sub(pattern, replacement, own)
        if ".attentions." in own:
            head, part, kind = own.rsplit(".", 2)
            own = f"{head}.{ATTENTION.get(part, part)}.{kind}"
            tensor = tensor[:, :, 0, 0] if tensor.ndim == 4 else tensor  # 1 x 1 convolutions
        out[own] = tensor
    return out


def convert_official(checkpoint: Checkpoint, sizes: OfficialSizes) -> dict[str, Tensor]:
    """All tensors of the checkpoint: those of the autoencoder, the prior and the latents' scale.

    Raises:
        ValueError: a part or a tensor of the autoencoder is missing or left over; some are named.
    """
    parts = ("autoencoder", "diffusion", "latent_mod")
    if lost := [part for part in parts if part not in checkpoint]:
        raise ValueError(f"the checkpoint has no {', '.join(lost)}, only {sorted(checkpoint)[:5]}")
    mover = convert_autoencoder(checkpoint["autoencoder"], sizes)
    if mover.absent or mover.left:
        raise ValueError(
            f"the autoencoder does not fit its sizes: {len(mover.absent)} tensors are missing "
            f"({', '.join(mover.absent[:3])}), {len(mover.left)} are left over "
            f"({', '.join(sorted(mover.left)[:3])}); check widths and numbers of cells"
        )
    found = {f"autoencoder.{k}": v for k, v in mover.out.items()}
    found |= {f"prior.{k}": v for k, v in convert_prior(checkpoint["diffusion"]).items()}
    found |= {f"latent.{k}": checkpoint["latent_mod"][k].reshape(-1) for k in ("mean", "std")}
    return {k: v.contiguous() for k, v in found.items()}
