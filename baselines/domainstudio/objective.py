"""DomainStudio's loss of noised shots under the tuned and the frozen network.

Shape legend: n = groups x B images, c channels, h height, w width.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from baselines.common.choices import check_choices
from baselines.common.variational import Tables, clean_estimate, variational_bound


def high_frequency(x: Tensor) -> Tensor:
    """LH + HL + HH of one Haar level, [n, c, h, w] -> [n, c, h / 2, w / 2].

    The bands are added, so that one kernel does it: of the block [[a, b], [c, d]],
    (-a - b - c + 3 d) / 2.
    """
    kernel = x.new_full((x.shape[1], 1, 2, 2), -0.5)
    kernel[:, :, 1, 1].fill_(1.5)
    return F.conv2d(x, kernel, stride=2, groups=x.shape[1])


def log_relations(x: Tensor, group: int) -> Tensor:
    """The log p_i(j), [groups, B, B - 1]: log-softmax over j != i of cosine similarities."""
    flat = F.normalize(x.flatten(1), dim=1).view(-1, group, x[0].numel())
    cosine = flat @ flat.transpose(1, 2)
    # Read on from the second entry, every row of B + 1 ends on the diagonal.
    others = cosine.flatten(1)[:, 1:].view(-1, group - 1, group + 1)[..., :-1]
    return others.reshape(-1, group, group - 1).log_softmax(2)


@dataclass(frozen=True, kw_only=True)
class Objective:
    """Weights and readings of the loss; presets in conf/method/objective/."""

    l_vlb: float  # on L_t of the drawn step, in bits
    l_img: float
    l_hf: float
    l_hfmse: float
    kl_reduction: Literal["sum", "mean"]  # mean: over all B (B - 1) entries, as in the code
    kl_direction: Literal["ada_src", "src_ada"]  # KL(ada || src), as in the paper, or the reverse
    pair_t: Literal["per_image", "shared"]  # one step per image or per group

    def __post_init__(self) -> None:
        check_choices(self)

    @property
    def needs_source(self) -> bool:
        return self.l_img > 0 or self.l_hf > 0

    def divergence(self, ada: Tensor, src: Tensor) -> Tensor:
        """KL between log relations, averaged over groups."""
        p, q = (ada, src) if self.kl_direction == "ada_src" else (src, ada)
        each = (p.exp() * (p - q)).mean(0)
        return each.sum() if self.kl_reduction == "sum" else each.mean()

    def __call__(
        self,
        out: Tensor,
        out_src: Tensor | None,
        x0: Tensor,
        x_t: Tensor,
        noise: Tensor,
        t: Tensor,
        tables: Tables,
        group: int,
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Loss and its terms for network outputs [n, 6, h, w] of both nets at the same x_t, t."""
        # In single precision, whatever the networks run in: estimates divide by sqrt(abar).
        with torch.autocast(out.device.type, enabled=False):
            terms = {"simple": (out[:, :3] - noise).square().mean()}
            if self.l_vlb > 0:
                bound = variational_bound(out, x0, x_t, t, tables, clip=False)
                terms["vlb"] = self.l_vlb * bound.mean()
            ada = clean_estimate(out[:, :3], x_t, t, tables)
            if out_src is not None:
                src = clean_estimate(out_src[:, :3], x_t, t, tables)
                pairs = [(self.l_img, "img", ada, src)]
                pairs.append((self.l_hf, "hf", high_frequency(ada), high_frequency(src)))
                for weight, name, a, s in pairs:
                    kl = self.divergence(log_relations(a, group), log_relations(s, group))
                    terms[name] = weight * kl
            if self.l_hfmse > 0:
                gap = high_frequency(ada) - high_frequency(x0)
                terms["hfmse"] = self.l_hfmse * gap.square().mean()
        return torch.stack(list(terms.values())).sum(), {k: v.detach() for k, v in terms.items()}
