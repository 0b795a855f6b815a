"""What a network on pixel-unshuffled images lacks: a path at full resolution.

A network at 32 px writes the four pixels of each 2x2 square with four separate sets of filters.
Nothing ties them together, so small differences between the sets stay in flat regions as a
checkerboard. `FullResolution` looks at all pixels alike and corrects them.

`FlatGrids` measures what such a network cannot see of its input: group normalisation takes away
the means of the four places, and a sampler carries those of its noise to the end. It looks at flat
parts alone. Where edges are counted in, as in means over the whole image, their share is taken off
the background too, which then has the stripes that it was to lose.

`FoldedConv` pays for the path: the same function as a 3x3 convolution after nearest upsampling,
with four ninths of the multiplications.

Shape legend: n images, c channels, h height, w width.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

FLAT = 1 / 127.5  # a grey level a pixel, in images from -1 to 1
SURROUNDINGS = 8.0  # pixels: standard deviation of the window in which a grid's strength is one
TINY = 1e-6  # of flatness, against a division by zero


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


def gaussian_rows(side: int, sd: float) -> Tensor:
    """A matrix [side, side] that smooths a line of pixels; the line is mirrored at its ends.

    The end itself is not repeated, so that a line that alternates goes on alternating.
    """
    place = torch.arange(side)
    reach = torch.arange(-round(4 * sd), round(4 * sd) + 1)
    weight = torch.exp(-reach.square() / (2 * sd**2))
    period = 2 * side - 2
    seen = (place[:, None] + reach) % period
    seen = torch.minimum(seen, period - seen)
    matrix = torch.zeros(side, side)
    return matrix.scatter_add_(1, seen, (weight / weight.sum()).expand(side, -1))


def blur(x: Tensor) -> Tensor:
    """(1, 2, 1) / 4 along rows and columns, mirrored at the ends: no grid of two pixels is left."""
    for dim in (2, 3):
        first, last = x.narrow(dim, 1, 1), x.narrow(dim, x.shape[dim] - 2, 1)
        wide = torch.cat([first, x, last], dim)
        n = x.shape[dim]
        x = (wide.narrow(dim, 0, n) + 2 * x + wide.narrow(dim, 2, n)) / 4
    return x


def flatness(x: Tensor) -> Tensor:
    """1 where an image does not change, towards 0 at edges, [n, 1, h, w]; no grid is an edge.

    Of the steepest change within two pixels, over all channels, of the blurred image.
    """
    smooth = F.pad(blur(x), (1, 1, 1, 1), mode="replicate")
    down = (smooth[:, :, 2:, 1:-1] - smooth[:, :, :-2, 1:-1]) / 2
    right = (smooth[:, :, 1:-1, 2:] - smooth[:, :, 1:-1, :-2]) / 2
    change = (down.square() + right.square()).mean(1, keepdim=True)
    steepest = F.max_pool2d(change, 5, stride=1, padding=2)
    return (FLAT**2 / (FLAT**2 + steepest)).square()


class FlatGrids(nn.Module):
    """Clean images [n, c, h, h] -> the grids of two pixels in their flat parts, [n, c, h, h].

    Columns that alternate, rows that alternate and the checkerboard, each with a strength that
    changes slowly over the image: the mean over the surroundings, in which flat pixels weigh most.
    It reaches under edges and textures, but is not measured on them.
    """

    smooth: Tensor
    signs: Tensor

    def __init__(self, side: int) -> None:
        super().__init__()
        line = 1 - 2 * (torch.arange(side) % 2).float()
        columns, rows = line.expand(side, side), line[:, None].expand(side, side)
        signs = torch.stack([columns, rows, columns * rows])
        self.register_buffer("signs", signs, persistent=False)
        self.register_buffer("smooth", gaussian_rows(side, SURROUNDINGS), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        flat, signs = flatness(x), self.signs[:, None, None]
        found = flat * (x - blur(x)) * signs  # [3, n, c, h, h]
        found, weight = (self.smooth @ a @ self.smooth.T for a in (found, flat))
        return (found / (weight + TINY) * signs).sum(0)


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
