"""A renderer for methods: the shots of any domain, and the source domain without its reference."""

import fsig_bench.faceworld.images
import fsig_bench.faceworld.render

ALLOWED = {"fresh", "shots", "held_out", "train"}  # splits of the renderer besides the reference


def bar_targets(monkeypatch):
    """From now on in this test, drawing anything else raises AssertionError."""
    for module in (fsig_bench.faceworld.render, fsig_bench.faceworld.images):
        draw = module.render

        def render(domain, split, indices, draw=draw):
            allowed = split in ALLOWED and (domain == "adults" or split == "shots")
            assert allowed, f"target images beyond the shots: {split} of {domain}"
            return draw(domain, split, indices)

        monkeypatch.setattr(module, "render", render)
