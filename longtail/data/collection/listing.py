"""Which image files a collection has, and their classes: a folder of class folders, or a csv.

No file is opened here but the csv, and nothing heavy is imported: the workflow lists a collection while it plans,
so that added, removed or replaced files make the jobs stale that depend on them.
"""

import csv
import hashlib
import json
import os
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

SUFFIXES = frozenset(
    [
        *(".avif", ".bmp", ".gif", ".jfif", ".jp2", ".jpe", ".jpeg", ".jpg"),
        *(".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"),
    ]
)
"""Endings, in lower case, of the files in a folder that are taken for images."""
SUBSETS = ("train", "val", "test")
GROUP_COLUMN = "group"


@dataclass(frozen=True, order=True)
class Finding:
    """Something about a file, folder or class that its owner should know.

    Attributes:
        path: relative to the collection, or the name of a class.
        kind: a word or two to sort by.
        found: what is there, as a clause.
        action: what is done about it, as a clause.
        refused: whether `strict` refuses it: something is left out, replaced, merged or wrong.
    """

    path: str
    kind: str
    found: str
    action: str
    refused: bool = True


@dataclass(frozen=True, order=True)
class Entry:
    """One image file. `path` is relative to the collection, with `/`; subset and group are "" where not given."""

    path: str
    class_name: str
    subset: str = ""
    group: str = ""


@dataclass
class Listing:
    """The image files of a collection in the order of their paths, and what was noticed on the way."""

    root: Path
    entries: list[Entry] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)

    def digest(self) -> str:
        """Hash of all names, classes and file sizes, the same wherever the collection lies.

        A file replaced by another one of exactly its size is not noticed; times are not looked at, since copying
        a collection changes them.
        """
        content = hashlib.sha256()
        for entry in self.entries:
            size = (self.root / entry.path).stat().st_size
            row = [_composed(entry.path), entry.class_name, entry.subset, entry.group, size]
            content.update(json.dumps(row).encode())
        for finding in self.findings:
            content.update(json.dumps([finding.path, finding.kind]).encode())
        return content.hexdigest()[:20]


def list_images(source: str | Path, group_column: str = GROUP_COLUMN) -> Listing:
    """List a collection.

    A folder has one folder for each class; images further down belong to it as well. Links are followed. Hidden
    files and files that are not named like images are left out. A csv has the columns `path` (relative to the
    csv) and `label`, and optionally `split` (train, val or test, in every row) and a column of groups, such as
    the individual, the trap or the night, whose images stay on one side of the split. A row whose file is missing
    is left out, with a finding.

    Args:
        source: the folder, or a file that ends in .csv.
        group_column: the csv's column of groups; the default need not be there.

    Raises:
        FileNotFoundError: there is no such folder or csv, or none of the files that the csv names.
        ValueError: there are fewer than two classes with images, or the csv is not as above; says what is.
    """
    source = Path(source)
    if source.is_dir():
        if group_column != GROUP_COLUMN:
            raise ValueError(
                f"{source} is a folder, so there is no column '{group_column}' to group images by; "
                "give a csv with the columns path, label and that one, or leave group_column out"
            )
        listing = _list_folder(source)
    elif source.is_file() and source.suffix.lower() == ".csv":
        listing = _list_csv(source, group_column)
    elif source.exists():
        raise ValueError(
            f"{source} is neither a folder nor a .csv file; give a folder of class folders, or a csv"
        )
    else:
        raise FileNotFoundError(f"{source} does not exist; give a folder of class folders, or a csv")
    listing = _without_unusable_names(listing)
    listing.entries.sort()
    listing.findings += _similar_names(listing)
    listing.findings.sort()
    classes = sorted({entry.class_name for entry in listing.entries})
    if len(classes) < 2:
        found = f"one class with images, {classes[0]!r}" if classes else "no class with images"
        raise ValueError(
            f"{source} has {found}; at least two are needed, each a folder (or a label) of its own"
        )
    return listing


def image_id(path: str) -> int:
    """The id of an image by its path in the collection, in 0 to 2**63 - 1.

    It depends on nothing else, so other images may come and go; and the two ways in which file systems write an
    accented letter give the same id.
    """
    return int.from_bytes(hashlib.sha256(_composed(path).encode()).digest()[:8]) >> 1


