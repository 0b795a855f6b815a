"""The contract: what every conf/method/*.yaml must keep."""

import inspect
from dataclasses import fields, is_dataclass

import pytest
import torch
from helpers import build, make_cell
from PIL import Image
from small_methods import METHODS, SMALL

from fsig_bench.api.images import to_float
from fsig_bench.api.types import NoProgress
from fsig_bench.faceworld.render import render
from fsig_bench.store.store import Store


@pytest.fixture(scope="module", autouse=True)
def made_elsewhere(tmp_path_factory):
    """A folder for `from_folder`."""
    folder = tmp_path_factory.mktemp("made_elsewhere")
    for n, image in enumerate(render("babies", "fresh", range(12))[0]):
        Image.fromarray(image.permute(1, 2, 0).numpy()).save(folder / f"{n}.png")
    SMALL["from_folder"] = [f"method.images.files={folder}", "num_images=12"]


def cell_of(name, *overrides):
    return make_cell(f"method={name}", "dataset=babies", *overrides, *SMALL.get(name, []))


def adapted(name, k, seed=3, progress=None):
    cell = cell_of(name, f"k={k}", f"seed={seed}")
    method = build(cell)
    shots = to_float(cell.dataset.shots(k, 0))
    return method, method.adapt(shots, seed=seed, progress=progress or NoProgress()), shots


@pytest.mark.parametrize("name", METHODS)
class TestContract:
    def test_values_stand_in_the_yaml_only(self, name):
        method = build(cell_of(name))
        assert is_dataclass(method)
        assert all(
            p.kind is p.KEYWORD_ONLY for p in inspect.signature(type(method)).parameters.values()
        )
        assert all(
            p.default is p.empty for p in inspect.signature(type(method)).parameters.values()
        )
        with pytest.raises(AttributeError):
            setattr(method, fields(method)[0].name if fields(method) else "x", 1)

    def test_adapting_takes_the_shots_and_nothing_of_the_reference(self, name):
        method = build(cell_of(name))
        assert set(inspect.signature(method.adapt).parameters) == {"shots", "seed", "progress"}
        assert set(inspect.signature(method.sampler).parameters) == {"state"}

    @pytest.mark.parametrize("k", [1, 5])
    def test_images_are_in_shape_and_range_for_any_k(self, name, k):
        method, state, shots = adapted(name, k)
        images = method.sampler(state)([0, 4])
        assert images.shape == (2, *shots.shape[1:]) and images.dtype == torch.float32
        assert images.device.type == "cpu"
        assert torch.isfinite(images).all() and images.abs().max() <= 1

    def test_image_i_depends_on_seed_and_i_only(self, name):
        method, state, _ = adapted(name, 3)
        draw = method.sampler(state)
        many = draw([11, 3, 7])
        torch.testing.assert_close(many[1:2], draw([3]), rtol=0, atol=1e-3)
        assert torch.equal(many, method.sampler(state)([11, 3, 7]))
        assert not torch.allclose(many[0], many[1], atol=0.02)

    def test_the_state_survives_the_store(self, name, tmp_path):
        method, state, _ = adapted(name, 2)
        store = Store(tmp_path)
        store.save_state("a" * 20, state, 0.0)
        again = store.load_state("a" * 20)[0]
        assert torch.equal(method.sampler(state)([1]), method.sampler(again)([1]))

    def test_a_killed_adaptation_continues_to_the_same_state(self, name):
        class Killed(Exception):
            pass

        class Kept(NoProgress):
            done, tensors, left = 0, {}, 2

            def save(self, done, tensors):
                # Copied, as a file would be: methods go on to change their tensors in place.
                self.done, self.tensors = done, {k: v.clone() for k, v in tensors.items()}
                self.left -= 1
                if self.left == 0:
                    raise Killed

            def load(self):
                return self.done, {k: v.clone() for k, v in self.tensors.items()}

        kept = Kept()
        try:
            adapted(name, 2, progress=kept)
        except Killed:
            assert kept.done > 0
        again, whole = adapted(name, 2, progress=kept)[1], adapted(name, 2)[1]
        assert set(again.tensors) == set(whole.tensors)
        for key, tensor in whole.tensors.items():
            assert torch.equal(again.tensors[key], tensor), key
        assert again.nfe_adapt == whole.nfe_adapt

    def test_adapting_twice_gives_the_same_state(self, name):
        first, second = (adapted(name, 2)[1] for _ in range(2))
        assert set(first.tensors) == set(second.tensors)
        for key, tensor in first.tensors.items():
            assert torch.equal(tensor, second.tensors[key])
        assert first.nfe_adapt == second.nfe_adapt >= 0
