"""Checkpoints in other people's layouts, against forwards written here from their description.

The tests write random checkpoints of reduced width; `baselines_foreign` holds the forwards.
"""

import argparse
import dataclasses
import hashlib

import pytest
import torch
from baselines_foreign import (
    SMALL,
    MetaTape,
    Tape,
    adm_forward,
    rosinality_critic_forward,
    rosinality_forward,
)
from helpers import composed
from safetensors.torch import save_file

from baselines.common.adm import ADMFlags, ADMSource, convert_adm, split_qkv
from baselines.common.critic import Critic, load_critic
from baselines.common.rosinality import (
    RosinalitySource,
    convert_rosinality,
    convert_rosinality_critic,
    rosinality_architecture,
)
from baselines.common.stylegan2 import StyleArchitecture, StyleGenerator
from fsig_bench.api.assets import Asset


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("FSIG_BENCH_CACHE", str(tmp_path / "cache"))


def asset(path):
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    known = {"file": path.name, "url": None, "page": "test", "mib": 1, "licence": "-"}
    return Asset(**known, sha256=digest, path=str(path))


# --- ADM -----------------------------------------------------------------------------------------


FFHQ = ADMFlags(
    image_size=256,
    num_channels=256,
    channel_mult=(1, 1, 2, 2, 4, 4),
    num_res_blocks=2,
    attention_resolutions=(32, 16, 8),
    num_head_channels=64,
    resblock_updown=True,
    use_scale_shift_norm=True,
    learn_sigma=True,
    use_new_attention_order=False,
    dropout=0.1,
)
LISTS = ("channel_mult", "attention_resolutions")
VARIANTS = [
    {},
    {"use_new_attention_order": True},
    {"resblock_updown": False},
    {"use_scale_shift_norm": False},
    {
        "learn_sigma": False,
        "num_res_blocks": 1,
        "channel_mult": (1, 2),
        "attention_resolutions": (16,),
    },
    {"attention_resolutions": (32,), "resblock_updown": False},
]


@pytest.mark.parametrize("changes", VARIANTS, ids=lambda c: ",".join(c) or "ffhq")
def test_an_adm_checkpoint_gives_the_same_function(changes, tmp_path):
    flags, tape = dataclasses.replace(SMALL, **changes), Tape()
    g = torch.Generator().manual_seed(1)
    x, t = torch.randn(2, 3, 32, 32, generator=g), torch.tensor([3, 917])
    with torch.no_grad():
        expected = adm_forward(tape, flags, x, t)
    torch.save(tape.state, tmp_path / "adm.pt")
    source = ADMSource(weights=asset(tmp_path / "adm.pt"), flags=flags, device="cpu")
    with torch.no_grad():
        found = source.unet(x, t)
    assert float(expected.std()) > 0.05
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)
    torch.testing.assert_close(source.eps(x, t), expected[:, :3], rtol=0, atol=1e-5)
    assert source.resolution == 32
    # Converted once: the checkpoint is not needed again.
    again = ADMSource(weights=source.weights, flags=flags, device="cpu")
    assert torch.equal(again.unet(x, t), found)
    assert len(list((tmp_path / "cache" / "converted").glob("*.safetensors"))) == 1


def test_dropout_is_in_the_residual_blocks_only():
    from diffusers import UNet2DModel
    from diffusers.models.resnet import ResnetBlock2D

    with torch.device("meta"):
        net = UNet2DModel(**FFHQ.unet_config())
    places = {n for n, m in net.named_modules() if isinstance(m, torch.nn.Dropout) and m.p}
    assert places == {
        f"{n}.dropout" for n, m in net.named_modules() if isinstance(m, ResnetBlock2D)
    }
    assert {net.get_submodule(n).p for n in places} == {0.1}


def test_the_wrong_order_of_heads_is_not_the_same_function():
    qkv = torch.arange(24.0)[:, None]
    legacy = split_qkv(qkv, 2, new_order=False)
    assert legacy[0].flatten().tolist() == [0, 1, 2, 3, 12, 13, 14, 15]
    assert legacy[2].flatten().tolist() == [8, 9, 10, 11, 20, 21, 22, 23]
    assert split_qkv(qkv, 2, new_order=True)[1].flatten().tolist() == list(range(8, 16))


