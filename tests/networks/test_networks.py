"""Feature networks against the packages whose numbers they must give, on random weights."""

import hashlib
import warnings
from dataclasses import replace

import numpy as np
import pytest
import torch
from helpers import composed
from hydra.utils import instantiate
from omegaconf import OmegaConf

from fsig_bench.api.assets import Asset
from fsig_bench.api.images import to_float
from fsig_bench.metrics.lpips import mean_pairwise, squared_distances
from fsig_bench.networks.inception import Inception, ScriptedInception, fid_inception, scaled
from fsig_bench.networks.perceptual import ENDS, LPIPS
from fsig_bench.networks.resize import resize
from fsig_bench.networks.vgg import VGGFc2
from fsig_bench.networks.vision import NORMS, POSITIONS, VisionTransformer, positions_at

torchvision = pytest.importorskip("torchvision", exc_type=ImportError)


def pictures(n, side, seed=0):
    g = torch.Generator().manual_seed(seed)
    coarse = torch.rand(n, 3, 6, 6, generator=g)
    smooth = torch.nn.functional.interpolate(coarse, (side, side), mode="bicubic").clamp(0, 1)
    noise = 0.2 * torch.rand(n, 3, side, side, generator=g)
    return ((smooth + noise).clamp(0, 1) * 255).round().to(torch.uint8)


def asset(path):
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return Asset(
        file=path.name, url=None, page="test", sha256=digest, mib=1, licence="-", path=str(path)
    )


@pytest.fixture(scope="module")
def inception_file(tmp_path_factory):
    """The `fid` network with weights that keep its signal alive, in pytorch-fid's layout."""
    torch.manual_seed(0)
    net = fid_inception()
    for p in net.parameters():
        if p.ndim > 1:
            torch.nn.init.kaiming_normal_(p)
    path = tmp_path_factory.mktemp("inception") / "fid.pth"
    torch.save(net.state_dict(), path)
    return path


def theirs(path, monkeypatch):
    module = pytest.importorskip("pytorch_fid.inception", exc_type=ImportError)
    state = torch.load(path, weights_only=True)
    monkeypatch.setattr(module, "load_state_dict_from_url", lambda *a, **k: state)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return module.InceptionV3().eval()


@pytest.mark.parametrize("side", [64, 299, 320])
def test_legacy_pytorch_is_pytorch_fid(side, inception_file, monkeypatch):
    ours = Inception(
        name="x",
        variant="fid",
        weights=asset(inception_file),
        resize="torch_bilinear",
        scale="unit",
        device="cpu",
    )
    images = pictures(2, side)
    expected = theirs(inception_file, monkeypatch)(images.float() / 255)[0].flatten(1)
    got = ours.features(images)
    assert got.shape == (2, 2048) and float(expected.std()) > 0.01
    torch.testing.assert_close(got, expected, rtol=1e-5, atol=1e-5)
    # Batches change rounding only.
    apart = torch.cat([ours.features(images[:1]), ours.features(images[1:])])
    torch.testing.assert_close(apart, got, rtol=1e-4, atol=1e-5)


def test_the_imagenet_variant_is_torchvision_under_the_old_scaling(tmp_path):
    """The input rule by hand, the network by torchvision's own forward without its classifier."""
    torch.manual_seed(0)
    net = torchvision.models.inception_v3(weights=None, init_weights=False, aux_logits=True)
    for p in net.parameters():
        if p.ndim > 1:
            torch.nn.init.kaiming_normal_(p)
    path = tmp_path / "imagenet.pth"
    torch.save(net.state_dict(), path)  # the released file holds the auxiliary head too
    ours = Inception(
        name="x",
        variant="imagenet",
        weights=asset(path),
        resize="torch_bilinear",
        scale="torchvision_old_signed",
        device="cpu",
    )
    images = pictures(2, 299)
    x = images.float() / 127.5 - 1
    for c, (mean, sd) in enumerate(((0.485, 0.229), (0.456, 0.224), (0.406, 0.225))):
        x[:, c] = x[:, c] * sd / 0.5 + (mean - 0.5) / 0.5
    assert 0.4 < float(x.abs().max()) < 0.7
    net.fc = torch.nn.Identity()
    with torch.no_grad():
        expected = net.eval()(x)
    torch.testing.assert_close(ours.features(images), expected, rtol=1e-4, atol=1e-4)


