"""The file images.csv of a download of Wildlife Insights: a row for each animal of a picture.

Source: the columns as camtraptor's read_wi and camtrapR's readWildlifeInsights read them.
"""

from pathlib import Path

from longtail.data.lists.rows import Choices, NamedImages, Note, Row, grouped, listed
from longtail.data.lists.text import Table

_TRUE = ("1", "true", "yes")


def is_meant(columns: set[str]) -> bool:
    """Whether a table with these columns, in lower case, is such a file."""
    return {"image_id", "deployment_id", "filename", "location", "genus", "species"} <= columns


def read(path: Path, table: Table, choices: Choices, note: Note) -> NamedImages:
    """Read the rows: genus and species are the label, and a deployment is a group.

    The picture is the file that `location` or else `filename` names. Blank pictures and those that are not known to the
    species are left out, unless the user names a column of labels.

    Raises:
        ValueError: a column that the user names is missing.
    """
    choices.check(path, ("path", "label"))
    label, file = choices.columns.get("label"), choices.columns.get("path")
    if unknown := [name for name in (label, file) if name and name not in table.columns]:
        raise ValueError(f"{path} has no column {unknown[0]!r}; it has {listed(table.columns)}")
    rows = []
    for place, record in table.records():
        paths = (record[file],) if file else (record["location"], record["filename"])
        if label:
            name = record[label]
        elif record.get("is_blank", "").strip().lower() in _TRUE:
            note(record["filename"], "blank", f"a picture without an animal, in {place}")
            continue
        else:
            genus, species = record["genus"].strip(), record["species"].strip()
            name = f"{genus} {species}" if genus and species else ""
        if not name.strip():
            known = record.get("common_name", "").strip() or record["genus"].strip() or "nothing"
            found = f"has {label!r} empty" if label else f"is not known to the species, only as {known}"
            note(record["filename"], "no label", f"{found}, in {place}")
            continue
        rows.append(Row(place, tuple(filter(None, paths)), name, more=record))
    return grouped(rows, choices, "deployment_id", path)
