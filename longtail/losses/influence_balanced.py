"""Influence-balanced loss: an image counts the less, the more it alone would move the decision boundary."""

import torch
from torch import Tensor
from torch.nn import functional as F

from longtail.losses.base import Loss, is_label
from longtail.losses.weights import effective_number, inverse_frequency
from longtail.settings import HalfOpenUnit, NonNegative, Positive, Unit

EPSILON = 1e-3
"""What keeps the division finite, as in the authors' code."""


class InfluenceBalanced(Loss):
    """Class-weighted cross-entropy times alpha / (g h + 0.001), after a first part of plain cross-entropy.

    g is the L1 distance between the probabilities of an image and its one-hot label, and h the L1 norm of its features,
    those that the classifier gets. Their product bounds how much the image moves the classifier's weights. Gradients
    flow through both. With gamma, the factor (1 - exp(-w CE))^gamma stands before it, where w is the class weight. In a
    training the loss is cross-entropy until `start`, and the learning rate has to fall then, since the value jumps to
    the order of alpha / (g h). In evaluation mode, without features, the value leaves the factor out: w CE.

    Source: Park et al., Influence-Balanced Loss for Imbalanced Visual Classification, ICCV 2021, equations 8 to 10. The
    defaults are those of the authors' command for CIFAR; gamma and beta are from their variants of the loss.

    Args:
        class_counts: training images per class, integers of shape (C,).
        alpha: scale of the loss.
        gamma: focusing parameter; 0: no factor.
        beta: weights classes by one over their effective number of images; 1: over their number, which it becomes.
        start: share of the epochs that are trained with cross-entropy first.
    """

    corrects = "weighs its images by the class counts in training"
    no_mixup = "the influence of an image is that of one label, and a mixed image has two"
    needs = ("features",)
    active: Tensor
    weights: Tensor

    def __init__(
        self,
        class_counts: Tensor,
        *,
        alpha: Positive = 1000.0,
        gamma: NonNegative = 0.0,
        beta: Unit = 1.0,
        start: HalfOpenUnit = 0.5,
    ):
        super().__init__(class_counts, reduction="batch_mean")
        self.alpha, self.gamma, self.start = alpha, gamma, start
        weights = (
            inverse_frequency(self.class_counts)
            if beta == 1
            else effective_number(self.class_counts, beta=beta)
        )
        self.register_buffer("weights", weights)
        self.register_buffer("active", torch.ones((), dtype=torch.float64))
        self.set_class_weight(weights)

    def begin_epoch(self, epoch: int, epochs: int) -> None:
        active = epoch >= self.start * epochs
        self.active.fill_(float(active))
        self.class_weight.copy_(self.weights if active else torch.ones_like(self.weights))

    def per_sample(self, logits: Tensor, labels: Tensor, features: Tensor | None = None) -> Tensor:
        cross_entropy = F.cross_entropy(logits, labels, reduction="none")
        if features is None:
            return cross_entropy
        moved = (logits.softmax(dim=1) - is_label(logits, labels).to(logits.dtype)).abs().sum(dim=1)
        length = features.to(logits.dtype).abs().sum(dim=1)
        balanced = cross_entropy * self.alpha / (moved * length + EPSILON)
        if self.gamma:
            weighted = self.class_weight.to(logits.dtype)[labels] * cross_entropy
            balanced = (-torch.expm1(-weighted)) ** self.gamma * balanced
        return balanced.where(self.active.to(torch.bool), cross_entropy)
