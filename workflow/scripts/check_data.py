"""List everything that is noteworthy about a collection of images, file by file, and what is done about it."""

import argparse
from pathlib import Path

from frame import program, run, takes_settings

from longtail.data.collection.findings import check, page
from longtail.files.atomic import atomic_path
from longtail.files.parquet import read_parquet


def arguments() -> argparse.ArgumentParser:
    parser = program(__doc__)
    parser.add_argument("--index", type=Path, required=True, help="images, of folder_images.py")
    parser.add_argument("--findings", type=Path, required=True, help="findings, of folder_images.py")
    takes_settings(parser, "seed, strict, and what data.image_folder says of the split")
    parser.add_argument("--output-csv", type=Path, required=True, help="table (.csv) to write")
    parser.add_argument("--output-markdown", type=Path, required=True, help="page (.md) to write")
    return parser


def main(args: argparse.Namespace) -> None:
    index = read_parquet(args.index, ["image_id", "class_name", "subset", "group", "twin"])
    findings = read_parquet(args.findings, ["path", "kind", "found", "action", "refused"])
    table = check(index, findings, **args.settings)
    with atomic_path(args.output_csv) as temporary:
        table.to_csv(temporary, index=False)
    with atomic_path(args.output_markdown) as temporary:
        temporary.write_text(page(table, len(index), index["class_name"].nunique()), encoding="utf-8")
    print(f"{args.output_markdown}: {len(table)} findings", flush=True)


if __name__ == "__main__":
    run(main, arguments())
