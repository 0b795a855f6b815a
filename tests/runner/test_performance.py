"""Precision, compilation, offload, memory and teams: what may change numbers, and what may not."""

import socket
from dataclasses import dataclass
from functools import cached_property

import pytest
import torch
from helpers import BRIEF, ROOT, build, cli, make_cell, records, start
from torch._dynamo.testing import CompileCounterWithBackend

from baselines.common.data_parallel import shard_groups
from baselines.common.dropout import by_image
from baselines.common.finetuning import trainable_copy
from baselines.common.unet import PixelUNet
from fsig_bench.api.compiling import compiling
from fsig_bench.api.images import to_float
from fsig_bench.api.types import NoProgress
from fsig_bench.console import duration
from fsig_bench.networks.perceptual import LPIPS
from fsig_bench.runner.build import compile_or_offload, computing, networks
from fsig_bench.runner.device import precision_policy, resolve_device
from fsig_bench.runner.preflight import check_memory, memory_floor_gib, remaining
from fsig_bench.runner.run import run
from fsig_bench.runner.settings import Place
from fsig_bench.store.store import Store

SMALL = [*BRIEF, "dataset=babies", "k=4", "controls=[]", "num_images=8", "suite.shard_size=4"]
SMALL += ["batch_size=4", "dataset.n_ref=100", "figures.tsne_points=16"]
TUNED = ["method=finetune", "method.iterations=2", "method.groups=2", "method.sample.num_steps=3"]
STUDIO = ["method=domainstudio", *TUNED[1:]]
TINY_UNET = {
    **{"sample_size": 8, "in_channels": 3, "out_channels": 6, "layers_per_block": 1},
    **{"block_out_channels": [8, 16], "norm_num_groups": 4, "dropout": 0.1},
    **{"down_block_types": ["DownBlock2D", "DownBlock2D"], "attention_head_dim": 8},
    "up_block_types": ["UpBlock2D", "UpBlock2D"],
}


def adapted(*words):
    cell = make_cell(*SMALL, *words)
    shots = to_float(cell.dataset.shots(4, 0))
    return build(cell).adapt(shots, seed=0, progress=NoProgress()).tensors


def share_changed(a, b):
    """Adam divides by the gradient's size: where that is rounding, a step of lr has either sign."""
    return float(torch.cat([((a[n] - b[n]).abs() > 1e-5).flatten() for n in a]).float().mean())


def test_what_saves_memory_does_not_change_the_step():
    plain = adapted(*STUDIO)
    for word in ("method.groups_at_once=1", "method.checkpointing=true"):
        assert make_cell(*SMALL, *STUDIO).run_id == make_cell(*SMALL, *STUDIO, word).run_id
        assert share_changed(plain, adapted(*STUDIO, word)) < 0.001, word
    # What the comparison would see: another objective.
    assert share_changed(plain, adapted(*STUDIO, "method.objective.l_img=0")) > 0.01


def test_groups_are_shared_out_without_loss(monkeypatch):
    batch = torch.arange(15)[:, None], torch.arange(15)
    for size in (1, 2, 4, 7):
        seen = []
        for rank in range(size):
            monkeypatch.setattr(
                "baselines.common.data_parallel.rank_and_size", lambda r=rank, s=size: (r, s)
            )
            for x, t in shard_groups(batch, groups=5, at_once=2):
                assert len(x) in (3, 6) and torch.equal(x[:, 0], t)
                seen += [tuple(part) for part in t.view(-1, 3).tolist()]
        assert sorted(seen) == [(0, 1, 2), (3, 4, 5), (6, 7, 8), (9, 10, 11), (12, 13, 14)]


def test_precision_is_part_of_the_keys_it_can_change():
    plain = make_cell(*SMALL, "method=source")
    for stage, value in (("adapt", "bf16"), ("sample", "bf16"), ("sample", "tf32")):
        other = make_cell(*SMALL, "method=source", f"precision.{stage}={value}")
        assert (other.adapt_key != plain.adapt_key) is (stage == "adapt")
        assert other.sample_key != plain.sample_key and other.run_id != plain.run_id
    for word in ("precision.adapt=fp16", "precision.sample=fp8", "compile=fast"):
        with pytest.raises(ValueError, match="choose"):
            make_cell(*SMALL, "method=source", word)
    for word in ("compile=default", "offload=true", "device=cpu"):
        assert make_cell(*SMALL, "method=source", word).run_id == plain.run_id


