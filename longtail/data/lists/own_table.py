"""A table of one's own: a row for each picture or region, with the columns path and label."""

import re
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path

from longtail.data.lists.rows import (
    COLUMNS,
    GROUP_COLUMN,
    SUBSETS,
    Box,
    Choices,
    NamedImages,
    Note,
    Row,
    box_of,
    corners,
    listed,
    simple,
)
from longtail.data.lists.text import Table

_CORNERS, _SIDES = ("xmin", "ymin", "xmax", "ymax"), ("x", "y", "width", "height")
_BOX_NAMES = {
    **{f"bbox_{name}": name for name in _SIDES},
    **{"bbox_w": "width", "bbox_h": "height"},
    **{name: name for name in _CORNERS},
}
"""The names, in lower case, of columns that can mean nothing but a region."""
_REGION = {
    "x": ("x", "left", "xmin", "minx", "xtl", "x0", "x1"),
    "y": ("y", "top", "ymin", "miny", "ytl", "y0", "y1"),
    "width": ("w", "width"),
    "height": ("h", "height"),
    "xmax": ("right", "xmax", "maxx", "xbr", "x2", "x1"),
    "ymax": ("bottom", "ymax", "maxy", "ybr", "y2", "y1"),
}
"""What the sides of a region are called elsewhere, without what separates words, the likeliest first."""
_BARE_BOXES = ("bbox", "box", "bounding_box", "bounding box")


def is_meant(columns: list[str], choices: Choices) -> bool:
    """Whether a table has columns of paths and labels by their default names, or as the user calls them."""
    return {"path", "label"} <= set(_meanings(columns, choices))


def regions_of(columns: list[str]) -> list[str]:
    """The columns of a table that are or may be a region."""
    there = [name for name in columns if simple(name) in (*_BOX_NAMES, *_BARE_BOXES)]
    return there or list(_like_a_region(columns).values())


def _meanings(columns: list[str], choices: Choices) -> dict[str, str]:
    """The column of each meaning that a table has. A name is taken as it is written, or else whatever its case."""
    by_name = {simple(name): name for name in reversed(columns)} | {name: name for name in columns}
    wanted: dict[str, str] = {name: name for name in ("path", "label", "split")}
    wanted |= {meaning: name for name, meaning in _BOX_NAMES.items() if name in by_name}
    wanted |= {"group": choices.group_column, **choices.columns}
    found = {}
    for meaning, name in wanted.items():
        column = by_name.get(name, by_name.get(simple(name)))
        if column is not None:
            found[meaning] = column
    return found


def read(path: Path, table: Table, choices: Choices, note: Note, *, exported: bool = False) -> NamedImages:
    """Read the rows of a table with the columns path and label.

    Args:
        exported: whether another program wrote it. What it leaves empty is then no mistake of the user, but a note.

    Raises:
        ValueError: a column is missing or may mean two things, or a row lacks something. The message names it.
    """
    choices.check(path, COLUMNS)
    meanings = _meanings(table.columns, choices)
    _check_columns(path, table, meanings, choices)
    region = _region(path, table, meanings, choices)
    used = set(meanings.values())
    rows = []
    for place, record in table.records():
        found = {meaning: record[column] for meaning, column in meanings.items()}
        split = " ".join(found.get("split", "").split()).lower()
        if exported and not found["label"].strip():
            note(found["path"].strip() or place, "no label", f"has {meanings['label']!r} empty, in {place}")
            continue
        if exported and not found["path"].strip():
            note(place, "no picture", f"has {meanings['path']!r} empty, in {place}")
            continue
        if not found["path"].strip() or not found["label"].strip():
            raise ValueError(f"{path}, {place}: path or label is empty; fill it in or remove the row")
        if "split" in meanings and split not in SUBSETS:
            allowed = ", ".join(SUBSETS)
            raise ValueError(
                f"{path}, {place}: split is {found['split']!r}; allowed: {allowed}, in every row"
            )
        more = {name: value for name, value in record.items() if name not in used}
        row = Row(place, (found["path"],), found["label"], split, found.get("group", ""), None, more)
        if region:
            numbers = [found[name].strip() for name in region]
            if not any(numbers):
                note(found["path"], "no region", f"a picture without a region, in {place}")
                continue
            row = row._replace(box=_box(numbers, region, f"{path}, {place}"))
        rows.append(row)
    return NamedImages(_relative(rows), exported=exported)


