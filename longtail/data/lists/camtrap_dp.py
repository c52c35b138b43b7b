"""Camtrap DP: the folder of a package of camera traps, with its media, their observations and the deployments.

Source: Camera Trap Data Package 1.0.2, TDWG, 2025 (https://camtrap-dp.tdwg.org): the tables, their columns and what
stands for a missing value; regions are x, y, width and height in shares of the picture.
"""

import json
from pathlib import Path
from typing import Any

from longtail.data.lists.rows import Choices, NamedImages, Note, Row, box_of, by_id, grouped, listed, whole
from longtail.data.lists.text import beside, read_text, table_of

PACKAGE = "datapackage.json"
_TABLES = {
    "media": {"mediaid", "deploymentid", "filepath"},
    "observations": {"observationid", "deploymentid", "observationtype", "scientificname"},
    "deployments": {"deploymentid"},
}
"""The tables of a package, by the columns that they need, in lower case."""
_MISSING = ("", "na", "nan")
_BOX = ("bboxx", "bboxy", "bboxwidth", "bboxheight")

Record = dict[str, str]


def is_package(folder: Path) -> bool:
    """Whether a folder, or the one that a file lies in, is such a package."""
    path = (folder if folder.is_dir() else folder.parent) / PACKAGE
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return b"camtrap-dp" in file.read(2**20)


def is_meant(path: Path) -> bool:
    """Whether a file is one of a package, which is then read as a whole."""
    return path.name in (PACKAGE, *(f"{name}.csv" for name in _TABLES)) and is_package(path)


def read_package(path: Path, choices: Choices, note: Note) -> NamedImages:
    """Read the observations of single media: the scientific name is the label, and a deployment is a group.

    Observations of events name no picture; they are told and left out. A package mixes pictures that a program has
    found regions in with those that people have classified as a whole, so each picture decides for itself.

    Args:
        path: the folder, or a file of it.

    Raises:
        FileNotFoundError: a table of the package is not there.
        ValueError: a table lacks a column, an id stands there twice, or no observation names a picture.
    """
    folder, choices = path if path.is_dir() else path.parent, choices.lowered()
    choices.check(path, ("path", "label"))
    media, observations, deployments = (_table(folder, name) for name in _TABLES)
    label = _column(folder, "label", observations, ("scientificname",), choices)
    files = _column(folder, "path", media, ("filepath", "filename"), choices)
    of_media = by_id(media, "mediaid", folder / "media")
    of_deployment = by_id(deployments, "deploymentid", folder / "deployments")
    of_events = [each for each in observations if not each.get("mediaid")]
    if of_events and len(of_events) == len(observations):
        raise ValueError(
            f"{folder}: all {len(observations):,} observations are of events, and none names a picture (mediaID), so "
            "nothing says what a picture shows. Classify single pictures, or list them in a csv with the columns path "
            "and label"
        )
    if of_events:
        told = f"has {len(of_events):,} observations of events, which do not say which pictures show them"
        note("observations", "event", told)
    seen: dict[str, list[Record]] = {identity: [] for identity in of_media}
    for each in observations:
        if each.get("mediaid") in seen:
            seen[each["mediaid"]].append(each)
        elif each.get("mediaid"):
            note(each["mediaid"], "no picture", "is observed, and not listed among the media")
    rows: list[Row] = []
    for identity, medium in of_media.items():
        place = f"media {identity}"
        paths = tuple(filter(None, (medium.get(name, "") for name in files)))
        row = Row(
            place, paths or (identity,), "", more={**of_deployment.get(medium["deploymentid"], {}), **medium}
        )
        kind = medium.get("filemediatype", "")
        if kind and not kind.startswith("image"):
            note(row.paths[0], "other file", f"is no picture but {kind}, in {place}")
        elif not paths:
            note(identity, "no picture", f"has no {' or '.join(map(repr, files))}")
        elif not seen[identity]:
            note(row.paths[0], "no label", f"a picture without an observation of its own, in {place}")
        else:
            rows += _observed(folder, row, seen[identity], label, choices.regions == "crop", note)
    return grouped(rows, choices, "deploymentid", folder)


def _observed(
    folder: Path, row: Row, observations: list[Record], label: tuple[str, ...], crop: bool, note: Note
) -> list[Row]:
    """The row of each region of a picture or, where it has none, of the whole picture."""
    named = []
    for each in observations:
        if name := next((each[column] for column in label if each.get(column)), ""):
            named.append((name, each))
    if not named:
        kinds = ", ".join(dict.fromkeys(each["observationtype"] or "nothing" for each in observations))
        kind = "blank" if kinds == "blank" else "no label"
        note(row.paths[0], kind, f"shows {kinds} and names no class, in {row.place}")
        return []
    if not crop or not any(each.get(side) for _, each in named for side in _BOX):
        names = [name for name, _ in named]
        return whole(row._replace(more={**row.more, **named[0][1]}), names, note)
    rows = []
    for name, each in named:
        if not any(each.get(side) for side in _BOX):
            note(row.paths[0], "no region", f"is {name!r}, without a region, in {row.place}")
            continue
        box = box_of((each.get(side, "") for side in _BOX), f"{folder}, {row.place}", relative=True)
        rows.append(row._replace(label=name, box=box, more={**row.more, **each}))
    return rows


def _table(folder: Path, name: str) -> list[Record]:
    """The rows of a table by their columns in lower case; missing values are empty. Deployments may be missing."""
    path = _place(folder, name)
    if path is None or not path.is_file():
        if name == "deployments":
            return []
        raise FileNotFoundError(
            f"{folder} is a package of Camtrap DP without its table {name} ({path or f'{name}.csv'}); unpack it whole"
        )
    table = table_of(read_text(path).text, path, lambda columns: "deploymentID" in columns).lowered()
    if lacking := _TABLES[name] - {*table.columns}:
        raise ValueError(f"{path} lacks the columns {listed(lacking)} of Camtrap DP; export it again")
    return [
        {column: "" if cell.strip().lower() in _MISSING else cell.strip() for column, cell in record.items()}
        for _, record in table.records()
    ]


def _place(folder: Path, name: str) -> Path | None:
    """Where the package says that a table is; else the csv of that name.

    Raises:
        ValueError: the package cannot be read, or the table lies outside of its folder.
    """
    path = folder / PACKAGE
    try:
        resources: Any = json.loads(read_text(path).text)["resources"]
        said = next((each["path"] for each in resources if each.get("name") == name), None)
    except (AttributeError, KeyError, TypeError, ValueError, RecursionError) as error:
        raise ValueError(f"{path} is no description of a package ({error}); export it again") from None
    if said is None:
        return beside(path, f"{name}.csv")
    if not isinstance(said, str) or "://" in said or Path(said).is_absolute() or ".." in Path(said).parts:
        raise ValueError(
            f"{path} has the table {name} in {said!r:.100}, which is no file of its folder; unpack it there"
        )
    return folder / said


def _column(
    folder: Path, what: str, of: list[Record], defaults: tuple[str, ...], choices: Choices
) -> tuple[str, ...]:
    """The columns of the class or of the path, the first that is filled in counts: the user's, else the default."""
    known = {name for record in of[:1] for name in record}
    if what not in choices.columns:
        return tuple(name for name in defaults if name in known) or defaults[:1]
    name = choices.columns[what]
    if of and name not in known:
        raise ValueError(
            f"{folder} has no column {name!r} for data.image_folder.columns.{what}; it has {listed(known)}"
        )
    return (name,)
