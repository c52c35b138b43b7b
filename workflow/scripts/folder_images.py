"""Decode a collection of image files once: tensors, a table of the images, and what was found about the files."""

from frame import Namespace, program, run

from longtail.data.collection.findings import findings_table
from longtail.data.collection.listing import list_images
from longtail.data.collection.reading import read_collection
from longtail.data.collection.shape import Shape
from longtail.data.lists.rows import CHOICES, Choices
from longtail.data.tensors.files import save_tensors
from longtail.files.parquet import write_parquet


def main(args: Namespace) -> None:
    own = args.settings
    args.output_images.parent.mkdir(parents=True, exist_ok=True)
    collection = read_collection(
        list_images(args.source, Choices(**{name: own[name] for name in CHOICES}), args.root),
        own["size"],
        scratch=args.output_images.parent,
        max_side=own["max_side"],
        min_side=own["min_side"],
        near=own["near_duplicates"],
        threads=args.threads,
        shape=Shape(own["resize"], own["pad_with"]),
    )
    write_parquet(collection.index, args.output_index)
    write_parquet(findings_table(collection.findings), args.output_findings)
    save_tensors(collection.images, args.output_images)
    images = collection.images
    print(
        f"{args.source}: {len(images.labels):,} images of {len(images.class_names):,} classes; "
        f"{len(collection.findings):,} findings",
        flush=True,
    )


if __name__ == "__main__":
    parser = program(
        __doc__,
        source="folder of class folders, or list",
        takes="columns, group_column, regions, min_confidence, size, resize, pad_with, max_side, min_side and "
        "near_duplicates, as in the configuration",
        output_images="file of tensors (.pth) to write",
        output_index="one row per image (.parquet)",
        output_findings="one row each (.parquet)",
    )
    parser.add_argument(
        "--root", help="folder that the paths of a list are relative to (default: the list's)"
    )
    parser.add_argument("--threads", type=int, default=1, help="images decoded at a time (default: 1)")
    run(main, parser)
