"""DomainStudio, the unconditional half: fine-tuning a diffusion model with relative distances kept.

Zhu et al., "Few-shot image generation with diffusion models", arXiv:2211.03264 (DDPM-PA), and
"DomainStudio", arXiv:2306.14153, whose unconditional objective is the same.

All weights of the source model are tuned on groups of B noised shots x_t, t and noise shared with
a frozen copy of the source. Each net gives clean estimates xh0 = (x_t - sqrt(1 - abar) eps) /
sqrt(abar); hf(.) is the sum of the three high-frequency Haar bands. For anchor i,

    p_i = softmax_{j != i} cos(xh0_i, xh0_j),   pf_i the same of hf(xh0),
    L = L_simple + l_vlb L_vlb + l_img sum_i KL(p_i^ada || p_i^src)
      + l_hf sum_i KL(pf_i^ada || pf_i^src) + l_hfmse ||hf(xh0_ada) - hf(x0)||^2.

With every l but l_vlb at 0 this is plain fine-tuning (`finetune`). The tuned net has the source
checkpoint's dropout; the source net runs in eval mode without gradients, where the official code
leaves its dropout on.

Shape legend: n = groups x B images, c channels, h height, w width.
"""

from baselines.domainstudio.method import DomainStudio, Sampling
from baselines.domainstudio.objective import Objective, high_frequency, log_relations
from baselines.domainstudio.prior import Prior

__all__ = ["DomainStudio", "Objective", "Prior", "Sampling", "high_frequency", "log_relations"]
