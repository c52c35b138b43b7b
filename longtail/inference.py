"""What a trained model makes of images: logits, and the probabilities that they stand for."""

import torch
from torch import nn

from longtail.augment import Feed
from longtail.data.shards import ShardedImages
from longtail.device import precision_on
from longtail.numerics import autocast, set_numerics
from longtail.saved_model import ModelCard


@torch.no_grad()
def logits_of(
    model: nn.Module,
    images: torch.Tensor | ShardedImages,
    card: ModelCard,
    device: torch.device,
    batch_size: int | None = None,
    resident: bool = True,
) -> torch.Tensor:
    """Logits float32 N x C on the CPU, with the preprocessing and the precision the model was trained with.

    Args:
        model: in evaluation mode, on `device`.
        images: uint8, N x 3 x H x W, on any device.
        batch_size: by default that of the training's validation.
        resident: move the images to the device first; if not, they are moved batch by batch.

    Raises:
        ValueError: no image, or images of another form.
    """
    precision = precision_on(device, card.recipe["precision"])
    set_numerics(precision, deterministic=card.recipe["deterministic"])
    feed = Feed(
        images.to(device) if resident else images,
        torch.zeros(len(images), dtype=torch.int64),
        size=card.image_size,
        mean=card.mean,
        std=card.std,
        batch_size=batch_size or card.recipe["eval_batch_size"],
        device=device,
        channels_last=True,
        read_ahead=not resident,
    )
    logits = torch.empty(len(images), len(card.class_names), device=device)
    filled = 0
    for batch, _ in feed.in_order():
        with autocast(device, precision):
            logits[filled : filled + len(batch)] = model(batch)
        filled += len(batch)
    return logits.cpu()


def probabilities(logits: torch.Tensor, card: ModelCard) -> torch.Tensor:
    """Softmax of the logits, N x C, scaled as the loss had them and calibrated where the model is."""
    return (logits * (card.logit_scale / (card.temperature or 1.0))).softmax(dim=1)
