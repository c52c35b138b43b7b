"""The split, and with it the class counts, of a data set of which only lists of images are there."""

import posixpath
import re
import unicodedata
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from longtail.data.collection.folder import check_list
from longtail.data.split.classes import check_left, class_mapping


def split_of_lists(
    lists: Mapping[str, str | Path],
    *,
    class_names: str | Path | None = None,
    classes: Mapping[str, Any] | None = None,
) -> pd.DataFrame:
    """The split that text files of lines `path label` describe, such as those of ImageNet-LT.

    Args:
        lists: the file of each subset; "train", and any of "val" and "test".
        class_names: a file with the name of each class in a line, in label order. With None, labels are names.
        classes: the rules of `class_mapping`, and `min_images`; None: the classes stay as they are. Merged classes
            stand where the first of them stood.

    Returns:
        One row per line, with the columns of `natural_split`; the ids count the lines. All that the lists hold is
        the long-tailed set. No balanced set is cut from it, but a subset of equal classes is one already.

    Raises:
        FileNotFoundError: there is no such list.
        ValueError: a line is not as above, an image stands there twice, a label has no name or the last names no
            label, or there are gaps between labels without names. The message names file and line.
    """
    seen: dict[str, str] = {}
    read = {subset: _labels(Path(path), seen) for subset, path in lists.items()}
    labels = {subset: found for subset, (found, _) in read.items()}
    if class_names:
        names = _names(Path(class_names))
        limit = f"{class_names} has {len(names)} names; add the others"
    else:
        names = [
            str(label) for label in range(len(set().union(*(found.tolist() for found in labels.values()))))
        ]
        limit = f"the lists have {len(names)} different labels, which count from 0 without gaps; number the classes so"
    for subset, (found, lines) in read.items():
        for place in np.flatnonzero(found >= len(names))[:1]:
            raise ValueError(
                f"{lists[subset]}, line {lines[place]}: the label is {found[place]}, but {limit}"
            )
    count = 1 + max(int(found.max()) for found in labels.values())
    if class_names and count < len(names):
        raise ValueError(
            f"{class_names} has {len(names)} names, but the largest label of the lists is {count - 1}, so they may "
            "belong to other data; remove the names of classes without images at its end"
        )
    if any((classes or {}).values()):
        names, labels = _chosen(names, labels, classes or {})
        count = len(names)
    parts = []
    for subset, found in labels.items():
        counts = np.bincount(found, minlength=count)
        equal = subset != "val" and counts[counts > 0].min() == counts.max()
        parts.append(
            pd.DataFrame({"label": found}).assign(subset=subset, longtailed=subset != "val", balanced=equal)
        )
    split = pd.concat(parts, ignore_index=True)
    split.insert(0, "image_id", np.arange(len(split)))
    split.insert(2, "class_name", [names[label] for label in split["label"]])
    return split


def _chosen(
    names: list[str], labels: Mapping[str, np.ndarray], rules: Mapping[str, Any]
) -> tuple[list[str], dict[str, np.ndarray]]:
    """The names of the classes that the rules leave, and their labels in each list, renumbered."""
    mapping = class_mapping(names, rules)
    new = [mapping[name] for name in names]
    sizes: dict[str | None, int] = dict.fromkeys(new, 0)
    for found in labels.values():
        for label, count in enumerate(np.bincount(found, minlength=len(names)).tolist()):
            sizes[new[label]] += count
    least = rules.get("min_images") or 0
    left = [name for name, size in sizes.items() if name is not None and size >= least]
    check_left(len(left), len(sizes), least)
    place: dict[str | None, int] = {name: label for label, name in enumerate(left)}
    new_label = np.array([place.get(name, -1) for name in new])
    kept = {subset: new_label[found] for subset, found in labels.items()}
    return left, {subset: found[found >= 0] for subset, found in kept.items()}


def _labels(path: Path, seen: dict[str, str]) -> tuple[np.ndarray, list[int]]:
    """The labels of a list, int64, and the line that each stands in. `seen` has the place of each image so far."""
    labels, lines = [], []
    for number, line in enumerate(_lines(path), start=1):
        if not line:
            continue
        name, _, label = line.rpartition(" ")
        if not name or not re.fullmatch(r"[0-9]{1,9}", label):
            raise ValueError(
                f"{path}, line {number}: found {line[:60]!r}; expected a path, a space and a label from 0 to 999999999"
            )
        place = f"{path}, line {number}"
        # Backslashes and the two ways to write accented letters are of the computer that wrote the list.
        same = posixpath.normpath(unicodedata.normalize("NFC", name).replace("\\", "/"))
        if (other := seen.setdefault(same, place)) is not place:
            raise ValueError(
                f"{place}: the image {name[:100]} stands in {other} too; keep it in one place, since an image that "
                "both trains and tests makes accuracies too high, and one that is counted twice makes its class larger"
            )
        labels.append(int(label))
        lines.append(number)
    if not labels:
        raise ValueError(f"{path} lists no image; expected lines `path label`")
    return np.array(labels, dtype=np.int64), lines


def _names(path: Path) -> list[str]:
    """The name of each class, in label order; a blank line among them would move those below it to other labels.

    Names are in one form and printable, as those of a collection are.
    """
    lines = [unicodedata.normalize("NFC", " ".join(line.split())) for line in _lines(path)]
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


def _lines(path: Path) -> list[str]:
    """The lines of a text file without spaces around them."""
    check_list(path)
    try:
        return [line.strip() for line in path.read_text(encoding="utf-8-sig").split("\n")]
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is no text in UTF-8: {error}") from None
