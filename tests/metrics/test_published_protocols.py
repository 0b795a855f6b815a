"""The published protocols: every field does what it says, on folders small enough to check."""

from itertools import takewhile

import numpy as np
import pytest
import torch
from helpers import ROOT, cli, composed, make_cell
from omegaconf import OmegaConf
from PIL import Image

from fsig_bench.data.native import NativeImages
from fsig_bench.metrics.base import Evidence
from fsig_bench.metrics.frechet import frechet_distance
from fsig_bench.metrics.kernel import KIDSubsets
from fsig_bench.networks.random_trunk import RandomTrunk
from fsig_bench.runner.resolve import protocol_settings
from fsig_bench.runner.run import run
from fsig_bench.runner.score import build_metrics, own_evidence
from fsig_bench.runner.score_files import network_users
from fsig_bench.store.store import Store

PUBLISHED = ("cdc2021", "crdi2024", "adam2022", "rsimle2024", "lowshot100", "unidad2025")
TRUNK = RandomTrunk(seed=0, width=16)
NETWORKS = [f"network@protocol.{role}=random_trunk" for role in ("features", "perceptual")]
OWN = {"adam2022": ("kid",), "rsimle2024": ("precision", "recall")}
OWN["lowshot100"] = OWN["rsimle2024"]