def _list_folder(root: Path) -> Listing:
    listing = Listing(root)
    for item in sorted(os.scandir(root), key=lambda item: item.name):
        if not item.is_dir():
            if item.is_symlink() and not item.is_file():
                listing.findings.append(_broken(item.name))
            elif _is_image(item.name):
                listing.findings.append(
                    Finding(item.name, "no class", "an image outside any class folder", "left out")
                )
            elif not item.name.startswith("."):
                listing.findings.append(_other_file(item.name))
            continue
        if item.name.startswith("."):
            listing.findings.append(
                Finding(item.name, "hidden", "a hidden folder", "left out", refused=False)
            )
            continue
        files = list(_walk(Path(item.path), (_identity(root),), listing))
        if not files:
            listing.findings.append(
                Finding(item.name, "empty class", "a class folder without images", "left out")
            )
        listing.entries += [Entry(file.relative_to(root).as_posix(), item.name) for file in files]
    return listing


def _walk(folder: Path, above: tuple[tuple[int, int], ...], listing: Listing) -> Iterator[Path]:
    """The images in a folder and below, in order; `above` identifies the folders that lead here."""
    name = folder.relative_to(listing.root).as_posix()
    here = _identity(folder)
    if here in above:
        listing.findings.append(Finding(name, "loop", "a link to a folder that it lies in", "not followed"))
        return
    for item in sorted(os.scandir(folder), key=lambda item: item.name):
        path = folder / item.name
        if item.is_dir():
            yield from _walk(path, (*above, here), listing)
        elif item.is_symlink() and not item.is_file():
            listing.findings.append(_broken(f"{name}/{item.name}"))
        elif _is_image(item.name):
            yield path
        elif not item.name.startswith("."):
            listing.findings.append(_other_file(f"{name}/{item.name}"))


def _identity(folder: Path) -> tuple[int, int]:
    status = folder.stat()
    return status.st_dev, status.st_ino


def _is_image(name: str) -> bool:
    return not name.startswith(".") and PurePosixPath(name).suffix.lower() in SUFFIXES


def _broken(path: str) -> Finding:
    return Finding(path, "broken link", "a link that leads nowhere", "left out")


def _other_file(path: str) -> Finding:
    return Finding(path, "other file", "a file that is not named like an image", "left out", refused=False)


def _list_csv(path: Path, group_column: str) -> Listing:
    with path.open(encoding="utf-8-sig", newline="") as file:
        try:
            reader = csv.DictReader(file, strict=True)
            columns = list(reader.fieldnames or [])
            rows = list(reader)
        except (csv.Error, UnicodeDecodeError) as error:
            raise ValueError(f"{path} cannot be read as a csv in UTF-8: {error}") from None
    _check_columns(path, columns, group_column)
    listing = Listing(path.parent)
    seen: dict[str, int] = {}
    for number, row in enumerate(rows, start=2):
        if None in row or None in row.values():
            raise ValueError(
                f"{path}, row {number}: it has more or fewer fields than the header; quote commas"
            )
        named, label, subset = row["path"], row["label"], row.get("split", "")
        if not named or not label.strip():
            raise ValueError(f"{path}, row {number}: path or label is empty; fill it in or remove the row")
        if "split" in columns and subset not in SUBSETS:
            raise ValueError(
                f"{path}, row {number}: split is {subset!r}; allowed: {', '.join(SUBSETS)}, in every row"
            )
        name = PurePosixPath(named).as_posix()
        if name in seen:
            raise ValueError(f"{path}, row {number}: {name} stands in row {seen[name]} too; keep one of them")
        seen[name] = number
        if (path.parent / name).is_file():
            listing.entries.append(Entry(name, label, subset, row.get(group_column, "")))
        else:
            found = f"a file that does not exist, named in row {number} of the csv"
            listing.findings.append(Finding(name, "missing", found, "left out"))
    if listing.findings and not listing.entries:
        raise FileNotFoundError(
            f"{path}: none of the {len(rows)} files that it names exists, such as {path.parent / rows[0]['path']}. "
            "Paths are relative to the csv; mend them, or move it"
        )
    if "split" in columns:
        for subset in ("train", "test"):
            if not any(entry.subset == subset for entry in listing.entries):
                raise ValueError(
                    f"{path}: no row with a file has the split '{subset}'; add some, or remove the column"
                )
    return listing


