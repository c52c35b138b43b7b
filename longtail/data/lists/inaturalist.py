"""The csv of iNaturalist's export of observations: a row for each, with the address of its first picture."""

from pathlib import Path

from longtail.data.lists.rows import Choices, NamedImages, Note, Row, grouped, listed
from longtail.data.lists.text import Table


def is_meant(columns: set[str]) -> bool:
    """Whether a table with these columns, in lower case, is such a file."""
    return {"image_url", "scientific_name", "observed_on"} <= columns


def read(path: Path, table: Table, choices: Choices, note: Note) -> NamedImages:
    """Read the rows: `scientific_name` is the label, and `image_url` the path unless the user names others.

    Raises:
        ValueError: a column that the user names is missing.
    """
    choices.check(path, ("path", "label"))
    label = choices.columns.get("label", "scientific_name")
    file = choices.columns.get("path", "image_url")
    if unknown := [name for name in (label, file) if name not in table.columns]:
        raise ValueError(f"{path} has no column {unknown[0]!r}; it has {listed(table.columns)}")
    rows = []
    for place, record in table.records():
        shown = record.get("id", "").strip() or place
        if not record[file].strip():
            note(shown, "no picture", f"an observation without a picture, in {place}")
        elif not record[label].strip():
            note(shown, "no label", f"has {label!r} empty, in {place}")
        else:
            rows.append(Row(place, (record[file],), record[label], more=record))
    return grouped(rows, choices, "", path)
