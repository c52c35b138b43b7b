"""Mark the long-tailed part of the training and test images, and the groups head, middle and tail."""

import argparse
from pathlib import Path

from frame import program, run, takes_settings

from longtail.data.split.longtailed import add_longtail
from longtail.files.parquet import read_parquet, write_parquet


def arguments() -> argparse.ArgumentParser:
    parser = program(__doc__)
    parser.add_argument("--subsets", type=Path, required=True, help="table that subsets.py wrote")
    takes_settings(parser, "seed, imbalance_factor, and test_imbalance_factor or null: the same")
    parser.add_argument("--output", type=Path, required=True, help="table (.parquet) to write")
    return parser


def main(args: argparse.Namespace) -> None:
    subsets = read_parquet(args.subsets, ["image_id", "label", "class_name", "subset"])
    write_parquet(add_longtail(subsets, **args.settings), args.output)


if __name__ == "__main__":
    run(main, arguments())
