"""List the image files of a collection with their classes, from a folder of class folders or from a csv.

The workflow lists a collection each time it plans, so that added, removed or replaced files make the jobs stale that
depend on them. This has to be quick: no file is opened except the csv, and nothing heavy is imported.
"""

import csv
import hashlib
import json
import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath

from longtail.data.collection.folder import Tree, check_list, other_kind, read_tree

SUBSETS = ("train", "val", "test")
_SPLIT_FOLDER = re.compile(
    r"(train|val|dev|test)(ing|id|idation)?[\W\d_]*(set|split|data|images)?[\W\d_]*", re.IGNORECASE
)
"""How folders are called that are a set of a split: `train`, `Validation`, `test2017`, `training_set`."""
GROUP_COLUMN = "group"


@dataclass(frozen=True, order=True)
class Finding:
    """Something about a file, folder or class that its owner should know.

    Attributes:
        path: the path in the collection, or the name of a class.
        kind: a word or two to sort by.
        found: what is there, as a clause.
        action: what is done about it, as a clause.
        refused: whether `strict` refuses it, because something is left out, replaced, merged or wrong.
    """

    path: str
    kind: str
    found: str
    action: str
    refused: bool = True


@dataclass(frozen=True, order=True)
class Entry:
    """One image file. `path` is that in the collection, with `/`. Subset and group are "" where not given."""

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

    def note(self, path: str, kind: str, found: str, action: str = "left out", refused: bool = True) -> None:
        """Add a finding."""
        self.findings.append(Finding(path, kind, found, action, refused))

    def digest(self) -> str:
        """A hash of all names, classes and file sizes, which is the same wherever the collection lies.

        A file replaced by another one of exactly its size is not noticed. Times do not count, since copying a
        collection changes them, and neither do hidden files, since looking at a folder makes some.
        """
        content = hashlib.sha256()
        for entry in self.entries:
            try:
                size = (self.root / entry.path).stat().st_size
            except OSError:  # It has just disappeared.
                size = -1
            row = [_composed(entry.path), entry.class_name, entry.subset, entry.group, size]
            content.update(json.dumps(row).encode())
        for finding in self.findings:
            if finding.kind != "hidden":
                content.update(json.dumps([finding.path, finding.kind]).encode())
        return content.hexdigest()[:20]