def test_the_paper_suite_computes_as_published_code_does_on_a_gpu():
    images = ["dataset=folder", f"dataset.path={ROOT / 'docs'}", "k=1", "method=copy"]
    keys = {}
    for words in (
        ["suite=paper"],
        ["suite=paper", "precision.adapt=fp32", "precision.sample=fp32"],
        ["suite=paper", "device=cpu"],
        ["suite=mini"],
    ):
        cell = make_cell(*images, *words)
        keys[words[-1]] = cell.adapt_key, cell.precision
    policy = keys["suite=paper"][1]
    assert (policy.adapt, policy.sample, policy.score) == ("torch_default", "torch_default", "fp32")
    assert keys["device=cpu"] == keys["suite=paper"]  # named whatever the device
    assert keys["precision.sample=fp32"][0] != keys["suite=paper"][0]
    assert {*vars(keys["suite=mini"][1]).values()} == {"fp32"}


def test_a_policy_is_in_force_inside_and_gone_outside():
    x = torch.randn(8, 8)
    before = torch.backends.cudnn.allow_tf32
    with precision_policy("bf16", "cpu"):
        assert (x @ x).dtype == torch.bfloat16
    with precision_policy("fp32", "cpu"):
        assert (x @ x).dtype == torch.float32 and not torch.backends.cudnn.allow_tf32
    flags = {}
    for name in ("fp32", "torch_default", "tf32", "bf16"):
        with precision_policy(name, "cpu"):
            flags[name] = torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32
    assert flags == {
        "fp32": (False, False),
        "torch_default": (True, False),  # what torch itself starts with
        "tf32": (True, True),
        "bf16": (False, False),
    }
    assert torch.backends.cudnn.allow_tf32 == before


def test_training_in_half_precision_goes_on_from_its_own_steps():
    w, x = torch.ones(4, 4, requires_grad=True), torch.eye(4)
    with precision_policy("bf16", "cpu"):
        assert float((x @ w).mean().detach()) == 1
        with torch.no_grad():
            w.add_(1)  # an optimiser's step, within the stage
        assert float((x @ w).mean().detach()) == 2


def test_half_precision_runs_and_says_so(tmp_path):
    words, store = [*SMALL, "method=source", "method.num_steps=2"], Store(tmp_path)
    full, half = (
        run(make_cell(*words, f"precision.sample={name}"), store)[0] for name in ("fp32", "bf16")
    )
    assert [r["config"]["precision"]["sample"] for r in (full, half)] == ["fp32", "bf16"]
    assert full["pixels_sha256"] != half["pixels_sha256"]
    fd = [r["metrics"]["fd"]["value"] for r in (full, half)]
    assert fd[1] == pytest.approx(fd[0], rel=0.1)


@pytest.mark.parametrize(
    ("words", "count"),
    [
        (["method=source", "method.num_steps=3"], 1),
        (["method=gan_inversion", "method.projector.steps=2", "method.space_count=500"], 2),
        (
            "method=d2c method.num_steps=2 method.unlabelled_count=40 "
            "method.held_out_count=40 method.sample.budget=2".split(),
            2,
        ),
    ],
)
def test_offloaded_networks_draw_the_same_images(words, count):
    pytest.importorskip("accelerate", reason="accelerate is not installed (extra `gpu`)")
    images = []
    for word in ("offload=false", "offload=true"):
        cell = make_cell(*SMALL, *words, word)
        method = build(cell)
        assert len(networks(method)) == count
        shots = to_float(cell.dataset.shots(cell.shots.k, 0))
        state = method.adapt(shots, seed=0, progress=NoProgress())
        images.append(method.sampler(state, draw=0)(range(3)))
    assert torch.equal(*images)


@dataclass(frozen=True)
class Holder:
    """A method's part with a network, as methods have them."""

    @cached_property
    def net(self):
        torch.manual_seed(0)
        return torch.nn.Sequential(torch.nn.Linear(4, 4), torch.nn.SiLU())


