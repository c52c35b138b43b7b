"""Self-supervised aggregation: weights for several experts, learnt from test images without their labels."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

NO_COSINE = None
CORRECTS_LOGITS = False
SETTINGS = ("distribution",)
IMAGES = "test"
EXPERTS = True
LEAST = 0.045
"""Learning ends when a weight is smaller, so that no expert is lost; in the authors' code 0.05, of rounded weights."""
EPOCHS, BATCH_SIZE = 5, 128


def learnt_weights(epochs: Iterable[Iterable[tuple[Tensor, Tensor]]], experts: int) -> Tensor:
    """The weights of the experts with which the predictions for two views of an image are most alike.

    Experts that know the classes which the test images are of are the more stable ones. The weights are a softmax of
    numbers that all start at 1/E and are trained by SGD for the mean cosine between the probabilities of the two views,
    as in the authors' code: learning rate 0.1, Nesterov's momentum 0.9, weight decay 5e-4.

    Source: Zhang et al., NeurIPS 2022, Self-Supervised Aggregation of Diverse Experts for Test-Agnostic Long-Tailed
    Recognition (SADE).

    Args:
        epochs: the batches of each epoch, each two views of the same images: their logits, (B, E, C), multiplied with
            the scale of the loss.
        experts: E.

    Returns:
        float64, (E,), on the CPU, with the sum 1.
    """
    numbers = nn.Parameter(torch.full((experts,), 1 / experts, dtype=torch.float64))
    optimizer = torch.optim.SGD([numbers], lr=0.1, momentum=0.9, nesterov=True, weight_decay=5e-4)
    for batches in epochs:
        for first, second in batches:
            optimizer.zero_grad()
            (-agreement(numbers.softmax(dim=0), first, second)).backward()
            optimizer.step()
        if numbers.detach().softmax(dim=0).min() < LEAST:
            break
    return numbers.detach().softmax(dim=0)


def agreement(weights: Tensor, first: Tensor, second: Tensor) -> Tensor:
    """The mean cosine between the probabilities that weighted experts give to two views of the same images, a scalar.

    Args:
        weights: shape (E,), with the sum 1.
        first, second: logits of the views, (B, E, C), of any device and precision.
    """
    one, other = ((weights.to(view)[:, None] * view).sum(dim=1).softmax(dim=1) for view in (first, second))
    return F.cosine_similarity(one, other, dim=1, eps=1e-6).mean()
