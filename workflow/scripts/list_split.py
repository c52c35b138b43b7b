"""The split of a data set from lists of its images alone: text files of lines `path label`."""

import sys
from pathlib import Path

sys.path.insert(
    0, str(Path(__file__).resolve().parents[2])
)  # the library beside this script, not an installed copy

import argparse

from longtail.data.split.lists import split_of_lists
from longtail.files.parquet import write_parquet


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--train", type=Path, required=True, metavar="FILE", help="list of training images")
    parser.add_argument("--val", type=Path, metavar="FILE", help="list of validation images")
    parser.add_argument("--test", type=Path, metavar="FILE", help="list of test images")
    parser.add_argument("--class-names", type=Path, metavar="FILE", help="a name a line, in label order")
    parser.add_argument("--groups", choices=["thirds", "counts"], required=True, help="head, middle, tail by")
    parser.add_argument("--group-limits", type=int, nargs=2, required=True, help="of counts: head, tail")
    parser.add_argument("--output", type=Path, required=True, help="table (.parquet) to write")
    arguments = parser.parse_args()
    lists = {name: getattr(arguments, name) for name in ("train", "val", "test")}
    try:
        split = split_of_lists(
            {name: path for name, path in lists.items() if path},
            class_names=arguments.class_names,
            groups=arguments.groups,
            group_limits=tuple(arguments.group_limits),
        )
        write_parquet(split, arguments.output)
    except (OSError, ValueError) as error:
        sys.exit(f"list_split.py: {error}")


if __name__ == "__main__":
    main()
