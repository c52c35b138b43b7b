"""List the image files of a collection with their classes, from a folder of class folders or from a list.

The workflow lists a collection each time it plans, so that added, removed or replaced files make the jobs stale that
depend on them. This has to be quick: of the files, only those that are not named like images are opened, for their
first bytes, and nothing heavy is imported.
"""

import hashlib
import json
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from pathlib import Path

from longtail.data.collection.folder import HEIF_READERS, SUFFIXES, Tree, read_tree
from longtail.data.collection.named import ELSEWHERE, Files, place_of
from longtail.data.lists.reading import FORMS, is_package, read_list
from longtail.data.lists.rows import GROUP_COLUMN, SUBSETS, Box, Choices, Row

_NEVER_HEIF = SUFFIXES - {".heic", ".heif", ".hif"}
_SPLIT_FOLDER = re.compile(
    r"(train|val|dev|test)(ing|id|idation)?[\W\d_]*(set|split|data|images)?[\W\d_]*", re.IGNORECASE
)
"""How folders are called that are a set of a split: `train`, `Validation`, `test2017`, `training_set`."""


@dataclass(frozen=True, order=True)
class Finding:
    """Something about a file, folder or class that its owner should know.

    Attributes:
        path: the path in the collection, or the name of a class.
        kind: a word or two to sort by.
        found: what is there, as a clause.
        action: what is done about it, as a clause.
        refused: whether `strict` refuses it, because something is left out, replaced, merged or wrong.
        other: the image that this one is like, if that is what was found.
    """

    path: str
    kind: str
    found: str
    action: str
    refused: bool = True
    other: str = ""


def guessed_encoding(path: str, words: str) -> Finding:
    """That the encoding of a list was guessed, as these words of it show."""
    found = f"is no UTF-8 and says no encoding: {words}"
    return Finding(path, "encoding", found, "read as Windows-1252; save it as UTF-8 to be sure")


def readable(name: str) -> str:
    """The name with a mark in place of bytes that are not UTF-8."""
    return name.encode(errors="surrogateescape").decode(errors="replace")


@dataclass(frozen=True, order=True)
class Entry:
    """One image file, or a region of one.

    Attributes:
        path: in the collection, with `/`.
        subset, group: "" where not given.
        box: the region, a `Box` of `longtail.data.lists.rows`; () for the whole picture.
        more: what else the list says of it, as pairs of column and text.
    """

    path: str
    class_name: str
    subset: str = ""
    group: str = ""
    box: Box | tuple[()] = ()
    more: tuple[tuple[str, str], ...] = ()

    @property
    def name(self) -> str:
        """What the image is called: the path, with the region where it is one."""
        return f"{self.path}#{self.box}" if self.box else self.path


