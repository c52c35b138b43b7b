"""Pictures with their captions as one HTML file, which loads nothing: a contact sheet to look through."""

import base64
from collections.abc import Iterable, Sequence
from html import escape
from io import BytesIO
from typing import NamedTuple

import numpy as np
from PIL import Image

from longtail.files.text import printable
from longtail.report.webpage import page_of, rendered

MOST = 500
"""The most pictures of a page, so that a browser opens it at once."""
SIDE = 192
"""The longest side of a picture on the page, in pixels."""


class Framed(NamedTuple):
    """A picture and the lines below it, of which the first is bold."""

    pixels: np.ndarray | None
    """uint8, H x W x 3; None where the picture could not be read, which a line then says."""
    lines: Sequence[str]


def contact_sheet(markdown: str, title: str, pictures: Iterable[Framed]) -> str:
    """A page with the text on top and the pictures below it, side by side."""
    figures = "\n".join(map(_figure, pictures))
    return page_of(f'{rendered(markdown)}\n<div class="sheet">\n{figures}\n</div>\n', title)


def _figure(framed: Framed) -> str:
    first, *others = [escape(printable(line)) for line in framed.lines]
    text = "<br>".join([f"<b>{first}</b>", *others])
    image = "" if framed.pixels is None else f'<img src="{_address(framed.pixels)}" alt="">'
    return f"<figure>{image}<figcaption>{text}</figcaption></figure>"


def _address(pixels: np.ndarray) -> str:
    """The picture itself as an address; small ones without loss."""
    image = Image.fromarray(pixels)
    image.thumbnail((SIDE, SIDE))
    small = max(image.size) < SIDE // 2
    file = BytesIO()
    image.save(file, "PNG" if small else "JPEG")
    return f"data:image/{'png' if small else 'jpeg'};base64,{base64.b64encode(file.getvalue()).decode()}"