def list_images(source: str | Path, group_column: str = GROUP_COLUMN, *, classes: int = 2) -> Listing:
    """List a collection.

    A folder has one folder for each class. Images in folders below that belong to the class as well. Where the
    folders at the top are train, test and perhaps val, each has one for each class, and that is the split.
    `longtail.data.collection.folder` says which files are left out.

    A csv has the columns `path` (relative to the csv) and `label`. It may have `split` (train, val or test, in every
    row) and a column of groups, such as the individual, the trap or the night, whose images stay on one side of the
    split. A row whose file is missing is left out, with a finding.

    Args:
        source: the folder, or a file that ends in .csv.
        group_column: the csv's column of groups. The default need not be there.
        classes: how many have to have images, at least.

    Raises:
        FileNotFoundError: there is no such folder or csv, or none of the files that the csv names.
        ValueError: fewer than so many classes have images, or the csv has another form than above. The message says
            what is wrong.
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
    _similar_names(listing)
    listing.findings.sort()
    names = sorted({entry.class_name for entry in listing.entries})
    if len(names) < classes:
        found = f"one class with images, {names[0]!r}" if names else "no class with images"
        needed = "at least two are" if classes > 1 else "one is"
        raise ValueError(f"{source} has {found}; {needed} needed, each a folder (or a label) of its own")
    return listing


def image_id(path: str) -> int:
    """The id of an image by its path in the collection, in 0 to 2**63 - 1.

    The id depends on the path alone, so adding or removing other images does not change it. File systems write
    accented letters in two ways, and both give the same id.
    """
    return int.from_bytes(hashlib.sha256(_composed(path).encode()).digest()[:8]) >> 1


def _list_folder(root: Path) -> Listing:
    listing = Listing(root)
    tree = read_tree(root, listing.note)
    split = _given_split(root, tree)
    for path in tree.pictures:
        top, *below = path.split("/")
        names = below if top in split else [top, *below]
        if len(names) < 2:
            listing.note(path, "no class", "an image outside any class folder")
        else:
            listing.entries.append(Entry(path, names[0], split.get(top, "")))
    with_images = {folder for path in tree.pictures for folder in _above(path)}
    for folder in tree.folders:
        depth = folder.count("/") + (folder.split("/")[0] not in split)
        if depth == 1 and folder not in with_images:
            listing.note(folder, "empty class", "a class folder without images")
    return listing


def _above(path: str) -> list[str]:
    """The folders that a file lies in, the outermost first."""
    parts = path.split("/")[:-1]
    return ["/".join(parts[:depth]) for depth in range(1, len(parts) + 1)]


def _subset_of(folder: str) -> str:
    """The subset that a folder stands for by its name; empty for other names."""
    match = _SPLIT_FOLDER.fullmatch(folder)
    return match[1].lower().replace("dev", "val") if match else ""


def _given_split(root: Path, tree: Tree) -> dict[str, str]:
    """The subset of each folder at the top, where these are train, test and perhaps val; empty where they are classes.

    Raises:
        ValueError: the folders look like a split and like classes.
    """
    direct = {path.split("/")[0] for path in tree.pictures if path.count("/") == 1}
    nested = {path.split("/")[0] for path in tree.pictures if path.count("/") > 1}
    tops = [folder for folder in tree.folders if "/" not in folder]
    found = {top: subset for top in tops if (subset := _subset_of(top))}
    split = dict(sorted(found.items(), key=lambda item: SUBSETS.index(item[1])))
    if not split:
        _refuse_divided_classes(root, tree)
    if not split or (len(split) == 1 and (direct & set(split) or not nested & set(split))):
        return {}  # One class alone may be called train, such as that of CIFAR-100.
    subsets = list(split.values())
    if twice := [top for top in split if subsets.count(split[top]) > 1]:
        problem = f"{twice[0]} and {twice[1]} mean the same"
    elif others := [top for top in tops if top not in split and top in direct | nested]:
        problem = f"{others[0]} lies beside them"
    elif lacking := [subset for subset in ("train", "test") if subset not in subsets]:
        problem = f"there is no {lacking[0]}"
    elif bare := [top for top in split if top not in nested]:
        problem = f"{bare[0]} has no class folders with images"
    else:
        return split
    raise ValueError(
        f"{root} has folders that mean a split ({', '.join(split)}), but {problem}. Give it train, test and perhaps "
        "val, each with a folder for every class, or the classes alone. To divide the images anew, name the folder "
        "of the classes itself; for anything else list them in a csv with the columns path, label and split"
    )


def _refuse_divided_classes(root: Path, tree: Tree) -> None:
    """Refuse folders that mean a split where they lie in the classes, since they would be passed over."""
    below: dict[str, dict[str, str]] = {}
    for path in tree.pictures:
        top, *names = path.split("/")
        if len(names) > 1 and (subset := _subset_of(names[0])):
            below.setdefault(top, {})[subset] = names[0]
    for top, folders in below.items():
        if len(folders) > 1:
            raise ValueError(
                f"{root} has folders that mean a split ({', '.join(sorted(folders.values()))}) in its folder {top}. If "
                f"they hold class folders, name {root / top} itself; if {top} is a class, put train, test and perhaps "
                "val above the classes, or list the images in a csv with the columns path, label and split"
            )


def _list_csv(path: Path, group_column: str) -> Listing:
    check_list(path)
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
    groups: dict[str, str] = {}
    for number, row in enumerate(rows, start=2):
        if problem := _problem_of(row, columns, seen):
            raise ValueError(f"{path}, row {number}: {problem}")
        name = PurePosixPath(row["path"]).as_posix()
        seen[name] = number
        try:
            kind = other_kind((path.parent / name).stat().st_mode)
        except (OSError, ValueError):  # The latter is for names that no system takes.
            listing.note(name, "missing", f"a file that does not exist, named in row {number} of the csv")
            continue
        if kind:
            listing.note(name, "no file", f"is a {kind}, named in row {number} of the csv")
        else:
            group = _group(row.get(group_column, ""), groups, listing)
            listing.entries.append(Entry(name, row["label"], row.get("split", ""), group))
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


def _problem_of(row: dict[str, str], columns: list[str], seen: dict[str, int]) -> str:
    """What is wrong with a row, and what to do; empty if nothing is wrong. `seen` has the row of each earlier path."""
    if None in row or None in row.values():
        return "it has more or fewer fields than the header; quote commas"
    if not row["path"] or not row["label"].strip():
        return "path or label is empty; fill it in or remove the row"
    if "split" in columns and row["split"] not in SUBSETS:
        return f"split is {row['split']!r}; allowed: {', '.join(SUBSETS)}, in every row"
    name = PurePosixPath(row["path"]).as_posix()
    if name in seen:
        return f"{name} stands in row {seen[name]} too; keep one of them"
    return ""


def _group(original: str, first: dict[str, str], listing: Listing) -> str:
    """The name of a group in one line, so that a space at its end makes no other group. `first` has the first form."""
    name = _composed(" ".join(original.split()))
    if (other := first.setdefault(name, original)) != original:
        note = Finding(name, "name", f"a group that is written as {other!r} and as {original!r}", "made one")
        listing.findings += [] if note in listing.findings else [note]
    return name


def _check_columns(path: Path, columns: list[str], group_column: str) -> None:
    allowed = ["path", "label", "split", group_column]
    lacking = [name for name in ("path", "label") if name not in columns]
    if group_column != GROUP_COLUMN and group_column not in columns:
        lacking.append(group_column)
    unknown = [name for name in columns if name not in allowed]
    found = f"it has {', '.join(map(repr, columns)) or 'none'}"
    if lacking:
        raise ValueError(f"{path} lacks the columns {', '.join(lacking)}; {found}")
    if twice := [name for name in allowed if columns.count(name) > 1]:
        raise ValueError(f"{path} has the column {twice[0]!r} more than once; keep one of them")
    if unknown:
        raise ValueError(
            f"{path} has unknown columns: {', '.join(map(repr, unknown))}; allowed: {', '.join(allowed)}. "
            "A column of groups is named by data.image_folder.group_column; remove the others"
        )


def _without_unusable_names(listing: Listing) -> Listing:
    """Give classes names of one line, and leave out files whose names are not text or equal another file's name."""
    result = Listing(listing.root, findings=listing.findings)
    readable = [entry for entry in listing.entries if _is_text(entry.path)]
    for entry in listing.entries:
        if not _is_text(entry.path):
            shown = entry.path.encode(errors="surrogateescape").decode(errors="replace")
            result.note(shown, "name", "a name that is not UTF-8")
    class_names = _in_one_line(dict.fromkeys(entry.class_name for entry in readable), result)
    ids: dict[int, str] = {}
    told: set[str] = set()
    for entry in readable:
        other = ids.setdefault(image_id(entry.path), entry.path)
        if other is not entry.path:
            result.note(entry.path, "name", f"the name of {other}, written in another way")
            continue
        folder, _, own = entry.path.rpartition("/")
        for path, part in ((entry.path, own), (folder, folder)):
            if part and path not in told and _is_odd(part):
                told.add(path)
                result.note(path, "name", "has spaces, quotes or control characters", "kept", refused=False)
        result.entries.append(replace(entry, class_name=class_names[entry.class_name]))
    return result