def test_input_scales_by_hand():
    x = torch.tensor([0.0, 127.5, 255.0])[:, None, None, None].expand(3, 3, 1, 1)
    assert scaled(x, "unit")[:, 0, 0, 0].tolist() == [-1, 0, 1]
    assert scaled(x, "tensorflow")[:, 1, 0, 0].tolist() == [-1, -0.5 / 128, 127 / 128]
    old = scaled(x, "torchvision_old_signed")[:, 0, 0, 0].tolist()
    assert old == pytest.approx([-0.458 - 0.03, -0.03, 0.458 - 0.03], abs=1e-6)
    assert scaled(x, "torchvision_old")[2, 0, 0, 0].item() == pytest.approx(0.458 - 0.03, abs=1e-6)


@pytest.mark.parametrize("side", [64, 512])
@pytest.mark.parametrize(
    ("recipe", "mode"), [("pil_bicubic", "clean"), ("torch_bilinear", "legacy_pytorch")]
)
def test_resizes_are_clean_fids(recipe, mode, side):
    module = pytest.importorskip("cleanfid.resize", exc_type=ImportError)
    images = pictures(2, side)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fn = module.build_resizer(mode)
        expected = np.stack([fn(i.permute(1, 2, 0).numpy()) for i in images])
    got = resize(images, side=299, recipe=recipe).permute(0, 2, 3, 1).numpy()
    assert np.abs(got - expected).max() < 1e-3


def test_resizes_differ_where_they_should():
    images = pictures(2, 512)
    made = {r: resize(images, side=299, recipe=r) for r in ("pil_bicubic", "torch_bilinear")}
    assert float((made["pil_bicubic"] - made["torch_bilinear"]).abs().mean()) > 1
    with pytest.raises(ValueError, match=r"resize=area: choose one of pil_bicubic"):
        resize(images, side=299, recipe="area")


