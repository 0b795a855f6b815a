"""The settings that make every pretraining recipe small."""

from baselines.common.autoencoder import AutoencoderSizes
from baselines.pretrain.loop import Loop

LOOP = Loop(
    seed=0,
    num_images=128,
    batch_size=16,
    lr=2e-3,
    warmup_images=16,
    decay_from=0.5,
    weight_decay=0.0,
    ema_images=64,
    clip_norm=1.0,
    bf16=False,
    compile=False,
    device="cpu",
    checkpoint_s=0.0,
)
SIZES = AutoencoderSizes(
    resolution=16,
    patch=1,
    residual=1.0,
    widths=[8, 16],
    encoder_cells=[0, 1],
    decoder_cells=[0, 1],
    latent_channels=4,
    expand=2,
    mixtures=1,
)
