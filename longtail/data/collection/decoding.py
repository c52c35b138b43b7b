"""One picture file as the pixels that models see: the same for training and for prediction.

Files come from anywhere, so each is read and decoded within limits of time and memory that no camera meets. They are
stated in docs/own-images.md.
"""

import os
import re
import threading
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future
from contextlib import closing, contextmanager, suppress
from functools import cache
from importlib import import_module
from io import BytesIO
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from PIL import Image, ImageOps
from PIL.TiffImagePlugin import TiffImageFile

from longtail.data.collection.folder import HEIF_BRANDS, HEIF_READERS, RAW_STARTS, RAW_SUFFIXES, other_kind
from longtail.data.collection.shape import STRETCHED, Shape
from longtail.data.lists.rows import Box

T = TypeVar("T")
R = TypeVar("R")

FORMATS = ("AVIF", "BMP", "GIF", "JPEG", "JPEG2000", "PNG", "PPM", "TIFF", "WEBP")
"""The formats that are decoded; the content decides, not the name. Other formats that Pillow reads are rare, or are
vector graphics, for which it starts programs."""
MAX_BYTES = 2**29
"""The largest file that is read, 512 MiB: a picture of MAX_PIXELS with 16 bits per channel, not compressed."""
MAX_PIXELS = 89_478_485
"""The most pixels of a picture that are decoded by default. It is Pillow's own threshold."""
MAX_JPEG_PIXELS = 2**28
"""The most pixels of a JPEG: cameras have up to 200 million. Above MAX_PIXELS, it is decoded at half its size."""
MAX_JPEG_SCANS = 50
"""The most scans of a JPEG. Encoders make about ten, and each costs as much time as a whole picture."""
MAX_JPEG_SEGMENTS = 10_000
"""The most parts of a JPEG beside its scans. Those of 64 KiB hold profiles and previews of 600 MB."""
HEIF_REMEDY = "which needs the package pi-heif (pip install pi-heif); install it, or save the picture as JPEG"
_RAW_REMEDY = "develop it and save the picture as JPEG, PNG or TIFF"
_DEVELOPED = (b"\xff\xd8\xff", b"\x89PNG", b"GIF8", b"RIFF", b"BM")
"""How JPEG, PNG and others begin, which may only be named like RAW."""
_SUBFILE, _OF_RAW = 254, (50706, 33422)
"""Tags of TIFF: whether the first picture is a preview; DNGVersion and CFAPattern, which only RAW has."""
STRIP = 2**22
"""The pixels of the part of a picture whose colours are converted at a time."""

# Larger pictures are refused below, with a sentence.
Image.MAX_IMAGE_PIXELS = MAX_JPEG_PIXELS
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)
# Pictures in blocks of this size go back to the system when they are closed. The allocator of each thread would keep
# the smaller blocks that Pillow takes by default: 2 GB instead of 0.8 GB with eight threads.
Image.core.set_block_size(2**26)


class Share:
    """A total that all threads share: each takes a part of it, and waits until there is enough."""

    def __init__(self, total: int):
        self._total = self._free = total
        self._changed = threading.Condition()

    @contextmanager
    def of(self, amount: int) -> Iterator[None]:
        """Have this amount, or all if it is more than that."""
        amount = min(amount, self._total)
        with self._changed:
            self._changed.wait_for(lambda: self._free >= amount)
            self._free -= amount
        try:
            yield
        finally:
            with self._changed:
                self._free += amount
                self._changed.notify_all()


# What all threads take together, however many there are, in bytes: for files, and for decoding them.
_FILES, _MEMORY = Share(2 * MAX_BYTES), Share(2**31)
_MEMORY_PER_PIXEL = {"JPEG2000": 20, "WEBP": 16}
"""The most bytes that decoding was seen to take for a pixel; for other formats it was less than 10."""


class UnreadableImage(ValueError):
    """A file cannot be decoded. The message names it and says why.

    Attributes:
        path, reason: the file, and a clause.
        kind: the kind of `Finding` that it is; empty where the bytes of the file have to tell.
    """

    def __init__(self, path: str | Path, reason: str, kind: str = ""):
        # Pickle needs them all to bring the error back from a worker process.
        super().__init__(str(path), reason, kind)
        self.path, self.reason, self.kind = str(path), reason, kind

    def __str__(self) -> str:
        return f"{self.path}: {self.reason}"


def decode(
    path: str | Path,
    size: int | None,
    *,
    box: Box | None = None,
    max_pixels: int = MAX_PIXELS,
    shape: Shape = STRETCHED,
) -> torch.Tensor:
    """The picture in a file, or its region, as `pixels_of` gives it.

    Raises:
        UnreadableImage: the file is missing, empty, truncated, damaged, no picture, or too large.
    """
    with content_of(path) as content:
        return pixels_of(content, path, size, box=box, max_pixels=max_pixels, shape=shape)


