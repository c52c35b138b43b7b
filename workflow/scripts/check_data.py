"""List everything that is noteworthy about a collection of images, file by file, and what is done about it."""

import argparse

from frame import program, run

from longtail.data.collection.findings import check, findings_of, findings_table, page
from longtail.data.collection.listing import Finding
from longtail.data.split.told import split_page
from longtail.files.atomic import atomic_path
from longtail.files.csv import write_csv
from longtail.files.parquet import read_parquet
from longtail.report.fonts import REMEDY, letters_without_a_font


def main(args: argparse.Namespace) -> None:
    own = {name: value for name, value in args.settings.items() if name != "strict"}
    index = read_parquet(args.index, ["image_id", "class_name", "subset", "group", "twin"])
    findings = read_parquet(args.findings, ["path", "kind", "found", "action", "refused"])
    boxes = [
        Finding(
            name,
            "letters",
            f"has letters that no installed font has: {letters}",
            f"drawn as boxes; {REMEDY}",
            False,
        )
        for name, letters in letters_without_a_font(index["class_name"].unique()).items()
    ]
    table = check(index, findings_table([*findings_of(findings), *boxes]), **args.settings)
    with atomic_path(args.output_csv) as temporary:
        write_csv(table, temporary)
    with atomic_path(args.output_markdown) as temporary:
        text = page(table, len(index), index["class_name"].nunique()) + "\n" + split_page(index, **own)
        temporary.write_text(text, encoding="utf-8")
    print(f"{args.output_markdown}: {len(table)} findings", flush=True)


if __name__ == "__main__":
    parser = program(
        __doc__,
        index="images, of folder_images.py",
        findings="findings, of folder_images.py",
        takes="seed, strict, classes, frozen, and what data.image_folder says of the split",
        output_csv="table (.csv) to write",
        output_markdown="page (.md) to write",
    )
    run(main, parser)
