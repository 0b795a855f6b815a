"""A domain that is added: everything draws it, and the reader says that it has no class for it."""

import pytest
import torch

from fsig_bench.faceworld.dataset import FaceworldDataset
from fsig_bench.faceworld.domains import ADULT, DOMAINS, draw, normal
from fsig_bench.faceworld.factors import FACTORS, Domain
from fsig_bench.faceworld.images import FaceworldImages, FaceworldPool
from fsig_bench.faceworld.reader import CLASSES, FactorReader, class_of
from fsig_bench.faceworld.render import render
from fsig_bench.faceworld.train_reader import classes_of
from fsig_bench.metrics.base import Evidence, unmet_need
from fsig_bench.metrics.factors import FactorCoverage, SourceLeakage
from fsig_bench.metrics.frechet import Frechet

READER = FactorReader(weights="baselines/weights/mini/reader.safetensors", trunk_maps=4)


@pytest.fixture
def sailors(monkeypatch):
    laws = ADULT | {"hair_light": normal(0.95, 0.03), "beard": ("share", 0.0, 0.0)}
    monkeypatch.setitem(DOMAINS, "sailors", Domain(name="sailors", laws=laws, medium="paint"))


def test_it_is_drawn_like_every_other(sailors, tmp_path):
    dataset = FaceworldDataset(name="sailors", domain="sailors", n_ref=100, source_domain="adults")
    dataset.check(5, 0)
    shots, reference = dataset.shots(5, 0), dataset.reference_at([0, 99])
    assert shots.shape == (5, 3, 64, 64) and reference.shape == (2, 3, 64, 64)
    assert torch.equal(render("sailors", "shots", range(5))[0], shots)
    assert draw("sailors", "fresh", range(50))[0][:, FACTORS.index("hair_light")].mean() > 0.9
    assert FaceworldImages(domain="sailors", split="fresh").load([3]).shape == (1, 3, 64, 64)
    pool = FaceworldPool(domains=("sailors", "cats"), split="source", size=4).labelled(tmp_path)
    assert [list(DOMAINS)[d] for d in pool["domain"]] == ["sailors"] * 2 + ["cats"] * 2


def test_the_reader_reads_its_images_and_has_no_class_for_it(sailors):
    images = render("sailors", "fresh", range(3))[0]
    assert READER.features(images).isfinite().all()
    assert READER.read(READER.features(images))[1].shape == (3, len(CLASSES))
    with pytest.raises(ValueError, match="no class for the domain .sailors.; it knows adults"):
        class_of("sailors")
    with pytest.raises(ValueError, match="sailors"):
        classes_of(torch.tensor([0, len(DOMAINS) - 1]))
    assert classes_of(torch.tensor([0, 6])).tolist() == [class_of("adults"), class_of("cats")]


def test_metrics_that_need_a_class_say_so_and_the_others_score_it(sailors):
    images = render("sailors", "fresh", range(4))[0]
    evidence = Evidence(
        shots=images, fake=images, real=images, extractor=READER, perceptual=READER, seed=0,
        batch_size=4, source_domain="adults", target_domain="sailors",
    )  # fmt: skip
    for metric in (SourceLeakage(), FactorCoverage(min_sd=0.1)):
        assert unmet_need(metric, evidence) == "the factor reader has no class for sailors"
    assert unmet_need(Frechet(blocks=5), evidence) is None
    evidence.target_domain = "babies"
    assert unmet_need(SourceLeakage(), evidence) is None
