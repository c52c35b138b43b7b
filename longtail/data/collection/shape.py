"""How a picture becomes a square: stretched, completed by a border, or cut to its middle."""

from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
from PIL import Image

RESIZES = ("stretch", "pad", "crop")
BLACK = (0, 0, 0)


class Shape(NamedTuple):
    """One way to make a square of a picture, the same in training and in prediction.

    Attributes:
        resize: `stretch` gives width and height the same number of pixels, whatever they were. `pad` keeps the whole
            picture and its proportions, in the middle of a border. `crop` keeps the square in its middle.
        pad_with: what `pad` fills the border with: a colour (red, green, blue, 0 to 255), `reflect` for the picture
            mirrored at its edges, or None for black.
    """

    resize: str = "stretch"
    pad_with: Literal["reflect"] | Sequence[int] | None = None

    def square(self, picture: Image.Image, size: int) -> Image.Image:
        """The picture (RGB, of any size) as size x size pixels, by Pillow's antialiased bilinear resize."""
        if self.resize == "crop":
            return picture.resize((size, size), Image.Resampling.BILINEAR, box=_middle(*picture.size))
        if self.resize == "stretch":
            return picture.resize((size, size), Image.Resampling.BILINEAR)
        left, top, right, bottom = self.content(*picture.size, size)
        inner = picture.resize((right - left, bottom - top), Image.Resampling.BILINEAR)
        if self.pad_with == "reflect":
            border = ((top, size - bottom), (left, size - right), (0, 0))
            return Image.fromarray(np.pad(np.asarray(inner), border, mode="reflect"))
        square = Image.new("RGB", (size, size), tuple(self.pad_with or BLACK))
        square.paste(inner, (left, top))
        return square

    def content(self, width: int, height: int, size: int) -> tuple[int, int, int, int]:
        """Where the picture lies within its square of size x size pixels: left, top, right and bottom.

        Args:
            width, height: of the upright picture, in pixels.
        """
        if self.resize != "pad":
            return 0, 0, size, size
        across, down = (max(1, round(side * size / max(width, height))) for side in (width, height))
        left, top = round((size - across) / 2), round((size - down) / 2)
        return left, top, left + across, top + down


STRETCHED = Shape()


def _middle(width: int, height: int) -> tuple[float, float, float, float]:
    """The largest square in the middle of a picture, as Pillow's box; its edges may halve a pixel."""
    side = min(width, height)
    left, top = (width - side) / 2, (height - side) / 2
    return left, top, left + side, top + side
