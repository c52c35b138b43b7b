"""Darwin Core: downloads of GBIF (occurrence.txt and multimedia.txt), and archives, unpacked, with their meta.xml.

An occurrence has the name of the species, its media the addresses of the pictures. All pictures of an occurrence are
one group.

Source: Darwin Core text guide, TDWG, 2023 (meta.xml); the files of a download, https://www.gbif.org/faq.
"""

import re
from pathlib import Path
from xml.etree.ElementTree import Element

from longtail.data.lists.rows import Choices, NamedImages, Note, Row, by_id, grouped, listed
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


def is_file_of_archive(path: Path) -> bool:
    """Whether a file is one that the archive in its folder names."""
    return is_archive(path.parent) and f">{path.name}<" in read_text(path.parent / ARCHIVE).text


def read(path: Path, table: Table, choices: Choices, note: Note) -> NamedImages:
    """Read the occurrences and media of a download of GBIF, of which `path` is either file.

    Raises:
        ValueError: the other file is missing, or a column.
    """
    media, occurrences = (_beside(path, name) for name in ("multimedia.txt", "occurrence.txt"))
    return _joined(path, media, occurrences, _KEY, choices, note)


def read_package(folder: Path, choices: Choices, note: Note) -> NamedImages:
    """Read an archive by its meta.xml, which says which columns the files have.

    Raises:
        FileNotFoundError: a file that it names does not exist.
        ValueError: its core is not of occurrences, or it has no media.
    """
    path, choices = folder / ARCHIVE, choices.lowered()
    root = parsed(read_text(path).text, path)
    core = [part for part in root if _tag(part) == "core"]
    media = [
        part
        for part in root
        if _tag(part) == "extension" and _last_word(part.get("rowType", "")) in _MEDIA_TYPES
    ]
    if not core or not media:
        lacking = "extension of pictures (Multimedia or Image)" if core else "core"
        raise ValueError(
            f"{path} describes no {lacking}; name a list of the pictures and their classes instead"
        )
    if (kind := _last_word(core[0].get("rowType", ""))) != "occurrence":
        raise ValueError(
            f"the core of {path} is of the type {kind or 'unknown'}, not Occurrence, so a picture does not say which "
            "species it shows; name a list of the pictures and their classes instead"
        )
    return _joined(path, _records(media[0], folder), _records(core[0], folder), "", choices, note)


def _joined(
    path: Path, media: list[Record], occurrences: list[Record], key: str, choices: Choices, note: Note
) -> NamedImages:
    """A row for each picture of each occurrence. `key` is the column that media and occurrences share."""
    choices.check(path, ("path", "label"))
    by_key = by_id(occurrences, key, path)
    label = _chosen(path, "label", occurrences, _LABELS, choices)
    file = _chosen(path, "path", media or [{key: ""}], _ADDRESSES, choices)
    rows = []
    for number, record in enumerate(media, start=2):
        place = f"row {number} of the media"
        shown = record.get(file) or record[key] or place
        kind = f"{record.get('type', '')} {record.get('format', '')}".strip()
        if kind and not re.search("image", kind, re.IGNORECASE):
            note(shown, "other file", f"is no picture but {kind}, in {place}")
        elif (occurrence := by_key.get(record[key])) is None:
            found = f"belongs to the occurrence {record[key]}, which is not listed, in {place}"
            note(shown, "no label", found)
        elif not occurrence.get(label, "").strip():
            also = occurrence.get("scientificname", "").strip()
            note(shown, "no label", f"has {label!r} empty{f' ({also})' if also else ''}, in {place}")
        elif not record.get(file, "").strip():
            note(shown, "no picture", f"has no {file!r}, in {place}")
        else:
            more = {**record, **occurrence, "occurrence": record[key]}
            more.pop("", None)
            rows.append(Row(place, (record[file],), occurrence[label], more=more))
    return grouped(rows, choices, "occurrence", path)


def _chosen(path: Path, what: str, of: list[Record], defaults: tuple[str, ...], choices: Choices) -> str:
    """The column of the class or of the path among those of the first of these records."""
    known = {name for record in of[:1] for name in record if name}
    wanted = [choices.columns[what]] if what in choices.columns else list(defaults)
    for name in wanted:
        if name in known:
            return name
    raise ValueError(
        f"{path} has no column {' or '.join(map(repr, wanted))} for the {what}; it has {listed(known)}. Name one by "
        f"data.image_folder.columns: {{{what}: …}}"
    )


def _beside(path: Path, name: str) -> list[Record]:
    """The rows of one of the two files of a download, by their columns in lower case."""
    other = beside(path, name)
    if other is None:
        raise ValueError(
            f"{path} is a file of GBIF, but {name} does not lie beside it. Download a Darwin Core Archive and "
            "unpack it whole, or name the columns of this file, such as data.image_folder.columns: "
            "{path: gbifID, label: species}"
        )
    table = table_of(read_text(other).text, other, lambda columns: "gbifID" in columns, quoted=False)
    return [record for _, record in table.lowered().records()]


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
        term = _last_word(element.get("term", ""))
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


def _last_word(term: str) -> str:
    """The name of a term without its namespace, in lower case."""
    return re.split(r"[/#]", term)[-1].lower()