def test_ffhq_has_the_published_number_of_parameters():
    from diffusers import UNet2DModel

    with torch.device("meta"):
        net = UNet2DModel(**FFHQ.unet_config())
    assert sum(p.numel() for p in net.parameters()) == 552_814_086
    config = FFHQ.unet_config()
    flags = composed("suite=paper", "dataset=babies").suite.source.flags
    given = {k: tuple(v) if k in LISTS else v for k, v in flags.items() if k != "_target_"}
    assert given == dataclasses.asdict(FFHQ)
    assert config["down_block_types"] == ["ResnetDownsampleBlock2D"] * 3 + ["AttnDownBlock2D"] * 3
    assert config["up_block_types"] == ["AttnUpBlock2D"] * 3 + ["ResnetUpsampleBlock2D"] * 3
    # Every tensor of the full checkpoint is renamed, none left: 566 of them, qkv counted as one.
    tape = MetaTape()
    with torch.device("meta"):
        out = adm_forward(tape, FFHQ, torch.zeros(1, 3, 256, 256), torch.zeros(1))
    assert out.shape == (1, 6, 256, 256) and len(tape.state) == 566
    assert sum(v.numel() for v in tape.state.values()) == 552_814_086
    renamed = convert_adm(tape.state, FFHQ)
    shapes = {k: v.shape for k, v in net.state_dict().items()}
    assert {k: v.shape for k, v in renamed.items()} == shapes


@pytest.mark.parametrize("suffix", ["pt", "safetensors"])
def test_a_checkpoint_in_half_precision_runs_in_single(suffix, tmp_path):
    tape, path = Tape(), tmp_path / f"adm.{suffix}"
    x, t = torch.randn(1, 3, 32, 32), torch.tensor([417])
    adm_forward(tape, SMALL, x, t)
    half = {k: v.half() for k, v in tape.state.items()}
    tape.state = {k: v.float() for k, v in half.items()}
    torch.save(half, path) if suffix == "pt" else save_file(half, path)
    source = ADMSource(weights=asset(path), flags=SMALL, device="cpu")
    found = source.eps(x, 417)
    assert not source.unet.training
    assert {p.dtype for p in source.unet.parameters()} == {found.dtype} == {torch.float32}
    with torch.no_grad():
        expected = adm_forward(tape, SMALL, x, t)[:, :3]
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)


def test_a_checkpoint_that_does_not_fit_is_refused(tmp_path):
    tape = Tape()
    adm_forward(tape, SMALL, torch.zeros(1, 3, 32, 32), torch.zeros(1))
    extra = tape.state | {"label_emb.weight": torch.zeros(3, 3)}
    with pytest.raises(ValueError, match=r"1 are left over \(label_emb.weight\)"):
        convert_adm(extra, SMALL)
    fewer = {k: v for k, v in tape.state.items() if k != "out.2.bias"}
    with pytest.raises(ValueError, match=r"1 tensors are missing \(out.2.bias\)"):
        convert_adm(fewer, SMALL)
    with pytest.raises(ValueError, match="does not fit its flags"):
        convert_adm(tape.state, dataclasses.replace(SMALL, attention_resolutions=(16,)))


class Evil:
    def __reduce__(self):
        return (exec, ("raise SystemExit('executed')",))


def test_nothing_in_a_checkpoint_is_executed(tmp_path):
    torch.save({"a": torch.zeros(1), "evil": Evil()}, tmp_path / "adm.pt")
    source = ADMSource(weights=asset(tmp_path / "adm.pt"), flags=SMALL, device="cpu")
    with pytest.raises(ValueError, match="what else it holds is not run"):
        _ = source.unet


# --- StyleGAN2 -----------------------------------------------------------------------------------

TINY = StyleArchitecture(
    resolution=16, style_dim=24, mapping_layers=3, channels={4: 20, 8: 16, 16: 12}
)


def test_a_rosinality_checkpoint_gives_the_same_function(tmp_path):
    tape = Tape()
    z = torch.randn(3, 24, generator=torch.Generator().manual_seed(1))
    expected = rosinality_forward(tape, TINY, z)
    moved = convert_rosinality({"g_ema": tape.state, "g": {}, "d": {}}, TINY)
    net = StyleGenerator(TINY)
    net.load_state_dict({k: v for k, v in moved.items() if not k.startswith("noises.")})
    noise = [moved[f"noises.{n}"] for n in range(len(TINY.noise_sides))]
    with torch.no_grad():
        found = net.synthesis(net.repeat(net.mapping(z)), noise)
    assert float(expected.std()) > 0.1
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


