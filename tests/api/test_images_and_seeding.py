import pytest
import torch

from fsig_bench.api.images import pixels_sha256, to_float, to_uint8, upload
from fsig_bench.api.seeding import ImageGenerators, derive, generator


def test_every_level_survives_the_round_trip():
    u = torch.arange(256, dtype=torch.uint8).reshape(1, 1, 16, 16).expand(1, 3, 16, 16)
    assert torch.equal(to_uint8(to_float(u)), u)
    assert to_float(u).min() == -1 and to_float(u).max() == 1


@pytest.mark.parametrize(
    ("x", "words"),
    [
        (torch.full((2, 3, 4, 4), float("nan")), r"images \[0, 1\].*NaN"),
        (torch.full((1, 3, 4, 4), 1.5), "1.5"),
        (torch.zeros(3, 4, 4), r"\(3, 4, 4\)"),
        (torch.zeros(1, 3, 4, 4, dtype=torch.int32), "int32"),
    ],
)
def test_what_is_no_image_is_refused(x, words):
    with pytest.raises(ValueError, match=words):
        to_uint8(x)


def test_rounding_noise_of_a_network_is_clamped():
    assert to_uint8(torch.full((1, 3, 1, 1), 1.0005)).max() == 255


def test_the_digest_sees_order_shape_and_value():
    a = torch.randint(0, 256, (4, 3, 2, 2), dtype=torch.uint8)
    b = a.clone()
    b[3, 2, 1, 1] += 1
    digests = {pixels_sha256(x) for x in (a, a.flip(0), b, a.reshape(2, 3, 4, 2))}
    assert len(digests) == 4


def test_purposes_do_not_collide():
    words = [(0, "a"), (1, "a"), (0, "a", 0), (0, "a", "0"), (0, "a", 1), (0, "b"), (0, "a", 0, 1)]
    assert len({derive(*w) for w in words}) == len(words)


def test_rows_depend_on_their_own_index_only():
    some = ImageGenerators(3, [5, 900, 2], "x").randn(4)
    torch.testing.assert_close(some[1:2], ImageGenerators(3, [900], "x").randn(4))
    assert not torch.equal(some, ImageGenerators(4, [5, 900, 2], "x").randn(4))
    assert not torch.equal(some, ImageGenerators(3, [5, 900, 2], "y").randn(4))


def test_global_state_is_neither_read_nor_moved():
    torch.manual_seed(1)
    before = torch.random.get_rng_state()
    first = torch.randn(3, generator=generator(0, "p"))
    assert torch.equal(before, torch.random.get_rng_state())
    torch.manual_seed(2)
    assert torch.equal(first, torch.randn(3, generator=generator(0, "p")))


def test_an_upload_pins_only_what_goes_to_a_gpu(monkeypatch):
    x, pinned = torch.arange(6.0), []
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda self: pinned.append(self) or self)
    assert upload(x, "cpu") is x and upload(x, torch.device("cpu")) is x and not pinned
    assert upload(x, "meta").device.type == "meta" and not pinned
    if not torch.cuda.is_available():  # what it asks of torch, up to the driver that is missing
        with pytest.raises((AssertionError, RuntimeError)):
            upload(x, "cuda")
        assert len(pinned) == 1
