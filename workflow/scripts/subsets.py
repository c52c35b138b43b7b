"""Divide the images of a source into training, test and validation images, the same number in every class."""

import sys
from pathlib import Path

sys.path.insert(
    0, str(Path(__file__).resolve().parents[2])
)  # the library beside this script, not an installed copy

import argparse

from longtail.data.split.balanced import assign_subsets
from longtail.data.tensors.files import load_tensors
from longtail.files.parquet import write_parquet


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=Path, required=True, help="file of tensors that images.py wrote")
    parser.add_argument("--train-per-class", type=int, required=True, help="training images of each class")
    parser.add_argument(
        "--test-per-class", type=int, help="test images of each class (default: the source's own test set)"
    )
    parser.add_argument("--seed", type=int, required=True, help="data seed, chooses the images")
    parser.add_argument("--output", type=Path, required=True, help="table (.parquet) to write")
    arguments = parser.parse_args()
    try:
        subsets = assign_subsets(
            load_tensors(arguments.images, mmap=True),
            train_per_class=arguments.train_per_class,
            test_per_class=arguments.test_per_class,
            seed=arguments.seed,
        )
        write_parquet(subsets, arguments.output)
    except (OSError, ValueError) as error:
        sys.exit(f"subsets.py: {error}")


if __name__ == "__main__":
    main()
