"""Classify pictures with a trained model: the most probable classes of each, with their probabilities.

The model file says all that is needed: classes, preprocessing, calibration. One row per picture, in the order given:
path, class_1, probability_1, …, and an error where a picture could not be read.

Exit code: 0, every picture is classified; 3, some could not be read and are listed; 1, nothing was classified.
"""

import argparse
import csv
import itertools
import os
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import nn
from tqdm import tqdm

from longtail.data.collection.decoding import SUFFIXES, UnreadableImage, decode
from longtail.files.atomic import atomic_path
from longtail.files.parquet import write_parquet
from longtail.inference.logits import logits_of, probabilities
from longtail.models.card import ModelCard
from longtail.models.file import load_model

SOME_FAILED = 3


def find_pictures(inputs: Sequence[str | Path], column: str = "path") -> list[tuple[str, Path]]:
    """The pictures that files, folders and lists stand for, each as named and as it is opened.

    A folder stands for the pictures in it and below, by their file names' endings, in the order of their paths; what
    is hidden is left out. A csv stands for the paths in one of its columns, relative to the csv's folder; any other
    file for itself. Whether a picture exists and can be read shows when it is opened.

    Raises:
        ValueError: a folder without pictures, or a csv that cannot be read or lacks the column.
    """
    found: list[tuple[str, Path]] = []
    for path in map(Path, inputs):
        if path.is_dir():
            pictures = [(str(picture), picture) for picture in _pictures_below(path)]
            if not pictures:
                endings = ", ".join(sorted(SUFFIXES))
                raise ValueError(f"{path} holds no picture: no file that ends in {endings}")
            found += pictures
        elif path.suffix.lower() == ".csv":
            found += [(name, path.parent / name) for name in _column(path, column)]
        else:
            found.append((str(path), path))
    return found


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
        model, card: of `longtail.models.file.load_model`, on `device`.
        pictures: names and paths, as `find_pictures` gives them.
        top: classes per picture, at most all.
        threads: that decode pictures while the model computes.

    Returns:
        One row per picture, in their order: path (its name), class_1, probability_1, … from the most probable on,
        error ("" or why it could not be read; then the classes are missing).
    """
    device, top = torch.device(device), min(top, len(card.class_names))
    errors = np.full(len(pictures), "", dtype=object)
    labels = np.zeros((len(pictures), top), dtype=np.int64)
    shares = np.full((len(pictures), top), np.nan, dtype=np.float32)
    bar = tqdm(total=len(pictures), unit="image", disable=None if progress else True)
    with bar, ThreadPoolExecutor(threads) as pool:
        for start, batch in _batches(pool, pictures, card.picture_size, batch_size):
            readable = []
            for row, picture in enumerate(batch, start):
                if isinstance(picture, UnreadableImage):
                    errors[row] = picture.reason
                else:
                    readable.append(row)
            if readable:
                images = torch.stack([batch[row - start] for row in readable])
                chances = probabilities(logits_of(model, images, card, device, batch_size), card)
                best = chances.topk(top, dim=1)
                labels[readable], shares[readable] = best.indices.numpy(), best.values.numpy()
            bar.update(len(batch))
    frame = pd.DataFrame({"path": [name for name, _ in pictures]})
    names = np.array(card.class_names, dtype=object)
    failed = errors != ""
    for rank in range(top):
        frame[f"class_{rank + 1}"] = pd.array(np.where(failed, None, names[labels[:, rank]]), dtype="str")
        frame[f"probability_{rank + 1}"] = shares[:, rank]
    return frame.assign(error=errors.astype(str))


def write_table(frame: pd.DataFrame, path: str | Path | None) -> None:
    """As csv or parquet, by the path's ending; as csv to the standard output without a path."""
    if path is None:
        frame.to_csv(sys.stdout, index=False, float_format="%.6f")
    elif Path(path).suffix == ".parquet":
        write_parquet(frame, path)
    else:
        with atomic_path(path) as temporary:
            frame.to_csv(temporary, index=False, float_format="%.6f")


def describe(card: ModelCard) -> str:
    """One line on what the model is, and whether its probabilities are calibrated."""
    calibration = (
        f"calibrated probabilities (temperature {card.temperature:.3f})"
        if card.temperature
        else "probabilities not calibrated"
    )
    sides = f"{card.picture_size} px" + (
        f", resized to {card.image_size} px" if card.image_size != card.picture_size else ""
    )
    return f"{card.architecture}, {len(card.class_names)} classes, pictures of {sides}, {calibration}"


def device_named(name: str | None) -> torch.device:
    """The device of that name; without one, the GPU where there is one, else the CPU.

    Raises:
        ValueError: this machine or this build of PyTorch has no such device.
    """
    name = name or ("cuda" if torch.cuda.is_available() else "cpu")
    try:
        return torch.empty(0, device=name).device
    except (RuntimeError, AssertionError) as error:
        reason = str(error).partition("\n")[0]
        raise ValueError(f"there is no device {name!r} here ({reason}); cpu is always there") from None


