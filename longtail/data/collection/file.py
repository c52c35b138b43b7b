"""One image file of a collection: its pixels, and everything about the file that its owner should know."""

import hashlib
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image
from PIL.TiffImagePlugin import TiffImageFile

from longtail.data.collection.decoding import (
    UnreadableImage,
    content_of,
    opened,
    pixels_of,
    region_of,
)
from longtail.data.collection.duplicates import difference_hash
from longtail.data.collection.folder import RAW_SUFFIXES, SUFFIXES
from longtail.data.collection.listing import Entry, Finding
from longtail.data.collection.shape import STRETCHED, Shape
from longtail.data.lists.rows import Box

_ORIENTATION, _BITS_PER_SAMPLE = 0x0112, 258
_UPRIGHT = (0, 1)
_PNG = b"\x89PNG\r\n\x1a\n"
_ENDS = {_PNG: b"IEND", b"\xff\xd8": b"\xff\xd9", b"GIF8": b";"}
"""How files of PNG, JPEG and GIF begin, and how they end."""
_ALSO = {"MPO": {".jpg", ".jpeg", ".jpe", ".jfif"}, "HEIF": {".heic", ".heif", ".hif"}}
"""Endings of a format beside those that Pillow writes it with."""
_TRANSPOSED = (5, 6, 7, 8)
"""The EXIF orientations that exchange width and height."""
THUMBNAIL = 16


@dataclass(frozen=True)
class Inspected:
    """What is known of an image file. The attributes after `findings` are known only where there are pixels.

    Attributes:
        pixels: uint8, 3 x size x size, RGB; None where the file cannot be used.
        findings: what is wrong with it, or was done to it.
        sha256: the hash of the file's bytes, hexadecimal.
        hash: the 64 bits of `difference_hash`.
        thumbnail: uint8, 16 x 16 x 3.
        width, height: the size of the upright image, in pixels.
    """

    pixels: np.ndarray | None
    findings: list[Finding]
    sha256: str = ""
    hash: int = 0
    thumbnail: np.ndarray = field(default_factory=lambda: np.empty((0, 0, 3), np.uint8))
    width: int = 0
    height: int = 0


def inspect(
    root: Path, entry: Entry, size: int, *, max_side: int, min_side: int, shape: Shape = STRETCHED
) -> Inspected:
    """Read and decode one file, or its region, as `longtail.data.collection.decoding.pixels_of` does.

    Args:
        root, entry: the collection's folder, and the image in it.
        size: the height and the width of the pixels.
        max_side, min_side: a file with a longer side, or an image with a shorter one, is neither used nor decoded.
        shape: how pictures become squares.
    """
    path, name, content = root / entry.path, entry.name, b""
    try:
        with content_of(path) as content:
            notes, (width, height) = _header(content, path, max_side, min_side)
            if entry.box:
                width, height = _check_region(entry.box, path, (width, height), min_side, notes)
            pixels = pixels_of(content, path, size, box=entry.box or None, shape=shape).numpy()
            sha256 = hashlib.sha256(content).hexdigest()
    except UnreadableImage as error:
        kind = error.kind or _kind(content, error.reason)
        return Inspected(None, [Finding(name, kind, error.reason, "left out")])
    # A border would make all pictures of a collection look alike.
    image = Image.fromarray(pixels.transpose(1, 2, 0)).crop(shape.content(width, height, size))
    grey = image.convert("L")
    return Inspected(
        pixels,
        [Finding(name, *note) for note in notes],
        sha256,
        difference_hash(np.asarray(grey.resize((9, 8), Image.Resampling.BOX)).astype(np.int16)),
        np.asarray(image.resize((THUMBNAIL, THUMBNAIL), Image.Resampling.BOX)),
        width,
        height,
    )


