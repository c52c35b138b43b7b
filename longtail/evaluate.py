"""How good a trained model is on new photographs whose classes are known, and how far these are from the old ones.

PHOTOGRAPHS is a folder with a folder for each class, or a csv with the columns path and label, and perhaps a column of
groups (nights, individuals, traps), as for training. Classes go by the names that the model knows. Where the model lies
in the folder of results of the workflow, its test images are those that the new ones are compared with, and files that
it was trained on, selected by or tested on do not count.

Exit code: 0, every photograph counts; 3, some do not and are listed; 1, nothing was evaluated.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import torch

from longtail.files.atomic import atomic_path
from longtail.files.csv import write_csv
from longtail.files.outputs import check_outputs
from longtail.files.text import printable
from longtail.inference.options import add_computing, add_list, add_model, as_options, choices_of, given_path
from longtail.inference.photographs import Photographs, read_photographs
from longtail.machine.devices import device_named
from longtail.machine.terminal import Help, complain, heard
from longtail.models.file import load_model
from longtail.report.new_photographs import Report, report
from longtail.report.typeset import STATISTIC_FORMATS, write_table
from longtail.report.webpage import webpage

SOME_LEFT_OUT = 3


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="longtail evaluate",
        description=__doc__,
        formatter_class=Help,
    )
    add_model(parser)
    parser.add_argument(
        "photographs", metavar="PHOTOGRAPHS", type=given_path, help="a folder of class folders, or a csv"
    )
    parser.add_argument(
        "--output",
        metavar="FOLDER",
        type=given_path,
        help="gets the page and the tables (default: the page on the screen)",
    )
    add_list(parser)
    parser.add_argument(
        "--leave-out-unknown", action="store_true", help="leave out classes that the model does not know"
    )
    add_computing(parser)
    return parser


def arguments(words: Sequence[str] | None = None) -> argparse.Namespace:
    return parser().parse_args(words)


def main(words: Sequence[str] | None = None) -> int:
    args = arguments(words)
    torch.set_num_threads(args.threads)
    try:
        device = device_named(args.device)
        if args.output:
            names = ("evaluation.md", "evaluation.html", "predictions.csv")
            check_outputs([Path(args.output, name) for name in names], [args.model, args.photographs])
        model, card = load_model(args.model, device)
        photographs = read_photographs(
            model,
            card,
            args.photographs,
            file=args.model,
            choices=choices_of(args),
            root=args.root,
            leave_out_unknown=args.leave_out_unknown,
            device=device,
            batch_size=args.batch_size,
            threads=args.threads,
        )
        new, old, left_out = photographs.answered, photographs.old, photographs.left_out
        found = report(
            new, old, photographs.groups, card, args.model, args.photographs, left_out, photographs.crops
        )
        if args.output:
            tables = [
                Path(args.output, f"{name}.{end}") for name in found.tables for end in STATISTIC_FORMATS
            ]
            check_outputs(tables, [args.model, args.photographs])
            write(found, photographs, Path(args.output))
        print(found.answer if args.output else found.page, flush=True)
    except torch.OutOfMemoryError as error:
        complain(f"out of GPU memory; lower --batch-size ({error})")
        return 1
    except (OSError, ValueError) as error:
        complain(printable(as_options(error)))
        return 1
    for told in left_out:
        print(printable(f"left out: {told}"), file=sys.stderr)
    if args.output:
        print(f"{args.output}/evaluation.html")
    return SOME_LEFT_OUT if left_out else 0


def write(found: Report, photographs: Photographs, folder: Path) -> None:
    """Write the page, the tables and what the model said of each photograph."""
    for name, table in found.tables.items():
        write_table(table, folder, name)
    for name, content in (
        ("evaluation.md", found.page),
        ("evaluation.html", webpage(found.page, "Evaluation")),
    ):
        with atomic_path(folder / name) as temporary:
            temporary.write_text(content, encoding="utf-8")
    with atomic_path(folder / "predictions.csv") as temporary:
        write_csv(photographs.table, temporary, float_format="%.6f")


if __name__ == "__main__":
    sys.exit(heard(main))
