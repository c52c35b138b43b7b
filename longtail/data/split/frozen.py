"""A split as a list that a later split is made from, so that more images join without moving those that it has."""

import unicodedata
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from longtail.data.collection.listing import SUBSETS, Finding, guessed_encoding
from longtail.data.split.origin import COLUMNS, ORIGIN, listed, origin, rows_hash
from longtail.files.atomic import atomic_path
from longtail.files.csv import write_csv
from longtail.files.text import in_csv

FROZEN, FROZEN_BY = "frozen split", "data.split.file"
"""The kind of a finding on what has changed since a split was frozen, and its path where it is about several images."""
_SHOWN = 3


def write_frozen(
    index: pd.DataFrame,
    split: pd.DataFrame,
    path: str | Path,
    made: str = "",
    made_with: str | None = None,
) -> None:
    """Write the set of every image of a split, by path, as a csv with COLUMNS, which `frozen_subsets` reads.

    A last column says what `longtail.data.split.origin` makes of `made` and `made_with`, which has both.

    Args:
        index: the table of the collection, with the columns image_id, path, class_name and sha256.
        split: the table of `natural_split`.
    """
    subset = split.set_index("image_id")["subset"]
    rows = index[index["image_id"].isin(subset.index)].sort_values("path")
    table = pd.DataFrame(
        {
            "path": rows["path"],
            "label": rows["class_name"],
            "split": rows["image_id"].map(subset),
            "sha256": rows["sha256"],
        }
    )
    rows = rows_hash(zip(table["path"].map(in_csv), table["split"], table["sha256"], strict=True))
    table[ORIGIN] = origin(made, made_with, rows)
    with atomic_path(path) as temporary:
        write_csv(table, temporary)


def read_frozen(path: str | Path) -> tuple[pd.DataFrame, list[Finding]]:
    """Read a list of `write_frozen`, also where another program has saved it since.

    Returns:
        The table, with COLUMNS; and what has to be told about the list itself.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no such list; the message names the row.
    """
    try:
        rows, doubtful = listed(path)
    except ValueError as error:
        raise ValueError(f"{FROZEN_BY}: {error}") from None
    table = pd.DataFrame([row for _, row in rows], columns=COLUMNS, dtype=str)
    for problem, wrong in (
        (f"split is {{split!r}}; allowed: {', '.join(SUBSETS)}", ~table["split"].isin(SUBSETS)),
        ("the path is empty", table["path"].str.strip() == ""),
        (
            "sha256 is {sha256!r}; expected 64 digits of 0-9 and a-f",
            ~table["sha256"].str.fullmatch("[0-9a-f]{64}"),
        ),
        ("{path} stands there twice; keep one of them", table["path"].duplicated()),
    ):
        for place in wrong.to_numpy(bool).nonzero()[0][:1]:
            raise ValueError(f"{FROZEN_BY}: {path}, {rows[place][0]}: {problem.format(**table.iloc[place])}")
    if table.empty:
        raise ValueError(f"{FROZEN_BY}: {path} lists no image")
    # Nothing depends on these names alone, as files are known by their content first.
    return table, [replace(guessed_encoding(Path(path).name, doubtful), refused=False)] if doubtful else []


def frozen_subsets(
    index: pd.DataFrame, frozen: pd.DataFrame, used: np.ndarray | None = None
) -> tuple[pd.Series, list[Finding]]:
    """The set that a frozen split has for each image, "" for new ones; and what has changed since it was written.

    An image is known by its content first, so that a new name does not move it, and then by its path, so that a
    retouched file stays where it was.

    Args:
        index: the table of the collection, with the columns path, class_name and sha256.
        frozen: the table of `read_frozen`.
        used: whether each image is to be divided, as its class is not left out, bool (N,); None: all are.

    Raises:
        ValueError: the collection has a split of its own, or nothing of it is in the list.
    """
    if (index["subset"] != "").any():
        raise ValueError(
            f"the collection has a split of its own (train, val and test folders, or a column), and "
            f"{FROZEN_BY} names another one; remove one of them"
        )
    # File systems write accented letters in two ways, and a copy of the collection may have the other one.
    paths = index["path"].map(in_csv).map(_composed)
    frozen = frozen.assign(path=frozen["path"].map(_composed), label=frozen["label"].map(_composed))
    rows = _matches(paths.tolist(), index["sha256"].tolist(), frozen)
    if (rows < 0).all():
        raise ValueError(
            f"{FROZEN_BY}: none of its {len(frozen):,} images is in the collection, such as {frozen['path'].iloc[0]}; "
            "is it the split of another one?"
        )
    known = rows >= 0
    before, now = frozen.iloc[rows[known]].set_axis(index.index[known]), index[known]
    subset = before["split"].reindex(index.index, fill_value="")
    kind, kept = FROZEN, "kept where they were"
    findings = []
    for own, was in zip(now.itertuples(), before.itertuples(), strict=True):
        if was.label != in_csv(own.class_name):
            found = f"is of class {own.class_name!r}; it was of {was.label!r}"
            findings.append(Finding(own.path, kind, found, f"stays in {was.split}", False))
    for places, found, action in (
        (index["path"][~known & (True if used is None else used)], "new images", "divided as the others are"),
        (now["path"][before["path"] != paths[known]], "images with another path", kept),
        (now["path"][before["sha256"] != now["sha256"]], "images whose files have changed", kept),
        (
            frozen["path"][~frozen.index.isin(rows[known])],
            "images of the list that are not there",
            "no longer in the split",
        ),
    ):
        if len(places):
            some = ", ".join(sorted(places)[:_SHOWN]) + (", …" if len(places) > _SHOWN else "")
            findings.append(Finding(FROZEN_BY, kind, f"{found}: {len(places):,} ({some})", action, False))
    return subset, findings


def _composed(name: str) -> str:
    return unicodedata.normalize("NFC", name)


def _matches(paths: Sequence[str], hashes: Sequence[str], frozen: pd.DataFrame) -> np.ndarray:
    """The row of the list that each image stands in, int64 (N,); -1 where there is none. No row is used twice."""
    rows = np.full(len(paths), -1)
    used: set[int] = set()
    before = list(zip(frozen["path"], frozen["sha256"], strict=True))
    for wanted, there in (
        (list(zip(paths, hashes, strict=True)), before),
        (hashes, [content for _, content in before]),
        (paths, [path for path, _ in before]),
    ):
        free: dict[object, list[int]] = defaultdict(list)
        for row in reversed(range(len(there))):
            if row not in used:
                free[there[row]].append(row)
        for place in np.flatnonzero(rows < 0).tolist():
            if free.get(wanted[place]):
                rows[place] = free[wanted[place]].pop()
        used.update(rows.tolist())
    return rows