OTHER = "+network@protocol.networks.vendi=random_trunk"


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Four shots and a full set that holds them, at 96 and 160 px; samples are 64 px."""
    root = tmp_path_factory.mktemp("photos")
    g = np.random.default_rng(0)
    for n in range(12):
        side = 96 if n < 6 else 160
        coarse = g.integers(0, 256, (8, 8, 3), dtype=np.uint8)
        picture = Image.fromarray(coarse).resize((side, side), Image.Resampling.BICUBIC)
        noise = g.integers(-40, 40, (side, side, 3))
        pixels = (np.asarray(picture) + noise).clip(0, 255).astype(np.uint8)
        for folder in ("shots", "all") if n < 4 else ("all",):
            (root / folder).mkdir(exist_ok=True)
            Image.fromarray(pixels).save(root / folder / f"{n:02d}.png")
    return root


def cell_of(photos, *words):
    folders = [f"dataset.path={photos / 'shots'}", f"dataset.reference={photos / 'all'}"]
    fixed = ["method=copy", "dataset=folder", *folders, "k=4", "device=cpu", "controls=[]"]
    fixed += ["figures.embedding=pca", "figures.tsne_points=12"]
    (protocol,) = (word.removeprefix("protocol=") for word in words if "protocol=" in word)
    own = [f"network@protocol.networks.{m}=random_trunk" for m in OWN.get(protocol, ())]
    networks = [] if protocol == "ours" else [*NETWORKS, *own]
    return make_cell(*fixed, *networks, *words)


def opened(folder, names, side=None, resample=None):
    out = []
    for name in names:
        picture = Image.open(folder / name)
        picture = picture.resize((side, side), resample) if side else picture
        out.append(torch.from_numpy(np.asarray(picture).copy()).permute(2, 0, 1))
    return out


@pytest.fixture(scope="module")
def fd_of(photos, tmp_path_factory):
    """The record under some words; two tests that ask for the same one share it."""
    store = Store(tmp_path_factory.mktemp("results"))

    def made(*words):
        return run(cell_of(photos, "num_images=40", "protocol.samples=30", *words), store)[0]

    return made


@pytest.mark.parametrize(
    ("protocol", "names", "side", "resample"),
    [
        ("cdc2021", range(12), None, None),
        ("crdi2024", range(12), 64, Image.Resampling.BILINEAR),
        ("adam2022", range(12), 64, Image.Resampling.LANCZOS),
        ("rsimle2024", range(4), None, None),
        ("lowshot100", range(4), None, None),
        ("unidad2025", range(12), 64, Image.Resampling.BILINEAR),
    ],
)
def test_the_distance_is_to_the_stated_reference_read_as_stated(
    protocol, names, side, resample, photos, fd_of
):
    record = fd_of(f"protocol={protocol}")
    files = [f"{n:02d}.png" for n in names]
    reference = opened(photos / "all", files, side, resample)
    real = torch.cat([TRUNK.features(image[None]) for image in reference])
    shots = cell_of(photos, "num_images=40", "protocol=ours").dataset.shots(4, 0)
    fake = TRUNK.features(torch.stack([shots[i % 4] for i in range(30)]))
    expected = frechet_distance(real=real, fake=fake)
    assert record["metrics"]["fd"]["value"] == pytest.approx(expected, rel=1e-4)
    assert record["metrics"]["fd"]["n_real"] == len(files)
    assert record["metrics"]["fd"]["n_fake"] == 30
    assert record["protocol"] == protocol


def test_the_published_distances_differ_on_one_set_of_samples(fd_of):
    values = [
        fd_of(f"protocol={p}")["metrics"]["fd"]["value"]
        for p in ("cdc2021", "crdi2024", "adam2022", "rsimle2024")
    ]
    for i, a in enumerate(values):
        assert all(abs(a - b) > 0.01 * abs(a) for b in values[i + 1 :])


def test_a_metric_may_have_a_network_of_its_own(photos, tmp_path):
    """AdAM's KID: another scaling than its FID's, so another network."""
    wide = "protocol.networks.kid.width=24"
    cell = cell_of(photos, "protocol=adam2022", "num_images=30", "protocol.samples=30", wide)
    record, _ = run(cell, Store(tmp_path / "results"))
    shots = cell.dataset.shots(4, 0)
    fake = torch.stack([shots[i % 4] for i in range(30)])
    files = [f"{n:02d}.png" for n in range(12)]
    real = torch.stack(opened(photos / "all", files, 64, Image.Resampling.LANCZOS))
    size = {"subset_size": 12, "subsets": 100, "max_images": 2000, "degree": 3, "coef": 1.0}
    evidence = Evidence(
        shots=shots,
        fake=fake,
        real=real,
        extractor=RandomTrunk(seed=0, width=24),
        perceptual=None,
        seed=0,
        batch_size=50,
        source_domain=None,
    )
    expected = KIDSubsets(**size)(evidence)["value"]
    assert record["metrics"]["kid"]["value"] == pytest.approx(expected, rel=1e-4)
    evidence = evidence.with_extractor(TRUNK)
    assert abs(KIDSubsets(**size)(evidence)["value"] - expected) > 0.01 * abs(expected)
    plain = cell_of(photos, "protocol=adam2022", "num_images=30", "protocol.samples=30")
    assert plain.protocol_hash != cell.protocol_hash
    with pytest.raises(ValueError, match=r"networks.vendi: the protocol has no metric"):
        cell_of(photos, "protocol=adam2022", "num_images=5000", OTHER)


def test_adams_kid_and_rs_imles_precision_are_fed_as_their_code_feeds_them():
    adam, imle, low, uni = (
        composed("suite=paper", "method=copy", "dataset=babies", f"protocol={name}").protocol
        for name in ("adam2022", "rsimle2024", "lowshot100", "unidad2025")
    )
    assert (adam.features.scale, adam.networks.kid.scale) == ("torchvision_old_signed", "unit")
    for rules in (imle, low):
        assert rules.networks.precision == rules.networks.recall
        assert rules.networks.recall.name == "vgg16-fc2"
        for metric in (rules.metrics.precision, rules.metrics.recall):
            assert (metric.k, metric.ties) == (3, "outside")
    assert uni.metrics.intra_lpips.cluster_size == 100


def test_metrics_with_one_network_share_it_and_nothing_else_is_fetched_for_them(photos):
    cell = cell_of(photos, "protocol=rsimle2024", "num_images=20")
    evidence = Evidence(
        shots=cell.dataset.shots(4, 0),
        fake=cell.dataset.shots(4, 0),
        real=cell.dataset.shots(4, 0),
        extractor=TRUNK,
        perceptual=None,
        seed=0,
        batch_size=50,
        source_domain=None,
    )
    own = own_evidence(cell.protocol, evidence, "cpu")
    assert own["precision"] is own["recall"] is not evidence
    rules = composed("suite=paper", "method=copy", "dataset=babies", "protocol=rsimle2024").protocol
    settings = protocol_settings(OmegaConf.to_container(rules, resolve=True))
    metrics = build_metrics(settings.metrics)
    used = {spec["name"]: users for spec, users in network_users(settings, metrics)}
    assert used == {"inception-clean": ["fd"], "vgg16-fc2": ["precision", "recall"]}
    only = {name: metrics[name] for name in ("precision",)}
    assert [spec["name"] for spec, _ in network_users(settings, only)] == ["vgg16-fc2"]


def test_the_policy_of_scoring_is_part_of_the_rules(photos):
    cells = [
        cell_of(photos, "protocol=ours", "num_images=30", f"precision.score={policy}")
        for policy in ("fp32", "tf32")
    ]
    assert cells[0].protocol_hash != cells[1].protocol_hash
    assert cells[0].run_id != cells[1].run_id and cells[0].sample_key == cells[1].sample_key
    with pytest.raises(ValueError, match=r"score=bf16: choose one of fp32, torch_default, tf32"):
        cell_of(photos, "protocol=ours", "precision.score=bf16")


def test_a_metric_that_is_null_is_refused_before_any_work(photos):
    with pytest.raises(ValueError, match=r"metrics.kid=null is no metric; leave it out with ~prot"):
        cell_of(photos, "protocol=ours", "num_images=30", "protocol.metrics.kid=null")


def test_ours_leaves_the_shots_out_of_the_reference(photos, tmp_path):
    cell = cell_of(photos, "num_images=20", "protocol=ours")
    record, _ = run(cell, Store(tmp_path / "results"))
    assert record["metrics"]["fd"]["n_real"] == 8
    native = cell_of(photos, "num_images=20", "protocol=ours", "protocol.reference_read=native")
    assert native.run_id != cell.run_id and native.protocol_hash != cell.protocol_hash


@pytest.mark.parametrize(
    ("protocol", "words"),
    [
        ("adam2022", "precision and recall in VGG-16's fc2 with 3 neighbours"),
        ("cdc2021", "farthest.png"),
        ("crdi2024", "MC-SSIM"),
        ("lowshot100", "4,992 samples"),
        ("rsimle2024", "perceptual path length"),
        ("unidad2025", "(PRDC) with 5 neighbours"),
    ],
)
def test_a_header_says_what_of_the_published_code_is_left_out(protocol, words):
    lines = (ROOT / "conf" / "protocol" / f"{protocol}.yaml").read_text().splitlines()
    header = " ".join(x.removeprefix("# ") for x in takewhile(lambda x: x[:1] == "#", lines))
    assert words in header.partition("Left out: ")[2]


@pytest.mark.parametrize("protocol", PUBLISHED)
def test_every_field_is_stated_and_too_few_samples_are_refused(protocol, photos):
    cell = cell_of(photos, f"protocol={protocol}", "num_images=5000")
    rules = cell.protocol.spec
    fields = {"name", "version", "features", "perceptual", "reference", "reference_read"}
    fields |= {"samples", "checkpoint", "aggregation", "metrics"}
    assert set(rules) - {"networks"} == fields and rules["name"] == protocol
    assert tuple(rules.get("networks", {})) == OWN.get(protocol, ())
    wanted = cell.samples.num_scored
    assert wanted == (20 if protocol == "rsimle2024" else 5000)
    with pytest.raises(ValueError, match=rf"{protocol} scores {wanted} samples .*set num_images"):
        cell_of(photos, f"protocol={protocol}", f"num_images={wanted - 1}")
    with pytest.raises(ValueError, match=r"checkpoint=best_fid: choose one of fixed"):
        cell_of(photos, f"protocol={protocol}", "protocol.checkpoint=best_fid")
    with pytest.raises(ValueError, match=r"reference_read=big: choose one of dataset, native"):
        cell_of(photos, f"protocol={protocol}", "protocol.reference_read=big")


def test_more_samples_than_a_protocol_asks_change_nothing(photos, tmp_path):
    words = ["protocol=rsimle2024"]
    a = cell_of(photos, *words, "num_images=20")
    b = cell_of(photos, *words, "num_images=33")
    assert a.protocol_hash == b.protocol_hash
    store = Store(tmp_path / "results")
    one, two = run(a, store)[0], run(b, store)[0]
    assert one["metrics"] == two["metrics"] and one["pixels_sha256"] == two["pixels_sha256"]


@pytest.mark.parametrize("protocol", PUBLISHED)
def test_absent_weights_are_named_before_any_sampling(protocol, photos, tmp_path, monkeypatch):
    monkeypatch.setenv("FSIG_BENCH_CACHE", str(tmp_path))
    words = [f"protocol={protocol}", "num_images=5000"]
    folders = [f"dataset.path={photos / 'shots'}", f"dataset.reference={photos / 'all'}"]
    cell = make_cell("method=copy", "dataset=folder", *folders, "k=4", *words)
    networks = sorted(a.file for a in cell.assets)
    inception = dict.fromkeys(("cdc2021", "crdi2024", "unidad2025"), "pt_inception")
    inception["adam2022"] = "inception_v3"
    assert networks[0].startswith(inception.get(protocol, "inception-2015"))
    assert networks[-1] == "vgg16-397923af.pth"


def test_weights_of_others_stop_a_run_early_with_the_remedy(photos, tmp_path):
    words = ["method=copy", "dataset=folder", f"dataset.path={photos / 'shots'}", "k=4"]
    words += [f"dataset.reference={photos / 'all'}", "protocol=cdc2021", "num_images=5000"]
    words += ["protocol.features.weights.url=null", "controls=[]"]
    words += [f"results_dir={tmp_path / 'results'}"]
    done = cli(*words, check=False, env={"COLUMNS": "400", "FSIG_BENCH_CACHE": str(tmp_path)})
    assert done.returncode == 1
    for part in ("pt_inception-2015-12-05-6726825d.pth", "91 MiB", "Apache-2.0", "put it at"):
        assert part in done.stderr
    assert not (tmp_path / "results" / "store").exists()


def test_native_images_keep_their_order_and_size(photos):
    files = tuple(sorted((photos / "all").glob("*.png")))
    images = NativeImages(files=files)
    parts = list(images.batches(4))
    assert [tuple(p.shape) for p in parts] == [
        (4, 3, 96, 96),
        (2, 3, 96, 96),
        (4, 3, 160, 160),
        (2, 3, 160, 160),
    ]
    flat = [image for part in parts for image in part]
    assert all(
        torch.equal(a, b)
        for a, b in zip(flat, opened(photos / "all", [f.name for f in files]), strict=True)
    )
    assert len(images) == 12
    assert images.digest != NativeImages(files=files[::-1]).digest
