"""Write the images of one set (train_balanced, val, test_tail, …) into a file of tensors."""

import sys
from pathlib import Path

sys.path.insert(
    0, str(Path(__file__).resolve().parents[2])
)  # the library beside this script, not an installed copy

import argparse

from longtail.data.tensors.files import load_tensors, save_tensors
from longtail.data.tensors.selection import SETS, select_set
from longtail.files.parquet import read_parquet


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=Path, required=True, help="file of tensors that images.py wrote")
    parser.add_argument(
        "--split",
        type=Path,
        required=True,
        help="table of split.py; that of subsets.py has the balanced sets and val",
    )
    parser.add_argument("--subset", choices=SETS, required=True, help="set to write")
    parser.add_argument("--output", type=Path, required=True, help="file of tensors (.pth) to write")
    arguments = parser.parse_args()
    try:
        split = read_parquet(arguments.split, ["image_id", "label", "class_name", "subset"])
        images = load_tensors(arguments.images, mmap=True)
        chosen = select_set(images, split, arguments.subset, scratch=arguments.output.parent)
        save_tensors(chosen, arguments.output)
    except (OSError, ValueError) as error:
        sys.exit(f"tensors.py: {error}")


if __name__ == "__main__":
    main()
