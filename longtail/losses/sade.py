"""SADE: three experts of different skill, for the training distribution, a uniform one and the inverse one."""

import torch
from torch import Tensor
from torch.nn import functional as F

from longtail.losses.base import Loss
from longtail.settings import NonNegative, Positive


class SADE(Loss):
    """The sum of three cross-entropies: plain, balanced softmax, and one for the reversed distribution of the classes.

    With s z_e the logits of expert e, p_c the share of class c among the training images and q the same shares in the
    reverse order (the most frequent class gets that of the rarest), the cross-entropies are those of s z_1,
    s z_2 + log p and s z_3 + log p - tau log q. The first expert is thus best on classes with many images, the third on
    those with few. As in the authors' code, 1e-9 is added to the shares before the logarithm is taken. Where classes
    have equally many images, the reverse order is by their number; the order that the authors' code gives them there
    depends on the device.

    The model predicts by the mean of the experts' logits, which suits a uniform test distribution; the variant
    `aggregation` weighs the experts for another one. In evaluation mode, without the experts, the value is the
    cross-entropy of s z, as in the authors' code.

    Source: Zhang et al., Self-Supervised Aggregation of Diverse Experts for Test-Agnostic Long-Tailed Recognition,
    NeurIPS 2022; the formulas are those of the authors' code, and the defaults those of its configuration for
    CIFAR-100-LT.

    Args:
        class_counts: training images per class, integers of shape (C,).
        tau: how strongly the third expert is turned to the rare classes.
        s: scale of the logits; for `head: linear`, 1.
    """

    default_head = "cosine"
    default_experts = 3
    exact_experts = True
    needs = ("experts",)
    corrects = "adjusts the logits of two of its experts by the class counts in training"
    shifts: Tensor

    def __init__(self, class_counts: Tensor, *, tau: NonNegative = 2.0, s: Positive = 30.0):
        super().__init__(class_counts)
        self.logit_scale = s
        share = self.class_counts.double() / self.class_counts.sum()
        order = share.argsort(stable=True)
        reverse = torch.empty_like(share)
        reverse[order] = share[order].flip(0)
        prior, inverse = (share + 1e-9).log(), (reverse + 1e-9).log()
        shifts = torch.stack([torch.zeros_like(prior), prior, prior - tau * inverse])
        self.register_buffer("shifts", shifts)

    def per_sample(self, logits: Tensor, labels: Tensor, *, experts: Tensor | None = None) -> Tensor:
        if experts is None:
            return F.cross_entropy(self.logit_scale * logits, labels, reduction="none")
        images, number, classes = experts.shape
        if number != len(self.shifts):
            raise ValueError(f"SADE has {len(self.shifts)} experts; found the logits of {number}")
        shifted = self.logit_scale * experts.to(logits.dtype) + self.shifts.to(logits.dtype)
        # One row for each image and expert, since the loss of three dimensions is not deterministic on GPUs.
        each = F.cross_entropy(shifted.view(-1, classes), labels.repeat_interleave(number), reduction="none")
        return each.view(images, number).sum(dim=1)
