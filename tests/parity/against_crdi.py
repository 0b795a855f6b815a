"""CRDI's repository, with its copy of guided-diffusion: networks, schedules, steps, training."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import torch
import yaml
from parity import against_crdi_samples
from parity.adm import SMALL, VARIANTS, Source, official_flags, official_network, our_network
from parity.rows import Row, compare
from parity.stand_in import Replay, doubles, on_cpu, pictures, without
from torch import Tensor

from baselines.common.diffusion import Schedule, guided_step, linear_abar, respaced_timesteps
from baselines.crdi import CRDI, Sampling
from baselines.crdi.objective import noise_for
from fsig_bench.api.places import ROOT
from fsig_bench.api.types import NoProgress


def networks() -> Iterator[Row]:
    from guided_diffusion.guided_diffusion import script_util

    t = torch.tensor([0, 1, 40, 250, 500, 750, 960, 999])
    gaps: dict[str, Any] = {}
    with doubles(), torch.no_grad():
        for n, (name, flags) in enumerate(VARIANTS.items()):
            official = official_network(script_util, flags, n)
            x = torch.randn(len(t), 3, flags.image_size, flags.image_size)
            gaps[name] = (official(x, t), our_network(official, flags)(x, t))
    yield compare(f"ADM outputs, {len(gaps)} flag variants, 8 steps, fp64", gaps, most=1e-12)
    official = official_network(script_util, VARIANTS["as CRDI's"], 0)
    with torch.no_grad():
        x = torch.randn(len(t), 3, 32, 32)
        pair = (official(x, t), our_network(official, VARIANTS["as CRDI's"])(x, t))
    yield compare("ADM outputs, CRDI's flags, fp32", pair, most=2e-5)


def respacing() -> Iterator[Row]:
    from guided_diffusion.guided_diffusion import respace, script_util

    counts = range(2, 1001)
    steps = {
        str(n): (sorted(respace.space_timesteps(1000, str(n))), respaced_timesteps(n))
        for n in counts
    }
    yield compare("respaced steps, counts 2 to 1,000", steps, most=0)
    abar = {}
    for n in (10, 21, 25, 50, 100, 250, 1000):
        official = script_util.create_gaussian_diffusion(
            steps=1000, learn_sigma=True, timestep_respacing=str(n)
        )
        ours = Schedule.respaced(n, linear_abar())
        assert official.timestep_map == ours.t
        abar[f"{n} steps"] = (official.alphas_cumprod, ours.abar)
    yield compare("abar of respaced schedules", abar, most=1e-15)


def guided_steps() -> Iterator[Row]:
    """Every step of 25, under a network that is a function of x and t, with guidance."""
    from guided_diffusion.guided_diffusion import script_util

    official = script_util.create_gaussian_diffusion(
        steps=1000, learn_sigma=True, timestep_respacing="25"
    )
    schedule = Schedule.respaced(25, linear_abar())
    gaps = {}
    with doubles():
        guide = torch.randn(2, 3, 8, 8)

        def eps(x: Tensor, t: Tensor | int) -> Tensor:
            where = t.view(-1, 1, 1, 1) if isinstance(t, Tensor) else t
            return torch.sin(3 * x + where / 100)

        def network(x: Tensor, t: Tensor) -> Tensor:
            return torch.cat([eps(x, t), torch.cos(x)], 1)

        for i in range(25):
            x = torch.randn(2, 3, 8, 8)
            t = torch.tensor([i, i])
            out = official.ddim_sample(network, x, t, cond_fn=lambda x, t: guide, model_kwargs={})
            after, clean = guided_step(eps, x, i, schedule, guidance=guide)
            gaps[f"x of step {i}"] = (out["sample"], after)
            gaps[f"x0 of step {i}"] = (out["pred_xstart"], clean)
    yield compare("guided DDIM step, all 25 steps, fp64", gaps, most=1e-12)


SIDE = SMALL.image_size


def crdi(source: Source, **changes: Any) -> CRDI:
    """The method as conf/method/crdi_official.yaml sets it, with changes."""
    config: dict[str, Any] = {}
    for name in ("crdi", "crdi_official"):
        config |= yaml.safe_load((ROOT / "conf" / "method" / f"{name}.yaml").read_text())
    sample = {k: v for k, v in config.pop("sample").items() if k != "_target_"}
    config = {
        k: v for k, v in config.items() if k not in ("card", "_target_", "source", "defaults")
    }
    sample |= changes.pop("sample", {})
    return CRDI(source=source, sample=Sampling(**sample), **(config | changes))


def script_words(script: Any, **values: Any) -> list[str]:
    """A script's command line for the tiny network; its YAML lies where it looks for it."""
    if not (configs := Path("configs")).exists():
        configs.symlink_to(Path(script.__file__).parent.parent / "configs")
    own = official_flags(SMALL) | {"print_config": False, "tqdm": False, "category": "babies"}
    return ["script", *(w for k, v in (own | values).items() for w in (f"--{k}", str(v)))]


