"""GAN adaptation: the source generator and its critic, trained on with the shots.

One objective whose presets are the methods that few-shot papers compare with (method/objective=):

- tgan: nothing but the adversarial losses (Wang et al., ECCV 2018, arXiv:1805.01677);
- ada: the critic sees augmented images, the more the better it knows the shots
  (Karras et al., NeurIPS 2020, arXiv:2006.06676);
- freezed: the critic's first layers stay as they are (Mo et al., arXiv:2002.10964);
- ewc: the generator's weights are held to the source's, each by its Fisher information
  (Li et al., NeurIPS 2020, arXiv:2012.02780);
- cdc: similarities between generated images are held to the source's, and only images near k
  anchors are judged as a whole, all others by their patches (Ojha et al., CVPR 2021,
  arXiv:2104.06820);
- dcl: an image is held to the source's image of the same code by contrast with other codes, and
  away from the shots (Zhao et al., CVPR 2022, arXiv:2205.03805).

All share rosinality's training, which their code builds on: the non-saturating loss, R1 every
16 steps and path lengths every 4 (Karras et al., CVPR 2020, arXiv:1912.04958, appendix B), style
mixing, Adam, an average of the generator's weights. Images come from that average.

Shape legend: n images of a step, k shots, l styles, d style width, c channels, s side of a map.
"""

from baselines.gan_adapt.method import GANAdapt
from baselines.gan_adapt.objective import Objective
from baselines.gan_adapt.regularised import Regularisation

__all__ = ["GANAdapt", "Objective", "Regularisation"]
