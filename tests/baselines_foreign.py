"""Networks of other people's checkpoints, written from their description.

A forward that asks a `Tape` for its tensors by name makes them the first time, and so defines
layout and function independently of the loaders.
"""

import json
import math

import torch
import torch.nn.functional as F
from safetensors.torch import save_file

from baselines.common.adm import ADMFlags


class Tape:
    """Named random tensors, made when first asked for."""

    def __init__(self, seed=0):
        self.g, self.state = torch.Generator().manual_seed(seed), {}

    def __call__(self, name, *shape, mean=0.0, sd=None):
        if name not in self.state:
            fan = math.prod(shape[1:]) if len(shape) > 1 else 25
            scale = 1 / math.sqrt(fan) if sd is None else sd
            self.state[name] = mean + scale * torch.randn(*shape, generator=self.g)
        assert self.state[name].shape == shape, name
        return self.state[name]


class MetaTape(Tape):
    """Names and shapes alone."""

    def __call__(self, name, *shape, mean=0.0, sd=None):
        self.state.setdefault(name, torch.empty(*shape, device="meta"))
        assert self.state[name].shape == shape, name
        return self.state[name]


def adm_forward(p, flags, x, t):
    """guided-diffusion's UNet, section by section of its description."""
    base, head = flags.num_channels, flags.num_head_channels
    half = base // 2
    angle = t[:, None].float() * torch.exp(-math.log(10000) * torch.arange(half) / half)
    emb = torch.cat([angle.cos(), angle.sin()], 1)

    def linear(name, v, n):
        return F.linear(v, p(f"{name}.weight", n, v.shape[1]), p(f"{name}.bias", n))

    def conv(name, v, n, k, stride=1):
        w, b = p(f"{name}.weight", n, v.shape[1], k, k), p(f"{name}.bias", n)
        return F.conv2d(v, w, b, stride=stride, padding=k // 2)

    def norm(name, v):
        w = p(f"{name}.weight", v.shape[1], mean=1.0)
        return F.group_norm(v, 32, w, p(f"{name}.bias", v.shape[1]), eps=1e-5)

    emb = linear("time_embed.2", F.silu(linear("time_embed.0", emb, 4 * base)), 4 * base)

    def res(name, v, n, change=None):
        h = F.silu(norm(f"{name}.in_layers.0", v))
        if change == "down":
            h, v = F.avg_pool2d(h, 2), F.avg_pool2d(v, 2)
        if change == "up":
            h, v = (a.repeat_interleave(2, 2).repeat_interleave(2, 3) for a in (h, v))
        h = conv(f"{name}.in_layers.2", h, n, 3)
        width = 2 * n if flags.use_scale_shift_norm else n
        e = linear(f"{name}.emb_layers.1", F.silu(emb), width)[:, :, None, None]
        if flags.use_scale_shift_norm:
            scale, shift = e.chunk(2, 1)
            h = norm(f"{name}.out_layers.0", h) * (1 + scale) + shift
        else:
            h = norm(f"{name}.out_layers.0", h + e)
        h = conv(f"{name}.out_layers.3", F.silu(h), n, 3)
        return h + (v if v.shape[1] == n else conv(f"{name}.skip_connection", v, n, 1))

    def attention(name, v):
        b, c = v.shape[:2]
        heads = c // head
        flat = norm(f"{name}.norm", v).reshape(b, c, -1)
        qkv = F.conv1d(flat, p(f"{name}.qkv.weight", 3 * c, c, 1), p(f"{name}.qkv.bias", 3 * c))
        if flags.use_new_attention_order:
            q, k, value = (a.reshape(b * heads, head, -1) for a in qkv.chunk(3, 1))
        else:
            q, k, value = qkv.reshape(b * heads, 3 * head, -1).split(head, 1)
        weight = torch.einsum("bct,bcs->bts", q, k).div(math.sqrt(head)).softmax(2)
        out = torch.einsum("bts,bcs->bct", weight, value).reshape(b, c, -1)
        w, bias = p(f"{name}.proj_out.weight", c, c, 1), p(f"{name}.proj_out.bias", c)
        return v + F.conv1d(out, w, bias).view_as(v)

    h = conv("input_blocks.0.0", x, base, 3)
    kept, n = [h], 1
    for level, mult in enumerate(flags.channel_mult):
        for _ in range(flags.num_res_blocks):
            h = res(f"input_blocks.{n}.0", h, base * mult)
            if h.shape[2] in flags.attention_resolutions:
                h = attention(f"input_blocks.{n}.1", h)
            kept, n = [*kept, h], n + 1
        if level < len(flags.channel_mult) - 1:
            if flags.resblock_updown:
                h = res(f"input_blocks.{n}.0", h, base * mult, "down")
            else:
                h = conv(f"input_blocks.{n}.0.op", h, base * mult, 3, stride=2)
            kept, n = [*kept, h], n + 1
    h = res("middle_block.0", h, h.shape[1])
    h = res("middle_block.2", attention("middle_block.1", h), h.shape[1])
    n = 0
    for level, mult in reversed(list(enumerate(flags.channel_mult))):
        for i in range(flags.num_res_blocks + 1):
            h = res(f"output_blocks.{n}.0", torch.cat([h, kept.pop()], 1), base * mult)
            last = 1
            if h.shape[2] in flags.attention_resolutions:
                h, last = attention(f"output_blocks.{n}.1", h), 2
            if level and i == flags.num_res_blocks:
                if flags.resblock_updown:
                    h = res(f"output_blocks.{n}.{last}", h, base * mult, "up")
                else:
                    h = h.repeat_interleave(2, 2).repeat_interleave(2, 3)
                    h = conv(f"output_blocks.{n}.{last}.conv", h, base * mult, 3)
            n += 1
    return conv("out.2", F.silu(norm("out.0", h)), 6 if flags.learn_sigma else 3, 3)


SMALL = ADMFlags(
    image_size=32,
    num_channels=32,
    channel_mult=(1, 2, 2),
    num_res_blocks=2,
    attention_resolutions=(16, 8),
    num_head_channels=16,
    resblock_updown=True,
    use_scale_shift_norm=True,
    learn_sigma=True,
    use_new_attention_order=False,
    dropout=0.1,
)

TAP = torch.tensor([1.0, 3.0, 3.0, 1.0])


def spread(x, pad, up):
    """Zeros between pixels, padding, the normalised [1, 3, 3, 1] filter with gain up^2."""
    n, c, h, w = x.shape
    wide = torch.zeros(n, c, h * up, w * up)
    wide[:, :, ::up, ::up] = x
    kernel = torch.outer(TAP, TAP) / 64 * up**2
    out = F.conv2d(
        F.pad(wide, (*pad, *pad)).reshape(n * c, 1, *_padded(wide, pad)), kernel[None, None]
    )
    return out.reshape(n, c, *out.shape[-2:])


def _padded(x, pad):
    return x.shape[2] + sum(pad), x.shape[3] + sum(pad)


def rosinality_forward(p, arch, z, plus=None):
    """The generator from its description: weights modulated per sample, grouped convolutions.

    With `plus` [n, l, d] the synthesis alone: style 0 for the first convolution, 1 for the first
    colours and the next convolution, and so on, two styles a resolution.
    """
    d, ch = arch.style_dim, arch.channels
    w = z / (z.square().mean(1, keepdim=True) + 1e-8).sqrt()
    for n in range(1, arch.mapping_layers + 1):
        weight = p(f"style.{n}.weight", d, d, sd=100.0)  # stored divided by lr_mul = 0.01
        w = F.linear(w, weight * 0.01 / math.sqrt(d)) + 0.01 * p(f"style.{n}.bias", d, sd=10.0)
        w = F.leaky_relu(w, 0.2) * math.sqrt(2)
    plus = w[:, None].repeat(1, 2 * len(arch.sides), 1) if plus is None else plus

    def modulated(name, x, n_out, k, up=False, demodulate=True):
        n, n_in = x.shape[:2]
        block, _, number = name.removesuffix(".conv").partition(".")
        first = {"conv1": 0, "to_rgb1": 1, "convs": 1, "to_rgbs": 3}[block]
        w = plus[:, first + int(number or 0) * (2 if block == "to_rgbs" else 1)]
        scale = p(f"{name}.modulation.weight", n_in, d, sd=1.0) / math.sqrt(d)
        style = F.linear(w, scale) + p(f"{name}.modulation.bias", n_in, mean=1.0)
        weight = p(f"{name}.weight", 1, n_out, n_in, k, k, sd=1.0) / math.sqrt(n_in * k * k)
        weight = weight * style[:, None, :, None, None]
        if demodulate:
            weight = weight / (weight.square().sum((2, 3, 4), keepdim=True) + 1e-8).sqrt()
        side = x.shape[-1]
        x = x.reshape(1, n * n_in, side, side)
        if up:
            weight = weight.transpose(1, 2).reshape(n * n_in, n_out, k, k)
            out = F.conv_transpose2d(x, weight, stride=2, groups=n)
            out = out.reshape(n, n_out, *out.shape[-2:])
            p.state.setdefault(f"{name}.blur.kernel", torch.outer(TAP, TAP) / 64 * 4)
            return spread(out, (1, 1), 1) * 4
        out = F.conv2d(x, weight.reshape(n * n_out, n_in, k, k), padding=k // 2, groups=n)
        return out.reshape(n, n_out, side, side)

    maps = iter(range(len(arch.noise_sides)))

    def styled(name, x, n_out, up=False):
        x = modulated(f"{name}.conv", x, n_out, 3, up)
        side = x.shape[-1]
        noise = p(f"noises.noise_{next(maps)}", 1, 1, side, side, sd=1.0)
        x = x + p(f"{name}.noise.weight", 1, sd=0.5) * noise
        x = x + p(f"{name}.activate.bias", n_out)[:, None, None]
        return F.leaky_relu(x, 0.2) * math.sqrt(2)

    def rgb(name, x, below=None):
        out = modulated(f"{name}.conv", x, 3, 1, demodulate=False) + p(f"{name}.bias", 1, 3, 1, 1)
        if below is None:
            return out
        p.state.setdefault(f"{name}.upsample.kernel", torch.outer(TAP, TAP) / 64 * 4)
        return out + spread(below, (2, 1), 2)

    x = styled("conv1", p("input.input", 1, ch[4], 4, 4, sd=1.0).expand(len(z), -1, -1, -1), ch[4])
    image = rgb("to_rgb1", x)
    for j, side in enumerate(arch.sides[1:]):
        x = styled(f"convs.{2 * j}", x, ch[side], up=True)
        x = styled(f"convs.{2 * j + 1}", x, ch[side])
        image = rgb(f"to_rgbs.{j}", x, image)
    return image


def rosinality_critic_forward(p, arch, x):
    """The residual critic from its description."""
    ch, sides = arch.channels, arch.sides[::-1]

    def conv(name, x, n_out, k, stride=1, pad=0):
        weight = p(f"{name}.weight", n_out, x.shape[1], k, k, sd=1.0)
        return F.conv2d(x, weight / math.sqrt(x.shape[1] * k * k), stride=stride, padding=pad)

    def active(name, x):
        bias = p(f"{name}.bias", x.shape[1]).reshape(-1, *[1] * (x.ndim - 2))
        return F.leaky_relu(x + bias, 0.2) * math.sqrt(2)

    def blur(name, x, pad):
        p.state.setdefault(f"{name}.kernel", torch.outer(TAP, TAP) / 64)
        return spread(x, (pad, pad), 1)

    x = active("convs.0.1", conv("convs.0.0", x, ch[sides[0]], 1))
    for j, side in enumerate(sides[1:], 1):
        own = f"convs.{j}"
        h = active(f"{own}.conv1.1", conv(f"{own}.conv1.0", x, x.shape[1], 3, pad=1))
        h = conv(f"{own}.conv2.1", blur(f"{own}.conv2.0", h, 2), ch[side], 3, stride=2)
        h = active(f"{own}.conv2.2", h)
        skip = conv(f"{own}.skip.1", blur(f"{own}.skip.0", x, 1), ch[side], 1, stride=2)
        x = (h + skip) / math.sqrt(2)
    # Image i is compared with every (n / group)-th other one.
    n, group = len(x), min(len(x), 4)
    sd = [(x[i % (n // group) :: n // group].var(0, correction=0) + 1e-8).sqrt() for i in range(n)]
    extra = torch.stack([s.mean() for s in sd])[:, None, None, None].expand(n, 1, 4, 4)
    x = active("final_conv.1", conv("final_conv.0", torch.cat([x, extra], 1), ch[4], 3, pad=1))
    x = x.reshape(n, -1)
    weight = p("final_linear.0.weight", ch[4], x.shape[1], sd=1.0) / math.sqrt(x.shape[1])
    x = active("final_linear.0", F.linear(x, weight))
    weight = p("final_linear.1.weight", 1, ch[4], sd=1.0) / math.sqrt(ch[4])
    return F.linear(x, weight, p("final_linear.1.bias", 1))[:, 0]


def ldm_nets(*, attends=False):
    """A VQ autoencoder (16 px to 3 x 8 x 8) and a latent prior, random, of diffusers."""
    from diffusers import UNet2DModel, VQModel

    torch.manual_seed(0)
    vq = VQModel(
        block_out_channels=(32, 32),
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        latent_channels=3,
        num_vq_embeddings=64,
        norm_num_groups=8,
        sample_size=16,
    ).eval()
    unet = UNet2DModel(
        sample_size=8,
        in_channels=3,
        out_channels=3,
        block_out_channels=(32, 32),
        down_block_types=("DownBlock2D", f"{'Attn' * attends}DownBlock2D"),
        up_block_types=(f"{'Attn' * attends}UpBlock2D", "UpBlock2D"),
        norm_num_groups=8,
    ).eval()
    return vq, unet


def write_ldm(root, nets):
    """Their files, as the hub has them."""
    for name, net in zip(("vq", "unet"), nets, strict=True):
        save_file(net.state_dict(), root / f"{name}.safetensors")
        (root / f"{name}.json").write_text(json.dumps(dict(net.config), default=list))
    return root