@dataclass
class Listing:
    """The image files of a collection in the order of their paths, and what was noticed on the way."""

    root: Path
    entries: list[Entry] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)

    def note(self, path: str, kind: str, found: str, action: str = "left out", refused: bool = True) -> None:
        """Add a finding."""
        self.findings.append(Finding(path, kind, found, action, refused))

    def metadata(self) -> list[dict[str, str]]:
        """What a list says of each image beside its class, with the image's id and path; empty for a folder."""
        if not any(entry.more for entry in self.entries):
            return []
        return [
            {"image_id": str(image_id(entry.name)), "path": entry.name, **dict(entry.more)}
            for entry in self.entries
        ]

    def digest(self) -> str:
        """A hash of all names, classes, regions and file sizes, which is the same wherever the collection lies.

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
            if entry.box:
                row.append(entry.box)
            content.update(json.dumps(row).encode())
        # Whether HEIC can be read decides what becomes of files that may be it.
        if any(Path(entry.path).suffix.lower() not in _NEVER_HEIF for entry in self.entries):
            content.update(str(any(map(find_spec, HEIF_READERS))).encode())
        for finding in self.findings:
            if finding.kind != "hidden":
                content.update(json.dumps([finding.path, finding.kind]).encode())
        return content.hexdigest()[:20]


def list_images(
    source: str | Path, choices: Choices | None = None, root: str | Path | None = None, *, classes: int = 2
) -> Listing:
    """List a collection.

    A folder has one folder for each class. Images in folders below that belong to the class as well. Where the
    folders at the top are train, test and perhaps val, each has one for each class, and that is the split.
    `longtail.data.collection.folder` says which files are left out.

    A file is a list in one of the forms of `longtail.data.lists`, and so is a folder with an archive of Darwin Core. A
    row whose file is missing is left out, with a finding.

    Args:
        source: the folder, or the list.
        choices: what the user says about the list.
        root: the folder in which the list's paths are; None: that of the list.
        classes: how many have to have images, at least.

    Raises:
        FileNotFoundError: there is no such folder or list, or none of the files that the list names.
        ValueError: fewer than so many classes have images, or the list has no known form or leaves something open. The
            message says what is wrong.
    """
    source, choices = Path(source), choices or Choices()
    if root is not None and not Path(root).is_dir():
        raise ValueError(
            f"root is {root}, which is no folder; name the one in which the paths of {source} are"
        )
    if source.is_dir() and not is_package(source):
        if choices != Choices() or root is not None:
            what = (
                f"there is no column {choices.group_column!r} to group images by"
                if choices.group_column != GROUP_COLUMN
                else "columns, root, regions and min_confidence mean nothing"
            )
            raise ValueError(
                f"{source} is a folder, so {what}; give a list as the path, or leave those settings out"
            )
        listing = _list_folder(source)
    elif source.is_dir() or source.is_file():
        listing = _list_named(source, Path(root or (source if source.is_dir() else source.parent)), choices)
    elif source.exists():
        raise ValueError(
            f"{source} is neither a folder nor a file; give a folder of class folders, or {FORMS}"
        )
    else:
        raise FileNotFoundError(f"{source} does not exist; give a folder of class folders, or {FORMS}")
    listing = _without_unusable_names(listing)
    listing.entries.sort()
    _similar_names(listing)
    listing.findings.sort()
    names = sorted({entry.class_name for entry in listing.entries})
    if len(names) < classes:
        found = f"one class with images, {names[0]!r}" if names else "no class with images"
        needed = "at least two are" if classes > 1 else "one is"
        left_out = Counter(finding.kind for finding in listing.findings if finding.action == "left out")
        told = ", ".join(f"{count:,} x {kind}" for kind, count in left_out.most_common(5))
        raise ValueError(
            f"{source} has {found}; {needed} needed, each a folder (or a label) of its own"
            + (f". Left out: {told}" if told else "")
        )
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
    with_images = set()
    for path in tree.pictures:
        top, *below = path.split("/")
        names = below if top in split else [top, *below]
        if len(names) < 2:
            listing.note(path, "no class", "an image outside any class folder")
        else:
            with_images.add(path.removesuffix("/" + "/".join(names[1:])))
            listing.entries.append(Entry(path, names[0], split.get(top, "")))
    for folder in tree.folders:
        depth = folder.count("/") + (folder.split("/")[0] not in split)
        if depth == 1 and folder not in with_images:
            listing.note(folder, "empty class", "a class folder without images")
    return listing


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


def _list_named(path: Path, root: Path, choices: Choices) -> Listing:
    """The files that a list names, in `root`."""
    listing = Listing(root)
    named = read_list(path, choices, listing.note)
    if named.guessed:
        listing.findings.append(guessed_encoding(path.name, named.guessed))
    files = Files(root)
    seen: dict[str, Row] = {}
    labels: dict[str, str] = {}
    groups: dict[str, str] = {}
    several: dict[str, str] = {}
    moved: dict[str, str] = {}
    ambiguous: dict[str, str] = {}
    missing = 0
    for row in named.rows:
        try:
            file = files.find(row.paths)
        except ValueError as error:
            raise ValueError(f"{path}, {row.place}: {error}") from None
        name, other_kind = file or (row.paths[0], "")
        if file is None or other_kind:
            missing += 1
            kind, found = (
                ("no file", f"is a {other_kind}") if file else ("missing", "a file that does not exist")
            )
            listing.note(name, kind, f"{found}, named in {row.place} of the list")
            continue
        if ELSEWHERE.match(row.paths[0].strip()) and name != row.paths[0]:
            origin = moved.setdefault(name, row.paths[0])
            if place_of(origin) != place_of(row.paths[0]):
                found = f"may be {origin} or {row.paths[0]}, which end alike"
                ambiguous.setdefault(name, found)
        box = row.box or ()
        image = f"{name}#{box}"
        other = seen.setdefault(image, row)
        if other is not row:
            said = [(each.label, each.split, each.group) for each in (other, row)]
            if said[0] == said[1] or (other.label == row.label and named.exported):
                found = f"stands in {other.place} and in {row.place}"
                listing.note(name, "repeated", found, "used once", False)
            elif named.exported:
                several[image] = name
            else:
                raise ValueError(
                    f"{path}, {row.place}: {name} stands in {other.place} too, as "
                    f"{' and not '.join(_listed(one, two) for one, two in (said, said[::-1]))}; keep one of them"
                )
            continue
        label = _one_form(row.label, "class", labels, listing)
        group = _one_form(row.group, "group", groups, listing)
        listing.entries.append(Entry(name, label, row.split, group, box, tuple(row.more.items())))
    if missing and not listing.entries:
        raise FileNotFoundError(
            f"{path}: none of the {missing} files that it names exists, such as {named.rows[0].paths[0]} in {root}. "
            "Mend the paths, or name their folder by data.image_folder.root; if files are called by another column, "
            "such as an id, name that by data.image_folder.columns: {path: …}"
        )
    if moved:
        here, first = next(iter(moved.items()))
        found = f"names {len(moved):,} files in another place, such as {first}, which is {here} here"
        listing.note(path.name, "moved", found, "used", False)
    for name, found in ambiguous.items():
        listing.note(name, "ambiguous", found)
    for name in several.values():
        listing.note(name, "several classes", "a picture that the list gives several classes")
    listing.entries = [
        entry
        for entry in listing.entries
        if f"{entry.path}#{entry.box}" not in several and entry.path not in ambiguous
    ]
    if any(row.split for row in named.rows):
        for subset in ("train", "test"):
            if not any(entry.subset == subset for entry in listing.entries):
                raise ValueError(
                    f"{path}: no row with a file has the split '{subset}'; add some, or remove the column"
                )
    return listing


def _listed(said: tuple[str, ...], beside: tuple[str, ...]) -> str:
    """What a list says of a picture, as far as it differs from what it says elsewhere."""
    return ", ".join(repr(one) for one, other in zip(said, beside, strict=True) if one != other)


def _one_form(original: str, what: str, first: dict[str, str], listing: Listing) -> str:
    """A class or group in one line, so that a space at its end makes no other. `first` has the first form of each."""
    name = _composed(" ".join(original.split()))
    other = first.setdefault(name, original)
    if other != original:
        note = Finding(name, "name", f"a {what} that is written as {other!r} and as {original!r}", "made one")
        listing.findings += [] if note in listing.findings else [note]
    return name


def _without_unusable_names(listing: Listing) -> Listing:
    """Give classes names of one line, and leave out files whose names are not text or equal another file's name."""
    result = Listing(listing.root, findings=listing.findings)
    of_text = [entry for entry in listing.entries if _is_text(entry.path)]
    for entry in listing.entries:
        if not _is_text(entry.path):
            result.note(readable(entry.path), "name", "a name that is not UTF-8")
    class_names = _in_one_line(dict.fromkeys(entry.class_name for entry in of_text), result)
    ids: dict[int, Entry] = {}
    told: set[str] = set()
    for entry in of_text:
        other = ids.setdefault(image_id(entry.name), entry)
        if other is not entry:
            result.note(entry.path, "name", f"the name of {other.path}, written in another way")
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
        line = " ".join(original.split())
        shown = "".join(sign if sign.isprintable() else "\N{REPLACEMENT CHARACTER}" for sign in line)
        name = called[original] = _composed(shown)
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
    """Note classes, groups, and files of one folder, whose names differ only in case."""
    for what, names in (
        ("classes", sorted({entry.class_name for entry in listing.entries})),
        ("groups", sorted({entry.group for entry in listing.entries})),
        ("files", list(dict.fromkeys(entry.path for entry in listing.entries))),
    ):
        first: dict[str, str] = {}
        for name in names:
            other = first.setdefault(_composed(name).casefold(), name)
            if other != name and (what != "files" or other.rpartition("/")[0] == name.rpartition("/")[0]):
                action = "both are kept" if what == "files" else f"kept as two {what}"
                listing.note(name, "case", f"differs from {other} only in case", action, what != "files")


def _composed(name: str) -> str:
    return unicodedata.normalize("NFC", name)


def _is_odd(name: str) -> bool:
    """Whether a name needs care in other programs."""
    return name.split() != [name] or not name.isprintable() or bool(set(name) & set("'\"`$\\*;"))


def _is_text(name: str) -> bool:
    # Bytes that are not UTF-8 come as surrogates.
    return not any("\ud800" <= sign <= "\udfff" for sign in name)