def _header(
    content: bytes, path: Path, max_side: int, min_side: int
) -> tuple[list[tuple[str, str, str, bool]], tuple[int, int]]:
    """Read the header: the findings (kind, found, action, refused), and the width and height of the upright image."""
    try:
        image = opened(content, path)
    except UnreadableImage:
        raise
    except Image.UnidentifiedImageError:
        if _is_text(content[:4096]):
            raise UnreadableImage(path, "holds text, not an image", "text") from None
        raise UnreadableImage(path, "is no image in a known format", "unreadable") from None
    except Image.DecompressionBombError as error:
        raise UnreadableImage(path, str(error), "too large") from None
    except Exception as error:  # Pillow's exceptions on damaged bytes are of many unrelated types.
        raise UnreadableImage(path, f"cannot be opened: {error}") from None
    with image:
        sides = f"is {image.width:,} x {image.height:,} pixels"
        if max(image.size) > max_side:
            raise UnreadableImage(path, f"{sides}; allowed are {max_side:,} a side", "too large")
        if min(image.size) < min_side:
            raise UnreadableImage(path, f"{sides}; needed are {min_side} a side", "too small")
        try:
            orientation = image.getexif().get(_ORIENTATION, 1)
            notes = _notes(image, content, path, orientation)
        except Exception:  # as above. Decoding then fails as well, and says why.
            return [], image.size
        # Pillow tells the upright size of a TIFF, and of other formats the stored one.
        turned = orientation in _TRANSPOSED and not isinstance(image, TiffImageFile)
        return notes, image.size[::-1] if turned else image.size


def _check_region(
    box: Box, path: Path, size: tuple[int, int], min_side: int, notes: list[tuple[str, str, str, bool]]
) -> tuple[int, int]:
    """The width and height of a region in pixels; a note where it ends beyond the picture."""
    if not box.relative and box.of_width and size != (box.of_width, box.of_height):
        found = f"is {size[0]:,} x {size[1]:,} pixels upright, but {box.of_width:,} x {box.of_height:,} in the list"
        raise UnreadableImage(path, f"{found}, so the region would be another", "other size")
    left, top, right, bottom = region_of(box, size, path)
    if min(right - left, bottom - top) < min_side:
        found = f"has a region of {right - left} x {bottom - top} pixels; needed are {min_side} a side"
        raise UnreadableImage(path, found, "too small")
    across, down = (1.0, 1.0) if not box.relative else size
    beyond = max(
        -box.x * across,
        -box.y * down,
        (box.x + box.width) * across - size[0],
        (box.y + box.height) * down - size[1],
    )
    if beyond > 1:
        found = f"has a region that ends {beyond:.0f} pixels beyond it"
        notes.append(("clipped region", found, "cut there", False))
    return right - left, bottom - top


def _notes(
    image: Image.Image, content: bytes, path: Path, orientation: int
) -> list[tuple[str, str, str, bool]]:
    notes = []
    if orientation not in _UPRIGHT:
        notes.append(("EXIF-rotated", f"has the EXIF orientation {orientation}", "turned upright", False))
    if image.mode == "CMYK":
        notes.append(("CMYK", "has colours for print", "converted to RGB without its colour profile", False))
    if _is_16_bit(image, content):
        notes.append(("16-bit", "has 16 bits per channel", "the upper 8 are kept", False))
    # An MPO file holds a photograph and its preview. To count frames takes minutes where there are thousands.
    if image.format != "MPO" and getattr(image, "is_animated", False):
        notes.append(("animated", "has several frames or pages", "the first one is used", True))
    if image.has_transparency_data:
        notes.append(("transparent", "has transparent pixels", "laid on white", False))
    suffixes = {suffix for suffix, name in Image.registered_extensions().items() if name == image.format}
    if (suffix := path.suffix.lower()) not in suffixes | _ALSO.get(str(image.format), set()):
        named = f"named {suffix}" if suffix in SUFFIXES | RAW_SUFFIXES else "not named like one"
        found = f"is a picture of the format {image.format}, {named}"
        notes.append(("ending", found, "read by its content", False))
    return notes


def _is_16_bit(image: Image.Image, content: bytes) -> bool:
    if content.startswith(_PNG):
        return content[24] == 16  # Pillow opens colours of 16 bits as plain RGB, which hides them.
    bits = image.tag_v2.get(_BITS_PER_SAMPLE, ()) if isinstance(image, TiffImageFile) else ()
    return image.mode.startswith("I") or 16 in (bits if isinstance(bits, tuple) else (bits,))


def _kind(content: bytes, reason: str) -> str:
    """Whether a file that cannot be decoded was cut off or is damaged."""
    lacks_its_end = any(
        content.startswith(start) and end not in content[-64:] for start, end in _ENDS.items()
    )
    return "truncated" if lacks_its_end or "truncated" in reason.lower() else "unreadable"


def _is_text(content: bytes) -> bool:
    try:
        text = content.decode()
    except UnicodeDecodeError as error:
        # A character may be cut at the end of the part that is looked at.
        if error.start < len(content) - 4:
            return False
        text = content[: error.start].decode()
    return not any(ord(sign) < 32 and sign not in "\t\n\r\f" for sign in text)