def test_compiled_networks_give_the_same_up_to_rounding(monkeypatch):
    """With Dynamo and autograd as in a run; tests/test_gpu.py has the code that Inductor writes."""
    counter, compile_net = CompileCounterWithBackend("aot_eager"), torch.nn.Module.compile

    def without_inductor(net, *, mode):
        assert mode == "default"
        compile_net(net, backend=counter)

    monkeypatch.setattr(torch.nn.Module, "compile", without_inductor)
    x, plain = torch.randn(2, 4), Holder()
    place = Place(device="cpu", batch_size=1, workers=1, compile="default", offload=False)
    compiled = compile_or_offload(Holder(), place)
    assert plain.net._compiled_call_impl is None and compiled.net._compiled_call_impl is not None
    with torch.no_grad():
        torch.testing.assert_close(plain.net(x), compiled.net(x), rtol=1e-5, atol=1e-6)
    assert counter.frame_count == 1


def compiled_by(monkeypatch):
    """The kinds of modules that a run hands to torch.compile, as they come; none is compiled."""
    kinds = []

    def note(net, **options):
        kinds.append((type(net).__name__, options))

    monkeypatch.setattr(torch.nn.Module, "compile", note)
    return kinds


@pytest.mark.parametrize(
    ("words", "kind", "count"),
    [
        ([*TUNED, "method.groups=1"], "PixelUNet", 3),  # the source's, the tuned, the sampler's
        (["method=rs_imle", "method.max_iterations=1"], "Generator", 2),
        (
            [
                *("method=gan_inversion", "method.projector.steps=1", "method.tuning.steps=1"),
                "method.space_count=500",
            ],
            "StyleGenerator",
            3,
        ),
        (["method=genda", "method.updates=1"], "Together", 2),  # of codes, of critics
    ],
    ids=["tuned", "from scratch", "pivotal", "while sampling"],
)
def test_networks_that_a_method_builds_are_compiled_too(words, kind, count, monkeypatch):
    kinds = compiled_by(monkeypatch)
    cell = make_cell(*SMALL, *words, "compile=default")
    with computing(cell.place, "fp32"):
        method = build(cell)
        state = method.adapt(to_float(cell.dataset.shots(2, 0)), seed=0, progress=NoProgress())
        method.sampler(state, draw=0)(range(1))
    assert all(options == {"mode": "default"} for _, options in kinds)
    assert [name for name, _ in kinds].count(kind) == count


def test_a_run_compiles_in_every_stage(tmp_path, monkeypatch):
    kinds = compiled_by(monkeypatch)
    words = [*SMALL, *TUNED, "method.iterations=1", "method.groups=1"]
    run(make_cell(*words, "compile=default"), Store(tmp_path))
    assert [name for name, _ in kinds].count("PixelUNet") == 3


def test_networks_of_metrics_are_compiled_where_they_are_called(monkeypatch):
    kinds = compiled_by(monkeypatch)
    with compiling(mode="default"):
        net = LPIPS(net="squeeze", weights=None, seed=0, side=None, device="cpu")
        maps = net.trunk(torch.zeros(1, 3, 64, 64))
    assert [name for name, _ in kinds] == ["Maps"] and len(maps) == 7


def test_a_tuned_copy_is_one_graph_whatever_the_step_drops():
    """With dropout by image and checkpointing: new seeds must not compile anew."""
    torch.manual_seed(0)
    source = PixelUNet(TINY_UNET).eval().requires_grad_(False)
    counter = CompileCounterWithBackend("aot_eager")
    with compiling(backend=counter):
        fast = trainable_copy(source).requires_grad_(True).train()
    plain = trainable_copy(source).requires_grad_(True).train()
    assert fast._compiled_call_impl is not None and plain._compiled_call_impl is None
    x, nets = torch.randn(2, 3, 8, 8), (fast, plain)
    dropping = [by_image(net) for net in nets]
    for net in nets:
        net.net.enable_gradient_checkpointing()
    for step in range(3):
        for seeds in dropping:
            seeds.values = torch.tensor([2 * step, 2 * step + 1])
        outs = [net(x, torch.tensor([10 * step, 500])) for net in nets]
        torch.testing.assert_close(*outs)
        for out in outs:
            out.square().sum().backward()
    assert counter.frame_count == 1
    pairs = zip(*(net.parameters() for net in nets), strict=True)
    assert all(torch.allclose(a.grad, b.grad, rtol=1e-3, atol=1e-4) for a, b in pairs)


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


