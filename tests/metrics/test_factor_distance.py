"""The factor distance: energy distances by hand, coordinates by hand, planted faults."""

import math

import pytest
import torch
from scipy.stats import foldnorm
from test_perceptual import evidence

from fsig_bench.faceworld.factors import FACTORS
from fsig_bench.faceworld.law import DrawnLaw
from fsig_bench.faceworld.reader import CLASSES, HUES, visible
from fsig_bench.metrics.factor_distance import Coordinates, FactorDistance, energy_to

G = torch.Generator().manual_seed(0)
METRIC = FactorDistance(law=DrawnLaw(draws=1000), min_sd=0.08, blocks=5)


def normal(*shape):
    return torch.randn(*shape, generator=G, dtype=torch.float64)


def test_shifted_points_are_twice_their_shift_apart():
    points = torch.zeros(4, 2)
    assert energy_to(points)(points + torch.tensor([3.0, 4.0])) == pytest.approx(10)
    assert energy_to(points)(points) == 0


def test_two_gaussians_have_their_known_distance():
    shift = 1.5
    far = 2 * float(foldnorm.mean(shift / math.sqrt(2), scale=math.sqrt(2)))
    expected = far - 2 * 2 / math.sqrt(math.pi)
    assert energy_to(normal(5000, 1))(normal(5000, 1) + shift) == pytest.approx(expected, rel=0.06)


def test_two_samples_of_one_law_have_none_on_average():
    found = torch.tensor([energy_to(normal(7, 3))(normal(5, 3)) for _ in range(400)])
    assert abs(float(found.mean())) < 4 * float(found.std()) / 20
    assert float(found.min()) < 0


def test_a_share_counts_by_its_square():
    base, far = torch.zeros(200, 1), torch.zeros(200, 1)
    far[:20] = 5
    biased = energy_to(base)(far) * (199 / 200)  # by hand: pairs of unlike rows of `far`
    assert biased == pytest.approx(0.1**2 * 10, rel=0.1)


def test_units_are_the_laws_and_of_what_is_fixed_those_of_an_even_spread():
    law = torch.tensor([[0.0, 0.5, 0.0], [1.0, 0.5, 0.5], [0.5, 0.5, 0.25], [0.5, 0.5, 0.75]])
    seen = torch.ones(4, 3, dtype=torch.bool)
    space = Coordinates.of(
        law,
        seen,
        names=("free", "fixed", "hue"),
        circular=("hue",),
        ranges=torch.tensor([1.0, 2.0, 1.0]),
        min_sd=0.1,
    )
    assert space.owners == ("free", "fixed", "hue", "hue", "domain")
    some = torch.tensor([[1.0, 0.9, 0.25]])
    row = space.place(some, torch.ones(1, 3, dtype=torch.bool), torch.tensor([0.7]))[0]
    sd = float(law[:, 0].double().std())
    # The hue is spread evenly over its circle: a standard deviation of sqrt(4/3) around 0.
    even = [0.4 / (2 / math.sqrt(12)), -0.3 * math.sqrt(12)]  # the fixed factor's range is 2
    by_hand = [0.5 / sd, even[0], 0.0, math.sqrt(3 / 4), even[1]]
    assert row.tolist() == pytest.approx(by_hand, abs=1e-6)
    hidden = space.place(some, torch.zeros(1, 3, dtype=torch.bool), torch.tensor([1.0]))
    assert hidden.tolist() == [[0.0] * 5]


@pytest.mark.parametrize("domain", ["babies", "cats", "metfaces", "obama", "sketches"])
def test_leaving_a_domain_and_collapsing_to_its_mean_weigh_alike(domain):
    law, names = DrawnLaw(draws=1200), list(CLASSES)
    table, source = law.factors(domain), law.factors("adults")[:600]

    def seen(rows):
        return visible(rows, torch.full((len(rows),), names.index(domain)))

    space = Coordinates.of(
        table, seen(table), names=FACTORS, circular=HUES, ranges=law.ranges(), min_sd=0.08
    )
    real = space.place(table[:600], seen(table[:600]), torch.ones(600))
    left = space.place(source, seen(source), torch.zeros(600))
    collapsed = torch.zeros_like(real)
    ratio = energy_to(real)(left) / energy_to(real)(collapsed)
    assert 0.5 < ratio < 4


READS = ("face_width", "smile", "hair_light", "yaw")  # what `Reader` is handed in the pixels
DOMAINS = ("adults", "babies")


class Reader:
    """Reads the factors that `pixels` wrote, and the domain; the others lie where the law is."""

    name, factor_names, domain_names = "stub", FACTORS, DOMAINS
    circular_factors = ()

    def features(self, images):
        return images[:, 0, 0, : len(READS) + 1].float()

    def read(self, features):
        table = torch.full((len(features), len(FACTORS)), 0.5)
        for place, name in enumerate(READS):
            table[:, FACTORS.index(name)] = features[:, place] / 127.5 - 1
        logit = features[:, len(READS)]
        return table, torch.stack([1 - logit, logit], 1) * 20

    def visible(self, table, domain):
        shown = torch.zeros(len(table), len(FACTORS), dtype=torch.bool)
        shown[:, [FACTORS.index(name) for name in READS]] = True
        return shown


def pixels(table, domain):
    images = torch.zeros(len(table), 3, 8, 8, dtype=torch.uint8)
    for place, name in enumerate(READS):
        value = torch.as_tensor(table[:, FACTORS.index(name)])
        images[:, 0, 0, place] = ((value + 1) * 127.5).round().clamp(0, 255).byte()
    images[:, 0, 0, len(READS)] = DOMAINS.index(domain)
    return images


def test_it_rises_with_every_fault_of_the_law():
    from fsig_bench.faceworld.domains import draw

    law = draw("babies", "reference", range(900))[0]
    real, fresh = pixels(law[:600], "babies"), law[600:]
    light, smile = (FACTORS.index(name) for name in ("hair_light", "smile"))
    mode = fresh.copy()
    mode[:, light] = fresh[:, light].clip(min=0.55)
    narrow = fresh.copy()
    narrow[:, smile] = fresh[:, smile].mean() + 0.3 * (fresh[:, smile] - fresh[:, smile].mean())
    mixed = pixels(fresh, "babies")
    mixed[::10] = pixels(draw("adults", "reference", range(30))[0], "adults")
    sets = {"fresh": pixels(fresh, "babies"), "mixture": mixed}
    sets |= {"missing mode": pixels(mode, "babies"), "narrowed": pixels(narrow, "babies")}
    found = {name: METRIC(evidence(fake, fake[:1], real, Reader())) for name, fake in sets.items()}
    assert abs(found["fresh"]["value"]) < 0.01
    parts = {"mixture": "domain", "missing mode": "hair_light", "narrowed": "smile"}
    for name, part in parts.items():
        assert found[name]["value"] > 0.02, name
        assert max(found[name]["by_part"], key=found[name]["by_part"].get) == part
    assert set(found["fresh"]["by_part"]) == {*READS, "domain"}
    # This reader makes no error but rounding.
    assert found["fresh"]["real_to_law"] == pytest.approx(0, abs=0.02)
    assert found["mixture"]["to_law"] == pytest.approx(found["mixture"]["value"], abs=0.05)


def test_the_law_is_drawn_once_and_handed_over_as_a_copy():
    law = DrawnLaw(draws=5)
    law.factors("babies").zero_()
    assert float(law.factors("babies").sum()) > 0
    assert law.ranges()[FACTORS.index("yaw")] == 2
    with pytest.raises(ValueError, match="unknown faceworld domain 'dogs'"):
        law.factors("dogs")
