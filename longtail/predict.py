"""Classify pictures with a trained model: the most probable classes of each, with their probabilities.

The model file says all that is needed: classes, preprocessing, calibration. One row per picture, in the order given:
path, class_1, probability_1, …, known (whether it shows any of the classes, where the model can tell), and an error
where it could not be read. In a csv, an apostrophe stands before a name that a spreadsheet would run as a formula, and
control characters are spelt; parquet has names as they are.

Exit code: 0, every picture is classified; 3, some could not be read and are listed; 1, nothing was classified.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import torch

from longtail.files.atomic import atomic_path
from longtail.files.csv import write_csv
from longtail.files.outputs import check_outputs
from longtail.files.parquet import write_parquet
from longtail.files.text import printable
from longtail.inference.options import add_computing, add_model, count_argument, given_path, given_text
from longtail.inference.pictures import classify, find_pictures
from longtail.machine.devices import device_named
from longtail.machine.terminal import Help, complain, exactly, heard
from longtail.models.card import ModelCard
from longtail.models.file import load_model

SOME_FAILED = 3


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="longtail predict",
        description=__doc__,
        formatter_class=Help,
    )
    add_model(parser)
    parser.add_argument(
        "images",
        metavar="IMAGE",
        nargs="+",
        type=given_path,
        help="pictures, folders of them, or csv files that list them",
    )
    parser.add_argument(
        "--output",
        metavar="FILE",
        type=given_path,
        help=".csv or .parquet (default: csv on the standard output)",
    )
    parser.add_argument(
        "--top", type=count_argument, default=5, metavar="K", help="classes per picture (default: 5)"
    )
    parser.add_argument(
        "--column", type=given_text, default="path", help="column of a csv with the paths (default: path)"
    )
    add_computing(parser)
    return parser


def arguments(words: Sequence[str] | None = None) -> argparse.Namespace:
    args = parser().parse_args(words)
    if args.output and Path(args.output).suffix not in (".csv", ".parquet"):
        parser().error(f"--output {args.output}: the name must end in .csv or .parquet")
    return args


def main(words: Sequence[str] | None = None) -> int:
    args = arguments(words)
    torch.set_num_threads(args.threads)
    try:
        device = device_named(args.device)
        pictures, left_out = find_pictures(args.images, args.column)
        if args.output:
            check_outputs([args.output], [args.model, *args.images, *(path for _, path in pictures)])
        model, card = load_model(args.model, device)
        print(describe(card), file=sys.stderr)
        for told in left_out:
            print(printable(f"left out: {told}"), file=sys.stderr)
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
        complain(f"out of GPU memory; lower --batch-size ({error})")
        return 1
    except (OSError, ValueError) as error:
        complain(printable(str(error)))
        return 1
    failed = frame[frame["error"] != ""]
    for row in failed.itertuples():
        print(printable(f"not read: {row.path}: {row.error}"), file=sys.stderr)
    written = f"; {args.output}" if args.output else ""
    print(f"{len(frame) - len(failed)} of {len(frame)} pictures classified{written}", file=sys.stderr)
    if len(failed) == len(frame):
        return 1
    return SOME_FAILED if len(failed) else 0


def describe(card: ModelCard) -> str:
    """A line that says what the model is, and whether its probabilities are calibrated."""
    calibration = (
        f"calibrated probabilities (temperature {card.temperature:.3f})"
        if card.temperature
        else "probabilities not calibrated"
    )
    shape = {"pad": ", with a border", "crop": ", cut to a square"}.get(card.resize, "")
    sides = f"{card.picture_size} px{shape}" + (
        f", resized to {card.image_size} px" if card.image_size != card.picture_size else ""
    )
    return f"{card.architecture}, {len(card.class_names)} classes, pictures of {sides}, {calibration}"


def write_table(frame: pd.DataFrame, path: str | Path | None) -> None:
    """Write a csv or a parquet file, as the path ends; without a path, a csv to the standard output.

    Names stand in parquet as they are, and in a csv as `longtail.files.text.in_csv` makes them harmless.
    """
    if path is None:
        write_csv(frame, exactly(sys.stdout), float_format="%.6f")
    elif Path(path).suffix == ".parquet":
        write_parquet(frame, path)
    else:
        with atomic_path(path) as temporary:
            write_csv(frame, temporary, float_format="%.6f")


if __name__ == "__main__":
    sys.exit(heard(main))