@contextmanager
def content_of(path: str | Path) -> Iterator[bytes]:
    """The bytes of a file while they are needed: as many as it has when it is opened, though it may grow.

    Raises:
        UnreadableImage: it does not exist, is no regular file, is empty, cannot be read, or has more than MAX_BYTES.
    """
    try:
        # A FIFO would wait for a writer when it is opened, and a device may do anything.
        _require_file(path, Path(path).stat())
        opened = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    except (FileNotFoundError, NotADirectoryError):
        raise UnreadableImage(path, "does not exist", "unreadable") from None
    except OSError as error:
        raise UnreadableImage(path, f"cannot be read: {error.strerror}", "unreadable") from None
    with os.fdopen(opened, "rb") as file:
        status = os.fstat(opened)
        _require_file(path, status)  # Something else may have come in its place since.
        if status.st_size > MAX_BYTES:
            found = f"has {status.st_size:,} bytes, more than the limit of {MAX_BYTES:,}"
            raise UnreadableImage(path, found, "too large")
        with _FILES.of(status.st_size):
            try:
                content = file.read(status.st_size)
            except OSError as error:
                raise UnreadableImage(path, f"cannot be read: {error.strerror}", "unreadable") from None
            if not content:
                raise UnreadableImage(path, "is empty", "empty")
            yield content


def check_kind(content: bytes, path: str | Path) -> None:
    """Refuse what Pillow cannot read, or would read as something else: HEIC without its decoder, and RAW.

    A RAW file is a TIFF to Pillow, of which it would give the small preview that lies first.

    Raises:
        UnreadableImage: it is such a file.
    """
    brand = content[8:12] if content[4:8] == b"ftyp" else b""
    if brand in HEIF_BRANDS and not _can_read_heif():
        raise UnreadableImage(path, f"is HEIC or HEIF, {HEIF_REMEDY}", "HEIC")
    named = Path(path).suffix.lower() in RAW_SUFFIXES and not content.startswith(_DEVELOPED)
    if named or brand == b"crx " or content.startswith(RAW_STARTS):
        raise UnreadableImage(path, f"is a RAW file of a camera; {_RAW_REMEDY}", "RAW")


@cache
def _can_read_heif() -> bool:
    """Whether a package for HEIF is installed; with it, Pillow reads HEIF from now on."""
    for name in HEIF_READERS:
        with suppress(ImportError):
            import_module(name).register_heif_opener()
            return True
    return False


def _require_file(path: str | Path, status: os.stat_result) -> None:
    if kind := other_kind(status.st_mode):
        raise UnreadableImage(path, f"is a {kind}", "no file")


def opened(content: bytes, path: str | Path) -> Image.Image:
    """The picture, of which only the header is read.

    Raises:
        UnreadableImage: it is HEIC that cannot be read here, RAW, or a TIFF that begins with a preview.
        ValueError: it is a JPEG of too many parts.
        Exception: Pillow's, on damaged bytes, of many types.
    """
    check_kind(content, path)
    check_jpeg(content)
    image = Image.open(BytesIO(content), formats=(*FORMATS, *["HEIF"] * _can_read_heif()))
    if isinstance(image, TiffImageFile) and (
        image.tag_v2.get(_SUBFILE, 0) == 1 or any(tag in image.tag_v2 for tag in _OF_RAW)
    ):
        found = f"is a RAW file of a camera, or begins with a preview; {_RAW_REMEDY}"
        raise UnreadableImage(path, found, "RAW")
    return image


