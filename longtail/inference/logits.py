"""What a trained model makes of images: logits, and the probabilities that they stand for."""

import torch
from torch import nn

from longtail.batches.feed import Feed
from longtail.data.tensors.shards import ShardedImages
from longtail.machine.devices import precision_on
from longtail.machine.numerics import autocast, set_numerics
from longtail.models.file import ModelCard

CROPS = ("five", "ten")


@torch.no_grad()
def logits_of(
    model: nn.Module,
    images: torch.Tensor | ShardedImages,
    card: ModelCard,
    device: torch.device,
    batch_size: int | None = None,
    *,
    resident: bool = True,
    crops: str | None = None,
    expand: int = 0,
) -> torch.Tensor:
    """Logits float32 N x C on the CPU, with the preprocessing and the precision the model was trained with.

    Args:
        model: in evaluation mode, on `device`.
        images: uint8, N x 3 x H x W, on any device.
        batch_size: by default that of the training's validation.
        resident: move the images to the device first; if not, they are moved batch by batch.
        crops: `five`, the corners and the centre of each image, or `ten`, those and their mirror images: logits are
            the mean over them (test-time ensembling, as Shi et al., 2024, in LIFT). None: the image as a whole.
        expand: pixels by which images are made larger, both ways, before they are cropped.

    Raises:
        ValueError: no image, or images of another form; crops that there are not.
    """
    views = [None] if crops is None else crop_views(crops, expand)
    precision = precision_on(device, card.recipe["precision"])
    set_numerics(precision, deterministic=card.recipe["deterministic"])
    feed = Feed(
        images.to(device) if resident else images,
        torch.zeros(len(images), dtype=torch.int64),
        size=card.image_size,
        resize=card.image_size + (expand if crops else 0),
        mean=card.mean,
        std=card.std,
        batch_size=batch_size or card.recipe["eval_batch_size"],
        device=device,
        channels_last=True,
        read_ahead=not resident,
    )
    logits = torch.zeros(len(images), len(card.class_names), device=device)
    for view in views:
        filled = 0
        for batch, _ in feed.in_order(view):
            with autocast(device, precision):
                logits[filled : filled + len(batch)] += model(batch)
            filled += len(batch)
    return (logits / len(views)).cpu()


def crop_views(crops: str, spare: int) -> list[tuple[int, int, bool]]:
    """First row, first column and whether mirrored, of torchvision's `five_crop` or `ten_crop`.

    Args:
        crops: `five` or `ten`.
        spare: how many pixels the image is larger than a crop, both ways; 1 or more.

    Raises:
        ValueError: another name, or nothing to spare.
    """
    if crops not in CROPS or spare < 1:
        raise ValueError(
            f"crops is {crops!r} and expand {spare}; allowed: {' or '.join(CROPS)}, from images that are expanded "
            "by 1 pixel or more"
        )
    centre = round(spare / 2)
    corners = [(0, 0), (0, spare), (spare, 0), (spare, spare), (centre, centre)]
    views = [(top, left, False) for top, left in corners]
    if crops == "ten":  # those of the mirrored image
        views += [(top, spare - left, True) for top, left in corners]
    return views


def probabilities(logits: torch.Tensor, card: ModelCard) -> torch.Tensor:
    """Softmax of the logits, N x C, scaled as the loss had them and calibrated where the model is."""
    return (logits * (card.logit_scale / (card.temperature or 1.0))).softmax(dim=1)
