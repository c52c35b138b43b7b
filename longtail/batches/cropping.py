"""From stored pixels to a batch: resize, crop from a padded border, flip, turn and scale, each image on its own.

All of it is linear in the image, so a batch is two batched matrix products: the first stretches the columns, the
second the rows, each image with the matrices of its own crop and flip. Images that already have the wanted size are not
resized, so their pixels are copied without a product.
"""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
import torch.nn.functional as F
from torch import Tensor


class Cropper:
    """Makes batches of crops, in float32. Each batch is written into the same buffer.

    A crop is chosen by a row number and a column number: 0 to `offsets` - 1 is its first row or column, within the
    resized image with its border. Column numbers from `offsets` on are the mirrored crops, and row numbers from
    `offsets` on those that are upside down.

    Args:
        shape: channels, height and width of the stored images.
        size: height and width of the crops, in pixels.
        resize: height and width before the crop.
        padding: width of the black border, in pixels after resizing.
        scale, shift: pixels are multiplied with the one, then the other is added; float64, C x 1 x 1.
        batch_size: images in the largest batch.
        channels_last: memory format of the batches.

    Attributes:
        offsets: how many first rows, and first columns, a crop can have.
        centre: the first row and column of the crop in the middle.
    """

    def __init__(
        self,
        shape: tuple[int, int, int],
        *,
        size: int,
        resize: int,
        padding: int,
        scale: Tensor,
        shift: Tensor,
        batch_size: int,
        device: torch.device,
        channels_last: bool,
    ) -> None:
        channels, height, width = shape
        self.offsets = resize + 2 * padding - size + 1
        self.centre = padding + round((resize - size) / 2)
        self.padding = padding
        self._channels_last = channels_last
        self._scale, self._shift = (values.to(device, torch.float32) for values in (scale, shift))
        layout = torch.channels_last if channels_last else torch.contiguous_format
        self._resizes = (height, width) != (resize, resize)
        if self._resizes:
            # One matrix per crop offset; those of mirrored crops follow. The rows' matrices end in a column of ones,
            # which meets a last row of `shift`: adding it needs no pass of its own.
            rows, columns = (_crops(resize_matrix(side, resize), size, padding) for side in (height, width))
            self._rows = F.pad(rows, (0, 1), value=1.0).to(device)
            self._columns = columns.mT.contiguous().to(device)
            self._stretched = torch.empty(batch_size, channels, height, size, device=device)
            lines = (batch_size, channels, height + 1, size)
            self._lines = torch.empty(lines, device=device, memory_format=layout)
            self._lines[:, :, height] = shift.squeeze(-1)
        self.batch = torch.empty((batch_size, channels, size, size), device=device, memory_format=layout)

    def __call__(
        self, pixels: Tensor, rows: Tensor, columns: Tensor, exchanged: Tensor | None = None
    ) -> Tensor:
        """Crop uint8 images at these row and column numbers (int64, B); the crops are the first B of `batch`.

        Args:
            exchanged: 1 for a crop whose rows then become its columns, else 0; int64, B. None exchanges none.
        """
        batch = (self._resized if self._resizes else self._gathered)(pixels, rows, columns)
        if exchanged is not None:
            batch.copy_(batch.mT.where(exchanged.view(-1, 1, 1, 1) == 1, batch))
        return batch

    def _gathered(self, pixels: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
        batch = self.batch[: len(pixels)]
        size = batch.shape[-1]
        bordered = F.pad(pixels, 4 * (self.padding,)) if self.padding else pixels
        along = torch.arange(size, device=batch.device)
        down, across = (
            (numbers % self.offsets).unsqueeze(1)
            + torch.where((numbers >= self.offsets).unsqueeze(1), along.flip(0), along)
            for numbers in (rows, columns)
        )
        places = (down.unsqueeze(2) * bordered.shape[3] + across.unsqueeze(1)).view(len(pixels), 1, -1)
        taken = bordered.flatten(2).gather(2, places.expand(-1, pixels.shape[1], -1))
        return torch.mul(taken.view(batch.shape), self._scale, out=batch).add_(self._shift)

    def _resized(self, pixels: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
        count, _, height, _ = pixels.shape
        stretched, lines, batch = self._stretched[:count], self._lines[:count], self.batch[:count]
        with _full_precision():
            # Autocast does not change the dtype of products with `out=`.
            columns_matrices = self._columns.index_select(0, columns)
            torch.bmm(pixels.float().flatten(1, 2), columns_matrices, out=stretched.flatten(1, 2))
            torch.mul(stretched, self._scale, out=lines[:, :, :height])
            lines_matrices, batch_matrices = self._matrices(lines), self._matrices(batch)
            per_image = len(batch_matrices) // count
            rows_matrices = self._rows.index_select(0, rows.repeat_interleave(per_image))
            torch.bmm(rows_matrices, lines_matrices, out=batch_matrices)
        return batch

    def _matrices(self, buffer: Tensor) -> Tensor:
        """A view of B x C x H x W as matrices of H rows: B matrices of W C columns if channels_last, else B C of W."""
        if self._channels_last:
            buffer = buffer.permute(0, 2, 3, 1)
            return buffer.view(*buffer.shape[:2], -1)
        return buffer.view(-1, *buffer.shape[2:])


def draw_boxes(images: int, size: int, area: tuple[float, float], generator: torch.Generator) -> Tensor:
    """Which part of each image a random resized crop enlarges: top, height, left, width; int64, 4 x images.

    As torchvision's `RandomResizedCrop` draws them, for images of size x size: the share of the area uniformly, the
    ratio of width to height log-uniformly from 3/4 to 4/3, until a box fits into the image; after ten that do not, the
    whole image.

    Args:
        area: the smallest and the largest share.
        generator: on the CPU.
    """
    tries = (10, images)
    shares = torch.rand(tries, generator=generator, dtype=torch.float64) * (area[1] - area[0]) + area[0]
    ratios = ((2 * torch.rand(tries, generator=generator, dtype=torch.float64) - 1) * math.log(4 / 3)).exp()
    sides = torch.stack([(shares / ratios).sqrt(), (shares * ratios).sqrt()]).mul(size).round().long()
    fits = ((sides > 0) & (sides <= size)).all(dim=0)
    first = fits.int().argmax(dim=0)
    chosen = sides.gather(1, first.expand(2, 1, -1))[:, 0].where(fits.any(dim=0), size)
    places = torch.rand(2, images, generator=generator, dtype=torch.float64)
    starts = (places * (size - chosen + 1)).long()
    return torch.stack([starts[0], chosen[0], starts[1], chosen[1]])


@torch.no_grad()
def enlarge(batch: Tensor, boxes: Tensor) -> None:
    """Stretch a part of each image to the whole image, bilinearly and in place.

    Args:
        batch: float32, B x C x size x size.
        boxes: the parts, as `draw_boxes` gives them, 4 x B.
    """
    size = batch.shape[-1]
    stretched: Tensor = batch
    for dim, first, length in ((2, *boxes[:2]), (3, *boxes[2:])):
        middle = (torch.arange(size, device=batch.device) + 0.5) * (length[:, None] / size) - 0.5
        # What lies outside the part is not looked at, as if it had been cut out before.
        middle = torch.minimum(middle.clamp(min=0), length[:, None] - 1.0)
        below = middle.long()
        above = torch.minimum(below + 1, length[:, None] - 1)
        shape = (len(batch), 1, size, 1) if dim == 2 else (len(batch), 1, 1, size)
        low, high = (
            stretched.gather(dim, (first[:, None] + place).view(shape).expand_as(batch))
            for place in (below, above)
        )
        stretched = torch.lerp(low, high, (middle - below).view(shape))
    batch.copy_(stretched)


def scale_and_shift(mean: Sequence[float], std: Sequence[float]) -> tuple[Tensor, Tensor]:
    """What pixels from 0 to 255 are multiplied with, and what is then added, to normalise them; float64, C x 1 x 1."""
    means, stds = (torch.tensor(values, dtype=torch.float64).view(-1, 1, 1) for values in (mean, std))
    return 1 / (255 * stds), -means / stds


def resize_matrix(length: int, resized: int) -> Tensor:
    """PyTorch's bilinear antialiased resize as a matrix, resized x length, found by resizing unit vectors."""
    units = torch.eye(length)[None, None]
    return F.interpolate(units, (resized, length), mode="bilinear", antialias=True)[0, 0]


def _crops(matrix: Tensor, size: int, padding: int) -> Tensor:
    """All runs of `size` rows of the matrix with `padding` zero rows around it, then these upside down.

    Shape: 2 offsets x size x length.
    """
    runs = F.pad(matrix, (0, 0, padding, padding)).unfold(0, size, 1).mT
    return torch.cat([runs, runs.flip(1)])


@contextmanager
def _full_precision() -> Iterator[None]:
    """Compute matrix products in true float32. TF32 or bfloat16, if chosen for the model, would blur the pixels."""
    # PyTorch's types lack the second of these two.
    backends = (torch.backends.cuda.matmul, torch.backends.mkldnn.matmul)  # type: ignore[attr-defined]
    before = [backend.fp32_precision for backend in backends]
    try:
        for backend in backends:
            backend.fp32_precision = "ieee"
        yield
    finally:
        for backend, precision in zip(backends, before, strict=True):
            backend.fp32_precision = precision
