"""Balanced contrastive learning: images of a class attract each other, and no class repels by its number of images."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from longtail.losses.base import Loss
from longtail.settings import Count, NonNegative, Positive


class BCL(Loss):
    """`alpha` times balanced softmax plus `beta` times a contrastive loss in which each class counts equally.

    Of the three views of an image, the first one is classified and the other two are compared. Their features go
    through a small network and get length one; the classifier's weight vectors go through another one and become a
    prototype for each class. For an anchor, the contrastive loss is minus the mean over all other keys of its class of
    log(exp(a k / t) / S), where the keys are the compared views and the prototypes, and S is the sum over the classes
    of the mean of exp(a k / t) over the keys of each, without the anchor. Both networks are trained with the model and
    left out of the model file. In evaluation mode, where there are no views, the value is alpha times balanced softmax.

    Source: Zhu et al., Balanced Contrastive Learning for Long-Tailed Visual Recognition, CVPR 2022, equations 3 to 9.
    The authors gave no code for CIFAR; the defaults are those with which others reproduced their numbers. For ImageNet,
    theirs are alpha 1, beta 0.35, temperature 0.07, hidden 2048, dim 1024, and a cosine head with s 30.

    Args:
        class_counts: training images per class, integers of shape (C,).
        alpha: weight of balanced softmax.
        beta: weight of the contrastive loss.
        temperature: what similarities are divided by.
        hidden: width of the hidden layer of both networks.
        dim: number of features that are compared.
        s: scale of the logits; for `head: cosine`, such as 30.
    """

    corrects = "adjusts its logits by the class counts in training"
    no_mixup = "images of a class are compared, and a mixed image has two classes"
    no_parts = "each image is compared with all others of the batch"
    whole_batch = True
    views = ("train", "simclr", "simclr")
    needs = ("view_features", "classifier")
    log_counts: Tensor

    def __init__(
        self,
        class_counts: Tensor,
        *,
        alpha: NonNegative = 2.0,
        beta: NonNegative = 0.6,
        temperature: Positive = 0.1,
        hidden: Count = 512,
        dim: Count = 128,
        s: Positive = 1.0,
    ):
        super().__init__(class_counts, reduction="batch_mean")
        self.alpha, self.beta, self.temperature = alpha, beta, temperature
        self.hidden, self.dim, self.logit_scale = hidden, dim, s
        self.register_buffer("log_counts", self.class_counts.clamp(min=1).double().log())

    def attach(self, num_features: int) -> None:
        self.projection, self.prototypes = (
            nn.Sequential(
                nn.Linear(num_features, self.hidden),
                nn.BatchNorm1d(self.hidden),
                nn.ReLU(),
                nn.Linear(self.hidden, self.dim),
            )
            for _ in range(2)
        )

    def per_sample(
        self,
        logits: Tensor,
        labels: Tensor,
        *,
        view_features: Tensor | None = None,
        classifier: Tensor | None = None,
    ) -> Tensor:
        adjusted = self.logit_scale * logits + self.log_counts.to(logits.dtype)
        value = self.alpha * F.cross_entropy(adjusted, labels, reduction="none")
        if view_features is None or classifier is None:
            return value
        # One pass over both views, so that the batch norm sees them together.
        compared = self.projection(view_features[:, 1:].to(logits.dtype).flatten(0, 1))
        compared = F.normalize(compared, dim=1).unflatten(0, (len(labels), -1))
        prototypes = F.normalize(self.prototypes(classifier.to(logits.dtype)), dim=1)
        return value + self.beta * balanced_contrastive(compared, prototypes, labels, self.temperature)


def balanced_contrastive(features: Tensor, prototypes: Tensor, labels: Tensor, temperature: float) -> Tensor:
    """The contrastive loss of each image, the mean over its views, shape (N,).

    Args:
        features: of length one, shape (N, V, D).
        prototypes: of length one, shape (C, D).
        labels: int64, shape (N,).
        temperature: what similarities are divided by.
    """
    images, views = features.shape[:2]
    anchors = features.flatten(0, 1)
    classes = torch.arange(len(prototypes), device=labels.device)
    owners = labels.repeat_interleave(views)
    of_keys = torch.cat([owners, classes])
    similar = anchors @ torch.cat([anchors, prototypes]).T / temperature
    keys = torch.arange(len(of_keys), device=labels.device)
    itself = keys == keys[: len(anchors), None]
    positive = (of_keys == owners[:, None]) & ~itself
    members = (classes[:, None] == of_keys).sum(dim=1)[of_keys]
    # The mean over a class is over one key less where the anchor is one of them.
    weighed = similar - (members - positive.long()).to(similar.dtype).log()
    log_sum = weighed.masked_fill(itself, -torch.inf).logsumexp(dim=1, keepdim=True)
    of_positives = ((similar - log_sum) * positive).sum(dim=1) / positive.sum(dim=1)
    return -of_positives.view(images, views).mean(dim=1)
