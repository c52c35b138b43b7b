"""Divide a collection with natural class counts into training, validation and test images."""

from pathlib import Path

from frame import Namespace, program, run, settings

from longtail.data.collection.findings import FINDINGS, INDEXED, findings_of, findings_table, require_none
from longtail.data.split.frozen import write_frozen
from longtail.data.split.natural import natural_split
from longtail.data.split.told import asked_of, told_shares
from longtail.files.parquet import write_parquet


def main(args: Namespace) -> None:
    own = dict(args.settings)
    strict = own.pop("strict")
    found = FINDINGS.read(args.findings)
    index = INDEXED.read(args.index)
    split, of_classes = natural_split(index, **own)
    if strict:
        require_none(findings_table(findings_of(found) + of_classes))
    write_parquet(split, args.output)
    if args.output_list:
        write_frozen(index, split, args.output_list, **args.origin)
    print("\n".join(told_shares(split, asked_of(own))), flush=True)
    for finding in of_classes:
        print(f"{finding.path}: {finding.found}: {finding.action}", flush=True)


if __name__ == "__main__":
    parser = program(
        __doc__,
        index="images, of folder_images.py",
        findings="findings, of folder_images.py",
        takes="seed, strict, classes, frozen, and what data.image_folder says of the split",
        output="table (.parquet) to write",
    )
    parser.add_argument(
        "--origin", type=settings, default={}, metavar="JSON", help="made and made_with, for the list"
    )
    parser.add_argument("--output-list", type=Path, metavar="PATH", help="list (.csv) for data.split.file")
    run(main, parser)
