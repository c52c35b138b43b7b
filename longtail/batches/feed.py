"""The batched feed: images that stay uint8 on the device become augmented, normalised batches there.

`longtail.batches.cropping` makes the pixels of a batch. The policies of `longtail.batches.policies` get these before
they are normalised, as their operations need pixels from 0 to 255.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice

import torch

from longtail.batches.cropping import Cropper, draw_boxes, enlarge, scale_and_shift
from longtail.batches.policies import Plan, Policy
from longtail.data.tensors.shards import ShardedImages, take
from longtail.machine.devices import moved

READ_AHEAD = 2
"""How many batches are gathered, where that takes time, while an earlier one is in use."""
FLIPS = ("horizontal", "both", "d4")
"""Which mirror images flips make: left and right exchanged; top and bottom as well; or the eight of a square, with
quarter turns (the dihedral group D4)."""


class Feed:
    """Batches of a set of images, augmented for training or as they are for evaluation.

    The trap: every batch of images is written into the same buffer, so it is valid only until the next batch is
    asked for. That suits a training step; clone a batch to keep it longer. PyTorch refuses a backward pass through
    an overwritten batch. One feed serves one loop at a time.

    A batch equals, per image, torchvision's v2 chain on float32 tensors: scale to [0, 1], `Resize` with
    antialiasing, `RandomCrop` with a black border, `RandomHorizontalFlip`, `Normalize`; to 1e-5, whatever the
    precision of matrix products or the autocast around it. Without augmentation: the resize, a centre crop
    where `resize` exceeds `size`, the normalisation. An image that is not square is resized to a square.

    The operations of a policy stand between flip and normalisation, as in torchvision's reference recipes, and get
    pixels that are rounded to whole numbers from 0 to 255. Cutout comes after the normalisation, as its authors have
    it, and so leaves the mean colour: DeVries and Taylor, Improved Regularization of Convolutional Neural Networks with
    Cutout, arXiv:1708.04552. Evaluation batches are the same with a policy and without.

    Args:
        images: uint8, N x C x H x W. They may live on another device than the batches; each batch is then
            gathered where they live and moved.
        labels: int64, N.
        size: height and width of the batches, in pixels.
        resize: height and width before the crop, by default `size`.
        padding: width of the black border that random crops may reach into, in pixels after resizing.
        flip: whether training images are mirrored with probability one half.
        flips: how, one of `FLIPS`; `both` and `d4` draw from four and from eight images with equal probability.
        area: the smallest and the largest share of the image, after the crop, that is cut out of it and enlarged to
            `size`, with sides of a ratio between 3/4 and 4/3: torchvision's `RandomResizedCrop`. None: the crop stays.
        policy: operations on training images, for images of `size`.
        cutout: the side of the square that is cut out of training images around a random pixel, in pixels, of which the
            part within the image is taken; an odd number counts as the even one below it, as in the authors' code.
            None: none.
        mean, std: one number per channel each, for images scaled to [0, 1].
        batch_size: images per batch; the last batch of an epoch is shorter.
        device: where the batches are made, by default where the images are.
        dtype: float32, bfloat16 or float16, computed in float32 and rounded once.
        channels_last: memory format of the batches.
        read_ahead: whether a thread gathers the next batches while one is in use. That is for images that have to be
            read: from a memory-mapped file, or from the memory of the host for batches on a GPU.

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
        flips: str = "horizontal",
        area: tuple[float, float] | None = None,
        policy: Policy | None = None,
        cutout: int | None = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype = torch.float32,
        channels_last: bool = False,
        read_ahead: bool = False,
    ) -> None:
        resize = size if resize is None else resize
        _check_tensors(images, labels, mean, std)
        _check_settings(size, resize, padding, batch_size, dtype)
        _check_policy(policy, images, size)
        if flips not in FLIPS:
            raise ValueError(f"flips is {flips!r}; choose one of {', '.join(FLIPS)}")
        self.images = images
        self.labels = labels.to(images.device if device is None else device)
        self.device = self.labels.device
        self.batch_size = batch_size
        self.flips = flips if flip else None
        if area and not 0 < area[0] <= area[1] <= 1:
            raise ValueError(f"area is {area}; needed: two shares above 0 and up to 1, the smaller one first")
        self.policy, self.cutout, self.size, self.area = policy, cutout, size, area
        self._read_ahead = read_ahead

        channels, height, width = images.shape[1:]
        scale, shift = scale_and_shift(mean, std)
        # The normalisation that is left to do after operations on pixels from 0 to 255.
        self._normalise: tuple[torch.Tensor, torch.Tensor] | None = None
        if policy or area:
            self._normalise = scale.to(self.device, torch.float32), shift.to(self.device, torch.float32)
            scale, shift = torch.ones_like(scale), torch.zeros_like(shift)
        self._cut = Cropper(
            (channels, height, width),
            size=size,
            resize=resize,
            padding=padding,
            scale=scale,
            shift=shift,
            batch_size=batch_size,
            device=self.device,
            channels_last=channels_last,
        )
        self._rounded = None if dtype == torch.float32 else torch.empty_like(self._cut.batch, dtype=dtype)

    def steps(self, images: int | None = None) -> int:
        """The number of batches in a training epoch over so many images, by default all of them.

        A last batch of one image is left out, since batch norm cannot train on a single value per channel. The order
        is shuffled, so another image is left out in each epoch. If it is the only batch, it stays.
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
        """Training batches (images B x C x size x size, labels B): shuffled, cropped, flipped, changed by the policy.

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
        offsets = self._cut.offsets
        # One draw gives offset and flip, because the second half of the numbers are the mirrored crops.
        upside_down, mirrored = self.flips in ("both", "d4"), self.flips is not None
        rows = torch.randint(offsets * (1 + upside_down), order.shape, generator=generator)
        columns = torch.randint(offsets * (1 + mirrored), order.shape, generator=generator)
        choices = [order, rows, columns]
        if self.flips == "d4":
            choices.append(torch.randint(2, order.shape, generator=generator))
        boxes = None
        if self.area:
            boxes = moved(draw_boxes(len(order), self.size, self.area, generator), self.device)
        plan = self.policy.draw(len(order), self.batch_size, generator, self.device) if self.policy else None
        holes = None
        if self.cutout:
            holes = moved(torch.randint(self.size, (2, len(order)), generator=generator), self.device)
        return self._batches(torch.stack(choices), range(start_step, steps), plan, holes, boxes)

    def in_order(
        self, crop: tuple[int, int, bool] | None = None
    ) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """Evaluation batches (images B x C x size x size, labels B): every image once, not augmented.

        Args:
            crop: first row and first column, in pixels after resizing, and whether the crop is mirrored. By default
                the crop in the middle.
        """
        order = torch.arange(len(self.labels))
        row = column = self._cut.centre
        if crop:
            top, left, mirrored = crop
            row, column = self._cut.padding + top, self._cut.padding + left + mirrored * self._cut.offsets
        steps = range(-(-len(order) // self.batch_size))
        crops = (torch.full_like(order, row), torch.full_like(order, column))
        return self._batches(torch.stack([order, *crops]), steps)

    def _batches(
        self,
        choices: torch.Tensor,
        steps: range,
        plan: Plan | None = None,
        holes: torch.Tensor | None = None,
        boxes: torch.Tensor | None = None,
    ) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """The batches of chosen images with what `Cropper` is called with (int64, 3 or 4 x M, on the CPU).

        Args:
            holes: row and column of the centre of the square that is cut out of each image, int64, 2 x M.
            boxes: what is enlarged, of `draw_boxes`.
        """
        there = moved(choices, self.device)
        order = there[0] if self.images.device == self.device else choices[0].to(self.images.device)
        labels = self.labels.index_select(0, there[0])
        parts = [slice(step * self.batch_size, (step + 1) * self.batch_size) for step in steps]
        gathered = self._gathered_ahead if self._read_ahead else self._gathered
        for step, part, pixels in zip(steps, parts, gathered([order[part] for part in parts]), strict=True):
            batch = self._cut(pixels, *there[1:, part])
            if boxes is not None:
                enlarge(batch, boxes[:, part])
            if plan:
                plan.apply(step, batch.round_())
            if self._normalise:
                torch.addcmul(self._normalise[1], batch, self._normalise[0], out=batch)
            if holes is not None:
                batch.masked_fill_(self._hidden(holes[:, part]), 0.0)
            if self._rounded is not None:
                batch = self._rounded[: len(batch)].copy_(batch)
            yield batch, labels[part]

    def _hidden(self, centres: torch.Tensor) -> torch.Tensor:
        """Which pixels lie in the squares around these centres: bool, B x 1 x size x size."""
        half, pixels = (self.cutout or 0) // 2, torch.arange(self.size, device=self.device)
        near = (pixels >= centres[..., None] - half) & (pixels < centres[..., None] + half)
        return (near[0, :, :, None] & near[1, :, None])[:, None]

    def _gathered(self, positions: list[torch.Tensor]) -> Iterator[torch.Tensor]:
        """The images at each of these positions, on the feed's device."""
        for own in positions:
            yield moved(self.images.index_select(0, own), self.device)

    def _gathered_ahead(self, positions: list[torch.Tensor]) -> Iterator[torch.Tensor]:
        """The images of `_gathered`, while a thread reads up to READ_AHEAD batches before they are asked for."""
        with ThreadPoolExecutor(1) as pool:
            coming = (pool.submit(self._read, own) for own in positions)
            waiting = deque(islice(coming, READ_AHEAD))
            while waiting:
                pixels = waiting.popleft().result()
                waiting.extend(islice(coming, 1))
                yield pixels.to(self.device, non_blocking=True)

    def _read(self, positions: torch.Tensor) -> torch.Tensor:
        """The images at these positions, in the host's memory. It is pinned if they go to a GPU, for a faster copy."""
        shape = (len(positions), *self.images.shape[1:])
        pixels = torch.empty(shape, dtype=torch.uint8, pin_memory=self.device.type == "cuda")
        take(self.images, positions, pixels)
        return pixels


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


def _check_policy(policy: Policy | None, images: torch.Tensor | ShardedImages, size: int) -> None:
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
