"""What only a GPU can show; skipped, with the reason, where there is none."""

import pytest
import torch
from helpers import build, make_cell

from fsig_bench.api.images import to_float, upload
from fsig_bench.api.types import NoProgress
from fsig_bench.runner.build import computing
from fsig_bench.runner.device import precision_policy
from fsig_bench.runner.run import run
from fsig_bench.store.store import Store

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no CUDA device"),
]
SMALL = ["dataset=babies", "k=4", "controls=[]", "num_images=20", "suite.shard_size=10"]
SMALL += ["batch_size=10", "dataset.n_ref=150", "figures.tsne_points=40"]


def drawn(*words):
    cell = make_cell(*SMALL, "method=source", "method.num_steps=10", *words)
    method = build(cell)
    return method.sampler(method.adapt(None, seed=0, progress=NoProgress()), draw=0)(range(8))


def test_the_same_images_as_on_the_cpu_up_to_rounding():
    cpu, gpu = drawn("device=cpu"), drawn("device=cuda")
    assert (cpu - gpu).abs().mean() < 1e-3


def test_rs_imle_finds_the_same_codes_as_on_the_cpu():
    words = [*SMALL, "method=rs_imle", "method.max_iterations=1"]
    found = []
    for device in ("cpu", "cuda"):
        cell = make_cell(*words, f"device={device}")
        shots = to_float(cell.dataset.shots(4, 0))
        found.append(build(cell).adapt(shots, seed=0, progress=NoProgress()).tensors)
    torch.testing.assert_close(found[0]["codes"], found[1]["codes"])


@pytest.mark.parametrize("mode", ["default", "reduce-overhead"])
def test_compiled_networks_draw_the_same_images_up_to_rounding(mode):
    plain, fast = drawn("device=cuda"), drawn("device=cuda", f"compile={mode}")
    assert (plain - fast).abs().mean() < 1e-3


@pytest.mark.parametrize("word", ["method.groups_at_once=1", "method.checkpointing=true"])
def test_what_saves_memory_does(word):
    words = [*SMALL, "method=finetune", "method.groups=8", "method.iterations=3", "device=cuda"]
    peaks = []
    for extra in ([], [word]):
        cell = make_cell(*words, *extra)
        torch.cuda.reset_peak_memory_stats()
        shots = to_float(cell.dataset.shots(4, 0))
        build(cell).adapt(shots, seed=0, progress=NoProgress())
        peaks.append(torch.cuda.max_memory_allocated())
    assert peaks[1] < 0.8 * peaks[0]


@pytest.mark.parametrize("policy", ["bf16", "fp16"])
def test_a_whole_run_in_half_precision_states_it(policy, tmp_path):
    cell = make_cell(*SMALL, "method=crdi", "device=cuda", f"precision.sample={policy}")
    record, _ = run(cell, Store(tmp_path))
    stated = {"adapt": "fp32", "sample": policy, "score": "fp32"}
    assert record["config"]["precision"] == stated
    assert record["environment"]["gpu"] and record["metrics"]["fd"]["value"] > 0


def test_policies_round_what_they_say():
    """TF32 keeps ten bits of mantissa: convolutions and products use it by their policy alone."""
    if torch.cuda.get_device_capability() < (8, 0):
        pytest.skip("this GPU has no TF32")
    g = torch.Generator("cuda").manual_seed(0)
    x, w = (torch.randn(s, generator=g, device="cuda") for s in ((4, 64, 32, 32), (64, 64, 3, 3)))
    a, b = (torch.randn(512, 512, generator=g, device="cuda") for _ in range(2))
    exact = torch.conv2d(x.double(), w.double(), padding=1), a.double() @ b.double()
    rounds = {}
    for policy in ("fp32", "torch_default", "tf32"):
        with precision_policy(policy, "cuda"):
            got = torch.conv2d(x, w, padding=1), a @ b
        gaps = [float((e - o).abs().max() / e.abs().max()) for e, o in zip(exact, got, strict=True)]
        rounds[policy] = tuple(gap > 1e-5 for gap in gaps)
    wanted = {"fp32": (False, False), "torch_default": (True, False), "tf32": (True, True)}
    assert rounds == wanted


def test_a_tuned_copy_trains_compiled():
    tensors = []
    words = ["method=finetune", "method.iterations=2", "method.groups=2", "device=cuda"]
    for extra in ([], ["compile=default"]):
        cell = make_cell(*SMALL, *words, *extra)
        with computing(cell.place, "fp32"):
            shots = to_float(cell.dataset.shots(4, 0))
            state = build(cell).adapt(shots, seed=0, progress=NoProgress())
        tensors.append(state.tensors)
    apart = [(tensors[0][n] - tensors[1][n]).abs().flatten() > 1e-4 for n in tensors[0]]
    assert float(torch.cat(apart).float().mean()) < 0.02


def test_an_upload_is_whole_before_it_is_used():
    """Many copies in flight from pinned memory, their sources freed and drawn again meanwhile."""
    g = torch.Generator().manual_seed(0)
    sums, parts = [], []
    for _ in range(200):
        x = torch.randn(16, 3, 64, 64, generator=g)
        sums.append(x.double().sum())
        parts.append(upload(x, "cuda"))
    assert torch.allclose(torch.stack([p.double().sum() for p in parts]).cpu(), torch.stack(sums))
    assert upload(parts[0], "cuda") is parts[0]


ON_BOTH = {  # every method, each with settings that are done in seconds
    "crdi": [],
    "d2c": ["method.unlabelled_count=60", "method.held_out_count=60", "method.num_steps=5"],
    "d2c_edit": ["method.unlabelled_count=60", "method.held_out_count=60", "method.num_steps=5"],
    "finetune": ["method.iterations=2", "method.groups=2", "method.sample.num_steps=5"],
    "domainstudio": ["method.iterations=2", "method.groups=2", "method.sample.num_steps=5"],
    "gan_inversion": ["method.projector.steps=5", "method.space_count=2000"],
    "genda": ["method.updates=2", "method.episodes_at_once=2"],
    "adaimle": ["method.max_iterations=3"],
    "rs_imle": ["method.max_iterations=3"],
}
KINDS = ["replay", "jitter", "simplex", "layer_mix", "rssa", "offset", "prior"]


@pytest.mark.parametrize(
    "words",
    [(f"method={name}", *more) for name, more in ON_BOTH.items()]
    + [
        ("method=gan_inversion", *ON_BOTH["gan_inversion"], f"method.sample.kind={k}")
        for k in KINDS
    ]
    + [("method=gan_inversion", *ON_BOTH["gan_inversion"], "method.tuning.steps=2")],
    ids=" ".join,
)
def test_every_method_adapts_and_draws_as_on_the_cpu_up_to_rounding(words):
    images = []
    for device in ("cpu", "cuda"):
        cell = make_cell(*SMALL, *words, f"device={device}")
        method = build(cell)
        state = method.adapt(to_float(cell.dataset.shots(4, 0)), seed=0, progress=NoProgress())
        assert all(x.device.type == "cpu" for x in state.tensors.values())
        images.append(method.sampler(state, draw=0)(range(8)))
        assert images[-1].device.type == "cpu"
    # Selection and training amplify rounding: a few pixels may part, the pictures may not.
    assert (images[0] - images[1]).abs().median() < 0.02
