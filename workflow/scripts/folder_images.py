"""Decode a collection of image files once: tensors, a table of the images, and what was found about the files."""

import sys
from pathlib import Path

sys.path.insert(
    0, str(Path(__file__).resolve().parents[2])
)  # the library beside this script, not an installed copy

import argparse

from longtail.data.collection.findings import findings_table
from longtail.data.collection.listing import GROUP_COLUMN, list_images
from longtail.data.collection.reading import read_collection
from longtail.data.tensors.files import save_tensors
from longtail.files.parquet import write_parquet


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--source", type=Path, required=True, help="folder of class folders, or csv")
    parser.add_argument("--group-column", default=GROUP_COLUMN, help="column of the csv (default: group)")
    parser.add_argument("--size", type=int, required=True, help="pixels, both ways, of the tensors")
    parser.add_argument("--max-side", type=int, required=True, help="longest side, in pixels, that is used")
    parser.add_argument("--min-side", type=int, required=True, help="shortest side, in pixels, that is used")
    parser.add_argument("--equal-files-only", action="store_true", help="do not look for near duplicates")
    parser.add_argument("--threads", type=int, default=1, help="images decoded at a time (default: 1)")
    parser.add_argument("--output-images", type=Path, required=True, help="file of tensors (.pth) to write")
    parser.add_argument("--output-index", type=Path, required=True, help="one row per image (.parquet)")
    parser.add_argument("--output-findings", type=Path, required=True, help="one row each (.parquet)")
    arguments = parser.parse_args()
    try:
        arguments.output_images.parent.mkdir(parents=True, exist_ok=True)
        collection = read_collection(
            list_images(arguments.source, arguments.group_column),
            arguments.size,
            scratch=arguments.output_images.parent,
            max_side=arguments.max_side,
            min_side=arguments.min_side,
            near=not arguments.equal_files_only,
            threads=arguments.threads,
        )
        write_parquet(collection.index, arguments.output_index)
        write_parquet(findings_table(collection.findings), arguments.output_findings)
        save_tensors(collection.images, arguments.output_images)
    except (OSError, ValueError) as error:
        sys.exit(f"folder_images.py: {error}")
    images = collection.images
    print(
        f"{arguments.source}: {len(images.labels):,} images of {len(images.class_names):,} classes; "
        f"{len(collection.findings):,} findings",
        flush=True,
    )


if __name__ == "__main__":
    main()
