"""Light tuning: fine-tuning of the source model in which few numbers are fitted.

    W = W_0 + (alpha / r) B A           Hu et al., "LoRA", ICLR 2022, arXiv:2106.09685, section 4.1
    biases and norms alone              Ben Zaken et al., "BitFit", ACL 2022, arXiv:2106.10199;
                                        Xie et al., "DiffFit", ICCV 2023, arXiv:2304.06648

Everything else is as in `baselines.domainstudio`, whose objectives and batches these share.
"""

from baselines.finetune.method import FineTune
from baselines.finetune.tuning import BiasNorm, LoRA

__all__ = ["BiasNorm", "FineTune", "LoRA"]
