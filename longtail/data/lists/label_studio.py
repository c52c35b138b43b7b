"""The JSON of Label Studio: choices for whole pictures, or labelled rectangles.

Source: https://labelstud.io/guide/task_format and https://labelstud.io/tags/rectanglelabels (x, y, width and height are
percent of the picture's sides).
"""

import re
from collections import Counter
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from longtail.data.lists.rows import (
    Choices,
    NamedImages,
    Note,
    Row,
    box_of,
    grouped,
    listed,
    text_fields,
    whole,
)

_KINDS = ("choices", "rectanglelabels")
"""The results that are read; their value has the labels in a field of that name."""


_PICTURE = re.compile(
    r"\.(avif|bmp|gif|heic|heif|jpe?g|png|tiff?|webp)\b|/data/(upload|local-files)/", re.IGNORECASE
)


def is_meant(content: Any) -> bool:
    """Whether json is of this form."""
    return (
        isinstance(content, list)
        and bool(content)
        and all(isinstance(task, dict) and isinstance(task.get("data"), dict) for task in content)
        and any("annotations" in task or "completions" in task for task in content)
    )


def read(path: Path, content: list[dict[str, Any]], choices: Choices, note: Note) -> NamedImages:
    """Read the tasks that people have annotated; cancelled annotations and predictions do not count.

    Raises:
        ValueError: several fields may be the picture, or several controls the class.
    """
    choices.check(path, ("path", "label"))
    field = _picture_field(path, content, choices)
    control = _control(path, content, choices)
    rows: list[Row] = []
    for task in content:
        rows += _rows_of(path, task, field, control, choices, note)
    return grouped(rows, choices, "", path)


def _results(task: dict[str, Any]) -> list[list[dict[str, Any]]]:
    """The results of each annotation that is not cancelled."""
    annotations = task.get("annotations") or task.get("completions") or []
    return [each["result"] for each in annotations if not each.get("was_cancelled") and each["result"]]


def _picture_field(path: Path, content: list[dict[str, Any]], choices: Choices) -> str:
    """The field of the data with the picture: the one that results refer to, or that the user names."""
    if "path" in choices.columns:
        if not all(choices.columns["path"] in task["data"] for task in content):
            raise ValueError(f"{path}: not every task has data.{choices.columns['path']}; see columns.path")
        return choices.columns["path"]
    fields = {name for task in content for name, value in task["data"].items() if _is_picture(value)}
    if len(fields) != 1:
        raise ValueError(
            f"{path}: the picture may be any of {listed(fields or content[0]['data'])}; say which by "
            "data.image_folder.columns: {path: …}"
        )
    return fields.pop()


def _is_picture(value: Any) -> bool:
    return isinstance(value, str) and _PICTURE.search(value) is not None


def _control(path: Path, content: list[dict[str, Any]], choices: Choices) -> str:
    """The name of the control whose results are the classes."""
    found = Counter(
        str(result["from_name"])
        for task in content
        for results in _results(task)
        for result in results
        if result["type"] in _KINDS
    )
    wanted = choices.columns.get("label")
    if (wanted is not None and wanted not in found) or (len(found) > 1 and wanted is None):
        raise ValueError(
            f"{path}: the classes may be any of {listed(found)}; say which by data.image_folder.columns: {{label: …}}"
        )
    if not found:
        raise ValueError(f"{path} has no results of the kinds {', '.join(_KINDS)}")
    return wanted or next(iter(found))


def _rows_of(
    path: Path, task: dict[str, Any], field: str, control: str, choices: Choices, note: Note
) -> list[Row]:
    place = f"task {task.get('id', '?')}"
    paths = _paths(str(task["data"][field]))
    name = paths[0]
    row = Row(place, paths, "", more=text_fields(task["data"], (field,)))
    by_person = [
        [each for each in results if each["type"] in _KINDS and each["from_name"] == control]
        for results in _results(task)
    ]
    by_person = [results for results in by_person if results]
    marks = [each for results in by_person for each in results]
    labels = [[str(label) for label in each["value"].get(each["type"]) or []] for each in marks]
    if choices.regions == "ignore" or not any(each["type"] == "rectanglelabels" for each in marks):
        return whole(row, [label for each in labels for label in each], note)
    if len(by_person) > 1:
        note(name, "label conflict", f"has rectangles of {len(by_person)} annotations, in {place}")
        return []
    rows = []
    for each, own in zip(by_person[0], labels, strict=True):
        value = each["value"]
        if len(own) != 1:
            note(name, "several classes", f"has a rectangle with {len(own)} classes, in {place}")
        elif value.get("rotation") or each.get("image_rotation"):
            note(name, "turned region", f"has a rectangle that is turned, in {place}")
        else:
            percent = box_of((value[side] for side in ("x", "y", "width", "height")), f"{path}, {place}")
            box = box_of((side / 100 for side in percent[:4]), place, relative=True)
            rows.append(row._replace(label=own[0], box=box))
    return rows


def _paths(address: str) -> tuple[str, ...]:
    """What the file of a picture may be called; to those that are uploaded Label Studio adds 8 signs and a dash."""
    parts = urlsplit(address)
    if local := parse_qs(parts.query).get("d"):
        return (local[0],)
    last = parts.path.rpartition("/")[2]
    original = re.sub(r"^[0-9a-f]{8}-", "", last)
    return (address, last, original) if original != last else (address,)
