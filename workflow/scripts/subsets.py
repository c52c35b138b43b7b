"""Divide the images of a source into training, test and validation images, the same number in every class."""

import argparse
from pathlib import Path

from frame import program, run, takes_settings

from longtail.data.split.balanced import assign_subsets
from longtail.data.tensors.files import load_tensors
from longtail.files.parquet import write_parquet


def arguments() -> argparse.ArgumentParser:
    parser = program(__doc__)
    parser.add_argument("--images", type=Path, required=True, help="file of tensors that images.py wrote")
    takes_settings(parser, "seed, train_per_class, and test_per_class or null: the source's own test set")
    parser.add_argument("--output", type=Path, required=True, help="table (.parquet) to write")
    return parser


def main(args: argparse.Namespace) -> None:
    subsets = assign_subsets(load_tensors(args.images, mmap=True), **args.settings)
    write_parquet(subsets, args.output)


if __name__ == "__main__":
    run(main, arguments())