def run_team(args, folders):
    """Exit codes and output of two processes with the environment that torchrun gives."""
    env = {"WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1"}
    env |= {"MASTER_PORT": str(free_port())}
    env |= {"OMP_NUM_THREADS": str(torch.get_num_threads())}
    team = [
        start(*args, f"results_dir={folder}", env=env | {"RANK": str(n), "LOCAL_RANK": str(n)})
        for n, folder in enumerate(folders)
    ]
    told = [member.communicate(timeout=300) for member in team]
    return [member.returncode for member in team], told


@pytest.mark.slow
def test_a_member_that_does_not_see_what_the_first_sees_says_so(tmp_path):
    args = [*SMALL, "method=source", "controls=[]"]
    cli(*args, f"results_dir={tmp_path / 'one'}")
    codes, told = run_team(args, [tmp_path / "one", tmp_path / "other"])
    assert codes[0] == 0 and codes[1] != 0, told
    assert "one results_dir on a common file system" in "".join(told[1])


@pytest.mark.slow
def test_a_team_leaves_one_record_of_the_same_images(tmp_path):
    args = [*SMALL, *STUDIO, "method.sample.num_steps=2", "controls=[source]"]
    cli(*args, f"results_dir={tmp_path / 'one'}")
    codes, told = run_team(args, [tmp_path / "two", tmp_path / "two"])
    assert codes == [0, 0], told
    assert sum(out.count("record ") for out, _ in told) == 2  # one a cell, not one a process
    one, two = (records(tmp_path / name) for name in ("one", "two"))
    assert one.keys() == two.keys() and len(one) == 2
    for key in one:
        assert one[key]["run_id"] == two[key]["run_id"]
    drawn = ("source", "babies", 8, 0)
    assert one[drawn]["pixels_sha256"] == two[drawn]["pixels_sha256"]
    key = make_cell(*args).sample_key  # DomainStudio adds its groups in another order
    a, b = (Store(tmp_path / n).load_shard(key, 4, 8)[0].float() for n in ("one", "two"))
    assert (a - b).abs().mean() < 2 < (a - a.flip(0)).abs().mean()  # grey levels


def test_what_is_left_to_do_is_counted(tmp_path):
    words = [*SMALL, "method=crdi", "method.draws=2", "method.card.reconstruct_sweep=null"]
    cell, store = make_cell(*words), Store(tmp_path)
    method = build(cell)
    before = remaining(cell, method, store)
    assert (before.nfe_adapt, before.images_done, before.images) == (4 * 2 * 15, 0, 8)
    assert not before.adapted and before.nfe_per_image == method.nfe_per_image
    state = method.adapt(to_float(cell.dataset.shots(4, 0)), seed=0, progress=NoProgress())
    assert state.nfe_adapt == before.nfe_adapt
    store.save_state(cell.adapt_key, state, 1.0)
    store.save_shard(cell.sample_key, 0, torch.zeros(4, 3, 64, 64, dtype=torch.uint8), 1.0)
    after = remaining(cell, method, store)
    assert after.adapted and after.images_done == 4
    left = f"{4 * method.nfe_per_image:,.0f} network evaluations to go"
    assert "4 of 8 images drawn" in str(after) and left in str(after)


def test_too_little_memory_is_said_before_any_work(monkeypatch):
    cell = make_cell(*SMALL, *STUDIO)
    assert 0.01 < memory_floor_gib(cell) < 1
    check_memory(cell, "cpu")
    monkeypatch.setattr("fsig_bench.runner.preflight.device_memory_gib", lambda device: 1e-3)
    with pytest.raises(ValueError, match=r"needs at least .*groups_at_once=1"):
        check_memory(cell, "cpu")


def test_durations_read_well():
    told = [duration(s) for s in (3.2, 600, 3600 * 5)]
    assert told == ["3 s", "10 min", "5.0 h"] and "unknown" in duration(None)


def test_a_member_of_a_team_takes_its_own_gpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert resolve_device("auto") == "cuda"
    monkeypatch.setenv("LOCAL_RANK", "3")
    assert resolve_device("auto") == "cuda:1" and resolve_device("cpu") == "cpu"
