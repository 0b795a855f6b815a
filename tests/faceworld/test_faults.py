"""Planted faults: nothing at strength 0, and what each dial does, by hand."""

import numpy as np
import pytest
import torch

from fsig_bench.faceworld.domains import draw
from fsig_bench.faceworld.factors import FACTORS
from fsig_bench.faceworld.faults import (
    Blur,
    Checkerboard,
    ColourCast,
    Copies,
    MissingMode,
    Mixture,
    Narrowed,
    Setting,
    Stripes,
    WrongMedium,
    evenly,
    fresh_images,
    towards_median,
)
from fsig_bench.faceworld.render import paint_factors, render

SETTING = Setting(domain="babies", source_domain="adults", count=20, first=40)
SHOTS = render("babies", "shots", range(3))[0]
FAULTS = [Checkerboard(), Stripes(), Blur(), ColourCast(), MissingMode(factor="hair_light")]
MEDIUM = WrongMedium(medium="paint", instead="photo")
FAULTS += [Copies(), Mixture(), Narrowed(), MEDIUM]


def changed(images):
    return (images != fresh_images(SETTING)).flatten(1).any(1)


@pytest.mark.parametrize("fault", FAULTS, ids=lambda f: type(f).__name__)
def test_no_strength_is_no_fault_and_the_fresh_images_stay(fault):
    before = fresh_images(SETTING).clone()
    assert torch.equal(fault(SETTING, SHOTS, 0.0), before)
    strong = fault(SETTING, SHOTS, 0.5)
    assert strong.shape == before.shape and strong.dtype == torch.uint8
    assert changed(strong).any()
    assert torch.equal(fresh_images(SETTING), before)


@pytest.mark.parametrize(("share", "places"), [(0.0, []), (0.25, [3, 7]), (1.0, list(range(8)))])
def test_a_share_is_spread_evenly(share, places):
    assert evenly(8, share).nonzero().flatten().tolist() == places


def test_a_checkerboard_is_its_amplitude_on_alternate_pixels():
    change = Checkerboard()(SETTING, SHOTS, 4.0).int() - fresh_images(SETTING).int()
    inside = (fresh_images(SETTING) > 4) & (fresh_images(SETTING) < 251)
    assert (change.abs() == 4)[inside].all()
    assert (change[..., 10, 10] >= 0).all() and (change[..., 10, 11] <= 0).all()


def test_a_blur_keeps_the_mean_and_takes_the_contrast():
    plain, soft = fresh_images(SETTING).float(), Blur()(SETTING, SHOTS, 1.2).float()
    assert float((soft.mean((2, 3)) - plain.mean((2, 3))).abs().max()) < 3
    step = [(x[..., 1:] - x[..., :-1]).abs().mean() for x in (plain, soft)]
    assert step[1] < 0.8 * step[0]


def test_a_cast_multiplies_red_and_blue():
    cast, plain = ColourCast()(SETTING, SHOTS, 0.2).float(), fresh_images(SETTING).float()
    for channel, gain in enumerate((1.2, 1.0, 0.8)):
        expected = (plain[:, channel] * gain).clamp(0, 255)
        assert float((cast[:, channel] - expected).abs().max()) <= 0.51


def test_the_lowest_share_of_a_factor_is_missing():
    column = FACTORS.index("hair_light")
    values = torch.from_numpy(draw("babies", "fresh", range(40, 60))[0][:, column])
    law = torch.from_numpy(draw("babies", "reference", range(4000))[0][:, column])
    gone = changed(MissingMode(factor="hair_light")(SETTING, SHOTS, 0.5))
    assert torch.equal(gone, values.double() < law.double().quantile(0.5))
    assert 4 < int(gone.sum()) < 16


def test_copies_are_shots_in_turn_and_a_mixture_is_of_the_source():
    copied = Copies()(SETTING, SHOTS, 0.25)
    assert torch.equal(copied[changed(copied)], SHOTS[[0, 1, 2, 0, 1]])
    mixed = Mixture()(SETTING, SHOTS, 0.1)
    own = render("adults", "fresh", range(40, 42))[0]
    assert torch.equal(mixed[changed(mixed)], own)


def fresh_factors(first, count):
    table, texture, _ = draw(SETTING.domain, "fresh", range(first, first + count))
    return torch.from_numpy(table), torch.from_numpy(texture)


def test_narrowed_factors_lie_at_quantiles_nearer_to_the_median():
    table, texture = fresh_factors(40, 20)
    law = draw("babies", "reference", range(4000))[0]
    column = FACTORS.index("smile")
    moved = torch.from_numpy(towards_median(table.numpy(), law, 0.5))
    values = np.sort(law[:, column])
    for own, new in zip(table[:, column].tolist(), moved[:, column].tolist(), strict=True):
        rank, moved_rank = (np.searchsorted(values, v) / 4000 for v in (own, new))
        assert moved_rank - 0.5 == pytest.approx((rank - 0.5) / 2, abs=0.002)
    painted = paint_factors(moved, texture, creature="human", medium="photo")
    assert torch.equal(Narrowed()(SETTING, SHOTS, 0.5), painted)


def test_narrowing_invents_no_value_that_the_law_does_not_have():
    """An open mouth is 0 or at least 0.3; glasses are worn or not."""
    law = draw("adults", "reference", range(4000))[0]
    own = draw("adults", "fresh", range(400))[0]
    for share in (0.2, 0.7, 1.0):
        moved = towards_median(own, law, share)
        for column in range(len(FACTORS)):
            assert np.isin(moved[:, column], law[:, column]).all()
    assert (towards_median(own, law, 1.0) == np.sort(law, axis=0)[2000]).all()
    assert towards_median(own, law, 0.0) is own


def test_stripes_are_their_amplitude_on_alternate_columns():
    change = Stripes()(SETTING, SHOTS, 4.0).int() - fresh_images(SETTING).int()
    inside = (fresh_images(SETTING) > 4) & (fresh_images(SETTING) < 251)
    assert (change[..., ::2] == 4)[inside[..., ::2]].all()
    assert (change[..., 1::2] == -4)[inside[..., 1::2]].all()


def test_a_wrong_medium_has_the_same_factors():
    painted = MEDIUM(SETTING, SHOTS, 0.1)
    table, texture = fresh_factors(40, 20)
    taken = changed(painted)
    assert taken.nonzero().flatten().tolist() == [9, 19]
    own = paint_factors(table[taken], texture[taken], creature="human", medium="paint")
    assert torch.equal(painted[taken], own)
    gallery = Setting(domain="metfaces", source_domain="adults", count=4, first=0)
    table, texture = (torch.from_numpy(x) for x in draw("metfaces", "fresh", range(4))[:2])
    photos = paint_factors(table, texture, creature="human", medium="photo")
    assert torch.equal(MEDIUM(gallery, SHOTS, 1.0), photos)


def test_other_sets_take_other_images_in_place_of_a_missing_mode():
    later = Setting(domain="babies", source_domain="adults", count=20, first=60)
    fault = MissingMode(factor="hair_light")
    own, other = (fault(s, SHOTS, 0.9).flatten(1) for s in (SETTING, later))
    assert not (own[:, None] == other[None]).all(2).any()
