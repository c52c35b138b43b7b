"""The batched feed: images that stay uint8 on the device become augmented, normalised batches there.

Resizing, cropping from a padded border, flipping and normalising are linear in the image, so a batch is two
batched matrix products: the first stretches the columns, the second the rows, each image with the matrices of
its own crop and flip. Images stored in the size that is wanted are not resized: their pixels are gathered.
TrivialAugment and RandAugment are not linear; they get the cropped pixels before these are normalised.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import islice

import torch
import torch.nn.functional as F

from longtail.batches.policies import Plan, Policy
from longtail.data.tensors.shards import ShardedImages, take
from longtail.machine.devices import moved

READ_AHEAD = 2
"""Batches that are gathered, where that takes time, while an earlier one is computed with."""


class Feed:
    """Batches of a set of images, augmented for training or as they are for evaluation.

    The trap: every batch of images is written into the same buffer. It is valid until the next one is asked
    for, which suits a training step; clone it to keep it longer. PyTorch refuses a backward pass through an
    overwritten batch. One feed serves one loop at a time.

    A batch equals, per image, torchvision's v2 chain on float32 tensors: scale to [0, 1], `Resize` with
    antialiasing, `RandomCrop` with a black border, `RandomHorizontalFlip`, `Normalize`; to 1e-5, whatever the
    precision of matrix products or the autocast around it. Without augmentation: the resize, a centre crop
    where `resize` exceeds `size`, the normalisation. An image that is not square is resized to a square.

    With a policy its operations stand between flip and normalisation, as in torchvision's reference recipes, on
    pixels that are rounded to whole numbers from 0 to 255. Evaluation batches are as without.

    Args:
        images: uint8, N x C x H x W. They may live on another device than the batches; each batch is then
            gathered where they live and moved.
        labels: int64, N.
        size: height and width of the batches, in pixels.
        resize: height and width before the crop, by default `size`.
        padding: width of the black border that random crops may reach into, in pixels after resizing.
        flip: whether training images are mirrored with probability one half.
        policy: operations of TrivialAugment or RandAugment on training images, for images of this size.
        mean, std: per channel, of images scaled to [0, 1].
        batch_size: images per batch; the last batch of an epoch is shorter.
        device: where the batches are made, by default where the images are.
        dtype: float32, bfloat16 or float16, computed in float32 and rounded once.
        channels_last: memory format of the batches.
        read_ahead: gather the next batches in a thread while one is computed with, since the images have to be
            read: they are memory-mapped from a file, or in the memory of the host and the batches on a GPU.

    Raises:
        ValueError: a shape, dtype or number that does not fit; names it.
    """

    def __init__(
        self,
        images: torch.Tensor | ShardedImages,
        labels: torch.Tensor,
        *,
        size: int,
        mean: Sequence[float],
        std: Sequence[float],
        batch_size: int,
        resize: int | None = None,
        padding: int = 0,
        flip: bool = False,
        policy: Policy | None = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype = torch.float32,
        channels_last: bool = False,
        read_ahead: bool = False,
    ) -> None:
        resize = size if resize is None else resize
        _check_tensors(images, labels, mean, std)
        _check_settings(size, resize, padding, batch_size, dtype)
        _check_policy(policy, images, size)
        self.images = images
        self.labels = labels.to(images.device if device is None else device)
        self.device = self.labels.device
        self.batch_size = batch_size
        self.flip = flip
        self.policy = policy
        self._channels_last = channels_last
        self._read_ahead = read_ahead

        channels, height, width = images.shape[1:]
        mean, std = (torch.tensor(values, dtype=torch.float64).view(-1, 1, 1) for values in (mean, std))
        scale, shift = 1 / (255 * std), -mean / std
        # What is left to do after a policy's operations, which need pixels.
        self._normalise = (
            tuple(values.to(self.device, torch.float32) for values in (scale, shift)) if policy else None
        )
        if policy:
            scale, shift = torch.ones_like(scale), torch.zeros_like(shift)
        self._scale = scale.to(self.device, torch.float32)

        self._offsets = resize + 2 * padding - size + 1
        self._padding = padding
        self._centre = padding + round((resize - size) / 2)
        self._shift = shift.to(self.device, torch.float32)

        layout = {"memory_format": torch.channels_last if channels_last else torch.contiguous_format}
        self._resizes = (height, width) != (resize, resize)
        if self._resizes:
            # One matrix per crop offset; for the columns, those of mirrored crops follow. The rows' matrices end
            # in a column of ones, which meets a last row of -mean / std: normalising needs no pass of its own.
            rows = _crops(resize_matrix(height, resize), size, padding)
            columns = _crops(resize_matrix(width, resize), size, padding)
            self._rows = F.pad(rows, (0, 1), value=1.0).to(self.device)
            self._columns = torch.cat([columns, columns.flip(1)]).mT.contiguous().to(self.device)
            self._stretched = torch.empty(batch_size, channels, height, size, device=self.device)
            self._lines = torch.empty(batch_size, channels, height + 1, size, device=self.device, **layout)
            self._lines[:, :, height] = shift.squeeze(-1)
        self._batch = torch.empty(batch_size, channels, size, size, device=self.device, **layout)
        self._rounded = None if dtype == torch.float32 else torch.empty_like(self._batch, dtype=dtype)

    def steps(self, images: int | None = None) -> int:
        """Batches in a training epoch over so many images, by default all of them.

        A last batch of one image is left out, since batch norm cannot train on a single value per channel; in
        a shuffled order that is another image each epoch. It stays where it is the only batch.
        """
        images = len(self.labels) if images is None else images
        full, rest = divmod(images, self.batch_size)
        return full + (rest > 1 or full == 0)

    def epoch(
        self,
        generator: torch.Generator,
        *,
        indices: torch.Tensor | Sequence[int] | None = None,
        start_step: int = 0,
    ) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """Training batches (images B x C x size x size, labels B): shuffled, cropped, flipped and by the policy.

        The whole epoch is drawn here, before the first batch. So `start_step` continues an interrupted epoch
        with the batches it would have had, and no step waits for the device.

        Args:
            generator: on the CPU, so that every device gets the same draw.
            indices: which images in which order (a sampler's choice), int64; any number, repeats allowed. By
                default a permutation of all.
            start_step: how many batches to leave out at the start.

        Raises:
            ValueError: the step or an index is out of range.
        """
        if indices is None:
            order = torch.randperm(len(self.labels), generator=generator)
        else:
            order = _checked_indices(indices, len(self.labels))
        steps = self.steps(len(order))
        if not 0 <= start_step <= steps:
            raise ValueError(f"start_step is {start_step}; allowed: 0 to {steps}, the steps of this epoch")
        rows = torch.randint(self._offsets, order.shape, generator=generator)
        # Offset and flip in one draw: the second half of the columns' matrices are the mirrored ones.
        columns = torch.randint(self._offsets * (2 if self.flip else 1), order.shape, generator=generator)
        plan = self.policy.draw(len(order), self.batch_size, generator, self.device) if self.policy else None
        return self._batches(torch.stack([order, rows, columns]), range(start_step, steps), plan)

    def in_order(
        self, crop: tuple[int, int, bool] | None = None
    ) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """Evaluation batches (images B x C x size x size, labels B): every image once, not augmented.

        Args:
            crop: first row and first column, in pixels after resizing, and whether the crop is mirrored; by default
                the centre.
        """
        order = torch.arange(len(self.labels))
        row, column = self._centre, self._centre
        if crop:
            top, left, mirrored = crop
            row, column = self._padding + top, self._padding + left + mirrored * self._offsets
        steps = range(-(-len(order) // self.batch_size))
        crops = (torch.full_like(order, row), torch.full_like(order, column))
        return self._batches(torch.stack([order, *crops]), steps)

    def _batches(
        self, choices: torch.Tensor, steps: range, plan: Plan | None = None
    ) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """The batches of chosen images, row matrices and column matrices (int64, 3 x M, on the CPU)."""
        there = moved(choices, self.device)
        order = there[0] if self.images.device == self.device else choices[0].to(self.images.device)
        labels = self.labels.index_select(0, there[0])
        parts = [slice(step * self.batch_size, (step + 1) * self.batch_size) for step in steps]
        gathered = self._gathered_ahead if self._read_ahead else self._gathered
        cut = self._cut_resized if self._resizes else self._cut
        for step, part, pixels in zip(steps, parts, gathered([order[part] for part in parts]), strict=True):
            batch = cut(pixels, there[1, part], there[2, part])
            if plan:
                plan.apply(step, batch.round_())
            if self._normalise:
                torch.addcmul(self._normalise[1], batch, self._normalise[0], out=batch)
            yield self._narrowed(batch), labels[part]

    def _gathered(self, positions: list[torch.Tensor]) -> Iterator[torch.Tensor]:
        """The images at each of these positions, on the feed's device."""
        for own in positions:
            yield moved(self.images.index_select(0, own), self.device)

    def _gathered_ahead(self, positions: list[torch.Tensor]) -> Iterator[torch.Tensor]:
        """The same, READ_AHEAD of them before they are asked for."""
        with ThreadPoolExecutor(1) as pool:
            coming = (pool.submit(self._read, own) for own in positions)
            waiting = deque(islice(coming, READ_AHEAD))
            while waiting:
                pixels = waiting.popleft().result()
                waiting.extend(islice(coming, 1))
                yield pixels.to(self.device, non_blocking=True)

    def _read(self, positions: torch.Tensor) -> torch.Tensor:
        """The images at these positions in the memory of the host, pinned where a GPU gets them."""
        shape = (len(positions), *self.images.shape[1:])
        pixels = torch.empty(shape, dtype=torch.uint8, pin_memory=self.device.type == "cuda")
        take(self.images, positions, pixels)
        return pixels

    def _cut(self, pixels: torch.Tensor, rows: torch.Tensor, columns: torch.Tensor) -> torch.Tensor:
        """The first B images of the buffer, made from uint8 pixels at the chosen offsets."""
        batch = self._batch[: len(pixels)]
        size = batch.shape[-1]
        bordered = F.pad(pixels, 4 * (self._padding,)) if self._padding else pixels
        along = torch.arange(size, device=self.device)
        mirrored = (columns >= self._offsets).unsqueeze(1)
        down = rows.unsqueeze(1) + along
        across = (columns % self._offsets).unsqueeze(1) + torch.where(mirrored, along.flip(0), along)
        places = (down.unsqueeze(2) * bordered.shape[3] + across.unsqueeze(1)).view(len(pixels), 1, -1)
        taken = bordered.flatten(2).gather(2, places.expand(-1, pixels.shape[1], -1))
        return torch.mul(taken.view(batch.shape), self._scale, out=batch).add_(self._shift)

    def _cut_resized(self, pixels: torch.Tensor, rows: torch.Tensor, columns: torch.Tensor) -> torch.Tensor:
        """The same, made with the chosen matrices."""
        count, _, height, _ = pixels.shape
        stretched, lines, batch = self._stretched[:count], self._lines[:count], self._batch[:count]
        with _full_precision():
            # Autocast leaves `out=` alone.
            columns_matrices = self._columns.index_select(0, columns)
            torch.bmm(pixels.float().flatten(1, 2), columns_matrices, out=stretched.flatten(1, 2))
            torch.mul(stretched, self._scale, out=lines[:, :, :height])
            lines_matrices, batch_matrices = self._matrices(lines), self._matrices(batch)
            per_image = len(batch_matrices) // count
            rows_matrices = self._rows.index_select(0, rows.repeat_interleave(per_image))
            torch.bmm(rows_matrices, lines_matrices, out=batch_matrices)
        return batch

    def _narrowed(self, batch: torch.Tensor) -> torch.Tensor:
        """The batch in the feed's dtype."""
        return batch if self._rounded is None else self._rounded[: len(batch)].copy_(batch)

    def _matrices(self, buffer: torch.Tensor) -> torch.Tensor:
        """A view of B x C x H x W as matrices with H rows: B of W C columns if channels_last, else B C of W."""
        if self._channels_last:
            buffer = buffer.permute(0, 2, 3, 1)
            return buffer.view(*buffer.shape[:2], -1)
        return buffer.view(-1, *buffer.shape[2:])


def _check_tensors(
    images: torch.Tensor | ShardedImages, labels: torch.Tensor, mean: Sequence[float], std: Sequence[float]
) -> None:
    if images.dtype != torch.uint8 or images.ndim != 4 or 0 in images.shape:
        raise ValueError(
            f"images are {images.dtype} of shape {tuple(images.shape)}; needed: uint8, N x C x H x W, not empty"
        )
    count, channels = images.shape[:2]
    if labels.dtype != torch.int64 or labels.shape != (count,):
        raise ValueError(
            f"labels are {labels.dtype} of shape {tuple(labels.shape)}; needed: int64, one per image ({count})"
        )
    if not len(mean) == len(std) == channels or min(std) <= 0:
        raise ValueError(
            f"mean is {list(mean)} and std {list(std)}; needed: {channels} numbers each, every std above 0"
        )


def _check_settings(size: int, resize: int, padding: int, batch_size: int, dtype: torch.dtype) -> None:
    for name, value, least in (("size", size, 1), ("padding", padding, 0), ("batch_size", batch_size, 1)):
        if value < least:
            raise ValueError(f"{name} is {value}; needed: at least {least}")
    if resize < size:
        raise ValueError(f"resize is {resize}; needed: at least the size of the crop, {size}")
    if dtype not in (torch.float32, torch.bfloat16, torch.float16):
        raise ValueError(f"dtype is {dtype}; allowed: torch.float32, torch.bfloat16, torch.float16")


def _check_policy(policy: Policy | None, images: torch.Tensor, size: int) -> None:
    if policy and (policy.size != size or images.shape[1] != 3):
        raise ValueError(
            f"the policy is for 3 channels of {policy.size} x {policy.size} pixels; the batches have "
            f"{images.shape[1]} of {size} x {size}"
        )


def _checked_indices(indices: torch.Tensor | Sequence[int], count: int) -> torch.Tensor:
    order = torch.as_tensor(indices, device="cpu")
    if order.dtype != torch.int64 or order.dim() != 1 or len(order) == 0:
        raise ValueError(f"indices are {order.dtype} of shape {tuple(order.shape)}; needed: int64, 1 or more")
    lowest, highest = order.min().item(), order.max().item()
    if lowest < 0 or highest >= count:
        raise ValueError(f"indices go from {lowest} to {highest}; allowed: 0 to {count - 1}")
    return order


def resize_matrix(length: int, resized: int) -> torch.Tensor:
    """PyTorch's bilinear antialiased resize as a matrix, resized x length: what it makes of unit vectors."""
    units = torch.eye(length)[None, None]
    return F.interpolate(units, (resized, length), mode="bilinear", antialias=True)[0, 0]


def _crops(matrix: torch.Tensor, size: int, padding: int) -> torch.Tensor:
    """All runs of `size` rows of the matrix with `padding` zero rows around it: offsets x size x length."""
    return F.pad(matrix, (0, 0, padding, padding)).unfold(0, size, 1).mT


@contextmanager
def _full_precision() -> Iterator[None]:
    """Matrix products in true float32; TF32 or bfloat16, chosen for the model, would blur the pixels."""
    backends = (torch.backends.cuda.matmul, torch.backends.mkldnn.matmul)
    before = [backend.fp32_precision for backend in backends]
    try:
        for backend in backends:
            backend.fp32_precision = "ieee"
        yield
    finally:
        for backend, precision in zip(backends, before, strict=True):
            backend.fp32_precision = precision
