"""Mixup and Remix: training on mixtures of two images, made batch by batch on the device."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from longtail.losses.base import Loss
from longtail.machine.randomness import derive_seed


class Targets(NamedTuple):
    """The labels of a batch: one for each image, or two where images are mixed.

    Attributes:
        labels: int64, shape (B,).
        others: the second label of each image, int64, shape (B,).
        share: how much of its image the first label is, shape (B,); the second label is the rest.
    """

    labels: Tensor
    others: Tensor | None = None
    share: Tensor | None = None

    def total(self, loss: Loss, logits: Tensor, features: Tensor | None = None) -> Tensor:
        """The total of the loss over the batch (see `Loss.total`). Each label counts with its share."""
        total = loss.total(logits, self.labels, self.share, features=features)
        if self.others is None or self.share is None:
            return total
        return total + loss.total(logits, self.others, 1 - self.share, features=features)

    def normalizer(self, loss: Loss) -> Tensor:
        """The number by which that total is divided to give the mean over the batch."""
        normalizer = loss.normalizer(self.labels, self.share)
        if self.others is None or self.share is None:
            return normalizer
        return normalizer + loss.normalizer(self.others, 1 - self.share)

    def main_labels(self) -> Tensor:
        """The label with the larger share of each image, int64, shape (B,)."""
        if self.others is None or self.share is None:
            return self.labels
        return self.labels.where(self.share >= 0.5, self.others)

    def map(self, function: Callable[[Tensor], Tensor]) -> "Targets":
        """Apply the function to each tensor of the targets."""
        return Targets(*(function(tensor) for tensor in self if tensor is not None))

    def split(self, size: int) -> list["Targets"]:
        """Divide the targets into parts of `size` images; the last part may be smaller."""
        parts = (tensor.split(size) for tensor in self if tensor is not None)
        return [Targets(*part) for part in zip(*parts, strict=True)]


class Mixer:
    """Mixes the batches of one epoch, each image with another one of its batch.

    With lambda drawn from Beta(alpha, alpha) for each batch, the mixture is lambda x_i + (1 - lambda) x_j, and its
    labels have the same shares. Remix gives the whole label to the rarer class where the other one has at least
    `kappa` times as many training images and its share of the image is below `tau`.

    Sources: Zhang et al., mixup: Beyond Empirical Risk Minimization, ICLR 2018, equation 1. Chou et al., Remix:
    Rebalanced Mixup, ECCV 2020 workshops, equation 7.

    Args:
        alpha: above 0.
        remix: None for mixed labels, or `kappa` of at least 1 and `tau` from 0 to 1.
        class_counts: training images per class, integers of shape (C,).
        steps, batch_size: the batches of the epoch, and the images in each.
        seed, epoch: all random numbers follow from them, so a resumed epoch has the mixtures it would have had.
        device: where the batches are.
    """

    def __init__(
        self,
        alpha: float,
        remix: Mapping[str, float] | None,
        class_counts: Tensor,
        steps: int,
        batch_size: int,
        seed: int,
        epoch: int,
        device: torch.device,
    ):
        random = np.random.default_rng(derive_seed(seed, "mixup", epoch))
        self.lambdas = random.beta(alpha, alpha, size=steps).tolist()
        places = torch.from_numpy(random.random((steps, batch_size)))
        self.places = places.to(device, torch.float32)
        self.remix = remix
        self.class_counts = class_counts.to(device)

    def __call__(self, step: int, images: Tensor, labels: Tensor) -> tuple[Tensor, Targets]:
        """The mixtures of a batch (images B x C x H x W, labels int64 B), which itself stays as it is."""
        share = self.lambdas[step]
        partners = self.places[step, : len(labels)].argsort(stable=True)
        others = labels[partners]
        mixtures = torch.lerp(images[partners], images, share)
        shares = torch.full((len(labels),), share, device=images.device)
        if self.remix:
            shares = remixed(shares, self.class_counts[labels], self.class_counts[others], **self.remix)
        return mixtures, Targets(labels, others, shares)


def remixed(share: Tensor, count: Tensor, other_count: Tensor, *, kappa: float, tau: float) -> Tensor:
    """The share of the first label after Remix, shape (B,).

    The share becomes 0 where the first class is at least `kappa` times as frequent as the other one and its share is
    below `tau`. It becomes 1 where the same holds for the other label. Otherwise it stays.

    Args:
        share: of the first image in the mixture, shape (B,).
        count, other_count: training images of the two images' classes, shape (B,).
    """
    share = share.masked_fill((count >= kappa * other_count) & (share < tau), 0.0)
    return share.masked_fill((other_count >= kappa * count) & (1 - share < tau), 1.0)
