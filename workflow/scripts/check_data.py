"""List everything that is noteworthy about a collection of images, file by file, and what is done about it."""

import sys
from pathlib import Path

sys.path.insert(
    0, str(Path(__file__).resolve().parents[2])
)  # the library beside this script, not an installed copy

import argparse

from longtail.data.collection.findings import check, page
from longtail.data.split.natural import add_split_options, split_settings
from longtail.files.atomic import atomic_path
from longtail.files.parquet import read_parquet


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--index", type=Path, required=True, help="images, of folder_images.py")
    parser.add_argument("--findings", type=Path, required=True, help="findings, of folder_images.py")
    add_split_options(parser)
    parser.add_argument("--output-csv", type=Path, required=True, help="table (.csv) to write")
    parser.add_argument("--output-markdown", type=Path, required=True, help="page (.md) to write")
    arguments = parser.parse_args()
    try:
        index = read_parquet(arguments.index, ["image_id", "class_name", "subset", "group", "twin"])
        findings = read_parquet(arguments.findings, ["path", "kind", "found", "action", "refused"])
        table = check(index, findings, arguments.strict, **split_settings(arguments))
        with atomic_path(arguments.output_csv) as temporary:
            table.to_csv(temporary, index=False)
        with atomic_path(arguments.output_markdown) as temporary:
            temporary.write_text(page(table, len(index), index["class_name"].nunique()), encoding="utf-8")
    except (OSError, ValueError) as error:
        sys.exit(f"check_data.py: {error}")
    print(f"{arguments.output_markdown}: {len(table)} findings", flush=True)


if __name__ == "__main__":
    main()