def _pictures_below(folder: Path) -> list[Path]:
    found, seen = [], set()
    for root, folders, files in os.walk(folder, followlinks=True):
        here = Path(root).resolve()
        if here in seen:  # a link that leads back up
            folders.clear()
            continue
        seen.add(here)
        folders[:] = [name for name in folders if not name.startswith(".")]
        found += [
            Path(root, name)
            for name in files
            if not name.startswith(".") and Path(name).suffix.lower() in SUFFIXES
        ]
    return sorted(found)


def _column(path: Path, column: str) -> list[str]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = csv.DictReader(file)
            columns = list(rows.fieldnames or [])
            if column not in columns:
                raise ValueError(
                    f"{path} has no column {column!r}, only {', '.join(columns) or 'nothing'}; "
                    "name the one with the paths by --column"
                )
            names = [row[column] or "" for row in rows]
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is no csv in UTF-8 ({error})") from None
    except csv.Error as error:
        raise ValueError(f"{path} is no csv: {error}") from None
    if not names:
        raise ValueError(f"{path} lists no picture")
    if "" in names:
        raise ValueError(f"{path}, row {names.index('') + 2}: the column {column!r} is empty")
    return names


def _batches(
    pool: ThreadPoolExecutor, pictures: Sequence[tuple[str, Path]], size: int, batch_size: int
) -> Iterator[tuple[int, list[torch.Tensor | UnreadableImage]]]:
    """Decoded batches and where each starts; the one after is decoded meanwhile."""

    def read(picture: tuple[str, Path]) -> torch.Tensor | UnreadableImage:
        try:
            return decode(picture[1], size)
        except UnreadableImage as error:
            return error

    starts = range(0, len(pictures), batch_size)
    ahead = (
        (start, [pool.submit(read, picture) for picture in pictures[start : start + batch_size]])
        for start in starts
    )
    waiting = list(itertools.islice(ahead, 2))
    while waiting:
        start, batch = waiting.pop(0)
        yield start, [future.result() for future in batch]
        waiting += itertools.islice(ahead, 1)


def arguments(words: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m longtail.predict",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("model", metavar="MODEL", help="model.safetensors in the folder of a run")
    parser.add_argument(
        "images", metavar="IMAGE", nargs="+", help="pictures, folders of them, or csv files that list them"
    )
    parser.add_argument(
        "--output", metavar="FILE", help=".csv or .parquet (default: csv on the standard output)"
    )
    parser.add_argument("--top", type=_count, default=5, metavar="K", help="classes per picture (default: 5)")
    parser.add_argument("--column", default="path", help="column of a csv with the paths (default: path)")
    parser.add_argument(
        "--batch-size", type=_count, default=64, metavar="N", help="pictures at a time (default: 64)"
    )
    parser.add_argument("--device", help="cpu, cuda, cuda:1, … (default: cuda where there is one)")
    parser.add_argument(
        "--threads", type=_count, default=os.cpu_count(), metavar="N", help="CPU threads (default: all cores)"
    )
    args = parser.parse_args(words)
    if not args.model.endswith(".safetensors"):
        parser.error(f"MODEL comes first, and its name ends in .safetensors; found {args.model}")
    if args.output and Path(args.output).suffix not in (".csv", ".parquet"):
        parser.error(f"--output {args.output}: the name must end in .csv or .parquet")
    return args


def _count(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"found {value}, needed: at least 1")
    return value


def main(words: Sequence[str] | None = None) -> int:
    args = arguments(words)
    torch.set_num_threads(args.threads)
    try:
        device = device_named(args.device)
        pictures = find_pictures(args.images, args.column)
        model, card = load_model(args.model, device)
        print(describe(card), file=sys.stderr)
        frame = classify(
            model,
            card,
            pictures,
            device=device,
            top=args.top,
            batch_size=args.batch_size,
            threads=args.threads,
            progress=True,
        )
        write_table(frame, args.output)
    except torch.OutOfMemoryError as error:
        print(f"error: out of GPU memory; lower --batch-size ({error})", file=sys.stderr)
        return 1
    except (OSError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    failed = frame[frame["error"] != ""]
    for row in failed.itertuples():
        print(f"not read: {row.path}: {row.error}", file=sys.stderr)
    written = f"; {args.output}" if args.output else ""
    print(f"{len(frame) - len(failed)} of {len(frame)} pictures classified{written}", file=sys.stderr)
    if len(failed) == len(frame):
        return 1
    return SOME_FAILED if len(failed) else 0


if __name__ == "__main__":
    sys.exit(main())
