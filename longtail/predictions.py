"""Logits of every test image, and the file they are kept in."""

from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import nn

from longtail.data.tensors import LabelledImages
from longtail.inference import logits_of
from longtail.parquet import read_parquet, write_parquet
from longtail.saved_model import ModelCard


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

    `resident`, `crops` and `expand` are as of `longtail.inference.logits_of`.

    Raises:
        ValueError: the images' classes are not those of the model.
    """
    if images.class_names != card.class_names:
        raise ValueError(
            f"the model knows {len(card.class_names)} classes ({', '.join(card.class_names[:3])}, …), the images have "
            f"{len(images.class_names)} ({', '.join(images.class_names[:3])}, …); train on the same data"
        )
    return logits_of(model, images.images, card, device, resident=resident, crops=crops, expand=expand)


def write_predictions(
    path: str | Path, images: LabelledImages, logits: torch.Tensor, split: str | Path
) -> None:
    """One row per image: image_id, label, group, longtailed (whether it is in the long-tailed test set), logits.

    Where the split cuts a balanced part from natural counts, also balanced: whether the image is in that test set.

    Raises:
        ValueError: an image is not in the split.
    """
    rows = read_parquet(split, ["image_id", "group", "longtailed"]).set_index("image_id")
    ids = images.image_ids.numpy()
    missing = np.setdiff1d(ids, rows.index)
    if len(missing):
        raise ValueError(
            f"{split} lacks {len(missing)} of the {len(ids)} images, such as id {missing[0]}; make both anew"
        )
    rows = rows.loc[ids]
    frame = pd.DataFrame({"image_id": ids, "label": images.labels.numpy()})
    for column in ("group", "longtailed", "balanced"):
        if column in rows:
            frame[column] = rows[column].to_numpy()
    write_parquet(frame.assign(logits=list(logits.numpy())), path)