class Scripted(torch.nn.Module):
    """A TorchScript with the interface of NVIDIA's file: (x, return_features) and .layers."""

    class Layers(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.stack([x.mean((1, 2, 3)), x.square().mean((1, 2, 3))], 1)

    def __init__(self):
        super().__init__()
        self.layers = Scripted.Layers()

    def forward(self, x: torch.Tensor, return_features: bool = False) -> torch.Tensor:
        return self.layers((x[:, :, ::2] - 128) / 128)


def test_a_scripted_network_is_fed_as_clean_fid_feeds_it(tmp_path):
    path = tmp_path / "inception.pt"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # TorchScript is deprecated; the file is what it is
        torch.jit.script(Scripted()).save(str(path))
    images = pictures(3, 64)
    clean = ScriptedInception(name="c", weights=asset(path), resize="pil_bicubic", device="cpu")
    x = (resize(images, side=299, recipe="pil_bicubic") - 128) / 128
    expected = torch.stack([x.mean((1, 2, 3)), x.square().mean((1, 2, 3))], 1)
    torch.testing.assert_close(clean.features(images), expected)
    inside = ScriptedInception(name="t", weights=asset(path), resize="tensorflow", device="cpu")
    rows = (images[:, :, ::2].float() - 128) / 128
    assert inside.features(images)[:, 0].tolist() == pytest.approx(rows.mean((1, 2, 3)).tolist())


def random_lpips(net, package):
    """Ours and the package's network with one random trunk; the channel weights are published."""
    ours = LPIPS(net=net, weights=None, seed=0, side=None, device="cpu")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = package.LPIPS(net=net, pretrained=True, pnet_rand=True, verbose=False).eval()
    own = ours._trunk.state_dict()
    for key, value in theirs.net.state_dict().items():
        value.copy_(own[key.split(".", 1)[1]])
    return ours, theirs


@pytest.mark.parametrize("net", ENDS)
def test_distances_are_those_of_the_lpips_package_pair_by_pair(net):
    package = pytest.importorskip("lpips", exc_type=ImportError)
    ours, theirs = random_lpips(net, package)
    x = to_float(pictures(5, 64))
    with torch.no_grad():
        z = ours.perceive(x)
        expected = torch.tensor(
            [[float(theirs(a[None], b[None])) for a in x] for b in x], dtype=torch.float64
        )
    assert expected.max() > 0.01
    torch.testing.assert_close(squared_distances(z, z), expected, rtol=0, atol=1e-5)
    assert mean_pairwise(z) == pytest.approx(float(expected.sum() / 20), abs=1e-5)


def test_a_trunk_comes_from_its_file_and_images_are_brought_to_size(tmp_path):
    pytest.importorskip("lpips", exc_type=ImportError)
    torch.manual_seed(5)
    state = torchvision.models.squeezenet1_1(weights=None).state_dict()
    path = tmp_path / "squeeze.pth"
    torch.save(state, path)
    net = LPIPS(net="squeeze", weights=asset(path), seed=0, side=48, device="cpu")
    loaded = net._trunk.state_dict()
    assert all(torch.equal(v, state[f"features.{k}"]) for k, v in loaded.items())
    assert net.name == "lpips-squeeze"
    x = to_float(pictures(2, 96))
    small = torch.nn.functional.interpolate(x, (48, 48), mode="bilinear", align_corners=False)
    torch.testing.assert_close(net.perceive(x), net.perceive(small))
    other = LPIPS(net="squeeze", weights=None, seed=0, side=48, device="cpu")
    assert net.digest != other.digest and other.name == "lpips-squeeze-random"


def test_every_network_of_conf_can_be_built_and_says_what_it_misses(tmp_path, monkeypatch):
    monkeypatch.setenv("FSIG_BENCH_CACHE", str(tmp_path))
    names = ["inception_clean", "inception_legacy_pytorch", "inception_legacy_tensorflow"]
    names += ["inception_torchvision_old", "inception_torchvision_wedit", "lpips_vgg"]
    names += ["lpips_alex", "lpips_squeeze", "dinov2", "clip", "clip_large_336"]
    for name in names:
        words = ["method=copy", "dataset=babies", "device=cpu"]
        node = composed(*words, f"+network@probe={name}").probe
        network = instantiate(OmegaConf.to_container(node, resolve=True), _convert_="all")
        assert network.name
        missing = network.weights
        missing = Asset(**{**vars(missing), "url": None})
        with pytest.raises((FileNotFoundError, ValueError)) as error:
            missing.get()
        text = str(error.value)
        assert missing.file in text and missing.page in text


@pytest.mark.parametrize("family", ["dinov2", "clip"])
def test_vision_transformers_are_those_of_transformers(family, tmp_path):
    transformers = pytest.importorskip("transformers", exc_type=ImportError)
    from safetensors.torch import save_file

    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "image_size": 28}
    torch.manual_seed(0)
    if family == "clip":
        config = transformers.CLIPConfig(
            vision_config=sizes | {"patch_size": 14, "intermediate_size": 64},
            text_config={"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2},
            projection_dim=16,
        )
        model = transformers.CLIPModel(config).eval()
    else:
        config = transformers.Dinov2Config(**sizes, patch_size=14)
        model = transformers.Dinov2Model(config).eval()
    config.save_pretrained(tmp_path)
    save_file(
        {k: v.contiguous() for k, v in model.state_dict().items()}, tmp_path / "w.safetensors"
    )
    network = VisionTransformer(
        name="tiny",
        family=family,
        weights=asset(tmp_path / "w.safetensors"),
        settings=asset(tmp_path / "config.json"),
        resize="pil_bicubic",
        side=28,
        device="cpu",
    )
    images = pictures(3, 64)
    x = resize(images, side=28, recipe="pil_bicubic") / 255
    mean, sd = (torch.tensor(v)[:, None, None] for v in NORMS[family])
    with torch.no_grad():
        if family == "clip":
            vision = model.vision_model(pixel_values=(x - mean) / sd)
            expected = model.visual_projection(vision.pooler_output)
        else:
            expected = model(pixel_values=(x - mean) / sd).last_hidden_state[:, 0]
    torch.testing.assert_close(network.features(images), expected, rtol=1e-4, atol=1e-5)
    torch.save(model.state_dict(), tmp_path / "pytorch_model.pt")
    other = replace(network, weights=asset(tmp_path / "pytorch_model.pt"))
    assert torch.equal(other.features(images), network.features(images))


def test_fc2_is_that_of_torchvision_behind_its_resize(tmp_path):
    """Random weights; PIL's 8-bit bilinear filter, as torchvision's Resize of PIL images."""
    from PIL import Image
    from torchvision import transforms

    torch.manual_seed(0)
    model = torchvision.models.vgg16(weights=None).eval()
    torch.save(model.state_dict(), tmp_path / "vgg.pth")
    network = VGGFc2(
        name="fc2",
        weights=asset(tmp_path / "vgg.pth"),
        resize="pil_bilinear_bytes",
        device="cpu",
    )
    images = pictures(2, 64)
    read = transforms.Compose(
        [
            transforms.Resize([224, 224]),
            transforms.ToTensor(),
            transforms.Normalize(mean=[0.485, 0.456, 0.406], std=[0.229, 0.224, 0.225]),
        ]
    )
    x = torch.stack([read(Image.fromarray(i.permute(1, 2, 0).numpy())) for i in images])
    with torch.no_grad():
        expected = model.classifier[:4](model.features(x).flatten(1))
    got = network.features(images)
    assert got.shape == (2, 4096) and expected.std() > 0
    torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("patches", [2, 4, 16])
def test_positions_of_dinov2_are_interpolated_as_meta_does(patches):
    """Each output place of a linear ramp is known: (i + 1/2) m / (patches + 0.1) - 1/2."""
    m, offset = 37, 0.1
    ramp = torch.arange(m, dtype=torch.float64)
    table = torch.cat(
        [
            torch.zeros(1, 1, 2, dtype=torch.float64),
            torch.stack([ramp[:, None].expand(m, m), ramp[None, :].expand(m, m)], -1).reshape(
                1, m * m, 2
            ),
        ],
        1,
    )
    got = positions_at(table, patches)[0, 1:].reshape(patches, patches, 2)
    expected = (torch.arange(patches) + 0.5) * m / (patches + offset) - 0.5
    inner = (expected > 1) & (expected < m - 3)  # bicubic keeps a ramp but for its edges
    assert inner.any()
    # Torch's cubic keeps a ramp to 0.06; without the offset it would lie 0.1 and more away.
    near = {"rtol": 0, "atol": 0.06}
    torch.testing.assert_close(got[:, 0, 0][inner], expected.double()[inner], **near)
    torch.testing.assert_close(got[0, :, 1][inner], expected.double()[inner], **near)
    assert torch.equal(positions_at(table, m), table)


def test_dinov2_sees_interpolated_positions(tmp_path):
    """A network trained at 42 px reads 28 px: its table is Meta's, not that of transformers."""
    transformers = pytest.importorskip("transformers", exc_type=ImportError)
    from safetensors.torch import save_file

    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    torch.manual_seed(0)
    trained = transformers.Dinov2Config(**sizes, patch_size=14, image_size=42)
    model = transformers.Dinov2Model(trained).eval()
    trained.save_pretrained(tmp_path)
    state = {k: v.contiguous() for k, v in model.state_dict().items()}
    save_file(state, tmp_path / "w.safetensors")
    network = VisionTransformer(
        name="tiny",
        family="dinov2",
        weights=asset(tmp_path / "w.safetensors"),
        settings=asset(tmp_path / "config.json"),
        resize="none",
        side=28,
        device="cpu",
    )
    images = pictures(3, 28)
    mean, sd = (torch.tensor(v)[:, None, None] for v in NORMS["dinov2"])
    x = (images.float() / 255 - mean) / sd
    small = transformers.Dinov2Model(
        transformers.Dinov2Config(**sizes, patch_size=14, image_size=28)
    ).eval()
    small.load_state_dict(state | {POSITIONS: positions_at(state[POSITIONS], 2)})
    with torch.no_grad():
        expected = small(pixel_values=x).pooler_output
        theirs = model(pixel_values=x).pooler_output
    torch.testing.assert_close(network.features(images), expected, rtol=1e-4, atol=1e-5)
    assert (network.features(images) - theirs).abs().max() > 1e-3


def cached(name):
    """An asset whose weights are on this machine; skips where they are not."""
    node = composed("method=copy", "dataset=babies", f"+asset@probe={name}").probe
    found = instantiate(OmegaConf.to_container(node, resolve=True))
    if not found.target.exists():
        pytest.skip(f"no {found.file} at {found.target}")
    return found


def test_published_lpips_values_with_real_weights():
    """Printed in torchmetrics' documentation for this seed: 0.1024 and 0.0938."""
    pytest.importorskip("lpips", exc_type=ImportError)
    weights = cached("squeezenet_torchvision")
    net = LPIPS(net="squeeze", weights=weights, seed=0, side=None, device="cpu")
    g = torch.Generator().manual_seed(42)
    a, b = (torch.rand(2, 3, 100, 100, generator=g) * 2 - 1 for _ in range(2))
    found = (net.perceive(a) - net.perceive(b)).square().sum(1)
    assert found.tolist() == pytest.approx([0.1024, 0.0938], abs=1e-4)


def test_the_two_copies_of_the_fid_network_agree_with_real_weights():
    """NVIDIA's TorchScript and pytorch-fid's port on the same 299 px images."""
    scripted = ScriptedInception(
        name="a", weights=cached("inception_nvidia"), resize="none", device="cpu"
    )
    port = Inception(
        name="b",
        variant="fid",
        weights=cached("inception_pytorch_fid"),
        resize="none",
        scale="tensorflow",
        device="cpu",
    )
    images = pictures(4, 299)
    torch.testing.assert_close(
        scripted.features(images), port.features(images), rtol=1e-3, atol=1e-3
    )
