from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F
from safetensors import safe_open
from torch.utils.flop_counter import FlopCounterMode

from baselines.common.diffusion import predict_x0
from baselines.common.fullres import FlatGrids, FoldedConv, FullResolution, blur, flatness
from baselines.common.unet import PixelUNet, load_unet, save_unet
from baselines.pretrain.diffusion import begin_from


def without_layer(unet: PixelUNet) -> PixelUNet:
    """The same network, but that it leaves grids in the clean image."""
    other = copy.deepcopy(unet).eval()
    other.grids = ZeroGrids()
    return other


class ZeroGrids(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.zeros_like(x)


@pytest.fixture
def fine_unet(unet_config) -> PixelUNet:
    return PixelUNet(unet_config, 2, "v", fine=4)


def test_the_path_is_for_squares_of_two_pixels(unet_config):
    with pytest.raises(ValueError, match="unshuffle=1"):
        PixelUNet(unet_config, 1, fine=4)


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
    # But for the grids that the clean image loses.
    torch.testing.assert_close(without_layer(fine_unet)(x, t), trained(x, t), rtol=1e-4, atol=1e-5)


CHECKS = torch.tensor([[1.0, -1.0], [-1.0, 1.0]]).repeat(16, 16)
ROWS = torch.tensor([[1.0], [-1.0]]).repeat(16, 1).expand(32, 32)


@pytest.mark.parametrize("grid", [CHECKS, ROWS, ROWS.T], ids=["checkerboard", "rows", "columns"])
def test_a_grid_is_found_with_its_strength_whatever_it_lies_on(grid):
    slope = torch.linspace(-0.1, 0.1, 32).view(1, 1, 1, 32).expand(1, 3, 32, 32)
    found = FlatGrids(32)(slope + 0.02 * grid) - FlatGrids(32)(slope)
    torch.testing.assert_close(found, 0.02 * grid.expand_as(found), rtol=1e-3, atol=1e-6)
    assert FlatGrids(32)(slope).abs().max() < 3e-4  # 0.04 grey levels, from the mirrored ends
    constant = torch.randn(2, 3, 1, 1).expand(2, 3, 32, 32)
    torch.testing.assert_close(FlatGrids(32)(constant), torch.zeros(2, 3, 32, 32))


def test_strength_may_differ_from_place_to_place():
    strength = torch.linspace(0, 0.04, 64).view(1, 1, 1, 64)
    grid = strength * CHECKS.repeat(2, 2)
    left = grid - FlatGrids(64)(grid)
    assert left.abs()[..., 16:48].max() < 0.1 * grid.abs().max()


def test_edges_are_no_grid():
    """Horizontal lines at even rows would be one for a mean over the whole image."""
    image = torch.zeros(1, 3, 64, 64)
    image[..., 40:56:4, 20:44] = 0.8
    share = (image * ROWS.repeat(2, 2)).mean()
    found = FlatGrids(64)(image)[..., :32, :]
    assert found.abs().max() < 0.01 * share


def test_flat_parts_are_flat_and_edges_are_not():
    image = torch.zeros(1, 3, 16, 16)
    image[..., 8:] = 1.0
    flat = flatness(image + 0.1 * CHECKS[:16, :16])
    assert flat[..., :4].min() > 0.99 and flat[..., 12:].min() > 0.99
    assert flat[..., 7:9].max() < 1e-5
    torch.testing.assert_close(blur(CHECKS.expand(1, 1, 32, 32)), torch.zeros(1, 1, 32, 32))


@torch.no_grad()
def test_the_clean_image_has_no_grid_whatever_the_noise_has(fine_unet):
    for value in fine_unet.net.conv_out.parameters():
        torch.nn.init.zeros_(value)  # the network sees nothing
    measure = FlatGrids(16)
    for step in (3, 300, 700):
        abar = float(fine_unet.abar[step])
        x = torch.full((1, 3, 16, 16), 0.2 * abar**0.5) + 0.5 * (1 - abar) ** 0.5 * CHECKS[:16, :16]
        with_grids = without_layer(fine_unet)(x, torch.tensor([step]))[:, :3]
        before, after = (
            measure(predict_x0(x, eps, abar, clamp=False)).abs().max()
            for eps in (with_grids, fine_unet.eval().eps(x, step))
        )
        assert after < 0.01 * before


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
