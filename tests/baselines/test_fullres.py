from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from safetensors import safe_open
from torch.utils.flop_counter import FlopCounterMode

from baselines.common.diffusion import predict_x0
from baselines.common.fullres import FoldedConv, FullResolution, place_offsets
from baselines.common.unet import PixelUNet, load_unet, save_unet
from baselines.pretrain.diffusion import begin_from


@pytest.fixture
def fine_unet(unet_config) -> PixelUNet:
    return PixelUNet(unet_config, 2, "v", fine=4)


def inputs() -> tuple[torch.Tensor, torch.Tensor]:
    g = torch.Generator().manual_seed(0)
    return torch.randn(2, 3, 16, 16, generator=g), torch.tensor([3, 700])


def test_a_folded_convolution_is_one_after_nearest_upsampling():
    conv = FoldedConv(5, 7, 3, padding=1)
    small = torch.randn(2, 5, 4, 6)
    large = F.interpolate(small, scale_factor=2.0, mode="nearest")
    expected = F.conv2d(large, conv.weight, conv.bias, padding=1)
    out = conv(large)
    torch.testing.assert_close(out, expected, rtol=1e-4, atol=1e-5)
    (of_folded,) = torch.autograd.grad(out.square().sum(), conv.weight)
    (of_plain,) = torch.autograd.grad(expected.square().sum(), conv.weight)
    torch.testing.assert_close(of_folded, of_plain, rtol=1e-3, atol=1e-4)


def test_a_folded_convolution_multiplies_four_ninths():
    conv, x = FoldedConv(8, 8, 3, padding=1), torch.zeros(1, 8, 64, 64)
    counts = []
    for run in (conv.forward, lambda a: torch.nn.Conv2d.forward(conv, a)):
        with FlopCounterMode(display=False) as counter:
            run(x)
        counts.append(counter.get_total_flops())
    assert counts[0] / counts[1] == pytest.approx(4 / 9, rel=0.07)  # the seams are counted twice


def test_the_path_starts_at_zero_and_learns():
    path = FullResolution(4, 6)
    out = path(torch.randn(2, 3, 8, 8), torch.randn(2, 4, 8, 8))
    assert out.shape == (2, 6, 8, 8) and not out.any()
    out.sum().backward()
    assert path.leave.weight.grad.abs().sum() > 0


@torch.no_grad()
def test_a_trained_network_begins_as_it_was(unet_config, fine_unet):
    trained = PixelUNet(unet_config, 2, "v").eval()
    begin_from(fine_unet, trained)
    x, t = inputs()
    # But for the grid over the whole image, which the clean image loses.
    begun, before = fine_unet.eval()(x, t), trained(x, t)
    lost = place_offsets(begun - before, 2)
    torch.testing.assert_close(begun - lost, before, rtol=1e-4, atol=1e-5)


def test_offsets_are_those_of_a_planted_grid():
    smooth = torch.linspace(0, 1, 8).view(1, 1, 8, 1).expand(1, 3, 8, 8)
    grid = torch.tensor([[1.0, -2.0], [3.0, -2.0]]).repeat(4, 4)
    found = place_offsets(smooth + grid, 2) - place_offsets(smooth, 2)
    torch.testing.assert_close(found, grid.expand(1, 3, 8, 8))
    constant = torch.randn(2, 3, 1, 1).expand(2, 3, 8, 8)
    torch.testing.assert_close(place_offsets(constant, 2), torch.zeros(2, 3, 8, 8))


@torch.no_grad()
def test_the_clean_image_has_no_grid_whatever_the_noise_has(fine_unet):
    torch.nn.init.normal_(fine_unet.full.leave.weight, std=0.1)
    x, t = inputs()
    x = x + 0.5 * torch.tensor([[1.0, -1.0], [-1.0, 1.0]]).repeat(8, 8)
    for image, step in zip(x.split(1), t.tolist(), strict=True):
        abar = float(fine_unet.abar[step])
        clean = predict_x0(image, fine_unet.eval().eps(image, step), abar, clamp=False)
        assert place_offsets(image, 2).abs().max() > 0.4
        assert place_offsets(clean, 2).abs().max() < 1e-4 / abar**0.5


@torch.no_grad()
def test_all_four_pixels_of_a_square_are_seen_alike(fine_unet):
    """A shift by one pixel shifts the correction; the network below has a grid of two."""
    path, x = fine_unet.full, torch.randn(1, 3, 16, 16)
    torch.nn.init.normal_(path.leave.weight)
    flat = torch.zeros(1, 4, 16, 16)
    moved = path(x.roll(1, 3), flat)
    torch.testing.assert_close(moved[..., 5:-4], path(x, flat).roll(1, 3)[..., 5:-4])


@torch.no_grad()
def test_a_network_with_the_path_loads_as_itself(tmp_path, fine_unet):
    torch.nn.init.normal_(fine_unet.full.leave.weight)
    save_unet(tmp_path / "a.safetensors", fine_unet)
    back = load_unet(tmp_path / "a.safetensors")
    assert back.fine == 4
    for name, value in fine_unet.state_dict().items():
        assert torch.equal(back.state_dict()[name], value.half().float()), name
    x, t = inputs()
    torch.testing.assert_close(back(x, t), fine_unet.eval()(x, t), rtol=1e-2, atol=2e-2)


def test_files_without_the_path_say_nothing_of_it(tmp_path, unet_config):
    save_unet(tmp_path / "a.safetensors", PixelUNet(unet_config, 2, "v"))
    with safe_open(tmp_path / "a.safetensors", framework="pt") as file:
        assert "fine" not in file.metadata()["architecture"]
        assert not [k for k in file.keys() if k.startswith("full.")]
