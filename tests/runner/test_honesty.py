"""Nothing may be chosen by what is reported: a method cannot reach the reference."""

import inspect

import pytest
import torch
from helpers import build, make_cell
from small_methods import METHODS, SMALL

import fsig_bench.faceworld.images
import fsig_bench.faceworld.render
from fsig_bench.api.images import to_float
from fsig_bench.api.types import NoProgress
from fsig_bench.faceworld.dataset import FaceworldDataset

ALLOWED = {"fresh", "shots", "held_out", "train"}  # splits of the renderer besides the reference


def words_of(name):
    return [f"method={name}", *(w for w in SMALL.get(name, []) if "files" not in w)]


def leaves(node):
    if isinstance(node, dict):
        return [v for below in node.values() for v in leaves(below)]
    return [v for below in node for v in leaves(below)] if isinstance(node, list) else [node]


@pytest.mark.parametrize("name", [m for m in METHODS if m not in ("real", "from_folder")])
class TestHonesty:
    def test_its_settings_do_not_name_the_target(self, name, tmp_path):
        """Whatever is handed to a method comes from its own node, which knows no target."""
        method = make_cell(*words_of(name), "dataset=babies").method.spec
        text = [str(v) for v in leaves({k: v for k, v in method.items() if k != "card"})]
        assert not [v for v in text if "babies" in v or v == "reference"]

    def test_it_adapts_and_samples_with_the_reference_out_of_reach(self, name, monkeypatch):
        """Every way to the reference raises, and the renderer refuses that split."""

        def barred(*words, **more):
            raise AssertionError("the reference was asked for")

        cell = make_cell(*words_of(name), "dataset=babies", "k=3")
        shots = to_float(cell.dataset.shots(3, 0))
        for way in ("reference_images", "reference_at", "reference_fingerprint"):
            monkeypatch.setattr(FaceworldDataset, way, barred)
        for module in (fsig_bench.faceworld.render, fsig_bench.faceworld.images):
            draw = module.render

            def render(domain, split, indices, draw=draw):
                assert split in ALLOWED and (domain == "adults" or split == "shots"), (
                    domain,
                    split,
                )
                return draw(domain, split, indices)

            monkeypatch.setattr(module, "render", render)
        method = build(cell)
        state = method.adapt(shots, seed=0, progress=NoProgress())
        assert torch.isfinite(method.sampler(state, draw=0)([0, 1])).all()

    def test_another_reference_changes_no_stage_of_it(self, name):
        some, other = (
            make_cell(*words_of(name), "dataset=babies", f"dataset.n_ref={n}") for n in (2500, 300)
        )
        assert (some.adapt_key, some.sample_key) == (other.adapt_key, other.sample_key)
        assert some.run_id != other.run_id


def test_the_guard_would_catch_a_cheat(monkeypatch):
    """The same barriers stop the control that is allowed to draw the target."""
    cell = make_cell("method=real", "dataset=babies", "k=3")
    module = fsig_bench.faceworld.images
    draw = module.render

    def render(domain, split, indices):
        assert domain == "adults" or split == "shots", "target images beyond the shots"
        return draw(domain, split, indices)

    monkeypatch.setattr(module, "render", render)
    method = build(cell)
    state = method.adapt(to_float(cell.dataset.shots(3, 0)), seed=0, progress=NoProgress())
    with pytest.raises(AssertionError, match="beyond the shots"):
        method.sampler(state, draw=0)([0])
    assert "reference" not in inspect.signature(method.adapt).parameters
