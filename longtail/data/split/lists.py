"""The split, and with it the class counts, of a data set of which only lists of images are there."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from longtail.data.split.natural import frequency_groups


def split_of_lists(
    lists: Mapping[str, str | Path],
    *,
    class_names: str | Path | None = None,
    groups: str = "counts",
    group_limits: tuple[int, int] = (100, 20),
) -> pd.DataFrame:
    """The split that text files of lines `path label` describe, such as those of ImageNet-LT.

    Args:
        lists: the file of each subset; "train", and any of "val" and "test".
        class_names: a file with the name of each class in a line, in label order. With None, labels are names.
        groups, group_limits: how `frequency_groups` makes head, middle and tail.

    Returns:
        One row per line, with the columns of `natural_split`; the ids count the lines. All that the lists hold is
        the long-tailed set. No balanced set is cut from it, but a subset of equal classes is one already.

    Raises:
        FileNotFoundError: there is no such list.
        ValueError: a line is not as above, or a label has no name. The message names file and line.
    """
    labels = {subset: _labels(Path(path)) for subset, path in lists.items()}
    count = 1 + max(int(found.max()) for found in labels.values())
    names = _names(class_names, count)
    trained = np.bincount(labels["train"], minlength=count).tolist()
    group_of = frequency_groups(trained, groups, group_limits)
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
    return split.assign(group=split["label"].map(group_of))


def _labels(path: Path) -> np.ndarray:
    """The labels of a list, int64."""
    labels = []
    with path.open(encoding="utf-8") as file:
        for number, line in enumerate(file, start=1):
            if not line.strip():
                continue
            name, _, label = line.strip().rpartition(" ")
            if not name or not label.isdecimal():
                raise ValueError(
                    f"{path}, line {number}: found {line.strip()[:60]!r}; expected a path, a space and a label from 0"
                )
            labels.append(int(label))
    if not labels:
        raise ValueError(f"{path} lists no image; expected lines `path label`")
    return np.array(labels, dtype=np.int64)


def _names(path: str | Path | None, count: int) -> list[str]:
    if path is None:
        return [str(label) for label in range(count)]
    names = [line.strip() for line in Path(path).read_text(encoding="utf-8").splitlines() if line.strip()]
    if len(names) < count:
        raise ValueError(f"{path} has {len(names)} names, but the labels go to {count - 1}; add the others")
    return names
