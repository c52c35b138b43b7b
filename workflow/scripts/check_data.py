"""List everything that is noteworthy about a collection of images, file by file, and what is done about it."""

import argparse

from frame import program, run

from longtail.data.collection.findings import FINDINGS, INDEXED, check, findings_of, findings_table, page
from longtail.data.collection.listing import Finding
from longtail.files.atomic import atomic_path
from longtail.files.csv import write_csv
from longtail.report.fonts import REMEDY, letters_without_a_font


def main(args: argparse.Namespace) -> None:
    index = INDEXED.read(args.index)
    findings = FINDINGS.read(args.findings)
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
        temporary.write_text(page(table, len(index), index["class_name"].nunique()), encoding="utf-8")
    print(f"{args.output_markdown}: {len(table)} findings", flush=True)


if __name__ == "__main__":
    parser = program(
        __doc__,
        index="images, of folder_images.py",
        findings="findings, of folder_images.py",
        takes="seed, strict, and what data.image_folder says of the split",
        output_csv="table (.csv) to write",
        output_markdown="page (.md) to write",
    )
    run(main, parser)
