"""CDC's training code: losses, the critic of patches, the maps that distances compare."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from typing import Any
from unittest import mock

import torch
from parity.rows import Row, compare
from parity.stand_in import doubles, enliven, without
from torch import Tensor

from baselines.common.adversarial import (
    critic_loss,
    generator_loss,
    path_lengths,
    path_penalty,
    r1_penalty,
)
from baselines.common.critic import Critic
from baselines.common.rosinality import (
    NOISES,
    convert_rosinality,
    convert_rosinality_critic,
    rosinality_architecture,
)
from baselines.common.stylegan2 import StyleGenerator
from baselines.gan_adapt.maps import PatchHeads, critic_map, generator_maps
from baselines.gan_adapt.objective import distance_consistency, log_similarities

NOTE = "the activation that upstream has for GPUs alone is restated"
SIDE = 64  # at 64 px the official critic reads patches from its first block on


def leaky(x: Tensor, bias: Tensor, slope: float = 0.2, scale: float = 2**0.5) -> Tensor:
    """What upstream's operation for GPUs computes; this repository has none for processors."""
    shape = (1, -1, *([1] * (x.ndim - 2)))
    return torch.nn.functional.leaky_relu(x + bias.view(shape), slope) * scale


def official(name: str) -> Any:
    """A module of the repository; its operations for GPUs are compiled when they are imported."""
    without("viz", "lmdb", "wandb")
    with mock.patch("torch.utils.cpp_extension.load", mock.MagicMock()):
        module = __import__(name)
        import model

    import_module("op.fused_act").fused_leaky_relu = leaky
    model.fused_leaky_relu = leaky
    return module


def equalised(net: torch.nn.Module, seed: int) -> torch.nn.Module:
    """Random weights whose spread the forward pass, which scales them, keeps."""
    enliven(net, seed).to(torch.get_default_dtype())
    with torch.no_grad():
        for p in net.parameters():
            if p.ndim > 1:
                p.mul_(p[0].numel() ** 0.5)
    return net


def losses() -> Iterator[Row]:
    train = official("train")
    with doubles():
        torch.manual_seed(0)
        real, fake = torch.randn(4, 1), torch.randn(4, 1)
        pairs = {
            "critic": (train.d_logistic_loss(real, fake), critic_loss(real, fake)),
            "generator": (train.g_nonsaturating_loss(fake), generator_loss(fake)),
        }
        image = torch.randn(4, 3, 8, 8, requires_grad=True)
        weight = torch.randn(3 * 64)
        theirs = train.d_r1_loss((image.flatten(1) ** 2 @ weight)[:, None], image)
        pairs["R1"] = (theirs, r1_penalty(lambda x: x.flatten(1) ** 2 @ weight, image))
        styles = torch.randn(2, 5, 6, requires_grad=True)
        mix = torch.randn(30, 3 * 64)
        made = (styles.flatten(1) ** 2 @ mix).view(2, 3, 8, 8)
        noise = torch.randn(2, 3, 8, 8)
        with mock.patch.object(torch, "randn_like", lambda x: noise):
            penalty, mean, lengths = train.g_path_regularize(made, styles, torch.tensor(0.7))
        ours = path_lengths(made, styles, noise)
        own_penalty, own_mean = path_penalty(ours, torch.tensor(0.7), 0.01)
        pairs |= {
            "path penalty": (penalty, own_penalty),
            "path mean": (mean, own_mean),
            "path lengths": (lengths, ours),
        }
    yield compare("losses of CDC's training, fp64", pairs, most=1e-9)


def patches() -> Iterator[Row]:
    model, pairs = official("model"), {}
    with doubles():
        theirs = equalised(model.Patch_Discriminator(SIDE, 2), 1)
        extra = equalised(model.Extra(), 2)
        arch = rosinality_architecture(SIDE, 2)
        ours = Critic(arch)
        ours.load_state_dict(convert_rosinality_critic({"d": theirs.state_dict()}, arch))
        heads = PatchHeads([512] * 4)
        x = torch.randn(2, 3, SIDE, SIDE)
        with torch.no_grad():
            for head, own in zip(extra.new_conv, heads.heads, strict=True):
                own.weight.copy_(head[0].weight)
                own.bias.copy_(head[1].bias.flatten())
            for level in range(4):
                want = theirs(x, extra=extra, flag=1, p_ind=level)[0]
                pairs[f"level {level}"] = (want, heads(critic_map(ours, x, level, 0), level))
            pairs["whole images"] = (theirs(x, flag=0)[0][:, 0], ours(x))
    yield compare("critic of patches, 4 levels, fp64", pairs, most=1e-11, note=NOTE)


def distances() -> Iterator[Row]:
    """The term stands inside upstream's loop: here its modules of PyTorch, on its own maps."""
    model = official("model")
    maps, own = [], []
    with doubles(), torch.no_grad():
        torch.manual_seed(5)
        z = torch.randn(4, 512)
        for seed in (3, 4):
            theirs = equalised(model.Generator(16, 512, 8, 2), seed)
            arch = rosinality_architecture(16, 2)
            tensors = convert_rosinality({"g_ema": theirs.state_dict()}, arch)
            net = StyleGenerator(arch)
            net.load_state_dict({k: v for k, v in tensors.items() if not k.startswith(NOISES)})
            noise = [torch.randn(4, 1, s, s) for s in arch.noise_sides]
            maps.append(theirs([z], noise=noise, return_feats=True)[1])
            own.append(generator_maps(net, net.repeat(net.mapping(z)), noise))
        layers = [1, 3, 4, 2]
        sim, softmax = torch.nn.CosineSimilarity(), torch.nn.Softmax(dim=1)
        rows = []
        for one in maps:
            rows.append(torch.zeros(4, 3))
            for i, layer in enumerate(layers):
                flat = one[layer].reshape(4, -1)
                others = [j for j in range(4) if j != i]
                rows[-1][i] = torch.stack(
                    [sim(flat[i : i + 1], flat[j : j + 1])[0] for j in others]
                )
        source, target = (softmax(r) for r in rows)
        want = torch.nn.KLDivLoss()(torch.log(target), source)
        logs = [log_similarities(each, layers) for each in own]
        pair = (want, distance_consistency(logs[1], logs[0]))
    pairs = {f"map {n}": p for n, p in enumerate(zip(maps[0], own[0], strict=True))}
    yield compare("maps inside the generator, fp64", pairs, most=1e-10, note=NOTE)
    yield compare("distance consistency, fp64", pair, most=1e-13, note="upstream's loop, restated")


CASES = [losses, patches, distances]