def _in_one_line(names: Iterable[str], listing: Listing) -> dict[str, str]:
    """The name of each class in one line. A finding notes names that change or that become equal.

    Raises:
        ValueError: two different classes would get the same name.
    """
    called: dict[str, str] = {}
    first: dict[str, str] = {}
    for original in names:
        shown = [
            sign if sign.isprintable() else "\N{REPLACEMENT CHARACTER}" for sign in " ".join(original.split())
        ]
        name = called[original] = _composed("".join(shown))
        if name != _composed(original):
            listing.note(name, "name", f"a class named {original!r}", "shown in one line")
        other = first.setdefault(name, original)
        if _composed(other) != _composed(original):
            raise ValueError(
                f"the classes {other!r} and {original!r} have the same name in one line; rename one of them"
            )
        if other != original:
            listing.note(name, "name", "a class whose name is written in two ways", "made one")
    return called


def _similar_names(listing: Listing) -> None:
    """Note classes, and files of one folder, whose names differ only in case."""
    for what, names in (
        ("classes", sorted({entry.class_name for entry in listing.entries})),
        ("files", [entry.path for entry in listing.entries]),
    ):
        first: dict[str, str] = {}
        for name in names:
            other = first.setdefault(_composed(name).casefold(), name)
            if other != name and (what == "classes" or other.rpartition("/")[0] == name.rpartition("/")[0]):
                action = "kept as two classes" if what == "classes" else "both are kept"
                listing.note(name, "case", f"differs from {other} only in case", action, what == "classes")


def _composed(name: str) -> str:
    return unicodedata.normalize("NFC", name)


def _is_odd(name: str) -> bool:
    """Whether a name needs care in other programs."""
    return name.split() != [name] or not name.isprintable() or bool(set(name) & set("'\"`$\\*;"))


def _is_text(name: str) -> bool:
    # Bytes that are not UTF-8 come as surrogates.
    return not any("\ud800" <= sign <= "\udfff" for sign in name)
