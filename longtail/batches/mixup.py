"""Mixup and Remix: training on mixtures of two images, made batch by batch on the device."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from longtail.losses.base import Loss
from longtail.machine.randomness import derive_seed


class Targets(NamedTuple):
    """What a batch's images are of: one class each, or two with their shares.

    Attributes:
        labels: int64, shape (B,).
        others: the second labels, int64, shape (B,); None: there are none.
        share: how much of its image the first label is, shape (B,); the second is the rest.
    """

    labels: Tensor
    others: Tensor | None = None
    share: Tensor | None = None

    def total(self, loss: Loss, logits: Tensor) -> Tensor:
        """The loss's total over the batch (see `Loss.total`), for two labels the shares' average of theirs."""
        if self.others is None:
            return loss.total(logits, self.labels)
        return loss.total(logits, self.labels, self.share) + loss.total(logits, self.others, 1 - self.share)

    def normalizer(self, loss: Loss) -> Tensor:
        """What that total is divided by to give the batch's mean."""
        if self.others is None:
            return loss.normalizer(self.labels)
        return loss.normalizer(self.labels, self.share) + loss.normalizer(self.others, 1 - self.share)

    def main_labels(self) -> Tensor:
        """The label with the larger share of each image, int64, shape (B,)."""
        return self.labels if self.others is None else self.labels.where(self.share >= 0.5, self.others)

    def map(self, function: Callable[[Tensor], Tensor]) -> "Targets":
        """The targets with each tensor replaced by what the function makes of it."""
        return Targets(*(None if tensor is None else function(tensor) for tensor in self))

    def split(self, size: int) -> list["Targets"]:
        """Parts of `size` images each, the last one of what is left."""
        starts = range(0, len(self.labels), size)
        return [self.map(lambda tensor, start=start: tensor[start : start + size]) for start in starts]


class Mixer:
    """Mixes the batches of one epoch, each image of a batch with another one of it.

    With lambda drawn from Beta(alpha, alpha) for each batch, the mixture is lambda x_i + (1 - lambda) x_j, and its
    labels have the same shares. Remix gives the whole label to the rarer class where the other one has at least
    `kappa` times as many training images and its share of the image is below `tau`.

    Sources: Zhang et al., mixup: Beyond Empirical Risk Minimization, ICLR 2018, equation 1. Chou et al., Remix:
    Rebalanced Mixup, ECCV 2020 workshops, equation 7.

    Args:
        settings: `alpha` above 0; `remix`: None, or `kappa` of at least 1 and `tau` from 0 to 1.
        class_counts: training images per class, integers of shape (C,).
        steps, batch_size: of the epoch.
        seed, epoch: all that is random follows from them, so a resumed epoch has the mixtures it would have had.
        device: of the batches.
    """

    def __init__(
        self,
        settings: Mapping[str, object],
        class_counts: Tensor,
        steps: int,
        batch_size: int,
        seed: int,
        epoch: int,
        device: torch.device,
    ):
        random = np.random.default_rng(derive_seed(seed, "mixup", epoch))
        self.lambdas = random.beta(settings["alpha"], settings["alpha"], size=steps).tolist()
        places = torch.from_numpy(random.random((steps, batch_size)))
        self.places = places.to(device, torch.float32)
        self.remix = settings["remix"]
        self.class_counts = class_counts.to(device)

    def __call__(self, step: int, images: Tensor, labels: Tensor) -> tuple[Tensor, Targets]:
        """The mixtures of a batch (images B x C x H x W, labels int64 B), which is left as it is."""
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

    0 where its class is at least `kappa` times as frequent as the other one and its share is below `tau`; 1 where
    that holds the other way round; else unchanged.

    Args:
        share: of the first image in the mixture, shape (B,).
        count, other_count: training images of the two images' classes, shape (B,).
    """
    share = share.masked_fill((count >= kappa * other_count) & (share < tau), 0.0)
    return share.masked_fill((other_count >= kappa * count) & (1 - share < tau), 1.0)
