"""CRDI's repository: sampling, its evaluator's Intra-LPIPS, and how it reads shots."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import numpy as np
import torch
from parity.adm import SMALL, Source, official_network, our_network
from parity.lpips_pair import evidence, our_lpips, random_trunk, small_resize
from parity.rows import Row, compare
from parity.stand_in import Replay, doubles, on_cpu, pictures, without
from PIL import Image
from torch import Tensor

from baselines.crdi import CRDI
from baselines.crdi.objective import noise_for, shot_of
from fsig_bench.api import ImageGenerators, State
from fsig_bench.data.reading import read_images
from fsig_bench.metrics.intra_lpips import IntraLPIPS

SIDE, SEED, DRAW = SMALL.image_size, 5, 9
SETTINGS: dict[str, dict[str, Any]] = {
    "main.sh": {},
    "logged run": {"sample": {"anneal_scale": 0.0}},
    "YAML": {
        "segments": 1,
        "t_end": 15,
        "sample": {"start": "same_noise", "anneal_scale": 0.2},
    },
    "four segments": {"segments": 4},
    "one shot": {"shots": 1},
}


def sampled(build: Callable[..., CRDI], words: Callable[..., list[str]]) -> Iterator[Row]:
    """The official evaluation's `main()` up to its images, its random draws replaced by ours."""
    on_cpu()
    without("lightning.fabric.strategies.ddp")
    with doubles():
        gaps = {name: images(build, words, **case) for name, case in SETTINGS.items()}
    note = "upstream's draws are replaced by ours"
    yield compare(f"samples, {len(gaps)} settings, fp64", gaps, most=1e-11, note=note)


class TorchOf:
    """torch as the script alone sees it: `ddim_sample` draws too, and multiplies it by zero."""

    def __init__(self, randn_like: Replay) -> None:
        self.randn_like = randn_like

    def __getattr__(self, name: str) -> Any:
        return getattr(torch, name)


def images(
    build: Callable[..., CRDI],
    words: Callable[..., list[str]],
    *,
    shots: int = 2,
    **changes: Any,
) -> tuple[Tensor, Tensor]:
    """(official, our) samples in [-1, 1], two passes over the shots."""
    import fs_gradient_evaluate as script
    from guided_diffusion.guided_diffusion import script_util

    official = official_network(script_util, SMALL, 3)
    torch.save(official.state_dict(), "model.pt")
    method = build(Source(unet=our_network(official, SMALL), resolution=SIDE), **changes)
    unit = pictures(shots, SIDE, 1).double() / 255
    sge = torch.randn(shots, len(method.windows), 3, SIDE, SIDE)
    torch.save({"_params": sge}, "sge.pt")
    state = State(
        tensors={"sge": sge, "shots": 2 * unit - 1}, seed=SEED, trained_params=0, nfe_adapt=0
    )
    count = 2 * shots
    ours = method.sampler(state, draw=DRAW)(range(count))

    starts, orders, noises = draws_of(method, state, count)
    replays = [Replay(starts), Replay(orders), Replay(noises)]

    def network(args: Any, device: Any) -> Any:
        net, diffusion = get_network(args, device)
        net.dtype = torch.get_default_dtype()
        return net, diffusion

    def embeddings(num_images: int, num_gradient: int) -> torch.nn.Module:
        return config(num_images, num_gradient, SIDE)

    get_network, config = script.get_model_and_diffusion, script.GradientConfig
    line = words(
        script,
        t_start=method.t_start, t_end=method.t_end, num_gradient=method.segments,
        anneal_ptb=method.sample.anneal_scale > 0, anneal_scale=method.sample.anneal_scale,
        random_q_noise=method.sample.start == "noised_shot", num_samples=shots,
        batch_size=shots, num_evaluate=count, model_path="model.pt",
        experiment_gradient_path="sge.pt",
    )  # fmt: skip
    with (
        mock.patch.object(script, "get_model_and_diffusion", network),
        mock.patch.object(script, "GradientConfig", embeddings),
        mock.patch.object(script, "Evaluator", mock.MagicMock()),
        mock.patch.object(script, "get_dataloader", lambda args: [(unit, torch.arange(shots))]),
        mock.patch.object(script, "q_sample_noise", replays[0]),
        mock.patch("torch.randperm", replays[1]),
        mock.patch.object(script, "torch", TorchOf(replays[2])),
        mock.patch("sys.argv", line),
    ):
        script.main()
    for replay in replays:
        replay.check_used_up()
    return torch.from_numpy(np.load("arr.npy")) * 2 - 1, ours


