"""The logits and probabilities that a trained model gives for images, and the file with the logits of test images."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import nn

from longtail.batches.feed import Feed
from longtail.data.tensors.files import LabelledImages
from longtail.data.tensors.shards import ShardedImages
from longtail.files.parquet import write_parquet
from longtail.machine.devices import precision_on
from longtail.machine.numerics import autocast, check_finite, set_numerics
from longtail.models.card import ModelCard

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
    """Compute logits, float32 N x C on the CPU, with the preprocessing and precision that the model was trained with.

    Args:
        model: in evaluation mode, on `device`; the backbone alone gives features in place of logits.
        images: uint8, N x 3 x H x W, on any device.
        batch_size: by default the batch size of the training's validation.
        resident: whether all images are moved to the device first; if not, they are moved batch by batch.
        crops: `five` for the corners and the centre of each image, `ten` for those and their mirror images; logits
            are then the mean over them (test-time ensembling, as Shi et al., 2024, in LIFT). None takes the image
            as a whole.
        expand: by how many pixels images are made larger, both ways, before they are cropped.

    Raises:
        ValueError: there is no image, images have another form, or crops have another name.
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
    logits = torch.zeros(0, device=device)
    for view in views:
        filled = 0
        for batch, _ in feed.in_order(view):
            with autocast(device, precision):
                found = model(batch)
            if not len(logits):
                logits = torch.zeros(len(images), found.shape[1], device=device)
            logits[filled : filled + len(batch)] += found
            filled += len(batch)
    return (logits / len(views)).cpu()


def crop_views(crops: str, spare: int) -> list[tuple[int, int, bool]]:
    """The views that torchvision's `five_crop` or `ten_crop` take: first row, first column, and whether mirrored.

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
    """The softmax of the logits, N x C, after scaling them as the loss did and, if fitted, by the temperature."""
    return (logits * card.sharpness).softmax(dim=1)


def predict(
    model: nn.Module, images: LabelledImages, card: ModelCard, device: torch.device, **options: Any
) -> torch.Tensor:
    """Check that a labelled set has the model's classes, then compute its `logits_of`, which takes the options.

    Raises:
        ValueError: the images' classes are not those of the model.
    """
    if images.class_names != card.class_names:
        raise ValueError(
            f"the model knows {len(card.class_names)} classes ({', '.join(card.class_names[:3])}, …), the images have "
            f"{len(images.class_names)} ({', '.join(images.class_names[:3])}, …); train on the same data"
        )
    return logits_of(model, images.images, card, device, **options)


def write_predictions(
    path: str | Path, images: LabelledImages, logits: torch.Tensor, made_by: Mapping[str, Any]
) -> None:
    """Write one row per image: image_id int64, label int64, logits (C floats).

    The file does not say which test sets an image is in. The split says that, so a run need not be predicted anew
    when the sets are cut differently.

    Args:
        made_by: `model`, the digest of its file, and the crops that it was shown; readers compare it with the model
            that lies beside the predictions.

    Raises:
        ValueError: logits are not finite.
        OSError: the file could not be written.
    """
    check_finite(logits.numpy(), images.image_ids.numpy())
    frame = pd.DataFrame({"image_id": images.image_ids.numpy(), "label": images.labels.numpy()})
    write_parquet(frame.assign(logits=list(logits.numpy())), path, made_by)
