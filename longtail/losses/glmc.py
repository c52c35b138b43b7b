"""Global and local mixture consistency: two mixtures of the same images agree, and rare classes count ever more."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from longtail.losses.base import Loss
from longtail.settings import Count, NonNegative


class GLMC(Loss):
    """a L1 + (1 - a) L2 + `contrast_weight` L3, where a falls from 1 to 0 as 1 - (epoch / epochs)^2.

    Each image has two views: one is mixed with another image as in mixup, the other as in CutMix, with the same image
    and the same share. L1 is the cross-entropy of a classifier that only training has, L2 that of the model's own,
    with each label weighted by n_c^-`label_weighting` (whose sum is the number of classes), both summed over the two
    views. L3 is minus the cosine of the one view's features, after two linear layers, and the other's after the first
    of these, which is held constant, summed over both ways. The first classifier and these layers are trained with the
    model and left out of the model file. In evaluation mode, where there are no views, the value is the cross-entropy.

    As in the authors' code, lambda comes from Beta(1, 1) and is the share of a CutMix as well, whatever part of its
    rectangle lies in the image. Otherwise than there, an image is mixed with one of its own batch, where they draw
    from all images for each batch anew, and batch norms see both views at once.

    Source: Du et al., Global and Local Mixture Consistency Cumulative Learning for Long-tailed Visual Recognitions,
    CVPR 2023; the formulas are those of the authors' code, and the defaults those of its commands for CIFAR-100-LT at
    imbalance 100.

    Args:
        class_counts: training images per class, integers of shape (C,).
        label_weighting: how strongly L2 weighs rare classes; 0: all equally.
        contrast_weight: weight of L3.
        dim: number of features that are compared.
    """

    corrects = "re-weighs its classes in training, the more so the later"
    no_mixup = "it mixes the images itself, in one of its views as mixup and in the other as CutMix"
    no_parts = "both views of all images belong to one step"
    views = ("train", "train")
    mixtures = ("input", "cutmix")
    needs = ("view_features", "view_logits")
    label_weight: Tensor
    share: Tensor

    def __init__(
        self,
        class_counts: Tensor,
        *,
        label_weighting: NonNegative = 1.2,
        contrast_weight: NonNegative = 4.0,
        dim: Count = 128,
    ):
        super().__init__(class_counts, reduction="batch_mean")
        self.contrast_weight, self.dim = contrast_weight, dim
        weight = self.class_counts.clamp(min=1).double() ** -label_weighting
        self.register_buffer("label_weight", weight * (len(weight) / weight.sum()))
        self.register_buffer("share", torch.zeros((), dtype=torch.float64))

    def attach(self, num_features: int) -> None:
        self.first_classifier = nn.Linear(num_features, len(self.class_counts))
        self.projection = nn.Linear(num_features, self.dim)
        self.prediction = nn.Linear(self.dim, self.dim)

    def begin_epoch(self, epoch: int, epochs: int) -> None:
        self.share.fill_(1 - (epoch / epochs) ** 2)

    def per_sample(
        self,
        logits: Tensor,
        labels: Tensor,
        *,
        view_features: Tensor | None = None,
        view_logits: Tensor | None = None,
    ) -> Tensor:
        if view_features is None or view_logits is None:
            return F.cross_entropy(logits, labels, reduction="none")
        features = view_features.to(logits.dtype)
        share, weight = self.share.to(logits.dtype), self.label_weight.to(logits.dtype)[labels]
        first = _cross_entropy(self.first_classifier(features), labels)
        second = weight * _cross_entropy(view_logits.to(logits.dtype), labels)
        projected = self.projection(features)
        predicted = self.prediction(projected)
        agreement = F.cosine_similarity(predicted, projected.detach().flip(1), dim=2).sum(dim=1)
        return share * first + (1 - share) * second - self.contrast_weight * agreement


def _cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """The cross-entropy of each image, summed over its views, from logits (N, V, C): shape (N,)."""
    images, views, classes = logits.shape
    # One row for each view, since the loss of three dimensions is not deterministic on GPUs.
    each = F.cross_entropy(logits.reshape(-1, classes), labels.repeat_interleave(views), reduction="none")
    return each.view(images, views).sum(dim=1)
