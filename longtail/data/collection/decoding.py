"""One picture file as the pixels that models see: the same for training and for prediction."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from PIL import Image, ImageOps

T = TypeVar("T")
R = TypeVar("R")

FORMATS = ("AVIF", "BMP", "GIF", "JPEG", "JPEG2000", "PNG", "PPM", "TIFF", "WEBP")
"""The formats that are decoded; the content decides, not the name. Other formats that Pillow reads are rare, or are
vector graphics, for which it starts programs."""
MAX_PIXELS = 89_478_485
"""The most pixels of a picture that are decoded by default. It is Pillow's own threshold, 256 MiB of RGB."""


class UnreadableImage(ValueError):
    """A file cannot be decoded. The message names it and says why."""

    def __init__(self, path: str | Path, reason: str):
        super().__init__(
            str(path), reason
        )  # Pickle needs both to bring the error back from a worker process.
        self.path, self.reason = str(path), reason

    def __str__(self) -> str:
        return f"{self.path}: {self.reason}"


def decode(path: str | Path, size: int | None, *, max_pixels: int = MAX_PIXELS) -> torch.Tensor:
    """The picture in a file, upright, in RGB, stretched to a square: uint8, 3 x size x size.

    An animation gives its first frame. The picture is turned as its EXIF orientation says. Transparent parts become
    white. 16-bit grey keeps its 8 leading bits, so 12-bit values of a microscope come out dark. No colour profile
    is used, for CMYK neither. The resize is Pillow's antialiased bilinear one, which equals PyTorch's to rounding.

    Args:
        path: a file in one of `FORMATS`, whatever its name ends in.
        size: height and width, in pixels. None keeps those of the picture, 3 x H x W.
        max_pixels: the most of width times height that is decoded. Pillow itself refuses more than 178,956,970.

    Raises:
        UnreadableImage: the file is missing, empty, truncated, damaged, no picture, or too large.
    """
    path = Path(path)
    if not path.is_file():
        raise UnreadableImage(path, "is a folder" if path.is_dir() else "does not exist")
    try:
        if not path.stat().st_size:
            raise UnreadableImage(path, "is empty")
        with Image.open(path, formats=FORMATS) as image:
            if image.width * image.height > max_pixels:
                found = f"{image.width} x {image.height} pixels"
                raise UnreadableImage(path, f"has {found}, more than the limit of {max_pixels:,}")
            upright = to_rgb(ImageOps.exif_transpose(image))
    except (UnreadableImage, MemoryError):
        raise
    except Image.UnidentifiedImageError:
        raise UnreadableImage(path, f"is no picture in a known format ({', '.join(FORMATS)})") from None
    except Exception as error:  # Pillow's exceptions on damaged bytes are of many unrelated types.
        raise UnreadableImage(path, f"cannot be decoded: {error or type(error).__name__}") from error
    if size is not None:
        upright = upright.resize((size, size), Image.Resampling.BILINEAR)
    return torch.from_numpy(np.array(upright)).permute(2, 0, 1).contiguous()


def to_rgb(image: Image.Image) -> Image.Image:
    """An image of any of Pillow's modes in RGB with 8 bits, transparent parts on white.

    Raises:
        ValueError: the range of the values is not known (32-bit integers with larger values than 16 bits hold, or
            floating point).
    """
    if image.mode.startswith("I") or image.mode == "F":
        return _scaled(image).convert("RGB")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        return Image.alpha_composite(white, image).convert("RGB")
    return image.convert("RGB")


def _scaled(image: Image.Image) -> Image.Image:
    """Scale 16-bit grey to 8 bits, because Pillow's own conversion turns everything above 255 into white."""
    values = np.asarray(image)
    if image.mode == "F" or values.min() < 0 or values.max() > 65535:
        kind = "floating-point" if image.mode == "F" else "32-bit"
        raise ValueError(f"{kind} pixel values have no known range; save the picture with 8 or 16 bits")
    return Image.fromarray((values >> 8).astype(np.uint8))


def in_order(pool: Executor, decoder: Callable[[T], R], files: Iterable[T], ahead: int) -> Iterator[R]:
    """What a decoder makes of each file, in the order of the files. At most `ahead` results wait to be taken."""
    waiting: deque[Future[R]] = deque()
    for file in files:
        waiting.append(pool.submit(decoder, file))
        if len(waiting) > ahead:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()
