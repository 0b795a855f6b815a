"""CRDI: few-shot generation with conditional relaxing diffusion inversion.

Cao & Gong, "Few-Shot Image Generation by Conditional Relaxing Diffusion Inversion", ECCV 2024,
arXiv:2407.07249; upstream YuCao16/CRDI at 6fb0cd5 ("the official code" below).

The source model stays frozen. For shot x0_n and each of eta segments of the guided window, a free
image-shaped tensor G_n (the sample-wise guidance embedding, SGE) takes the place of a classifier's
gradient in guided DDIM. It is fitted so that the guided estimates meet the shot:

    L(G) = E || x0 - x0_g ||^2 + E || y_{t-1} - x_{t-1} ||^2 + w || G - mean_n G ||^2,

a mean over pixels, with x0_g = x0_hat + c0 G and x_{t-1} = x_hat_{t-1} + c1 G. Sampling noises a
shot to the top of the window and denoises it under permuted SGEs plus annealed noise.

Differs from the official code: the network runs without gradients, because x_t does not depend on
G; and the default solver writes the optimum of this exact quadratic down (`closed_form`). `adam`
follows the official procedure.

Legend: n or k shots, m segments (eta), i respaced index, h, w pixels. Images are in [-1, 1].
"""

from baselines.crdi.method import CRDI, Sampling

__all__ = ["CRDI", "Sampling"]
