import csv
import warnings

import numpy as np
import pytest
import torch
from PIL import Image

from fsig_bench.pictures.grid import labelled_rows, sample_grid
from fsig_bench.pictures.nearest import nearest_samples, visual_recall
from fsig_bench.pictures.reconstruction import reconstruction_panel
from fsig_bench.pictures.tsne import check_embedding, tsne_coordinates, tsne_figure


def size_of(path):
    with Image.open(path) as image:
        return image.size


def array_of(path):
    with Image.open(path) as image:
        return np.asarray(image)


def pictures(n, seed=0):
    g = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (n, 3, 16, 16), generator=g, dtype=torch.uint8)


def test_the_grid_holds_every_shot_and_sample(tmp_path):
    shots, samples = pictures(3), pictures(25, 1)
    sample_grid(tmp_path / "g.png", shots=shots, samples=samples, title="t", columns=10, scale=1)
    sheet = array_of(tmp_path / "g.png")
    assert sheet.shape[1] == 2 * 20 + 10 * 20 - 4
    windows = np.lib.stride_tricks.sliding_window_view(sheet, (16, 16, 3))[:, :, 0]
    corners = windows[:, 20 : 20 + 10 * 20 : 20][:, :, 0, 0].reshape(-1, 3)
    for image in (*shots, samples[0], samples[-1]):
        corner = image[:, 0, 0].numpy()
        assert (corners == corner).all(1).any()


def test_rows_are_labelled_and_wide_enough(tmp_path):
    rows = [("a", pictures(4)), ("b", pictures(2))]
    labelled_rows(tmp_path / "r.png", rows, title="rows", scale=2)
    assert size_of(tmp_path / "r.png")[0] == 2 * 20 + 120 + 4 * 36 - 4


def test_tsne_is_joint_repeatable_and_separates_what_is_apart(tmp_path):
    rng = np.random.default_rng(0)
    features = {
        "source": rng.normal(0, 1, (40, 20)).astype(np.float32),
        "target": rng.normal(8, 1, (300, 20)).astype(np.float32),
        "shots": rng.normal(8, 1, (5, 20)).astype(np.float32),
    }
    first = tsne_coordinates(features, seed=1, limit=60)
    again = tsne_coordinates(features, seed=1, limit=60)
    assert {k: v.xy.shape for k, v in first.items()} == {
        "source": (40, 2),
        "target": (60, 2),
        "shots": (5, 2),
    }
    assert all(np.array_equal(first[k].xy, again[k].xy) for k in first)
    near = np.linalg.norm(first["shots"].xy.mean(0) - first["target"].xy.mean(0))
    far = np.linalg.norm(first["shots"].xy.mean(0) - first["source"].xy.mean(0))
    assert near < far
    tsne_figure(tmp_path / "t.png", first, title="t")
    assert size_of(tmp_path / "t.png") == (1024, 896)
    rows = list(csv.DictReader((tmp_path / "t.csv").read_text().splitlines()))
    assert len(rows) == 105 and {r["role"] for r in rows} == set(first)
    drawn = [int(r["index"]) for r in rows if r["role"] == "target"]
    assert drawn == first["target"].index.tolist() == sorted(set(drawn)) and max(drawn) > 60


def test_tsne_refuses_nan():
    bad = np.zeros((10, 4), dtype=np.float32)
    bad[0, 0] = np.nan
    with pytest.raises(ValueError, match="NaN"):
        tsne_coordinates({"target": bad}, seed=0, limit=10)


def test_the_panel_has_a_row_for_each_setting(tmp_path):
    shots = pictures(4)
    for rows in (1, 3):
        rebuilt = {f"eta = {r}": shots for r in range(rows)}
        errors = {label: [(30.0, 0.1)] * 4 for label in rebuilt}
        reconstruction_panel(
            tmp_path / f"{rows}.png", originals=shots, rebuilt=rebuilt, errors=errors
        )
    small, large = (size_of(tmp_path / f"{rows}.png") for rows in (1, 3))
    assert large[1] - small[1] == 2 * (16 * 8 + 4 + 20)
    assert small[0] == large[0] == 2 * 20 + 96 + 4 * (16 * 8 + 4) - 4


def test_visual_recall_shows_each_shots_nearest_samples_in_order(tmp_path):
    shots, fake = pictures(2), pictures(5, 1)
    distances = torch.tensor([[0.5, 0.9], [0.1, 0.8], [0.7, 0.2], [0.3, 0.6], [0.9, 0.4]])
    assert nearest_samples(distances, 3).tolist() == [[1, 3, 0], [2, 4, 3]]
    path = tmp_path / "n.png"
    visual_recall(path, shots=shots, fake=fake, distances=distances, title="t", count=3)
    sheet = array_of(path)

    def places(image):
        big = image.permute(1, 2, 0).numpy().repeat(2, 0).repeat(2, 1)
        windows = np.lib.stride_tricks.sliding_window_view(sheet, big.shape)[:, :, 0]
        return [tuple(p) for p in np.argwhere((windows == big).all((2, 3, 4)))]

    rows = [[places(shots[0]), *(places(fake[j]) for j in (1, 3, 0))]]
    rows += [[places(shots[1]), *(places(fake[j]) for j in (2, 4, 3))]]
    for row, other in ((0, 1), (1, 0)):
        top = rows[row][0][0][0]
        columns = [next(p[1] for p in cell if p[0] == top) for cell in rows[row]]
        assert columns == sorted(columns) and top != rows[other][0][0][0]
    assert not [p for j in range(5) for p in places(fake[j]) if p[1] < rows[0][0][0][1]]


@pytest.mark.parametrize("kind", ["pca", "umap"])
def test_other_embeddings_are_joint_too(kind, tmp_path):
    if kind == "umap":
        pytest.importorskip("umap", reason="umap-learn is not installed (extra `umap`)")
    rng = np.random.default_rng(0)
    x = rng.normal(size=(40, 8)).astype(np.float32)
    features = {"target": x, "generated": x + np.float32(30), "shots": x[:3]}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # umap-learn warns of its own dependencies
        found = tsne_coordinates(features, seed=0, limit=40, kind=kind)
    assert {r: p.xy.shape for r, p in found.items()} == {
        "target": (40, 2),
        "generated": (40, 2),
        "shots": (3, 2),
    }
    middle = {role: points.xy.mean(0) for role, points in found.items()}
    near = np.linalg.norm(middle["shots"] - middle["target"])
    assert near < np.linalg.norm(middle["generated"] - middle["target"]) / 2
    tsne_figure(tmp_path / "t.png", found, title="t", kind=kind)
    assert (tmp_path / "t.png").stat().st_size > 1000


def test_an_unknown_embedding_or_a_missing_package_is_said(monkeypatch):
    with pytest.raises(ValueError, match="choose one of tsne, pca, umap"):
        check_embedding("mds")
    monkeypatch.setattr("fsig_bench.pictures.tsne.find_spec", lambda name: None)
    with pytest.raises(ValueError, match="needs umap-learn"):
        check_embedding("umap")


def test_a_long_label_stays_left_of_its_images(tmp_path):
    label = "a method with a name that is long"
    labelled_rows(tmp_path / "r.png", [(label, pictures(2) * 0), ("b", pictures(2))], title="")
    with Image.open(tmp_path / "r.png") as picture:
        row = np.asarray(picture.convert("L"))[20 : 20 + 32, :, ...]
    first = int(np.flatnonzero(row[0] == 0)[0])  # the first pixel of the black images
    assert first > 200 and (row[:, first - 8 : first] == 255).all()
