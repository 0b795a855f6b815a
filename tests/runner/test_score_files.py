"""Scoring images that were made elsewhere: fsig_bench.score."""

import hashlib
import json

import numpy as np
import pytest
import torch
from helpers import ROOT, composed, make_cell
from hydra.utils import instantiate
from omegaconf import OmegaConf
from PIL import Image

import fsig_bench
from fsig_bench.faceworld.images import FaceworldImages
from fsig_bench.metrics.base import Evidence

METRICS = sorted(p.stem for p in (ROOT / "conf" / "metric").glob("*.yaml"))


def faces(domain, split, count):
    return FaceworldImages(domain=domain, split=split).load(range(count))


@pytest.fixture(scope="module")
def images():
    return {
        "fake": faces("babies", "fresh", 24),
        "reference": faces("babies", "reference", 40),
        "shots": faces("babies", "shots", 5),
    }


@pytest.fixture
def folders(images, tmp_path):
    for role, pixels in images.items():
        (tmp_path / role).mkdir()
        for n, image in enumerate(pixels):
            Image.fromarray(image.permute(1, 2, 0).numpy()).save(tmp_path / role / f"{n}.png")
    return {role: tmp_path / role for role in images}


def values(result):
    return {name: part["value"] for name, part in result.items()}


def mini(fake, metrics, **more):
    return fsig_bench.score(fake, suite="mini", metrics=metrics, **more)


def test_a_folder_files_and_arrays_of_either_layout_have_the_same_numbers(images, folders):
    names = ["fd", "kid", "intra_lpips"]
    given = {"reference": images["reference"], "shots": images["shots"]}
    first = mini(images["fake"], names, **given)
    rest = {role: folders[role] for role in given}
    assert mini(folders["fake"], names, **rest) == first
    listed = [str(folders["fake"] / f"{n}.png") for n in range(24)]
    rows = {role: pixels.permute(0, 2, 3, 1).numpy() for role, pixels in given.items()}
    assert mini(listed, names, **rows) == first
    assert list(first) == names and first["fd"]["value"] > 0
    assert first["fd"]["n_real"] == 40 and first["fd"]["n_fake"] == 24
    # That of every record of the mini suite with as many samples, whichever metrics are chosen.
    cell = make_cell("method=copy", "dataset=babies", "num_images=24")
    assert first["fd"]["protocol_hash"] == cell.protocol_hash


def test_samples_of_another_domain_score_worse(images):
    far = mini(faces("cats", "fresh", 24), ["fd"], reference=images["reference"])
    near = mini(images["fake"], ["fd"], reference=images["reference"])
    assert far["fd"]["value"] > 1.5 * near["fd"]["value"]


def test_metrics_say_what_they_miss(images):
    got = mini(images["fake"], ["fd", "intra_lpips", "copy_rate", "vendi"])
    assert "needs a reference" in got["fd"]["reason"]
    assert "needs the shots" in got["intra_lpips"]["reason"]
    assert got["copy_rate"]["value"] is None and got["vendi"]["value"] > 1


def test_shots_are_left_out_of_the_reference_and_a_protocol_may_bring_them_in(images):
    both = torch.cat([images["shots"], images["reference"]])
    given = {"reference": both, "shots": images["shots"]}
    assert mini(images["fake"], ["fd"], **given)["fd"]["n_real"] == 40
    rule = ["protocol.reference=with_shots"]
    assert mini(images["fake"], ["fd"], overrides=rule, **given)["fd"]["n_real"] == 45
    rule = ["protocol.reference=shots"]
    assert mini(images["fake"], ["fd"], overrides=rule, **given)["fd"]["n_real"] == 5


@pytest.mark.parametrize("rule", ["with_shots", "shots"])
def test_a_protocol_that_compares_with_the_shots_needs_them(images, rule):
    """A reference that was given is not said to be missing, and no sample is read for nothing."""
    rules = [f"protocol.reference={rule}"]
    with pytest.raises(ValueError, match=r"protocol=ours .*shots=FOLDER, or protocol.reference=he"):
        mini("no/such/folder", ["fd"], reference=images["reference"], overrides=rules)
    found = mini(images["fake"], ["fd", "vendi"], overrides=rules)
    assert "needs a reference set" in found["fd"]["reason"] and found["vendi"]["value"] > 1