def pixels_of(
    content: bytes,
    path: str | Path,
    size: int | None,
    *,
    box: Box | None = None,
    max_pixels: int = MAX_PIXELS,
    shape: Shape = STRETCHED,
) -> torch.Tensor:
    """A picture, upright, in RGB, as a square: uint8, 3 x size x size.

    An animation gives its first frame. The picture is turned as its EXIF orientation says. Transparent parts become
    white. 16-bit grey keeps its 8 leading bits, so 12-bit values of a microscope come out dark. No colour profile
    is used, for CMYK neither. The resize is Pillow's antialiased bilinear one, which equals PyTorch's to rounding.

    Args:
        content: the bytes of a file in one of `FORMATS`, whatever its name ends in.
        path: its name, for errors.
        size: height and width, in pixels. None keeps those of the picture, 3 x H x W.
        box: the region of the upright picture that is cut out; None: all of it.
        max_pixels: the most of width times height that is decoded. A JPEG with more, but at most MAX_JPEG_PIXELS, is
            decoded at half its width and height.
        shape: how it becomes a square.

    Raises:
        UnreadableImage: the bytes are truncated, damaged, no picture, or too large.
    """
    try:
        image = opened(content, path)
        width, height = image.size
        if width * height > max_pixels and content.startswith(_JPEG):
            image.draft(None, (width // 2, height // 2))
        if image.width * image.height > max_pixels:
            found = f"has {width} x {height} pixels, more than the limit of {max_pixels:,}"
            raise UnreadableImage(path, found, "too large")
        memory = width * height * _MEMORY_PER_PIXEL.get(str(image.format), 10)
        scale = image.width / width
        with _MEMORY.of(memory), closing(image):
            ImageOps.exif_transpose(image, in_place=True)
            part = image.crop(region_of(box, image.size, path, scale)) if box else image
            return _square(part, size, shape)
    except (UnreadableImage, MemoryError):
        raise
    except Image.UnidentifiedImageError:
        known = f"is no picture in a known format ({', '.join(FORMATS)})"
        raise UnreadableImage(path, known) from None
    except Exception as error:  # Pillow's exceptions on damaged bytes are of many unrelated types.
        raise UnreadableImage(path, f"cannot be decoded: {error or type(error).__name__}") from error


def region_of(
    box: Box, size: tuple[int, int], path: str | Path, scale: float = 1.0
) -> tuple[int, int, int, int]:
    """The part of a region that lies in an upright picture: left, top, right and bottom in whole pixels.

    Args:
        size: the width and height of the picture as it is decoded.
        scale: the width of the picture as it is decoded, divided by that of the file.

    Raises:
        UnreadableImage: no part of it lies in the picture, or it has no area.
    """
    across, down = size if box.relative else (scale, scale)
    corners = (box.x * across, box.y * down, (box.x + box.width) * across, (box.y + box.height) * down)
    left, top, right, bottom = (
        min(max(round(edge), 0), side) for edge, side in zip(corners, (*size, *size), strict=True)
    )
    if right <= left or bottom <= top:
        raise UnreadableImage(path, f"has an empty region or one beyond it, {box}", "empty region")
    return left, top, right, bottom


def _square(upright: Image.Image, size: int | None, shape: Shape) -> torch.Tensor:
    upright = to_rgb(upright)
    if size is not None:
        upright = shape.square(upright, size)
    return torch.from_numpy(np.array(upright)).permute(2, 0, 1).contiguous()


_JPEG, _SCAN, _END = b"\xff\xd8", b"\xff\xda", b"\xd9"
_MARKER = re.compile(rb"\xff+([^\x00\xff\xd0-\xd7])")
"""A marker of JPEG, which begins a part; within a scan, what begins with 0xff is a value or a restart."""


def check_jpeg(content: bytes) -> None:
    """Refuse a JPEG whose parts are so many that reading it would take minutes, or much memory.

    Raises:
        ValueError: it has more than MAX_JPEG_SCANS or MAX_JPEG_SEGMENTS.
    """
    if not content.startswith(_JPEG):
        return
    # Most pictures have too few of these two bytes, which is quick to see.
    many_scans = content.count(_SCAN) > MAX_JPEG_SCANS
    place, scans, segments = len(_JPEG), 0, 0
    while (marker := _MARKER.search(content, place)) and marker[1] != _END:
        segments += 1
        scans += marker[0].endswith(_SCAN)
        if scans > MAX_JPEG_SCANS:
            raise ValueError(f"it has more than {MAX_JPEG_SCANS} scans")
        if segments > MAX_JPEG_SEGMENTS:
            raise ValueError(f"it has more than {MAX_JPEG_SEGMENTS:,} segments")
        if scans and not many_scans:
            return
        # The length that follows counts its own two bytes.
        place = marker.end() + int.from_bytes(content[marker.end() : marker.end() + 2])


def to_rgb(image: Image.Image) -> Image.Image:
    """An image of any of Pillow's modes in RGB with 8 bits, transparent parts on white.

    Raises:
        ValueError: the range of the values is not known (32-bit integers with larger values than 16 bits hold, or
            floating point).
    """
    if image.mode == "RGB" and not image.has_transparency_data:
        return image
    # In strips, since the steps between would take several times the memory of the picture.
    whole, rows = Image.new("RGB", image.size), max(1, STRIP // image.width)
    for top in range(0, image.height, rows):
        strip = image.crop((0, top, image.width, min(top + rows, image.height)))
        whole.paste(_strip_to_rgb(strip), (0, top))
    return whole


def _strip_to_rgb(image: Image.Image) -> Image.Image:
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
