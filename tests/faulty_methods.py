"""A small method that keeps every promise, and the same method with one fault each."""

from dataclasses import dataclass, replace

import numpy as np
import torch
from PIL import Image

from fsig_bench.api import ImageGenerators, State, generator
from fsig_bench.faceworld.dataset import FaceworldDataset
from fsig_bench.faceworld.render import render

MEMORY = {}


@dataclass(frozen=True, kw_only=True)
class Sound:
    """A running mean of shots picked at random, and noise around it."""

    steps: int

    nfe_per_image = 0.0

    def adapt(self, shots, *, seed, progress):
        done, kept = progress.load()
        mean = kept["mean"] if done else torch.zeros_like(shots[0])
        return self.train(shots, seed, progress, done, mean)

    def train(self, shots, seed, progress, done, mean):
        for step in range(done, self.steps):
            pick = torch.randint(len(shots), (1,), generator=generator(seed, "sound", step))
            mean = 0.5 * mean + 0.5 * shots[int(pick)]
            progress.report(step + 1, self.steps)
            progress.save(step + 1, {"mean": mean})
        return State(tensors={"mean": mean}, seed=seed, trained_params=3, nfe_adapt=0)

    def sampler(self, state, *, draw):
        mean = state.tensors["mean"]

        def images_at(indices):
            noise = ImageGenerators(draw, indices, "sound").randn(*mean.shape)
            return (mean + 0.1 * noise).clamp(-1, 1)

        return images_at


class IgnoresTheDraw(Sound):
    def sampler(self, state, *, draw):
        return super().sampler(state, draw=state.seed)


class IgnoresTheSeed(Sound):
    def adapt(self, shots, *, seed, progress):
        return super().adapt(shots, seed=0, progress=progress)


class ImageDependsOnTheBatch(Sound):
    def sampler(self, state, *, draw):
        draw = super().sampler(state, draw=draw)

        def normalised(indices):
            images = draw(indices)
            return (images - 0.5 * images.mean(0)).clamp(-1, 1)

        return normalised


class AnotherImageInEveryCall(Sound):
    def sampler(self, state, *, draw):
        draw, calls = super().sampler(state, draw=draw), []

        def counted(indices):
            calls.append(0)
            return draw([i + 100 * len(calls) for i in indices])

        return counted


class RestartsAtZero(Sound):
    def adapt(self, shots, *, seed, progress):
        progress.load()
        return self.train(shots, seed, progress, 0, torch.zeros_like(shots[0]))


class NeverLoads(Sound):
    def adapt(self, shots, *, seed, progress):
        return self.train(shots, seed, progress, 0, torch.zeros_like(shots[0]))


class ForgetsWhatItLearnt(Sound):
    def adapt(self, shots, *, seed, progress):
        done, _ = progress.load()
        return self.train(shots, seed, progress, done, torch.zeros_like(shots[0]))


class OpensTheReference(Sound):
    def adapt(self, shots, *, seed, progress):
        named = {"name": "babies", "domain": "babies", "source_domain": "adults"}
        FaceworldDataset(n_ref=100, **named).reference_at([0])
        return super().adapt(shots, seed=seed, progress=progress)


class LooksWhileSampling(Sound):
    def sampler(self, state, *, draw):
        draw = super().sampler(state, draw=draw)

        def looking(indices):
            try:
                render("babies", "fresh", [0])
            except Exception:
                print("nobody notices")
            return draw(indices)

        return looking


class DrawsFromTorch(Sound):
    def adapt(self, shots, *, seed, progress):
        state = super().adapt(shots, seed=seed, progress=progress)
        return replace(state, tensors={"mean": state.tensors["mean"] * torch.rand(1)})


class DrawsFromNumpy(Sound):
    def sampler(self, state, *, draw):
        draw = super().sampler(state, draw=draw)

        def scaled(indices):
            return draw(indices) * float(np.random.rand())

        return scaled


class SeedsTorch(Sound):
    def adapt(self, shots, *, seed, progress):
        torch.manual_seed(seed)
        return super().adapt(shots, seed=seed, progress=progress)


class ChangesTheShots(Sound):
    def adapt(self, shots, *, seed, progress):
        return super().adapt(shots.mul_(0.5), seed=seed, progress=progress)


@dataclass(frozen=True, kw_only=True)
class HasADefault(Sound):
    strength: float = 0.5


@dataclass(kw_only=True)
class CanBeChanged:
    steps: int
    nfe_per_image = 0.0
    adapt, train, sampler = Sound.adapt, Sound.train, Sound.sampler


class TakesMore(Sound):
    def adapt(self, shots, *, seed, progress, reference=None):
        return super().adapt(shots, seed=seed, progress=progress)


class Wide(Sound):
    def sampler(self, state, *, draw):
        draw = super().sampler(state, draw=draw)
        return lambda indices: 3 * draw(indices)


class Double(Sound):
    def sampler(self, state, *, draw):
        draw = super().sampler(state, draw=draw)
        return lambda indices: draw(indices).double()


class OneImageForAll(Sound):
    def sampler(self, state, *, draw):
        draw = super().sampler(state, draw=draw)
        return lambda indices: draw([0 for _ in indices])


class RemembersOnItself(Sound):
    def adapt(self, shots, *, seed, progress):
        state = super().adapt(shots, seed=seed, progress=progress)
        object.__setattr__(self, "_mean", state.tensors["mean"])
        return replace(state, tensors={})

    def sampler(self, state, *, draw):
        return super().sampler(replace(state, tensors={"mean": self._mean}), draw=draw)


class RemembersInItsModule(Sound):
    def adapt(self, shots, *, seed, progress):
        state = super().adapt(shots, seed=seed, progress=progress)
        MEMORY["mean"] = state.tensors["mean"]
        return replace(state, tensors={})

    def sampler(self, state, *, draw):
        return super().sampler(replace(state, tensors=dict(MEMORY)), draw=draw)


@dataclass(frozen=True, kw_only=True)
class KnowsTheTarget(Sound):
    domain: str


class NeedsTwoShots(Sound):
    def adapt(self, shots, *, seed, progress):
        if len(shots) < 2:
            raise ValueError("two shots are needed to blend")
        return super().adapt(shots, seed=seed, progress=progress)


class Raises(Sound):
    def adapt(self, shots, *, seed, progress):
        return shots.nothing


@dataclass(frozen=True, kw_only=True)
class ReadsAFile(Sound):
    file: str

    def adapt(self, shots, *, seed, progress):
        Image.open(self.file).load()
        return super().adapt(shots, seed=seed, progress=progress)
