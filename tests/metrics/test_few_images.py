"""Too few images for a metric cost its value, and never those of the other metrics."""

import math

import pytest
from helpers import ROOT, composed
from hydra.utils import instantiate
from omegaconf import OmegaConf

from fsig_bench.faceworld.images import FaceworldImages
from fsig_bench.metrics.base import Evidence
from fsig_bench.runner.score import apply_metrics

METRICS = sorted(p.stem for p in (ROOT / "conf" / "metric").glob("*.yaml"))
NO_PAIR = ["factor_coverage", "factor_distance", "fd", "fd_infinity", "kid", "kid_subsets", "mmd"]
NO_PAIR += ["cmmd", "mmd_test", "spectrum"]


def faces(split, count):
    return FaceworldImages(domain="babies", split=split).load(range(count))


@pytest.fixture(scope="module")
def built():
    """Every metric here, and the mini suite's network."""
    words = [f"+metric@protocol.metrics.x_{name}={name}" for name in METRICS]
    cfg = composed("method=copy", "dataset=babies", "device=cpu", *words)
    spec = OmegaConf.to_container(cfg.protocol, resolve=True)
    metrics = {
        name: instantiate({k: v for k, v in spec["metrics"]["x_" + name].items() if k != "card"})
        for name in METRICS
    }
    return metrics, instantiate(spec["features"], _convert_="all")


def scored(built, *, real, fake, shots):
    metrics, reader = built
    evidence = Evidence(
        shots=shots, fake=fake, real=real, extractor=reader, perceptual=reader, seed=0,
        batch_size=50, source_domain="adults",
    )  # fmt: skip
    return apply_metrics(metrics, evidence, title="")


@pytest.mark.parametrize("n_real", [1, 2, 3, 4, 6])
@pytest.mark.parametrize("k", [1, 2])
def test_every_metric_has_a_number_or_a_reason(built, n_real, k):
    values = scored(
        built, real=faces("reference", n_real), fake=faces("fresh", 3), shots=faces("shots", k)
    )
    for name, found in values.items():
        assert (found["value"] is None) == ("reason" in found), name
        assert found["value"] is None or math.isfinite(found["value"]), name
    pairs = [values[name] for name in [*NO_PAIR, "spectrum"]]
    if n_real == 1:
        assert all(
            "two images of either side, and the reference has 1" in v["reason"] for v in pairs
        )
    else:
        assert all(v["value"] is not None for v in pairs)
    assert (values["fld"]["value"] is None) == (k < 2 or n_real < 4)


def test_a_reference_of_one_repeated_image_has_a_number_or_a_reason(built):
    """As where the protocol compares with the shots, and these are equal."""
    shots = faces("shots", 1).repeat(12, 1, 1, 1)
    for fake in (shots, faces("fresh", 12)):
        for name, found in scored(built, real=shots, fake=fake, shots=shots).items():
            assert (found["value"] is None) == ("reason" in found), name
