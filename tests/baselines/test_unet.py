from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import save_file

from baselines.common.unet import DiffusionSource, PixelUNet, load_unet, save_unet
from fsig_bench.api.seeding import generator
from fsig_bench.api.weights import record_in_manifest


@pytest.fixture
def plain_unet(tiny_unet) -> PixelUNet:
    return PixelUNet(tiny_unet.config | {"in_channels": 3, "out_channels": 6}).eval()


def inputs(side: int) -> tuple[torch.Tensor, torch.Tensor]:
    x = torch.randn(2, 3, side, side, generator=generator(0, "unet"))
    return x, torch.tensor([0, 999])


@torch.no_grad()
def test_unshuffle_is_hidden_from_outside(tiny_unet):
    net = tiny_unet
    x, t = inputs(16)
    inner = net.net(F.pixel_unshuffle(x, 2), t).sample
    assert inner.shape == (2, 24, 8, 8)
    out = net(x, t)
    assert net.resolution == 16
    assert torch.equal(out[:, :3], F.pixel_shuffle(inner[:, :12], 2))
    assert torch.equal(out[:, 3:], F.pixel_shuffle(inner[:, 12:], 2))


@pytest.mark.parametrize(("name", "unshuffle"), [("plain_unet", 1), ("tiny_unet", 2)])
def test_a_saved_network_loads_as_itself_in_half_precision(tmp_path, request, name, unshuffle):
    net = request.getfixturevalue(name)
    assert save_unet(tmp_path / "a.safetensors", net) == save_unet(tmp_path / "b.safetensors", net)
    back = load_unet(tmp_path / "a.safetensors")
    assert back.unshuffle == unshuffle
    assert not back.training
    assert not any(p.requires_grad for p in back.parameters())
    for name, value in net.state_dict().items():
        found = back.state_dict()[name]
        assert found.dtype == torch.float32
        assert torch.equal(found, value.half().float()), name


def test_a_file_without_architecture_is_refused(tmp_path):
    save_file({"w": torch.zeros(1)}, tmp_path / "w.safetensors")
    with pytest.raises(ValueError, match="no architecture"):
        load_unet(tmp_path / "w.safetensors")


def test_the_source_predicts_with_the_first_three_channels(tmp_path, tiny_unet):
    path = tmp_path / "net.safetensors"
    save_unet(path, tiny_unet)
    record_in_manifest(path, {"command": "none"})
    source = DiffusionSource(weights=str(path), device="cpu")
    x, t = inputs(16)
    expected = load_unet(path)(x, t)[:, :3]
    torch.testing.assert_close(source.eps(x, t), expected, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(source.eps(x, 999)[1], expected[1], rtol=1e-4, atol=1e-5)
    assert source.resolution == 16


@pytest.mark.parametrize("images", [1, 2])
@pytest.mark.parametrize("heads", [1, 2])
def test_a_prediction_outlives_the_next_one(tiny_unet, images, heads):
    """A recorded CUDA graph has one place for its output and writes there at each replay."""
    place = torch.empty(images, 3 * heads, 16, 16)
    tiny_unet.forward = lambda x, t: place.copy_(t[:, None, None, None].expand_as(place))
    x = torch.zeros(images, 3, 16, 16)
    first, second = tiny_unet.eps(x, 7), tiny_unet.eps(x, torch.full((images,), 8))
    assert first.eq(7).all() and second.eq(8).all()


def test_one_graph_serves_all_timesteps(tiny_unet):
    """Else torch.compile would compile 25 times, or leave gaps between CUDA graphs."""
    from torch._dynamo.testing import CompileCounter

    graphs = CompileCounter()
    x = inputs(16)[0]
    expected = [tiny_unet.eps(x, t) for t in (999, 500, 0)]
    tiny_unet.compile(backend=graphs, fullgraph=True)
    for t, eps in zip((999, 500, 0), expected, strict=True):
        torch.testing.assert_close(tiny_unet.eps(x, t), eps)
    assert graphs.frame_count == 1


def test_changed_weights_are_refused(tmp_path, tiny_unet):
    path = tmp_path / "net.safetensors"
    save_unet(path, tiny_unet)
    record_in_manifest(path, {"command": "python -m remake"})
    path.write_bytes(path.read_bytes()[:-1] + b"\x7f")
    with pytest.raises(ValueError, match=r"corrupt.*python -m remake"):
        DiffusionSource(weights=str(path), device="cpu").resolution  # noqa: B018