def _check_columns(path: Path, columns: list[str], group_column: str) -> None:
    allowed = ["path", "label", "split", group_column]
    lacking = [name for name in ("path", "label") if name not in columns]
    if group_column != GROUP_COLUMN and group_column not in columns:
        lacking.append(group_column)
    unknown = [name for name in columns if name not in allowed]
    found = f"it has {', '.join(map(repr, columns)) or 'none'}"
    if lacking:
        raise ValueError(f"{path} lacks the columns {', '.join(lacking)}; {found}")
    if unknown:
        raise ValueError(
            f"{path} has unknown columns: {', '.join(map(repr, unknown))}; allowed: {', '.join(allowed)}. "
            "A column of groups is named by data.image_folder.group_column; remove the others"
        )


def _without_unusable_names(listing: Listing) -> Listing:
    """Classes get names of one line; files whose names are no text, or one name twice, are left out."""
    result = Listing(listing.root, findings=listing.findings)
    renamed: dict[str, str] = {}
    ids: dict[int, str] = {}
    told: set[str] = set()
    for entry in listing.entries:
        if not _is_text(entry.path):
            shown = entry.path.encode(errors="surrogateescape").decode(errors="replace")
            result.findings.append(Finding(shown, "name", "a name that is not UTF-8", "left out"))
            continue
        name = " ".join(entry.class_name.split())
        name = _composed(
            "".join(sign if sign.isprintable() else "\N{REPLACEMENT CHARACTER}" for sign in name)
        )
        if entry.class_name not in renamed:
            renamed[entry.class_name] = name
            if name != _composed(entry.class_name):
                result.findings.append(
                    Finding(name, "name", f"a class named {entry.class_name!r}", "shown in one line")
                )
        identity = image_id(entry.path)
        if identity in ids:
            result.findings.append(
                Finding(
                    entry.path, "name", f"the name of {ids[identity]}, written in another way", "left out"
                )
            )
            continue
        ids[identity] = entry.path
        folder, _, own = entry.path.rpartition("/")
        for path, part in ((entry.path, own), (folder, folder)):
            if part and path not in told and _is_odd(part):
                told.add(path)
                result.findings.append(
                    Finding(path, "name", "has spaces, quotes or control characters", "kept", refused=False)
                )
        result.entries.append(Entry(entry.path, name, entry.subset, entry.group))
    merged: dict[str, str] = {}
    for original, name in renamed.items():
        if merged.setdefault(name, original) == original:
            continue
        if _composed(merged[name]) != _composed(original):
            raise ValueError(
                f"the classes {merged[name]!r} and {original!r} have the same name in one line; rename one of them"
            )
        result.findings.append(Finding(name, "name", "a class whose name is written in two ways", "made one"))
    return result


def _similar_names(listing: Listing) -> list[Finding]:
    """Classes, and files, whose names differ only in case."""
    findings = []
    for what, names in (
        ("classes", sorted({entry.class_name for entry in listing.entries})),
        ("files", [entry.path for entry in listing.entries]),
    ):
        first: dict[str, str] = {}
        for name in names:
            other = first.setdefault(_composed(name).casefold(), name)
            if other != name and (what == "classes" or other.rpartition("/")[0] == name.rpartition("/")[0]):
                action = "kept as two classes" if what == "classes" else "both are kept"
                findings.append(
                    Finding(name, "case", f"differs from {other} only in case", action, what == "classes")
                )
    return findings


def _composed(name: str) -> str:
    return unicodedata.normalize("NFC", name)


def _is_odd(name: str) -> bool:
    """Whether a name needs care in other programs."""
    return name.split() != [name] or not name.isprintable() or bool(set(name) & set("'\"`$\\*;"))


def _is_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True
