"""What a network on pixel-unshuffled images lacks: a path at full resolution.

A network at 32 px writes the four pixels of each 2x2 square with four separate sets of filters.
Nothing ties them together, so small differences between the sets stay in flat regions as a
checkerboard. `FullResolution` looks at all pixels alike and corrects them.

`place_offsets` is what such a network cannot see of its input: group normalisation takes away the
means of the four places over the whole image, and a sampler carries those of its noise to the end.

`FoldedConv` pays for the path: the same function as a 3x3 convolution after nearest upsampling,
with four ninths of the multiplications.

Shape legend: n images, c channels, h height, w width.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class FullResolution(nn.Module):
    """(noisy image [n, 3, h, w], features [n, c, h, w]) -> correction [n, out, h, w].

    The last layer starts at zero: put behind a trained network, it changes nothing at first.
    """

    def __init__(self, channels: int, out: int, seen: int = 3) -> None:
        super().__init__()
        self.enter = nn.Conv2d(seen, channels, 3, padding=1)
        self.first = nn.Conv2d(channels, channels, 3, padding=1)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)
        self.leave = nn.Conv2d(channels, out, 3, padding=1)
        nn.init.zeros_(self.leave.weight)
        nn.init.zeros_(self.leave.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor, features: Tensor) -> Tensor:
        h = self.enter(x) + features
        h = h + self.second(F.silu(self.first(F.silu(h))))
        out: Tensor = self.leave(F.silu(h))
        return out


def place_offsets(x: Tensor, side: int) -> Tensor:
    """How far the mean of each place in squares of `side` pixels is from the image's, [n, c, h, w].

    0 for an image without a grid of that period; each channel has its own mean.
    """
    n, c, h, w = x.shape
    squares = x.reshape(n, c, h // side, side, w // side, side)
    means = squares.mean((2, 4), keepdim=True)
    offsets = means - means.mean((3, 5), keepdim=True)
    return offsets.expand_as(squares).reshape(x.shape)


class FoldedConv(nn.Conv2d):
    """A 3x3 convolution that knows its input to be an image upsampled by 2 to its nearest pixel.

    Each output pixel then sees only 2x2 different values: a row of the kernel that falls on the
    same value as its neighbour is added to it. State and result are those of `nn.Conv2d`.
    """

    def forward(self, input: Tensor) -> Tensor:
        h, w = input.shape[2:]
        small = F.pad(input[..., ::2, ::2], (1, 1, 1, 1))
        k = self.weight
        # Of an even row, kernel row 0 sees the value above and rows 1 and 2 its own; of an odd
        # row, rows 0 and 1 see its own and row 2 the one below. Likewise columns.
        rows = (
            torch.stack([k[:, :, 0], k[:, :, 1] + k[:, :, 2]], 2),
            torch.stack([k[:, :, 0] + k[:, :, 1], k[:, :, 2]], 2),
        )
        parts = []
        for i, r in enumerate(rows):
            columns = (
                torch.stack([r[..., 0], r[..., 1] + r[..., 2]], 3),
                torch.stack([r[..., 0] + r[..., 1], r[..., 2]], 3),
            )
            for j, kernel in enumerate(columns):
                seen = small[..., i : i + h // 2 + 1, j : j + w // 2 + 1]
                parts.append(F.conv2d(seen, kernel, self.bias))
        out = torch.stack(parts, 2)  # [n, c, 4, h/2, w/2]
        return F.pixel_shuffle(out.flatten(1, 2), 2)


def fold_upsampling(net: nn.Module) -> None:
    """Turns the first convolution of every upsampling residual block into a `FoldedConv`."""
    from diffusers.models.resnet import ResnetBlock2D

    for block in net.modules():
        if isinstance(block, ResnetBlock2D) and block.up:
            block.conv1.__class__ = FoldedConv
