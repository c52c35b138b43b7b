"""Divide a collection with natural class counts into training, validation and test images."""

import sys
from pathlib import Path

sys.path.insert(
    0, str(Path(__file__).resolve().parents[2])
)  # the library beside this script, not an installed copy

import argparse

from longtail.data.collection.findings import findings_of, findings_table, require_none
from longtail.data.split.natural import add_split_options, natural_split, split_settings
from longtail.files.parquet import read_parquet, write_parquet


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--index", type=Path, required=True, help="images, of folder_images.py")
    parser.add_argument("--findings", type=Path, required=True, help="findings, of folder_images.py")
    add_split_options(parser)
    parser.add_argument("--output", type=Path, required=True, help="table (.parquet) to write")
    arguments = parser.parse_args()
    try:
        found = read_parquet(arguments.findings, ["path", "kind", "found", "action", "refused"])
        index = read_parquet(arguments.index, ["image_id", "class_name", "subset", "group", "twin"])
        split, of_classes = natural_split(index, **split_settings(arguments))
        if arguments.strict:
            require_none(findings_table(findings_of(found) + of_classes))
        write_parquet(split, arguments.output)
    except (OSError, ValueError) as error:
        sys.exit(f"folder_split.py: {error}")
    for finding in of_classes:
        print(f"{finding.path}: {finding.found}: {finding.action}", flush=True)


if __name__ == "__main__":
    main()
