import gc

import pytest
import torch
from bad_server import serving
from torch import Tensor

from baselines.common.unet import PixelUNet

# Files that take about a minute or more, the longest first.
LONG = ["test_contract.py", "test_launchers.py", "test_performance.py", "test_run.py"]


def pytest_collection_modifyitems(items):
    """Long files come first, then those with slow tests: two workers end at about the same time."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    place = {name: n for n, name in enumerate(LONG)}
    items.sort(key=lambda item: (place.get(item.path.name, len(LONG)), item.path not in slow))


def pytest_collection_finish():
    """What is imported by now stays, and the collector of garbage need not look at it."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def _threads():
    torch.manual_seed(0)


@pytest.fixture
def server():
    with serving() as served:
        yield served


class ToySource:
    """A denoiser that knows its data are N(mean, spread^2): eps in closed form."""

    device = "cpu"
    resolution = 8

    def __init__(self, mean: float = 0.1, spread: float = 0.3) -> None:
        from baselines.common.diffusion import linear_abar

        self.abar, self.mean, self.spread, self.calls = linear_abar(), mean, spread, 0

    def eps(self, x: Tensor, t: int) -> Tensor:
        self.calls += len(x)
        a = float(self.abar[t])
        variance = a * self.spread**2 + 1 - a
        return (1 - a) ** 0.5 * (x - a**0.5 * self.mean) / variance


@pytest.fixture
def toy_source() -> ToySource:
    return ToySource()


UNET = {
    "sample_size": 8,
    "in_channels": 12,
    "out_channels": 24,
    "layers_per_block": 1,
    "block_out_channels": [16, 16],
    "down_block_types": ["ResnetDownsampleBlock2D", "AttnDownBlock2D"],
    "up_block_types": ["AttnUpBlock2D", "ResnetUpsampleBlock2D"],
    "attention_head_dim": 8,
    "resnet_time_scale_shift": "scale_shift",
    "downsample_type": "resnet",
    "upsample_type": "resnet",
    "norm_num_groups": 8,
    "attn_norm_num_groups": 8,
    "time_embedding_type": "positional",
    "flip_sin_to_cos": True,
    "freq_shift": 0,
    "add_attention": True,
}


@pytest.fixture
def tiny_unet() -> PixelUNet:
    return PixelUNet(UNET, 2).eval()


@pytest.fixture
def unet_config() -> dict:
    return dict(UNET)
