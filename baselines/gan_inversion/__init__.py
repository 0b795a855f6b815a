"""GAN inversion: project the shots into a style generator's W+, sample around their codes.

Abdal et al., "Image2StyleGAN", ICCV 2019, arXiv:1904.03189; Karras et al., StyleGAN2, CVPR 2020,
arXiv:1912.04958, appendix D. Inversion:

    c_i = argmin_c LPIPS(G(c), x_i) + mse ||G(c) - x_i||^2,   c in W [d] or W+ [l, d].

Reconstruction and generation are two questions: W+ codes rebuild almost anything, and leave the
region where neighbouring codes are faces. The default sampler (S5) draws from a normal around the
codes in whitened P-space, its covariance shrunk towards the prior's,

    v ~ N(mu_k, (1 - r) Sigma_k + r Sigma_W),   w = act(C Lambda^1/2 v + mu).

No published few-shot numbers exist for such samplers: this is a baseline that we define.
"""

from baselines.gan_inversion.method import GANInversion, Tuning
from baselines.gan_inversion.projector import Projector
from baselines.gan_inversion.samplers import Sampling

__all__ = ["GANInversion", "Projector", "Sampling", "Tuning"]
