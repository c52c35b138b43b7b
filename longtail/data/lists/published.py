"""Published lists of a data set: text files of lines `path label`, or the json of iNaturalist's challenges.

Sources: Liu et al., CVPR 2019 (ImageNet-LT and Places-LT, the text); Van Horn et al., CVPR 2018 (iNaturalist 2018, the
json, whose `images`, `annotations` and `categories` are those of COCO).
"""

import json
import os
import posixpath
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from longtail.data.collection.folder import check_list
from longtail.data.lists.rows import by_id

PARTS = ("train", "val", "test")


@dataclass(frozen=True)
class Listed:
    """The images of published lists, those of train before those of val and test, each in the order of its list.

    Attributes:
        class_names: of each class, in label order.
        paths: of each image, as the list has it, with `/`.
        labels: of each image, indices into `class_names`.
        subsets: of each image, one of PARTS.
        places: the file and line, or entry, of each image, for errors.
    """

    class_names: list[str]
    paths: list[str]
    labels: list[int]
    subsets: list[str]
    places: list[str]


def read_lists(lists: Mapping[str, str | Path], class_names: str | Path | None = None) -> Listed:
    """Read the lists of a data set.

    Args:
        lists: the file of each subset; "train", and any of "val" and "test".
        class_names: a file with the name of each class in a line, in label order. With None, json names its own
            classes, and labels are the names of the others.

    Raises:
        FileNotFoundError: there is no such list.
        ValueError: a line is not as above, an image stands there twice, a label has no name or the last names no
            label, or there are gaps between labels without names. The message names file and line.
    """
    found = Listed([], [], [], [], [])
    categories: dict[int, str] = {}
    seen: dict[str, str] = {}
    for subset, name in lists.items():
        path = Path(name)
        text = _text(path)
        rows = _of_json(path, text, categories) if text.lstrip().startswith("{") else _of_text(path, text)
        if not rows:
            raise ValueError(f"{path} lists no image; expected lines `path label`")
        for place, image, label in rows:
            # Backslashes and the two ways to write accented letters are of the computer that wrote the list.
            same = posixpath.normpath(unicodedata.normalize("NFC", image).replace("\\", "/"))
            if (other := seen.setdefault(same, place)) is not place:
                raise ValueError(
                    f"{place}: the image {image[:100]} stands in {other} too; keep it in one place, since an image "
                    "that both trains and tests makes accuracies too high, and one that is counted twice makes its "
                    "class larger"
                )
            found.paths.append(image.replace("\\", "/"))
            found.labels.append(label)
            found.subsets.append(subset)
            found.places.append(place)
    names, limit = _named(found, class_names, categories)
    for place, label in zip(found.places, found.labels, strict=True):
        if label >= len(names):
            raise ValueError(f"{place}: the label is {label}, but {limit}")
    if class_names and (count := 1 + max(found.labels)) < len(names):
        raise ValueError(
            f"{class_names} has {len(names)} names, but the largest label of the lists is {count - 1}, so they may "
            "belong to other data; remove the names of classes without images at its end"
        )
    found.class_names.extend(names)
    return found


def find_pictures(listed: Listed, root: str | Path) -> None:
    """Look for the picture of every line.

    Raises:
        ValueError: `root` is no folder, or a path leads out of it. The message names the line.
        FileNotFoundError: pictures are missing. The message says how many, and which are the first.
    """
    root = Path(root)
    if not root.is_dir():
        raise ValueError(
            f"data.lists.root is {root}, which is no folder; name the one that the paths start in"
        )
    lacking = []
    for path, place in zip(listed.paths, listed.places, strict=True):
        if path.startswith("/") or ".." in path.split("/"):
            raise ValueError(
                f"{place}: {path[:100]} leads out of data.lists.root; write paths that start in that folder"
            )
        if not os.path.isfile(os.path.join(root, path)):  # noqa: PTH113, PTH118 (there may be a million)
            lacking.append((path, place))
    if lacking:
        told = ", ".join(f"{path[:100]} ({place})" for path, place in lacking[:3])
        raise FileNotFoundError(
            f"{len(lacking):,} of {len(listed.paths):,} pictures of the lists are not in {root}, such as {told}. "
            "Unpack all archives of the data set there, or set data.lists.root to the folder in which these paths start"
        )


