"""Images of a set that is divided among several files, used like one tensor."""

from collections.abc import Sequence

import numpy as np
import torch


class ShardedImages:
    """Images in several tensors one after another: uint8, N x C x H x W, each in the memory of the host or mapped.

    It has what `LabelledImages` and `Feed` ask of a tensor, and no more: shape, dtype, device and size, images by
    their positions, and the move to a device, which makes one tensor of it.

    Raises:
        ValueError: a part is not uint8, or its images have another shape than those of the first part.
    """

    def __init__(self, parts: Sequence[torch.Tensor]):
        for part in parts:
            if part.dtype != torch.uint8 or part.ndim != 4 or part.shape[1:] != parts[0].shape[1:]:
                raise ValueError(
                    f"shards must be uint8 and of one shape, found {part.dtype} {tuple(part.shape)} beside "
                    f"{parts[0].dtype} {tuple(parts[0].shape)}"
                )
        self.parts = list(parts)
        self.starts = np.cumsum([0, *map(len, parts)])[:-1].tolist()
        self.shape = torch.Size([sum(map(len, parts)), *parts[0].shape[1:]])
        self.ndim, self.dtype, self.device = 4, torch.uint8, torch.device("cpu")
        self.nbytes = sum(part.nbytes for part in parts)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, positions: torch.Tensor | slice) -> torch.Tensor:
        """The images at these positions, int64, M, in the memory of the host."""
        if isinstance(positions, slice):
            positions = torch.arange(*positions.indices(len(self)))
        found = torch.empty((len(positions), *self.shape[1:]), dtype=torch.uint8)
        take(self, positions, found)
        return found

    def index_select(self, dimension: int, positions: torch.Tensor) -> torch.Tensor:
        """Do what `Tensor.index_select` does, in dimension 0 only."""
        return self[positions]

    def to(self, device: torch.device | str, copy: bool = True) -> torch.Tensor:
        """One tensor on the device; the images are copied part by part."""
        whole = torch.empty(self.shape, dtype=torch.uint8, device=device)
        for start, part in zip(self.starts, self.parts, strict=True):
            whole[start : start + len(part)].copy_(part)
        return whole


def take(images: torch.Tensor | ShardedImages, positions: torch.Tensor, out: torch.Tensor) -> None:
    """Copy the images at these positions to `out`, with one thread.

    Args:
        images: uint8, N x C x H x W, on the CPU.
        positions: int64, M, each in 0 to N - 1.
        out: uint8, M x C x H x W, on the CPU.

    Raises:
        IndexError: a position is out of range.
    """
    places, target = positions.numpy(), out.numpy()
    if len(places) and not 0 <= places.min() <= places.max() < len(images):
        raise IndexError(
            f"positions {places.min()} to {places.max()} among {len(images)} images, counted from 0"
        )
    if not isinstance(images, ShardedImages):
        # PyTorch would start a second set of threads beside those that compute. With `clip`, NumPy writes to `out`
        # without a copy between.
        np.take(images.numpy(), places, axis=0, out=target, mode="clip")
        return
    for start, part in zip(images.starts, images.parts, strict=True):
        inside = (places >= start) & (places < start + len(part))
        target[inside] = part.numpy()[places[inside] - start]
