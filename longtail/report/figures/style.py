"""The one look of all figures: sizes for print, colour-blind-safe styles with a marker each, files without dates."""

import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from itertools import cycle
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from longtail.analysis.grid import Grid, without
from longtail.data.split.sets import CUTS
from longtail.files.atomic import atomic_path, write_text
from longtail.report import captions
from longtail.report.fonts import FONT, choose_fonts
from longtail.report.labels import label

TEXT_WIDTH = 6.9  # inches: the text of an A4 page with margins of 17 mm
DPI = 200
MOST_CLASSES = 100
"""With more classes, a figure shows no mark or name for each of them, which nobody could tell apart."""
LOOK: dict[Any, Any] = {
    "font.family": FONT,
    "font.size": 7.5,
    "axes.titlesize": 7.5,
    "axes.labelsize": 7.5,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "legend.fontsize": 7,
    "figure.titlesize": 8.5,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "grid.color": "0.88",
    "grid.linewidth": 0.5,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.major.size": 2.5,
    "ytick.major.size": 2.5,
    "lines.linewidth": 1.2,
    "lines.markersize": 4.5,
    "hatch.linewidth": 0.5,
    "legend.frameon": False,
    "text.parse_math": False,  # a class name may hold a dollar sign
    "pdf.fonttype": 42,  # embedded TrueType: publishers refuse type 3
    "savefig.facecolor": "white",
}
# Without dates and version numbers, the same data give the same bytes.
METADATA: dict[str, dict] = {"pdf": {"CreationDate": None}, "png": {"Software": None}}

GREY = "0.45"
# In place of a bar.
MISSING: dict[str, Any] = {"color": "none", "edgecolor": "0.75", "hatch": "/////", "linewidth": 0}
PLATE: dict[str, Any] = {
    "boxstyle": "square,pad=0.1",
    "facecolor": "white",
    "edgecolor": "none",
    "alpha": 0.8,
}
NOTE: dict[str, Any] = {"ha": "right", "va": "center_baseline", "fontsize": 6, "color": "0.35", "bbox": PLATE}
# Okabe and Ito's palette without its yellow, which is lost on white paper.
BLACK, ORANGE, SKY, GREEN = "#000000", "#E69F00", "#56B4E9", "#009E73"
BLUE, VERMILION, PURPLE = "#0072B2", "#D55E00", "#CC79A7"


class Drawn(NamedTuple):
    """What a figure's `draw` returns."""

    figure: Figure
    caption: str


@dataclass(frozen=True)
class Style:
    """How one loss, model or group looks wherever it is drawn; each differs in more than colour."""

    color: str
    marker: str
    dash: str | tuple = "-"
    filled: bool = True

    @property
    def line(self) -> dict:
        """Arguments of `Axes.plot`."""
        return {"color": self.color, "linestyle": self.dash, **self.point}

    @property
    def point(self) -> dict:
        """Arguments of `Axes.plot` for markers alone."""
        face = self.color if self.filled else "white"
        own = {"markerfacecolor": face, "markeredgecolor": self.color}
        return own | {"marker": self.marker, "color": self.color}


DASHED, DOTTED, DASH_DOTTED = (0, (4, 1.5)), (0, (1, 1.2)), (0, (5, 1.2, 1, 1.2))
LOSSES = {
    "softmax": Style(BLACK, "o"),
    "weighted_softmax": Style(ORANGE, "s", DASHED),
    "focal": Style(SKY, "^", DASH_DOTTED),
    "class_balanced": Style(PURPLE, "D", DOTTED),
    "balanced_softmax": Style(BLUE, "v"),
    "equalization": Style(GREEN, "P", DASHED),
    "ldam": Style(VERMILION, "X", DASH_DOTTED),
    "ldam_drw": Style(VERMILION, "*", "-", filled=False),
    "logit_adjusted": Style(BLUE, "<", DASHED, filled=False),
}
MODELS = {
    "mobilenetv2": Style(BLACK, "o"),
    "resnet50": Style(ORANGE, "s"),
    "vit_b16": Style(BLUE, "^"),
    "convnext_base": Style(VERMILION, "D"),
}
_BY_FREQUENCY = (Style(BLUE, "o"), Style(ORANGE, "s"), Style(VERMILION, "^"))
GROUPS = {name: look for cut in CUTS.values() for name, look in zip(cut, _BY_FREQUENCY, strict=True)}
_COLORS = (GREEN, PURPLE, ORANGE, SKY, BLACK, BLUE, VERMILION)
_MARKERS: tuple[tuple[str, str | tuple], ...] = ((">", "-"), ("p", DASHED), ("h", DOTTED), ("d", DASH_DOTTED))
# There are seven colours and four markers. So neighbours differ in both, and only the 29th style repeats the first.
_SPARE = [Style(_COLORS[i % 7], _MARKERS[i % 4][0], _MARKERS[i % 4][1], i >= 28) for i in range(56)]