def test_a_native_reference_is_read_at_its_own_size(images, folders, tmp_path):
    Image.new("RGB", (90, 70), "red").save(folders["reference"] / "x.png")
    rule = ["protocol.reference_read=native", "protocol.reference=with_shots"]
    given = {"reference": folders["reference"], "shots": folders["shots"]}
    got = mini(folders["fake"], ["lpips_diversity"], overrides=rule, **given)
    assert got["lpips_diversity"]["n_real"] == 46


def test_files_of_any_size_are_brought_to_the_suite_by_the_named_recipe(images, tmp_path):
    for n, image in enumerate(images["fake"]):
        big = Image.fromarray(image.permute(1, 2, 0).numpy()).resize((128, 128))
        big.save(tmp_path / f"{n}.png")
    got = [mini(tmp_path, ["vendi"], resize=r) for r in ("center_pil_lanczos", "center_pil_box")]
    assert values(got[0]) != values(got[1])


WRONG = {
    "float": (lambda x: x.float(), "dtype torch.float32; give uint8"),
    "three axes": (lambda x: x[0], "give [n, 3, h, w] or [n, h, w, 3]"),
    "grey": (lambda x: x[:, :1], "give [n, 3, h, w]"),
    "another size": (lambda x: x[..., :32, :32], "32 x 32 pixels, and the suite scores 64 x 64"),
    "no such folder": (lambda x: "no/such/folder", "fake: .*is not a folder"),
    "no such file": (lambda x: ["no.png"], "files that are not there: no.png"),
    "no file": (lambda x: [], "names no image"),
    "one image": (lambda x: x[:1], "scores 2 images and fake holds 1"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_cannot_be_scored_is_refused(images, name):
    change, message = WRONG[name]
    with pytest.raises(ValueError, match=message.replace("[", r"\[").replace("(", r"\(")):
        mini(change(images["fake"]), ["vendi"])


def test_unknown_names_are_refused_with_what_there_is(images):
    with pytest.raises(ValueError, match="metrics=fdd: protocol=ours has fd, kid"):
        mini(images["fake"], ["fdd"])
    with pytest.raises(ValueError, match="suite"):
        fsig_bench.score(images["fake"], suite="papers")
    with pytest.raises(ValueError, match=r"cdc2021 scores 5000 images and fake holds 24"):
        mini(images["fake"], ["fd"], protocol="cdc2021")


def test_a_metric_outside_the_protocol_can_be_named(images):
    got = mini(images["fake"], ["kid_subsets"], reference=images["reference"])
    assert list(got) == ["kid_subsets"] and got["kid_subsets"]["value"] is not None


def test_only_the_networks_of_the_chosen_metrics_are_asked_for(images, monkeypatch, tmp_path):
    """On the paper suite, whose files are not here and cannot be fetched."""
    monkeypatch.setenv("FSIG_BENCH_CACHE", str(tmp_path / "cache"))
    big = torch.zeros(4, 3, 256, 256, dtype=torch.uint8)
    offline = [f"suite.{part}.weights.url=null" for part in ("extractor", "perceptual")]
    given = {"reference": big, "shots": big[:2], "overrides": offline}
    big = big + torch.arange(4, dtype=torch.uint8)[:, None, None, None]
    given |= {"reference": big + 10, "shots": big[:2]}
    with pytest.raises(FileNotFoundError, match=r"^fd, kid: .*inception.*91.*MiB") as caught:
        fsig_bench.score(big, metrics=["fd", "kid"], **given)
    assert "vgg" not in str(caught.value) and "metrics=NAME" in str(caught.value)
    with pytest.raises(FileNotFoundError, match=r"^intra_lpips: .*vgg16.*528 MiB"):
        fsig_bench.score(big, metrics=["intra_lpips"], **given)
    factors = fsig_bench.score(big, metrics=["source_leakage"], **{**given, "shots": None})
    assert "needs the shots" in factors["source_leakage"]["reason"]
    assert not (tmp_path / "cache").exists()


class Traced:
    """A network that notes which one of the two it is when it computes."""

    def __init__(self, inner, name, used):
        self._inner, self._name, self._used = inner, name, used

    def __getattr__(self, key):
        if key in ("features", "read", "perceive", "trunk"):
            self._used.add(self._name)
        return getattr(self._inner, key)


@pytest.mark.parametrize("name", METRICS)
def test_a_metric_declares_the_networks_and_images_that_it_uses(images, name):
    cfg = composed(
        "method=copy", "dataset=babies", f"+metric@protocol.metrics.x={name}", "device=cpu"
    )
    spec = OmegaConf.to_container(cfg.protocol, resolve=True)
    reader = instantiate(spec["features"], _convert_="all")
    used = set()
    evidence = Evidence(
        shots=images["shots"],
        fake=images["fake"],
        real=images["reference"],
        extractor=Traced(reader, "features", used),
        perceptual=Traced(reader, "perceptual", used),
        seed=0,
        batch_size=50,
        source_domain="adults",
    )
    node = {key: value for key, value in spec["metrics"]["x"].items() if key != "card"}
    metric = instantiate(node, _convert_="all")
    metric(evidence)
    assert used == metric.needs & {"features", "perceptual"}
    if not metric.needs & {"shots", "two shots"}:
        alone = instantiate(node, _convert_="all")
        evidence.shots = images["shots"][:0]
        evidence._memo.clear()
        assert alone(evidence)["value"] is not None


def test_the_given_arrays_stay_as_they_are(images):
    given = images["fake"].permute(0, 2, 3, 1).numpy()
    before = hashlib.sha256(given.tobytes()).digest()
    mini(given, ["vendi"])
    assert hashlib.sha256(given.tobytes()).digest() == before and given.dtype == np.uint8


def test_the_command_prints_and_writes_the_same_numbers(images, folders, tmp_path, capsys):
    from fsig_bench.runner.score_files import main

    words = [f"{role}={folder}" for role, folder in folders.items()]
    out = tmp_path / "values.json"
    assert main([*words, "suite=mini", "metrics=fd,kid", f"out={out}", "seed=1"]) == 0
    given = {"reference": images["reference"], "shots": images["shots"]}
    expected = mini(images["fake"], ["fd", "kid"], **given, seed=1)
    assert json.loads(out.read_text()) == expected
    assert f"{expected['fd']['value']:.2f}" in capsys.readouterr().out
    main([f"fake={folders['fake']}", "suite=mini", "metrics=[fd]"])
    assert "needs a reference" in capsys.readouterr().out


@pytest.mark.parametrize(
    "words, message",
    [
        (["reference=x"], "give the samples"),
        (["fake=x", "refrence=y"], "Did you mean reference"),
        (["samples"], "write fake=samples"),
        (["fake=x", "method=crdi"], "score knows no method="),
        (["fake=x", "seed=a"], "seed=a: give a whole number"),
        (["fake=x", "device=gpu"], "device=gpu: choose auto, cpu"),
        (["fake=x", "batch_size=0"], "batch_size=0: give a whole number of at least 1"),
        (["fake=x", "suite=mini", "~protocol.metrics.kid"], "fake: x is not a folder"),
        (["fake=x", "metrics=", "suite=mini"], "names no metric"),
        (["fake=x", "suite=mini"], "fake: x is not a folder"),
        (["fake=x", "reference=y", "protocol=cdc2021"], "protocol=cdc2021 holds the shots beside"),
    ],
)
def test_words_that_the_command_cannot_take_are_refused(words, message):
    from fsig_bench.runner.score_files import main

    with pytest.raises(ValueError, match=message):
        main(words)