def _check_columns(path: Path, table: Table, meanings: Mapping[str, str], choices: Choices) -> None:
    columns = table.columns
    lacking = [choices.columns.get(name, name) for name in ("path", "label") if name not in meanings]
    lacking += [
        name for meaning, name in choices.columns.items() if meaning not in meanings and name not in lacking
    ]
    if choices.group_column != GROUP_COLUMN and "group" not in meanings:
        lacking.append(choices.group_column)
    if lacking:
        found = ", ".join(map(repr, columns)) or "none"
        hint = next(
            (f"{name}: {columns[0]}" for name in ("path", "label") if name not in meanings and columns), ""
        )
        raise ValueError(
            f"{path} lacks the columns {', '.join(lacking)}; it has {found}. "
            + (f"Say which it is, such as data.image_folder.columns: {{{hint}}}" if hint else "Mend the name")
        )
    shared = [name for name in meanings if list(meanings.values()).count(meanings[name]) > 1]
    if shared:
        raise ValueError(
            f"{path}: the column {meanings[shared[0]]!r} is said to be {' and '.join(shared)}; name another column"
        )
    further = [name for name in columns if name not in meanings.values()]
    for meaning in {"split", "group"} - set(meanings):
        setting = "columns: {split: %s}" if meaning == "split" else "group_column: %s"
        close = get_close_matches(meaning, [simple(name) for name in further], 1, cutoff=0.7)
        name = next((name for name in further if simple(name) in close), None) or (
            _looks_like_a_split(table, further) if meaning == "split" else None
        )
        if name is not None:
            raise ValueError(
                f"{path} has a column {name!r}, which may be the {meaning}. Say so by data.image_folder."
                f"{setting % name}, or give the column another name"
            )


def _looks_like_a_split(table: Table, further: list[str]) -> str | None:
    """A further column whose values are those of a split."""
    names = {*SUBSETS, "training", "valid", "validation", "dev", "testing"}
    for name in further:
        place = table.columns.index(name)
        values = {cells[place].strip().lower() for _, cells in table.rows}
        if values <= names and {value[:4] for value in values} >= {"trai", "test"}:
            return name
    return None


def _region(path: Path, table: Table, meanings: Mapping[str, str], choices: Choices) -> tuple[str, ...]:
    """The meanings of the four columns of a region; empty where there are none or they are ignored."""
    there = [name for name in (*_CORNERS, *_SIDES) if name in meanings]
    bare = next((name for name in table.columns if simple(name) in _BARE_BOXES), None)
    if choices.regions == "ignore":
        return ()
    if not there and bare is None:
        if like := _like_a_region([name for name in table.columns if name not in meanings.values()]):
            said = ", ".join(f"{meaning}: {column}" for meaning, column in like.items())
            raise ValueError(
                f"{path} has the columns {listed(like.values())}, which may be a region. Say so by "
                f"data.image_folder.columns: {{{said}}}, or set regions: ignore, or give them other names"
            )
        return ()
    for form in (_CORNERS, _SIDES):
        if sorted(there) == sorted(form):
            return form
    found = (
        f"has the columns {listed(meanings[name] for name in there)}" if there else f"has the column {bare!r}"
    )
    raise ValueError(
        f"{path} {found}, which say a region only in part. A region has four columns, bbox_x, bbox_y, bbox_width and "
        "bbox_height, or xmin, ymin, xmax and ymax, or those that data.image_folder.columns names; with regions: "
        "ignore the whole pictures are taken"
    )


def _like_a_region(columns: list[str]) -> dict[str, str]:
    """The columns that may be the four sides of a region, by what each would be; empty where there are no four."""
    plain = {
        re.sub(r"^(boundingbox|bbox|box|region|rect|roi)(?=.)", "", re.sub(r"[\W_]", "", simple(name))): name
        for name in columns
    }
    for form in (_SIDES, ("x", "y", "xmax", "ymax")):
        found: dict[str, str] = {}
        for meaning in form:
            free = [plain[name] for name in _REGION[meaning] if name in plain]
            free = [column for column in free if column not in found.values()]
            if free:
                found[meaning] = free[0]
        if len(found) == len(form):
            return found if form == _SIDES else dict(zip(_CORNERS, found.values(), strict=True))
    return {}


def _box(numbers: list[str], form: tuple[str, ...], place: str) -> Box:
    # A comma is what spreadsheets in many countries write before decimals.
    values = [number.replace(",", ".") for number in numbers]
    if not all(re.fullmatch(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,3})?", value) for value in values):
        raise ValueError(
            f"{place}: the region is {', '.join(numbers)}; it needs four numbers, {', '.join(form)}"
        )
    box = box_of(values, place)
    return corners(box) if form == _CORNERS else box


def _relative(rows: list[Row]) -> list[Row]:
    """The rows, with regions in shares of the picture if none ends beyond 2: in pixels they would be of one pixel."""
    boxes = [row.box for row in rows if row.box]
    if not boxes or any(box.x + box.width > 2 or box.y + box.height > 2 for box in boxes):
        return rows
    return [row._replace(box=row.box._replace(relative=True)) if row.box else row for row in rows]