def styles(names: Iterable[str], known: dict[str, Style]) -> dict[str, Style]:
    """A style for each name: the known ones always their own, the others one of the rest, in order.

    Give the names of the whole experiment, so that leaving one out of a figure changes no other's style.
    """
    spare = cycle(_SPARE)
    return {name: known[name] if name in known else next(spare) for name in names}


@contextmanager
def look() -> Iterator[None]:
    """The look, inside a `with` or as a decorator of what draws."""
    with matplotlib.rc_context(LOOK):
        yield


def new_figure(height: float, width: float = TEXT_WIDTH, title: str = "") -> Figure:
    """An empty figure of this size in inches, with a title on the left, without pyplot's global state."""
    figure = Figure(figsize=(width, height), layout="constrained")
    if title:
        figure.suptitle(title, x=0.01, ha="left")
    return figure


def explain(axes: Axes, text: str) -> None:
    """Say in an otherwise empty panel why it is empty."""
    axes.set_axis_off()
    axes.text(0.5, 0.5, text, transform=axes.transAxes, ha="center", va="center", color=GREY, wrap=True)


def explanation(text: str, caption: str = "") -> Drawn:
    """A figure that says why there is nothing to draw, and so does its caption unless another is given."""
    figure = new_figure(1.2)
    explain(figure.add_subplot(), text)
    return Drawn(figure, caption or text)


def runs_note(runs: float, expected: float) -> str:
    """What to add to a name whose runs are not all there; empty if they are."""
    if runs == expected:
        return ""
    return f" ({runs:.0f}/{expected:.0f} runs)" if runs else " (missing)"


def name_runs(loss: str, runs: pd.DataFrame, value: str) -> str:
    """The printed name of a loss, and how many of its runs have a number in `value` unless all do."""
    expected, lost = (
        sum(run.loss == loss for run in own) for own in (Grid.of(runs).runs, without(runs, value))
    )
    return f"{label(loss)}{runs_note(expected - lost, expected)}"


def legend(figure: Figure, entries: dict[str, Style], lines: bool = False, markers: bool = True) -> None:
    """A legend below all panels: printed label to style."""
    hidden = ({} if lines else {"linestyle": ""}) | ({} if markers else {"marker": ""})
    handles = [Line2D([], [], label=name, **(style.line | hidden)) for name, style in entries.items()]
    ncols, length = min(5, len(handles)), 3 if lines else 1
    figure.legend(handles=handles, loc="outside lower center", ncols=ncols, handlelength=length)


def publish(drawn: Drawn, paths: Iterable[str | Path], caption: str | Path | None, *notes: str) -> str:
    """Save a figure with fonts for its names, and its caption, which the notes end, as plain text or .rst.

    Returns:
        What the fonts lack, as a sentence of the caption; empty where they lack nothing.

    Raises:
        As `save`.
    """
    boxes = choose_fonts(drawn.figure)
    save(drawn.figure, *paths)
    if caption:
        text = captions.caption(drawn.caption, *notes, boxes)
        if Path(caption).suffix == ".rst":
            text = "".join(f"\\{sign}" if sign in r"\*`|_" else sign for sign in text)
        write_text(caption, text + "\n")
    return boxes


def save(figure: Figure, *paths: str | Path) -> None:
    """Write the figure to each path, whole or not at all; the same figure gives the same bytes.

    Raises:
        ValueError: a path that ends neither in .pdf nor in .png.
    """
    kinds = {path: path.suffix.lstrip(".") for path in map(Path, paths)}
    for path, kind in kinds.items():
        if kind not in METADATA:
            raise ValueError(f"{path}: a figure is written as .pdf or .png, not as '{path.suffix}'")
    with look(), warnings.catch_warnings():
        # The caption says it once (`longtail.report.fonts`).
        warnings.filterwarnings("ignore", "Glyph .* missing from", UserWarning)
        # Each file would have its panels arranged anew, which takes as long as drawing it.
        figure.set_dpi(DPI)
        if arrangement := figure.get_layout_engine():
            arrangement.execute(figure)
        figure.set_layout_engine(None)
        for path, kind in kinds.items():
            # The file is made in memory first, since Matplotlib's writer of PDFs hides an error of the disk behind its
            # own.
            drawn = BytesIO()
            figure.savefig(drawn, format=kind, dpi=DPI, metadata=METADATA[kind])
            with atomic_path(path) as temporary:
                temporary.write_bytes(drawn.getvalue())
