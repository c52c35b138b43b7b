"""Logits of every test image, and the file they are kept in."""

from pathlib import Path

import pandas as pd
import torch
from torch import nn

from longtail.data.tensors.files import LabelledImages
from longtail.files.parquet import write_parquet
from longtail.inference.logits import logits_of
from longtail.machine.numerics import check_finite
from longtail.models.file import ModelCard


def predict(
    model: nn.Module,
    images: LabelledImages,
    card: ModelCard,
    device: torch.device,
    *,
    resident: bool = True,
    crops: str | None = None,
    expand: int = 0,
) -> torch.Tensor:
    """Logits float32 N x C on the CPU, in the order of the images, with the precision the model was trained in.

    `resident`, `crops` and `expand` are as of `longtail.inference.logits.logits_of`.

    Raises:
        ValueError: the images' classes are not those of the model.
    """
    if images.class_names != card.class_names:
        raise ValueError(
            f"the model knows {len(card.class_names)} classes ({', '.join(card.class_names[:3])}, …), the images have "
            f"{len(images.class_names)} ({', '.join(images.class_names[:3])}, …); train on the same data"
        )
    return logits_of(model, images.images, card, device, resident=resident, crops=crops, expand=expand)


def write_predictions(path: str | Path, images: LabelledImages, logits: torch.Tensor) -> None:
    """One row per image: image_id int64, label int64, logits (C floats).

    Which sets an image is in is for the split to say: a run is not predicted anew when they are cut differently.

    Raises:
        ValueError: logits are not finite.
    """
    check_finite(logits.numpy(), images.image_ids.numpy())
    frame = pd.DataFrame({"image_id": images.image_ids.numpy(), "label": images.labels.numpy()})
    write_parquet(frame.assign(logits=list(logits.numpy())), path)
