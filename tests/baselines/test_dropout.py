"""Dropout by image."""

import torch
from torch import nn

from baselines.common.dropout import ImageDropout, ImageSeeds, by_image


def test_a_mask_is_the_images_own():
    layer, x = ImageDropout(0.25, "a", ImageSeeds([7, 8, 9])), torch.ones(3, 8, 40, 40)
    out = layer(x)
    torch.testing.assert_close(out.unique(), torch.tensor([0.0, 4 / 3]))
    assert abs(float((out == 0).float().mean()) - 0.25) < 0.01
    alone = ImageDropout(0.25, "a", ImageSeeds([9]))
    assert torch.equal(alone(x[:1]), out[2:]) and torch.equal(alone(x[:1]), out[2:])
    assert not torch.equal(out[0], out[1])
    assert not torch.equal(ImageDropout(0.25, "b", ImageSeeds([7]))(x[:1]), out[:1])
    wide = x.contiguous(memory_format=torch.channels_last)
    assert torch.equal(layer(wide), out) and layer(wide).stride() == wide.stride()
    assert torch.equal(layer.eval()(x), x)


def test_only_layers_that_drop_are_replaced():
    inner = nn.Sequential(nn.Dropout(0.5), nn.Dropout(0.0))
    net = nn.Sequential(nn.Linear(2, 2), inner)
    before = list(net.state_dict())
    seeds = by_image(net)
    assert [type(m) for m in inner] == [ImageDropout, nn.Dropout]
    assert list(net.state_dict()) == before
    seeds.values = torch.tensor([1, 2])
    x = torch.ones(2, 100)
    assert 20 < int((inner(x) == 0).sum()) < 180