def _named(
    found: Listed, class_names: str | Path | None, categories: Mapping[int, str]
) -> tuple[list[str], str]:
    """The name of each class in label order, and what is to be said of a label without one."""
    if class_names:
        names = _names(Path(class_names))
        return names, f"{class_names} has {len(names)} names; add the others"
    count = len(set(found.labels))
    called = [categories.get(label, "") for label in range(len(categories))]
    if categories and all(called) and len(set(called)) == len(called):
        return (
            called,
            f"the categories are {len(called)}, with the ids 0 to {len(called) - 1}; mend the annotation",
        )
    limit = f"the lists have {count} different labels, which count from 0 without gaps; number the classes so"
    return [str(label) for label in range(count)], limit


def _of_text(path: Path, text: str) -> list[tuple[str, str, int]]:
    rows = []
    for number, line in enumerate(map(str.strip, text.split("\n")), start=1):
        if not line:
            continue
        name, _, label = line.rpartition(" ")
        if not name or not re.fullmatch(r"[0-9]{1,9}", label):
            raise ValueError(
                f"{path}, line {number}: found {line[:60]!r}; expected a path, a space and a label from 0 to 999999999"
            )
        rows.append((f"{path}, line {number}", name, int(label)))
    return rows


def _of_json(path: Path, text: str, categories: dict[int, str]) -> list[tuple[str, str, int]]:
    """The images and labels of a json of the challenge; the names of its categories are added to `categories`."""
    try:
        content: dict[str, Any] = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is no valid json: {error}") from None
    if lacking := [name for name in ("images", "annotations") if not isinstance(content.get(name), list)]:
        raise ValueError(
            f"{path} has no list {lacking[0]!r}, so it is not the json of images and their classes; of "
            "iNaturalist 2018 give train2018.json and val2018.json (the test images have no public labels)"
        )
    try:
        files = {key: image["file_name"] for key, image in by_id(content["images"], "id", path).items()}
        for category in content.get("categories", ()):
            categories.setdefault(int(category["id"]), " ".join(str(category.get("name", "")).split()))
        label_of: dict[Any, int] = {}
        for number, annotation in enumerate(content["annotations"], start=1):
            image, label = annotation["image_id"], annotation["category_id"]
            if image not in files:
                raise ValueError(
                    f"{path}, annotation {number}: its image {image!r} is not listed; export it again"
                )
            if not isinstance(label, int) or isinstance(label, bool) or label < 0:
                raise ValueError(
                    f"{path}, annotation {number}: its category_id is {label!r}; expected 0 or more"
                )
            if label_of.setdefault(image, label) != label:
                raise ValueError(
                    f"{path}, annotation {number}: image {image!r} has the classes {label_of[image]} and {label}; "
                    "keep one"
                )
    except (KeyError, TypeError) as error:
        raise ValueError(
            f"{path} has not the form of iNaturalist's json ({type(error).__name__}: {error}); fetch it again"
        ) from None
    for key, file in files.items():
        if key not in label_of:
            raise ValueError(
                f"{path}: the image {file} has no annotation, and so no class; remove it, or add one"
            )
    return [(f"{path}, image {key!r}", str(file), label_of[key]) for key, file in files.items()]


def _names(path: Path) -> list[str]:
    """The name of each class, in label order; a blank line among them would move those below it to other labels.

    Names are in one form and printable, as those of a collection are.
    """
    lines = [unicodedata.normalize("NFC", " ".join(line.split())) for line in _text(path).split("\n")]
    while lines and not lines[-1]:
        lines.pop()
    if "" in lines:
        raise ValueError(f"{path}, line {lines.index('') + 1}: the name of a class is missing; add it")
    seen: dict[str, int] = {}
    for number, name in enumerate(lines, start=1):
        if (first := seen.setdefault(name, number)) < number:
            raise ValueError(
                f"{path}, line {number}: {name!r} is the name in line {first} too, and names tell classes apart; to "
                "make them one class, give each a name of its own and use data.classes.merge"
            )
        if not name.isprintable():
            raise ValueError(f"{path}, line {number}: {name!r} has a control character; remove it")
    return lines


def _text(path: Path) -> str:
    try:
        check_list(path)
        return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise FileNotFoundError(
            f"{path} does not exist; put the list there, which its authors give, or name the place where it is"
        ) from None
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is no text in UTF-8: {error}") from None
