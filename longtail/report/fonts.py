"""Fonts for names in any script: figures are drawn in one font, and others stand in for letters that it lacks."""

import unicodedata
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from matplotlib import get_data_path
from matplotlib.figure import Figure
from matplotlib.font_manager import findfont, fontManager, get_font
from matplotlib.text import Text

FONT = "DejaVu Sans"
"""It comes with matplotlib, so every machine draws the same."""
REMEDY = "install a font that has them, such as Noto Sans CJK or Noto Emoji"


def choose_fonts(figure: Figure) -> str:
    """Give each text of a figure fonts that have its letters, and say in a sentence which letters none has."""
    lacking = set()
    for text in figure.findobj(Text):
        if missing := letters_beyond(text.get_text()):
            fonts, left = _fonts_with(frozenset(missing))
            text.set_fontfamily([FONT, *fonts])
            lacking |= left
    if not lacking:
        return ""
    shown = " ".join(sorted(lacking)[:10]) + (", …" if len(lacking) > 10 else "")
    return f"Drawn as boxes, since no installed font has them: {shown} ({len(lacking)} letters); {REMEDY}."


def letters_without_a_font(names: Iterable[str]) -> dict[str, str]:
    """The letters of each name that no installed font has; names without such letters are left out."""
    found = {name: _fonts_with(frozenset(letters_beyond(name)))[1] for name in names}
    return {name: "".join(sorted(letters)) for name, letters in found.items() if letters}


def letters_beyond(text: str) -> set[str]:
    """The letters of a text that FONT lacks, without signs that are not drawn."""
    has = _letters_of(findfont(FONT))
    return {sign for sign in text if ord(sign) not in has and not _is_invisible(sign)}


def _is_invisible(sign: str) -> bool:
    return unicodedata.category(sign)[0] in "CZ" or 0xFE00 <= ord(sign) <= 0xFE0F


@cache
def _fonts_with(letters: frozenset[str]) -> tuple[list[str], set[str]]:
    """Installed fonts that have these letters, as few as a look at one after the other finds, and letters left over."""
    fonts, left = [], set(letters)
    while left:
        gains = {name: sum(ord(sign) in has for sign in left) for name, has in _installed().items()}
        best = max(gains, key=lambda name: (gains[name], name), default="")
        if not best or not gains[best]:
            break
        fonts.append(best)
        left = {sign for sign in left if ord(sign) not in _installed()[best]}
    return fonts, left


@cache
def _installed() -> dict[str, frozenset[int]]:
    """The letters of each installed font but those of matplotlib, which are for formulas or show boxes."""
    # Matplotlib's list of fonts outlives an environment that is reached by another path, as by a link.
    fonts, own = {}, Path(get_data_path()).resolve()
    for entry in sorted(
        fontManager.ttflist, key=lambda entry: (entry.name, entry.weight != 400, entry.fname)
    ):
        if (
            entry.style == "normal"
            and entry.name not in fonts
            and not Path(entry.fname).resolve().is_relative_to(own)
        ):
            try:
                fonts[entry.name] = _letters_of(entry.fname)
            except (OSError, RuntimeError):
                continue  # Fonts of coloured pictures cannot be drawn.
    return fonts


@cache
def _letters_of(path: str) -> frozenset[int]:
    return frozenset(get_font(path).get_charmap())