def draws_of(method: CRDI, state: State, count: int) -> tuple[list, list, list]:
    """Our draws in upstream's order: first noises, orders of the embeddings, perturbations."""
    shots = state.tensors["shots"]
    k, starts, orders, noises = len(shots), [], [], []
    for start in range(0, count, k):
        rows: Sequence[int] = range(start, start + k)
        random = ImageGenerators(DRAW, rows, "crdi", "sample")
        if method.sample.start == "same_noise":
            starts.append(noise_for(shots, state.seed, "fixed"))
        else:
            starts.append(random.randn(*shots.shape[1:]))
        for i in range(method.t_end - 1, method.t_start - 1, -1):
            pick = [shot_of(method.sample.pick, DRAW, n, i, k) for n in rows]
            orders.append(torch.tensor(pick))
            if method.sample.anneal_scale > 0:
                noises.append(random.randn(*shots.shape[1:]))
    return starts, orders, noises


def written(images: Tensor, folder: str) -> list[str]:
    """The images as PNG files."""
    Path(folder).mkdir(exist_ok=True)
    files = [f"{folder}/{n}.png" for n in range(len(images))]
    for file, image in zip(files, images.permute(0, 2, 3, 1).numpy(), strict=True):
        Image.fromarray(image).save(file)
    return files


def intra_lpips() -> Iterator[Row]:
    on_cpu()
    from src.fs_gradients import evaluation

    shots, fake = pictures(10, 32, 1), pictures(18, 32, 2)
    Path("shots.csv").write_text("\n".join(written(shots, "shots")) + "\n")
    args = SimpleNamespace(csv_file="shots.csv", normalization=True)
    with random_trunk("vgg") as trunk, small_resize(evaluation.transforms, 32):
        official = evaluation.Evaluator(args, fake.float() / 255, "", 3).calc_intra_lpips()
    rule = IntraLPIPS(
        protocol="crdi", max_assigned=None, cluster_size=3, pick="first", empty="zero",
        fake_range="unit", compare="pairs",
    )  # fmt: skip
    found = rule(evidence(fake, shots, our_lpips("vgg", trunk)))
    assert max(found["cluster_sizes"]) > 3 and found["empty_clusters"], found
    note = "a random VGG trunk; upstream's resize gives 32 px in place of 256"
    pair = (official, found["value"])
    yield compare("Intra-LPIPS of CRDI's evaluator", pair, most=1e-8, note=note)


def readings() -> Iterator[Row]:
    """The transform of the official loader on photograph-like files of several sizes."""
    without("lightning.fabric.strategies.ddp")
    import fs_gradient_train as script

    files, alpha = [], []
    for n, (width, height) in enumerate([(300, 200), (257, 511), (1024, 1024), (100, 90)]):
        image = pictures(1, max(width, height), n)[0, :, :height, :width]
        pixels = image.permute(1, 2, 0).contiguous().numpy()
        files.append(f"{n}.png")
        Image.fromarray(pixels).save(files[-1])
        veil = np.full((height, width, 1), 255, np.uint8)
        veil[: height // 2] = 128
        alpha.append(f"{n}-alpha.png")
        Image.fromarray(np.concatenate([pixels, veil], 2)).save(alpha[-1])

    def read(paths: list[str]) -> tuple[Tensor, Tensor]:
        Path("files.csv").write_text("\n".join(paths) + "\n")
        args = SimpleNamespace(csv_file="files.csv", batch_size=len(paths), num_workers=0)
        (batch,) = script.get_target_dataloader(args)
        ours = read_images([Path(p) for p in paths], resolution=256, resize="squash_pil_bilinear")
        return (batch[0] * 255).round(), ours

    yield compare("shots as read at 256 px, 8 bits", read(files), most=0)
    note = "meant: upstream drops transparency, we lay it on white"
    yield compare("files with transparency", read(alpha), least=10, most=255, note=note)
