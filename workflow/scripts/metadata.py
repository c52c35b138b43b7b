"""What a list says of each image beside its class (date, trap, latitude, …), as a table by image."""

import pandas as pd
from frame import Namespace, program, run

from longtail.data.collection.listing import list_images
from longtail.data.lists.rows import CHOICES, Choices
from longtail.files.parquet import write_parquet


def main(args: Namespace) -> None:
    choices = Choices(**{name: args.settings[name] for name in CHOICES})
    table = pd.DataFrame(list_images(args.source, choices, args.root).metadata(), dtype=str)
    if table.empty:
        table = pd.DataFrame({"image_id": [], "path": []}, dtype=str)
    table = table.fillna("").astype({"image_id": "int64"})
    write_parquet(table.sort_values("image_id", ignore_index=True), args.output)
    print(f"{args.source}: {len(table.columns) - 2} further columns of {len(table):,} images", flush=True)


if __name__ == "__main__":
    parser = program(
        __doc__,
        source="folder of class folders, or list",
        takes="columns, group_column, regions and min_confidence, as in the configuration",
        output="table (.parquet) to write",
    )
    parser.add_argument(
        "--root", help="folder that the paths of a list are relative to (default: the list's)"
    )
    run(main, parser)
