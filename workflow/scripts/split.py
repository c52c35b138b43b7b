"""Mark the long-tailed part of the training and test images, and the groups head, middle and tail."""

import sys
from pathlib import Path

sys.path.insert(
    0, str(Path(__file__).resolve().parents[2])
)  # the library beside this script, not an installed copy

import argparse

from longtail.data.split.longtailed import add_longtail
from longtail.files.parquet import read_parquet, write_parquet


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--subsets", type=Path, required=True, help="table that subsets.py wrote")
    parser.add_argument(
        "--imbalance-factor", type=float, required=True, help="rarest over most frequent class"
    )
    parser.add_argument(
        "--test-imbalance-factor", type=float, help="the same for the test images, if it differs"
    )
    parser.add_argument("--seed", type=int, required=True, help="data seed, chooses the images")
    parser.add_argument("--output", type=Path, required=True, help="table (.parquet) to write")
    arguments = parser.parse_args()
    try:
        split = add_longtail(
            read_parquet(arguments.subsets, ["image_id", "label", "class_name", "subset"]),
            imbalance_factor=arguments.imbalance_factor,
            test_imbalance_factor=arguments.test_imbalance_factor,
            seed=arguments.seed,
        )
        write_parquet(split, arguments.output)
    except (OSError, ValueError) as error:
        sys.exit(f"split.py: {error}")


if __name__ == "__main__":
    main()
