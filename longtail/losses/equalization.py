"""Softmax equalization loss: rare classes are not pushed down by the images of others."""

import torch
from torch import Tensor
from torch.nn import functional as F

from longtail.losses.base import Loss, is_label
from longtail.settings import Unit


class Equalization(Loss):
    """Cross-entropy whose softmax leaves out, at random, the rare classes that are not the label.

    For image i, class k is left out when k is rare (its share of the training images is below `lam`), k is not
    the label, and a coin of probability `gamma` says so. Every batch draws its own coins, one per image and
    class, in evaluation too: set `generator` to a seeded one for a reproducible value. With balanced counts it
    equals `softmax` only if no class is rare, that is if 1/C is at least `lam`. A class with no images is rare.

    Source: Tan et al., Equalization Loss for Long-Tailed Object Recognition, CVPR 2020, the softmax
    form for image classification.

    Args:
        class_counts: training images per class, integers of shape (C,).
        lam: classes with a smaller share of the training images are rare; 0 is `softmax`.
        gamma: probability that a rare class is left out of the denominator; 0 is `softmax`.
    """

    rare: Tensor

    def __init__(self, class_counts: Tensor, *, lam: Unit = 0.005, gamma: Unit = 0.9):
        super().__init__(class_counts)
        self.gamma = gamma
        self.register_buffer("rare", self.class_counts.double() / self.class_counts.sum() < lam)

    def draw_uniform(self, logits: Tensor) -> Tensor:
        """Uniform numbers in [0, 1), one per image and class; one below gamma leaves a rare class out."""
        # The numbers are float32 whatever the logits are, so that a seed gives the same mask in every precision.
        return torch.rand(logits.shape, generator=self.generator, device=logits.device, dtype=torch.float32)

    def per_sample(self, logits: Tensor, labels: Tensor) -> Tensor:
        left_out = (self.draw_uniform(logits) < self.gamma) & self.rare & ~is_label(logits, labels)
        return F.cross_entropy(logits.masked_fill(left_out, -torch.inf), labels, reduction="none")
