"""The patch denoiser against brute force, and its limit of one patch as large as the image."""

import itertools

import pytest
import torch

from baselines.patch_score import PatchScore, box_sums, denoise, matching
from fsig_bench.api import NoProgress

DEFAULTS = {
    "device": "cpu",
    "num_steps": 5,
    "largest": 7,
    "smallest": 3,
    "reach": 1,
    "mirror": False,
}


def numbers(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_a_patch_of_the_whole_image_gives_the_posterior_mean_of_the_shots():
    x, shots, abar = numbers(3, 3, 6, 6), numbers(4, 3, 6, 6, seed=1), 0.02
    found = denoise(x, shots, abar=abar, half=5, reach=6)
    gaps = (x[:, None] - abar**0.5 * shots).square().flatten(2).sum(2)
    part = (-gaps / (2 * (1 - abar))).softmax(1)
    assert part.max() < 0.999  # more than one shot counts
    torch.testing.assert_close(found, torch.einsum("nk,kchw->nchw", part, shots))


@pytest.mark.parametrize(("half", "reach"), [(1, 0), (1, 2), (1, 6), (2, 3), (0, 6)])
def test_every_patch_counts_as_brute_force_has_it(half, reach):
    side, abar = 6, 0.3
    x, shots = numbers(1, 3, side, side), numbers(2, 3, side, side, seed=1)

    def patch(image, row, col):
        """The part inside of the image, and how far it reaches on each side."""
        up, left = min(row, half), min(col, half)
        down, right = min(side - 1 - row, half), min(side - 1 - col, half)
        part = image[:, row - up : row + down + 1, col - left : col + right + 1]
        return part, (up, left, down, right)

    expected = torch.zeros_like(x)
    places = list(itertools.product(range(side), repeat=2))
    for row, col in places:
        own, cut = patch(x[0], row, col)
        logits, centres = [], []
        for shot, (r, c) in itertools.product(shots, places):
            other, cut_there = patch(shot, r, c)
            if cut_there == cut and max(abs(r - row), abs(c - col)) <= reach:
                logits.append(-(own - abar**0.5 * other).square().sum() / (2 * (1 - abar)))
                centres.append(shot[:, r, c])
        expected[0, :, row, col] = torch.stack(logits).softmax(0) @ torch.stack(centres)
    torch.testing.assert_close(denoise(x, shots, abar=abar, half=half, reach=reach), expected)


def test_box_sums_by_hand():
    x = torch.arange(9.0).view(1, 3, 3)
    assert box_sums(x, 1)[0].tolist() == [[8, 15, 12], [21, 36, 27], [20, 33, 24]]
    assert (box_sums(x, 2) == 36).all()
    assert torch.equal(box_sums(x, 0), x)


def test_a_border_is_matched_with_the_same_border():
    assert matching(6, 1, 1).tolist() == [False, True, True, True, False, False]
    assert matching(6, 0, 9).all() and not matching(6, 1, 9).any()


def test_without_noise_the_patches_of_a_shot_give_the_shot():
    shots, abar = numbers(3, 3, 8, 8).clamp(-1, 1), 0.9999
    x = abar**0.5 * shots[1:2]
    found = denoise(x, shots, abar=abar, half=2, reach=2)
    torch.testing.assert_close(found, shots[1:2], atol=1e-4, rtol=0)


@pytest.mark.parametrize("k", [1, 5, 100])
def test_images_are_in_range_and_their_own_in_any_batch(k):
    m = PatchScore(**DEFAULTS)
    state = m.adapt(numbers(k, 3, 8, 8).clamp(-1, 1), seed=0, progress=NoProgress())
    sampler = m.sampler(state, draw=0)
    many = sampler([3, 0, 9])
    assert torch.isfinite(many).all() and many.abs().max() <= 1
    torch.testing.assert_close(sampler([9])[0], many[2], atol=1e-5, rtol=0)
    assert state.trained_params == state.nfe_adapt == m.nfe_per_image == 0


def test_mirrored_shots_count_and_patches_shrink():
    m = PatchScore(**(DEFAULTS | {"mirror": True}))
    shots = numbers(2, 3, 8, 8)
    kept = m.adapt(shots, seed=0, progress=NoProgress()).tensors["shots"]
    assert torch.equal(kept[2:], shots.flip(3))
    assert [m.half(i) for i in range(5)] == sorted(m.half(i) for i in range(5))
    assert (m.half(0), m.half(4)) == (1, 3)


@pytest.mark.parametrize("changes", [{"smallest": 9}, {"reach": -1}])
def test_settings_that_make_no_sense_are_refused(changes):
    with pytest.raises(ValueError, match="give"):
        PatchScore(**(DEFAULTS | changes))


def test_a_single_step_takes_the_smallest_patch():
    single = PatchScore(**(DEFAULTS | {"num_steps": 1}))
    assert single.half(0) == PatchScore(**(DEFAULTS | {"num_steps": 2})).half(0)
