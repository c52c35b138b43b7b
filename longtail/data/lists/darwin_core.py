"""Darwin Core: downloads of GBIF (occurrence.txt and multimedia.txt), and archives, unpacked, with their meta.xml.

An occurrence has the name of the species, its media the addresses of the pictures. All pictures of an occurrence are
one group.

Source: Darwin Core text guide, TDWG, 2023 (meta.xml); the files of a download, https://www.gbif.org/faq.
"""

import re
from pathlib import Path
from xml.etree.ElementTree import Element

from longtail.data.lists.rows import Choices, NamedImages, Note, Row, by_id, grouped, listed, simple
from longtail.data.lists.text import Table, beside, read_text, table_of
from longtail.data.lists.xml import parsed

ARCHIVE = "meta.xml"
_MEDIA_TYPES = ("multimedia", "image", "media")
"""The last words of the row types whose rows are pictures, in lower case."""
_KEY = "gbifid"
_ADDRESSES = ("identifier", "accessuri")
_LABELS = ("species", "scientificname")
_BREAKS = {"\\t": "\t", "\\n": "\n", "\\r": "\r"}

Record = dict[str, str]


def is_meant(columns: set[str]) -> bool:
    """Whether a table with these columns, in lower case, is occurrence.txt or multimedia.txt of GBIF."""
    return _KEY in columns and ("identifier" in columns or "scientificname" in columns)


def is_archive(folder: Path) -> bool:
    """Whether a folder holds an archive of Darwin Core."""
    path = folder / ARCHIVE
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return b"rs.tdwg.org/dwc/text" in file.read(10_000)


def read(path: Path, table: Table, choices: Choices, note: Note) -> NamedImages:
    """Read the occurrences and media of a download of GBIF, of which `path` is either file.

    Raises:
        ValueError: the other file is missing, or a column.
    """
    names = ("multimedia.txt", "occurrence.txt")
    tables = {}
    for name in names:
        other = beside(path, name)
        if other is not None:
            tables[name] = table_of(
                read_text(other).text, other, lambda columns: "gbifID" in columns, quoted=False
            )
    if len(tables) < len(names):
        lacking = next(name for name in names if name not in tables)
        raise ValueError(
            f"{path} is a file of GBIF, but {lacking} does not lie beside it. Download a Darwin Core Archive and "
            "unpack it whole, or name the columns of this file, such as data.image_folder.columns: "
            "{path: gbifID, label: species}"
        )
    media, occurrences = (_by_lower_name(tables[name]) for name in names)
    return _joined(path, media, occurrences, _KEY, choices, note)


def read_archive(folder: Path, choices: Choices, note: Note) -> NamedImages:
    """Read an archive by its meta.xml, which says which columns the files have.

    Raises:
        FileNotFoundError: a file that it names does not exist.
        ValueError: it has no core of occurrences or no media.
    """
    path, choices = folder / ARCHIVE, choices.lowered()
    root = parsed(read_text(path).text, path)
    core = next((part for part in root if _tag(part) == "core"), None)
    media = next(
        (
            part
            for part in root
            if _tag(part) == "extension"
            and re.split(r"[/#]", part.get("rowType", ""))[-1].lower() in _MEDIA_TYPES
        ),
        None,
    )
    if core is None or media is None:
        lacking = "core" if core is None else "extension of pictures (Multimedia or Image)"
        raise ValueError(
            f"{path} describes no {lacking}; name a list of the pictures and their classes instead"
        )
    return _joined(path, _records(media, folder), _records(core, folder), "", choices, note)


def _joined(
    path: Path, media: list[Record], occurrences: list[Record], key: str, choices: Choices, note: Note
) -> NamedImages:
    """A row for each picture of each occurrence. `key` is the column that media and occurrences share."""
    choices.check(path, ("path", "label"))
    by_key = by_id(occurrences, key, path)
    known = {name for record in occurrences[:1] for name in record if name}
    label = _chosen(path, "label", known, _LABELS, choices)
    file = _chosen(
        path, "path", {name for record in media[:1] for name in record if name} | {key}, _ADDRESSES, choices
    )
    rows = []
    for number, record in enumerate(media, start=2):
        place = f"row {number} of the media"
        shown = record.get(file) or record[key] or place
        kind = f"{record.get('type', '')} {record.get('format', '')}".strip()
        if kind and not re.search("image", kind, re.IGNORECASE):
            note(shown, "other file", f"is no picture but {kind}, in {place}")
        elif record[key] not in by_key:
            note(
                shown, "no label", f"belongs to the occurrence {record[key]}, which is not listed, in {place}"
            )
        elif not by_key[record[key]].get(label, "").strip():
            also = by_key[record[key]].get("scientificname", "").strip()
            note(shown, "no label", f"has {label!r} empty{f' ({also})' if also else ''}, in {place}")
        elif not record.get(file, "").strip():
            note(shown, "no picture", f"has no {file!r}, in {place}")
        else:
            occurrence = by_key[record[key]]
            more = {**record, **occurrence, "occurrence": record[key]}
            more.pop("", None)
            rows.append(Row(place, (record[file],), occurrence[label], more=more))
    return NamedImages(grouped(rows, choices, "occurrence", path))


def _chosen(path: Path, what: str, known: set[str], defaults: tuple[str, ...], choices: Choices) -> str:
    wanted = [choices.columns[what]] if what in choices.columns else list(defaults)
    for name in wanted:
        if name in known:
            return name
    raise ValueError(
        f"{path} has no column {' or '.join(map(repr, wanted))} for the {what}; it has {listed(known)}. Name one by "
        f"data.image_folder.columns: {{{what}: …}}"
    )


def _by_lower_name(table: Table) -> list[Record]:
    return [record for _, record in Table([*map(simple, table.columns)], table.rows).records()]


def _records(part: Element, folder: Path) -> list[Record]:
    """The rows of a file of an archive by the last words of their terms; the id of the occurrence goes by ""."""
    location = next(
        (element.text or "" for element in part.iter() if _tag(element) == "location"), ""
    ).strip()
    path = folder / location
    if not location or not path.is_file():
        raise FileNotFoundError(
            f"{folder / ARCHIVE} names {location or 'no file'}, which is not there; unpack it whole"
        )
    separator = _BREAKS.get(part.get("fieldsTerminatedBy", ","), part.get("fieldsTerminatedBy", ","))
    quoted = bool(part.get("fieldsEnclosedBy", '"'))
    headers = int(part.get("ignoreHeaderLines") or 0)
    names: dict[int, str] = {}
    constant: Record = {}
    for element in part:
        term = re.split(r"[/#]", element.get("term", ""))[-1].lower()
        index = element.get("index")
        if _tag(element) in ("id", "coreid") and index is not None:
            names[int(index)] = ""
        elif _tag(element) == "field" and index is not None:
            # The id may be a column of the data too; then it keeps both names.
            names.setdefault(int(index), term)
        elif _tag(element) == "field":
            constant[term] = element.get("default", "")
    text = read_text(path).text
    if not headers:
        text = separator.join(f"column {number}" for number in range(max(names, default=0) + 1)) + "\n" + text
    table = table_of(text, path, lambda columns: len(columns) > max(names, default=0), quoted=quoted)
    return [
        {**constant, **{name: cells[index] for index, name in names.items() if index < len(cells)}}
        for _, cells in table.rows
    ]


def _tag(element: Element) -> str:
    """The name of an element without its namespace."""
    return element.tag.rpartition("}")[2]
