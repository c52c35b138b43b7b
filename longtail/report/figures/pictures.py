"""Put images side by side, for the figures that show images."""

import numpy as np
import torch

from longtail.data.tensors.shards import ShardedImages

CELL = 0.46  # inches per image
GAP = 1 / 12  # of a cell, white between images


def strip(images: torch.Tensor | ShardedImages, positions: torch.Tensor, length: int) -> np.ndarray:
    """The images at the first `length` positions side by side on white, uint8 H x W x 3.

    Args:
        images: uint8, N x 3 x H x W; only those that are shown are read.
        positions: int64; fewer than `length` leave a gap.
    """
    height, width = images.shape[2:]
    gap = max(1, round(GAP * width))
    sheet = np.full((height + gap, length * (width + gap), 3), 255, dtype=np.uint8)
    for place, image in enumerate(images[positions[:length]]):
        sheet[:height, place * (width + gap) :][:, :width] = image.permute(1, 2, 0).numpy()
    return sheet
