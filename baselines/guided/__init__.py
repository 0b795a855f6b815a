"""Training-free guidance: the frozen source model is steered by the shots, and nothing is fitted.

Steps follow Ye et al., "TFG: Unified Training-Free Guidance for Diffusion Models", NeurIPS 2024,
arXiv:2409.15761. At each step an energy E of the predicted clean image x0_hat is lowered:

    x_{t-1} = DDIM(x_t, x0_hat) + sqrt(abar_{t-1}) Delta_0,      Delta_0 = -mu_t grad_{x0} E,
    or + Delta_t / sqrt(alpha_t),                                Delta_t = -rho_t grad_{x_t} E.

Energies, with phi the suite's perceptual embedding or the pixels themselves:

    mmd      MMD^2 between a group of B predicted images and the shots (arXiv:2601.08379);
    nearest  ||phi(x0_hat_i) - phi(shot of image i)||^2 (after Steered Diffusion, arXiv:2310.00224);
    density  -log of a Gaussian kernel density over the shots (ours, in TFG's design space).

The same energy drives a search: the best of n draws (arXiv:2501.09732), or sequential Monte Carlo
(a baseline of arXiv:2506.20701), whose target is the sampler's law times exp(-E / temperature).

`mmd` depends on several images at once. Image i belongs to group i // B, and a group is always
drawn whole, also where only part of it is asked for; so image i still depends on (draw, i) alone.

Shape legend: p particles, u units (groups, or single images), b images of a unit, e embedding.
"""

from baselines.guided.method import Guided

__all__ = ["Guided"]
