"""RS-IMLE: implicit maximum likelihood with rejected near hits, from scratch on the shots.

Vashist et al., "Rejection Sampling IMLE: Designing Priors for Better Few-Shot Image Synthesis",
ECCV 2024, arXiv:2409.17439. Adaptive IMLE: Aghabozorgi et al., ICML 2023.

IMLE asks that every shot has a sample near it: with a pool z_1..z_m ~ N(0, I), m > n,

    min_theta sum_i min_j d(x_i, G_theta(z_j)).

Picking the best of many codes makes training codes unlike the codes of test time. RS-IMLE draws the
pool from N(0, I) conditioned on d(x_i, G(z)) >= eps for every shot: near hits are rejected, the
others compete. Then each shot keeps its code for some epochs while theta is trained on
d = LPIPS + 0.1 MSE. There is no source model: rows are marked "from scratch".

Differences from the official code: exact nearest neighbours instead of an approximate index; a mask
instead of rows set to infinity; `rejection.mode=exact` tests every pool member against every shot
(the code: the five nearest of each chunk, mode knn5); adaptive thresholds use the losses of the
last pass instead of a second one; no noise maps.
"""

from baselines.rs_imle.assignments import Adaptive
from baselines.rs_imle.generator import Architecture, Generator
from baselines.rs_imle.method import RSIMLE, Sampling
from baselines.rs_imle.search import Projection, Rejection

__all__ = ["RSIMLE", "Adaptive", "Architecture", "Generator", "Projection", "Rejection", "Sampling"]
