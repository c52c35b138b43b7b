"""What every form of a list gives: rows, and notes on what it leaves out."""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, NamedTuple, TypeVar

COLUMNS = ("path", "label", "split", "x", "y", "width", "height", "xmin", "ymin", "xmax", "ymax")
"""What `data.image_folder.columns` may say the column of. Groups have a setting of their own, `group_column`."""
GROUP_COLUMN = "group"
SUBSETS = ("train", "val", "test")

Entry = TypeVar("Entry", bound=Mapping[str, Any])
Note = Callable[[str, str, str], None]
"""Takes what is left out: a path, or what stands for it, then kind and found, as in a `Finding`."""


def simple(name: str) -> str:
    """The name of a column in lower case and without spaces around it, by which columns are known."""
    return " ".join(name.split()).casefold()


class Box(NamedTuple):
    """A region of an upright picture, with the origin at the upper left.

    Attributes:
        x, y, width, height: in pixels, or in shares of the picture's width and height if `relative`.
        of_width, of_height: the size of the picture by the list, in pixels; 0 where it does not say.
    """

    x: float
    y: float
    width: float
    height: float
    relative: bool = False
    of_width: int = 0
    of_height: int = 0

    def __str__(self) -> str:
        return ",".join(f"{value:.6g}" for value in self[:4])


class Row(NamedTuple):
    """A picture, or a region of one, and its class.

    Attributes:
        place: where it stands, such as "row 3".
        paths: what the file may be called; the first that exists is meant.
        more: what else the list says of it.
    """

    place: str
    paths: tuple[str, ...]
    label: str
    split: str = ""
    group: str = ""
    box: Box | None = None
    more: Mapping[str, str] = {}


@dataclass
class Choices:
    """What the user says about a list, beside its path.

    Attributes:
        columns: the column (or field) of each of `COLUMNS` that is called otherwise.
        group_column: that of groups.
        regions: whether regions are cut out ("crop") or the whole pictures are taken ("ignore").
        min_confidence: the least confidence of what a detector found; None: as its file recommends.
    """

    columns: Mapping[str, str] = field(default_factory=dict)
    group_column: str = GROUP_COLUMN
    regions: str = "crop"
    min_confidence: float | None = None

    def check(self, source: object, columns: Iterable[str] = (), *, confidence: bool = False) -> None:
        """Refuse what means nothing for a form of list, so that nobody takes it for obeyed.

        Args:
            source: the list, for the error.
            columns: the `COLUMNS` that the form lets the user name.
            confidence: whether it has a confidence.

        Raises:
            ValueError: names the setting.
        """
        unused = [f"columns.{name}" for name in self.columns if name not in columns]
        unused += ["min_confidence"] if self.min_confidence is not None and not confidence else []
        if unused:
            raise ValueError(f"data.image_folder.{unused[0]} means nothing for {source}; leave it out")

    def lowered(self) -> "Choices":
        """The same, for forms whose columns are known in lower case."""
        columns = {meaning: simple(name) for meaning, name in self.columns.items()}
        return replace(self, columns=columns, group_column=simple(self.group_column))


CHOICES = tuple(field.name for field in fields(Choices))
"""The names of the settings of `data.image_folder` that `Choices` are."""


@dataclass
class NamedImages:
    """The rows of a list.

    Attributes:
        rows: in the order of the list.
        exported: whether another program wrote it. Then a picture may have several rows, and one with several classes
            is left out; in a list of one's own that is a mistake.
        guessed: words that were read by a guess, since the file does not say its encoding.
    """

    rows: list[Row]
    exported: bool = True
    guessed: str = ""


def _number(value: Any) -> float:
    if isinstance(value, bool):
        raise TypeError(f"{value} is none")
    return float(value)


def box_of(sides: Iterable[Any], place: str, *, relative: bool = False, of: tuple[Any, Any] = (0, 0)) -> Box:
    """The region with these four numbers: x, y, width and height.

    Args:
        place: the file and the place in it, for errors.
        of: the width and height of the picture, if the list has them.

    Raises:
        ValueError: they are not four finite numbers, or the size is none.
    """
    try:
        x, y, width, height = map(_number, sides)
        if not all(map(math.isfinite, (x, y, width, height))):
            raise ValueError("not finite")
        return Box(x, y, width, height, relative, int(of[0] or 0), int(of[1] or 0))
    except (TypeError, ValueError, OverflowError) as error:
        raise ValueError(f"{place}: its region is not four numbers ({error})") from None


def by_id(records: Iterable[Entry], key: str, source: object) -> dict[Any, Entry]:
    """The records by their id; equal records count once.

    Raises:
        ValueError: two records have one id, so that what refers to it may mean either.
    """
    found: dict[Any, Entry] = {}
    for record in records:
        if found.setdefault(record[key], record) != record:
            raise ValueError(
                f"{source} has different entries with the {key} {record[key]!r}; export it again"
            )
    return found


def text_fields(values: Mapping[str, Any], without: Iterable[str] = ()) -> dict[str, str]:
    """The fields that hold one text, number or truth value, as text."""
    left_out = set(without)
    return {
        str(name): "" if value is None else str(value)
        for name, value in values.items()
        if name not in left_out and (value is None or isinstance(value, str | int | float))
    }


def corners(box: Box) -> Box:
    """The region whose numbers are its left, top, right and bottom."""
    return box._replace(width=box.width - box.x, height=box.height - box.y)


def grouped(rows: list[Row], choices: Choices, default: str, source: object) -> NamedImages:
    """The rows with the value of the group column as group, where there is that column.

    Raises:
        ValueError: the user names a column that no row has.
    """
    column = default if choices.group_column == GROUP_COLUMN else choices.group_column
    known = {name for row in rows for name in row.more}
    if column not in known:
        if choices.group_column != GROUP_COLUMN:
            raise ValueError(
                f"{source} has no {column!r} for data.image_folder.group_column; it has {listed(known)}"
            )
        return NamedImages(rows)
    return NamedImages([row._replace(group=row.more.get(column, "")) for row in rows])


def listed(names: Iterable[str]) -> str:
    """The names in quotes, sorted, as a sentence has them."""
    return ", ".join(map(repr, sorted(names))) or "none"


def whole(row: Row, labels: Iterable[str], note: Note) -> list[Row]:
    """The row of a whole picture with the one label that it has. If it has none or several, a note says so."""
    different = list(dict.fromkeys(label for label in labels if label.strip()))
    if not different:
        note(row.paths[0], "no label", "a picture without a label")
    elif len(different) > 1:
        found = f"a picture with {len(different)} classes: {', '.join(different[:5])}"
        note(row.paths[0], "several classes", found)
    return [row._replace(label=different[0])] if len(different) == 1 else []