def training() -> Iterator[Row]:
    """The official `main()`, its random draws replaced by ours."""
    without("lightning.fabric.strategies.ddp")
    on_cpu()
    cases = {
        "a segment a step": {"segments": 15, "epochs": 3},
        "four segments": {"segments": 4, "epochs": 4},
        "one embedding, one noise (YAML)": {
            "segments": 1, "epochs": 6, "t_end": 15, "fresh_noise": False,
        },
        "one shot": {"segments": 10, "epochs": 2, "shots": 1},
    }  # fmt: skip
    with doubles():
        gaps = {name: trained(**case) for name, case in cases.items()}
    note = "upstream's draws are replaced by ours, its loader and Fabric by plain loops"
    yield compare("embeddings (SGE) after training, 4 settings, fp64", gaps, most=1e-11, note=note)


def trained(*, shots: int = 2, **changes: Any) -> tuple[Tensor, Tensor]:
    """(official, our) embeddings."""
    import fs_gradient_train as script
    from guided_diffusion.guided_diffusion import script_util

    official = official_network(script_util, SMALL, 3)
    torch.save(official.state_dict(), "model.pt")
    method = crdi(Source(unet=our_network(official, SMALL), resolution=SIDE), **changes)
    unit = pictures(shots, SIDE, 1).double() / 255
    x0, seed = 2 * unit - 1, 5
    ours = method.adapt(x0, seed=seed, progress=NoProgress()).tensors["sge"]

    first = noise_for(torch.empty_like(ours), seed, "init")
    total = len(method.windows) * method.epochs
    steps = [torch.tensor(method.visits(n, seed)[1][::-1]) for n in range(total)]
    noises = [
        z
        for n in range(total)
        for visit in range(len(steps[n]))
        for z in method.noises(x0, seed, n, visit)
    ]
    draw_steps, draw_noise = Replay(steps), Replay(noises)

    def embeddings(args: Any) -> torch.nn.Module:
        module = script.GradientConfig(args.num_samples, args.num_gradient, args.image_size)
        module._params.data.copy_(first)
        return module

    class Fabric:
        device = "cpu"

        def setup(self, *parts: Any) -> Any:
            return parts if len(parts) > 1 else parts[0]

        def setup_dataloaders(self, loader: Any) -> Any:
            return loader

        def backward(self, loss: Tensor) -> None:
            loss.backward()

    def network(args: Any) -> Any:
        net, diffusion = get_network(args)
        net.dtype = torch.get_default_dtype()
        return net, diffusion

    get_network = script.get_model_and_diffusion
    words = script_words(
        script,
        t_start=method.t_start, t_end=method.t_end, num_gradient=method.segments,
        random_q_noise=method.fresh_noise, epochs=method.epochs, learning_rate=method.lr,
        num_samples=shots, batch_size=shots, model_path="model.pt",
    )  # fmt: skip
    with (
        mock.patch.object(script, "fabric", Fabric(), create=True),
        mock.patch.object(script, "get_model_and_diffusion", network),
        mock.patch.object(script, "get_gradients", embeddings),
        mock.patch.object(
            script, "get_target_dataloader", lambda args: [(unit, torch.arange(shots))]
        ),
        mock.patch.object(script, "generate_random_t", draw_steps),
        mock.patch.object(script, "q_sample_noise", draw_noise),
        mock.patch("sys.argv", words),
    ):
        script.main()
    for replay in (draw_steps, draw_noise):
        replay.check_used_up()
    return torch.load("checkpoints/params_babies.pth"), ours


def samples() -> Iterator[Row]:
    yield from against_crdi_samples.sampled(crdi, script_words)


CASES = [
    networks, respacing, guided_steps, training, samples,
    against_crdi_samples.intra_lpips, against_crdi_samples.readings,
]  # fmt: skip