def test_every_style_goes_to_its_layer():
    tape, n = Tape(), TINY.num_styles
    plus = torch.randn(2, n, 24, generator=torch.Generator().manual_seed(2))
    expected = rosinality_forward(tape, TINY, torch.zeros(2, 24), plus)
    moved = convert_rosinality(tape.state, TINY)
    net = StyleGenerator(TINY)
    net.load_state_dict({k: v for k, v in moved.items() if not k.startswith("noises.")})
    noise = [moved[f"noises.{n}"] for n in range(len(TINY.noise_sides))]
    with torch.no_grad():
        torch.testing.assert_close(net.synthesis(plus, noise), expected, rtol=1e-5, atol=1e-5)
        other = net.synthesis(plus.flip(1), noise)
    assert float((other - expected).abs().mean()) > 0.1


@pytest.mark.parametrize("n", [3, 8])
def test_a_rosinality_critic_gives_the_same_function(n):
    tape = Tape()
    x = torch.randn(n, 3, 16, 16, generator=torch.Generator().manual_seed(1))
    expected = rosinality_critic_forward(tape, TINY, x)
    critic = load_critic(TINY, convert_rosinality_critic({"d": tape.state, "g_ema": {}}, TINY))
    with torch.no_grad():
        found = critic(x)
    assert float(expected.std()) > 0.01
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
    assert all(p.requires_grad for p in critic.parameters())


def test_a_critic_that_does_not_fit_is_refused():
    tape = Tape()
    rosinality_critic_forward(tape, TINY, torch.zeros(2, 3, 16, 16))
    with pytest.raises(ValueError, match="no critic `d`, only \\['g_ema'\\]"):
        convert_rosinality_critic({"g_ema": {}}, TINY)
    with pytest.raises(ValueError, match=r"left over \['extra'\]"):
        convert_rosinality_critic({"d": tape.state | {"extra": torch.zeros(1)}}, TINY)
    fewer = {k: v for k, v in tape.state.items() if k != "convs.1.skip.1.weight"}
    with pytest.raises(ValueError, match=r"missing \['blocks.0.skip.weight'\]"):
        convert_rosinality_critic({"d": fewer}, TINY)
    gain = tape.state | {"convs.1.skip.0.kernel": 4 * tape.state["convs.1.skip.0.kernel"]}
    with pytest.raises(ValueError, match=r"convs.1.skip.0.kernel is another filter"):
        convert_rosinality_critic({"d": gain}, TINY)


def test_generators_at_256_px_have_the_published_numbers_of_parameters():
    for multiplier, millions in ((2, 30.03), (1, 24.77)):
        with torch.device("meta"):
            net = StyleGenerator(rosinality_architecture(256, multiplier))
            critic = Critic(rosinality_architecture(256, multiplier))
        assert sum(p.numel() for p in net.parameters()) / 1e6 == pytest.approx(millions, abs=0.005)
        opposite = sum(p.numel() for p in critic.parameters()) / 1e6
        assert opposite == pytest.approx({2: 28.86, 1: 24.00}[multiplier], abs=0.005)
        assert net.arch.num_styles == 14 and len(net.arch.noise_sides) == 13
    assert rosinality_architecture(256, 2).channels[256] == 128


def test_a_generator_that_does_not_fit_is_refused(tmp_path):
    tape = Tape()
    rosinality_forward(tape, TINY, torch.zeros(1, 24))
    with pytest.raises(ValueError, match=r"left over \['extra'\]"):
        convert_rosinality(tape.state | {"extra": torch.zeros(1)}, TINY)
    fewer = {k: v for k, v in tape.state.items() if k != "to_rgb1.bias"}
    with pytest.raises(ValueError, match=r"missing \['rgb.0.bias'\]"):
        convert_rosinality(fewer, TINY)
    wide = dataclasses.replace(TINY, channels={4: 20, 8: 16, 16: 8})
    with pytest.raises(ValueError, match=r"other shapes \['up.1"):
        convert_rosinality(tape.state, wide)
    other = tape.state | {"convs.0.conv.blur.kernel": torch.ones(4, 4)}
    with pytest.raises(ValueError, match=r"convs.0.conv.blur.kernel is another filter"):
        convert_rosinality(other, TINY)


def test_training_arguments_in_a_checkpoint_are_tolerated(tmp_path, monkeypatch):
    tape = Tape()
    z = torch.randn(2, 24, generator=torch.Generator().manual_seed(1))
    rosinality_forward(tape, TINY, z)
    path = tmp_path / "550000.pt"
    torch.save({"g_ema": tape.state, "args": argparse.Namespace(size=16)}, path)
    monkeypatch.setattr(
        "baselines.common.rosinality.rosinality_architecture", lambda resolution, multiplier: TINY
    )
    source = RosinalitySource(weights=asset(path), resolution=16, multiplier=2, device="cpu")
    assert source.net.mapping(z).shape == (2, 24)
