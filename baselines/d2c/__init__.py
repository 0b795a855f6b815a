"""D2C-style latent conditioning: a few-shot classifier reweights a latent diffusion prior.

After Sinha et al., "D2C: Diffusion-Decoding Models for Few-Shot Conditional Generation", NeurIPS
2021, arXiv:2106.06819. Its few-shot sampler has no official code, and it was never run on another
domain or with ten images: hence "D2C-style" wherever it is printed. Frozen: encoder E, decoder D
and the diffusion prior p(z). With shots x_i:

1. z_i = E(x_i), also of the mirror images; unlabelled latents from the prior.
2. a linear classifier r(c | z) on normalised latents (positive-unlabelled; ours is calibrated by
   leaving one shot out, since ten points in a thousand dimensions saturate any classifier).
3. z ~ p(z) by DDIM, accepted with probability r(c | z): z ~ p(z) r(c | z), unnormalised.
4. x = D(z).

The support never leaves the source model's: it can pick, not invent. On exhaustion of the budget
the best proposal is taken and the run says so. `d2c_edit` is the paper's manipulation used as a
generator: z' = z + eta grad log r, noise to level alpha, denoise, decode.
"""

from baselines.d2c.backend import LatentBackend, Weights
from baselines.d2c.estimator import Estimator
from baselines.d2c.method import D2C
from baselines.d2c.selection import Sampling

__all__ = ["D2C", "Estimator", "LatentBackend", "Sampling", "Weights"]
