"""Pictures in files of any kind and the classes that a trained model gives them."""

import itertools
import os
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from torch import nn
from tqdm import tqdm

from longtail.data.collection.decoding import UnreadableImage, decode, in_order
from longtail.data.collection.folder import SUFFIXES, is_picture, read_tree
from longtail.data.collection.named import Files
from longtail.data.collection.shape import Shape
from longtail.data.lists.own_table import regions_of
from longtail.data.lists.rows import Box, listed
from longtail.data.lists.text import read_text, table_of
from longtail.inference.logits import logits_of, probabilities
from longtail.inference.unknown import known_scores
from longtail.models.card import ModelCard

MOST_AT_A_TIME = 2**26
"""Pixels that are decoded and computed at a time, whatever batch was asked for: 64 pictures of 1024 x 1024."""


class Found(NamedTuple):
    """The pictures that were asked for, and what lies beside them."""

    pictures: list[tuple[str, Path]]
    """The name of each, and the path where it is opened."""
    left_out: list[str]
    """A sentence for each kind of thing in the folders that is no picture, and for pictures that were named before."""


def find_pictures(inputs: Sequence[str | Path], column: str = "path") -> Found:
    """Find the pictures that files, folders and lists stand for.

    A folder stands for the pictures in it and below, in the order of their paths, as training finds them. A csv stands
    for the paths in one of its columns, relative to the folder of the csv. Any other file stands for itself. A picture
    that is named several times, in the same or in another way, is there once, by its first name; `left_out` says so. No
    picture is opened here, so one may still be missing or unreadable.

    Raises:
        ValueError: a folder without pictures, or a csv that cannot be read or lacks the column.
    """
    pictures: list[tuple[str, Path]] = []
    left_out: list[str] = []
    for path in map(Path, inputs):
        if path.is_dir():
            names, passed = _pictures_below(path)
            if not names:
                beside = "".join(f"; {told}" for told in passed)
                endings = ", ".join(sorted(SUFFIXES))
                raise ValueError(f"{path} holds no picture: no file that ends in {endings}{beside}")
            pictures += [(str(path / name), path / name) for name in names]
            left_out += passed
        elif path.suffix.lower() in (".csv", ".tsv"):
            files = Files(path.parent)
            names, regions = _column(path, column)
            named = [(name, files.find((name,))) for name in names]
            if regions:
                left_out.append(f"{path}: the regions in {listed(regions)}; whole pictures are classified")
            pictures += [(name, path.parent / (found[0] if found else name)) for name, found in named]
        else:
            pictures.append((str(path), path))
    first: dict[str, tuple[str, Path]] = {}
    for name, path in pictures:
        first.setdefault(os.path.abspath(path), (name, path))  # noqa: PTH100 (a link keeps its own name)
    if again := len(pictures) - len(first):
        where = "named again" if len(inputs) > 1 else "in the list again"
        left_out.append(f"{again} x {where}; each picture is classified once")
    return Found(list(first.values()), left_out)


def classify(
    model: nn.Module,
    card: ModelCard,
    pictures: Sequence[tuple[str, Path]],
    *,
    device: torch.device | str = "cpu",
    top: int = 5,
    batch_size: int = 64,
    threads: int = 1,
    progress: bool = False,
) -> pd.DataFrame:
    """The most probable classes of each picture.

    Args:
        model, card: as `longtail.models.file.load_model` gives them, on `device`.
        pictures: names and paths, as `find_pictures` finds them.
        top: classes per picture, at most all.
        threads: how many decode pictures while the model computes.
        progress: whether a bar on standard error shows how far it is.

    Returns:
        One row per picture, in the given order, with the columns path (the picture's name), class_1, probability_1, …
        from the most probable on, known (bool) where the card tells from which score on pictures are, and error: "", or
        why the picture could not be read. The others are missing then.
    """
    top = min(top, len(card.class_names))
    errors = np.full(len(pictures), "", dtype=object)
    labels = np.zeros((len(pictures), top), dtype=np.int64)
    shares = np.full((len(pictures), top), np.nan, dtype=np.float32)
    scores = np.full(len(pictures), np.nan)
    for rows, logits, failed in batches_of(
        model, card, pictures, device=device, batch_size=batch_size, threads=threads, progress=progress
    ):
        if rows:
            scores[rows] = known_scores(logits, card)
            best = probabilities(logits, card).topk(top, dim=1)
            labels[rows], shares[rows] = best.indices.numpy(), best.values.numpy()
        for row, reason in failed.items():
            errors[row] = reason
    # Bytes of a name that are not UTF-8 come as surrogates, which no table holds; they are spelt, as in `printable`.
    shown = [name.encode(errors="backslashreplace").decode() for name, _ in pictures]
    frame = pd.DataFrame({"path": shown})
    names = np.array(card.class_names, dtype=object)
    failed = errors != ""
    for rank in range(top):
        answers = names[labels[:, rank]]
        answers[failed] = None
        frame[f"class_{rank + 1}"] = pd.array(answers, dtype="str")
        frame[f"probability_{rank + 1}"] = shares[:, rank]
    if card.known_from is not None:
        frame["known"] = pd.array(scores >= card.known_from, dtype="boolean")
        frame.loc[failed, "known"] = pd.NA
    return frame.assign(error=errors.astype(str))


