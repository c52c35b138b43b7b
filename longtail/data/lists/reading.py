"""Which form a list has, by its content, and its rows."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from longtail.data.lists import (
    camtrap_dp,
    coco,
    cvat,
    darwin_core,
    inaturalist,
    label_studio,
    megadetector,
    own_table,
    speciesnet,
    wildlife_insights,
)
from longtail.data.lists.rows import Choices, NamedImages, Note, simple
from longtail.data.lists.text import Table, read_text, table_of

_TABLES = (darwin_core, wildlife_insights, inaturalist)
_JSON = (coco, megadetector, speciesnet, label_studio)
FORMS = (
    "a table with the columns path and label, or json or xml of COCO, MegaDetector, SpeciesNet, Label Studio or CVAT, "
    "or a download of GBIF, iNaturalist, Wildlife Insights or Camtrap DP"
)


def read_list(path: Path, choices: Choices, note: Note) -> NamedImages:
    """Read a list of images.

    Args:
        path: a table (of any separator, or a workbook), json or xml, or a folder of which `is_package` is true.
        choices: what the user says about it.
        note: called for what the list names and is left out.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no such list, or leaves something open. The message names the file and the setting.
    """
    if path.is_dir() or camtrap_dp.is_meant(path):
        form = camtrap_dp if camtrap_dp.is_package(path) else darwin_core
        return form.read_package(path, choices, note)
    text = read_text(path, lambda columns: _is_known(columns, choices))
    start = text.text.lstrip()[:1]
    if start and start in "[{":
        found = _of_json(path, text.text, choices, note)
    elif start == "<":
        found = cvat.read(path, text.text, choices, note)
    else:
        found = _of_table(path, text.text, choices, note)
    return replace(found, guessed=text.doubtful)


def is_package(folder: Path) -> bool:
    """Whether a folder is an export of several files that belong together, and no folder of class folders."""
    return darwin_core.is_archive(folder) or camtrap_dp.is_package(folder)


def _is_known(columns: list[str], choices: Choices) -> bool:
    """Whether a table with these columns is a list of any form."""
    return own_table.is_meant(columns, choices) or any(
        form.is_meant({*map(simple, columns)}) for form in _TABLES
    )


def _of_table(path: Path, text: str, choices: Choices, note: Note) -> NamedImages:
    header = text.partition("\n")[0].casefold()
    quoted = not ("gbifid" in header and "\t" in header)
    table = table_of(text, path, lambda columns: _is_known(columns, choices), quoted=quoted)
    own = own_table.is_meant(table.columns, choices)
    form = next((form for form in _TABLES if form.is_meant({*map(simple, table.columns)})), None)
    if form and not own:
        return form.read(path, table.lowered(), choices.lowered(), note)
    if not own and darwin_core.is_file_of_archive(path):
        raise ValueError(f"{path} is a file of an archive of Darwin Core; name its folder, {path.parent}")
    return own_table.read(path, table, choices, note, exported=form is not None)


def _of_json(path: Path, text: str, choices: Choices, note: Note) -> NamedImages:
    content = _json(path, text)
    for form in _JSON:
        if form.is_meant(content):
            return _checked(path, form.read, content, choices, note)
    if isinstance(content, list) and content and all(isinstance(item, dict) for item in content):
        columns = list(dict.fromkeys(str(name) for item in content for name in item))
        rows = [
            (f"item {number}", [_cell(item.get(name)) for name in columns])
            for number, item in enumerate(content, start=1)
        ]
        return own_table.read(path, Table(columns, rows), choices, note)
    raise ValueError(f"{path} is json of no known form; a list is {FORMS}")


def _cell(value: Any) -> str:
    return "" if value is None else value if isinstance(value, str) else json.dumps(value)


def _json(path: Path, text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as whole:
        lines = [line for line in text.splitlines() if line.strip()]
        try:
            if len(lines) < 2:
                raise ValueError("one line")
            return [json.loads(line) for line in lines]
        except (ValueError, RecursionError):
            raise ValueError(f"{path} is no valid json: {whole}") from None


def _checked(
    path: Path, read: Callable[..., NamedImages], content: Any, choices: Choices, note: Note
) -> NamedImages:
    """What a form makes of its json; where a part has another type than its form says, a sentence."""
    try:
        return read(path, content, choices, note)
    except (AttributeError, IndexError, KeyError, TypeError) as error:
        raise ValueError(
            f"{path} has not the form that its program gives it ({type(error).__name__}: {error}); export it again"
        ) from None
