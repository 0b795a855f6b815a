import re
from pathlib import Path

import numpy as np
import pytest
import torch

from fsig_bench.faceworld.dataset import FaceworldDataset
from fsig_bench.faceworld.domains import DOMAINS, SPLITS, draw
from fsig_bench.faceworld.factors import FACTORS, SCALE
from fsig_bench.faceworld.reader import HUES, class_of, decode, encode, visible
from fsig_bench.faceworld.render import render

CONF = Path(__file__).resolve().parents[2] / "conf"


@pytest.mark.parametrize("domain", DOMAINS)
def test_an_image_is_a_function_of_domain_split_and_index(domain):
    alone = render(domain, "shots", [23])[0]
    among = render(domain, "shots", [5, 23, 7])[0]
    assert alone.shape == (1, 3, 64, 64) and alone.dtype == torch.uint8
    difference = (alone[0].int() - among[1].int()).abs()
    assert difference.max() <= 1 and (difference > 0).float().mean() < 1e-3  # rounding only
    assert not torch.equal(among[0], among[1])
    assert alone.float().std() > 20  # something is drawn


@pytest.mark.parametrize("domain", DOMAINS)
def test_splits_never_share_an_image(domain):
    seen = [draw(domain, split, range(300))[0].tobytes() for split in SPLITS]
    rows = [{r.tobytes() for r in draw(domain, s, range(300))[0]} for s in SPLITS]
    assert len(set(seen)) == len(SPLITS)
    for a in range(len(SPLITS)):
        for b in range(a):
            assert not rows[a] & rows[b]


def test_the_source_holds_three_percent_babies_and_sunglasses():
    shown = draw("adults", "source", range(6000))[2]
    for name in ("babies", "sunglasses"):
        assert shown.count(name) / 6000 == pytest.approx(0.03, abs=0.008)


def test_factors_stay_in_scale_and_follow_their_laws():
    for name, domain in DOMAINS.items():
        table = draw(name, "reference", range(500))[0]
        for j, factor in enumerate(FACTORS):
            low, high = SCALE[factor]
            assert low <= table[:, j].min() and table[:, j].max() <= high, (name, factor)
            kind, a, b = domain.laws[factor]
            if kind == "uniform" and a == b:
                assert np.allclose(table[:, j], a) or domain.inside
    one_man = draw("obama", "reference", range(300))[0]
    spread = one_man.std(0)
    assert spread[FACTORS.index("nose_size")] < 1e-5 < spread[FACTORS.index("smile")]


def test_media_look_like_what_they_are_called():
    sketch = render("sketches", "reference", range(40))[0].float()
    assert (sketch.amax(1) - sketch.amin(1)).mean() < 15  # pencil has next to no colour
    assert sketch.mean() > 150  # on paper
    painted = render("metfaces", "reference", range(40))[0].float()
    assert painted.mean() < 100  # under old varnish
    assert painted[:, 0].mean() > painted[:, 2].mean() + 10
    dark = render("sunglasses", "reference", range(60))[0].float()[:, :, 26:40, 14:50].mean()
    eyes = render("adults", "reference", range(60))[0].float()[:, :, 26:40, 14:50].mean()
    assert dark < eyes - 25


def test_hues_survive_their_encoding():
    table = torch.from_numpy(draw("adults", "source", range(200))[0])
    back = decode(encode(table))
    hues = [FACTORS.index(h) for h in HUES]
    others = [j for j in range(len(FACTORS)) if j not in hues]
    assert torch.equal(back[:, others], table[:, others])
    gap = (back[:, hues] - table[:, hues]).abs()
    assert torch.minimum(gap, 1 - gap).max() < 1e-5


def test_hidden_factors_are_not_counted_as_visible():
    table, _, shown = draw("sunglasses", "reference", range(20))
    seen = visible(torch.from_numpy(table), torch.tensor([class_of(s) for s in shown]))
    assert not seen[:, FACTORS.index("eye_size")].any()
    assert seen[:, FACTORS.index("smile")].all()


def dataset(**changes):
    values = {"name": "babies", "domain": "babies", "n_ref": 120, "source_domain": "adults"}
    return FaceworldDataset(**(values | changes))


def test_subsets_are_other_shots_and_the_reference_stays():
    d = dataset()
    assert not torch.equal(d.shots(5, 0), d.shots(5, 1))
    assert torch.equal(d.shots(5, 0), d.shots(10, 0)[:5])
    assert torch.equal(d.reference_images(5, 0), d.reference_images(10, 3))
    assert len({d.fingerprint(5, 0), d.fingerprint(5, 1), d.fingerprint(6, 0)}) == 3


@pytest.mark.parametrize(
    ("changes", "k", "words"),
    [({}, 101, "101"), ({"n_ref": 20}, 5, "n_ref=20"), ({"domain": "dogs"}, 5, "dogs.*cats")],
)
def test_what_cannot_be_had_is_refused(changes, k, words):
    with pytest.raises(ValueError, match=words):
        dataset(**changes).check(k, 0)


def test_some_of_the_reference_are_those_of_all():
    small = dataset(n_ref=100)
    some, whole = small.reference_at([93, 7]), small.reference_images(10, 0)[[93, 7]]
    difference = (some.int() - whole.int()).abs()
    assert difference.max() <= 1 and (difference > 0).float().mean() < 1e-3  # rounding only
    with pytest.raises(ValueError, match="100"):
        small.reference_at([100])


def test_coarse_pixels_are_squares_of_five_levels():
    images = render("pixelart", "fresh", range(4))[0]
    squares = images[:, :, ::2, ::2]
    assert torch.equal(squares.repeat_interleave(2, 2).repeat_interleave(2, 3), images)
    assert set(images.unique().tolist()) <= {0, 64, 128, 191, 255}


def test_development_targets_stand_in_no_table_or_grid():
    """The curve over adapting time is about settings, so it belongs on a development target."""
    for path in [*(CONF / "table").glob("*"), *(CONF / "experiment").glob("*")]:
        if path.stem not in ("settings", "adapting_time"):
            assert not re.search("elders|pixelart", path.read_text()), path