def batches_of(
    model: nn.Module,
    card: ModelCard,
    pictures: Sequence[tuple[str, Path]],
    boxes: Sequence[Box | None] | None = None,
    *,
    device: torch.device | str = "cpu",
    batch_size: int = 64,
    threads: int = 1,
    progress: bool = False,
    view: Mapping[str, Any] | None = None,
) -> Iterator[tuple[list[int], torch.Tensor, dict[int, str]]]:
    """The logits of pictures in files, some at a time; the other arguments are those of `classify`.

    Args:
        boxes: the region of each picture that is meant; None: the whole pictures.
        view: how pictures are shown, as options of `logits_of`; by default as they are.

    Yields:
        The places of pictures in `pictures`, their logits (float32, so many x C, on the CPU), and why others of the
        same batch could not be read, by place.
    """
    device = torch.device(device)
    side = max(card.picture_size, card.image_size)
    batch_size = max(1, min(batch_size, MOST_AT_A_TIME // side**2))
    bar = tqdm(total=len(pictures), unit="image", disable=None if progress else True)
    with bar, ThreadPoolExecutor(threads) as pool:
        read = partial(_decoded, size=card.picture_size, shape=Shape(card.resize, card.pad_with))
        paths = [path for _, path in pictures]
        wanted = list(zip(paths, boxes or [None] * len(paths), strict=True))
        decoded = in_order(pool, read, wanted, ahead=batch_size)
        for start in range(0, len(pictures), batch_size):
            readable: dict[int, torch.Tensor] = {}
            failed: dict[int, str] = {}
            for row, picture in enumerate(itertools.islice(decoded, batch_size), start):
                if isinstance(picture, UnreadableImage):
                    failed[row] = picture.reason
                else:
                    readable[row] = picture
            logits = torch.empty(0, len(card.class_names))
            if readable:
                images = torch.stack(list(readable.values()))
                logits = logits_of(model, images, card, device, batch_size, **(view or {}))
            yield list(readable), logits, failed
            bar.update(len(readable) + len(failed))


def _pictures_below(folder: Path) -> tuple[list[str], list[str]]:
    """The pictures in a folder, as paths in it, and a sentence for each kind of thing that is left out."""
    unreadable: list[str] = []
    passed: dict[str, list[str]] = defaultdict(list)

    def note(path: str, kind: str, found: str, *_: object) -> None:
        if kind in ("broken link", "no file") and is_picture(path):
            unreadable.append(path)  # It gets a row, which says why.
        else:
            passed[kind].append(f"{folder / path}: {found}")

    names = read_tree(folder, note).pictures
    told = [f"{len(each)} x {kind}, such as {each[0]}" for kind, each in sorted(passed.items())]
    return sorted(names + unreadable), told


def _column(path: Path, column: str) -> tuple[list[str], list[str]]:
    """The cells of a column, and the columns of regions beside it."""
    table = table_of(read_text(path).text, path, lambda columns: column in columns)
    if column not in table.columns:
        raise ValueError(
            f"{path} has no column {column!r}, only {', '.join(table.columns) or 'nothing'}; "
            "name the one with the paths by --column"
        )
    place = table.columns.index(column)
    names = [cells[place] for _, cells in table.rows]
    if not names:
        raise ValueError(f"{path} lists no picture")
    if "" in names:
        raise ValueError(f"{path}, {table.rows[names.index('')][0]}: the column {column!r} is empty")
    return names, regions_of([name for name in table.columns if name != column])


def _decoded(wanted: tuple[Path, Box | None], size: int, shape: Shape) -> torch.Tensor | UnreadableImage:
    try:
        return decode(wanted[0], size, box=wanted[1], shape=shape)
    except UnreadableImage as error:
        return error
