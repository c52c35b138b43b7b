"""Group the classes of a split by their training images: head, middle and tail, or many, medium and few."""

from frame import Namespace, program, run

from longtail.data.split.sets import ASSIGNED, SPLIT, class_table, groups_of, with_groups
from longtail.files.parquet import write_parquet


def main(args: Namespace) -> None:
    sets = SPLIT.read(args.sets, [*ASSIGNED.columns, "longtailed"])
    split = with_groups(sets, args.settings["groups"], args.settings["group_limits"])
    write_parquet(split, args.output)
    counts = class_table(split, "longtailed").groupby("group")["n_train"].agg(["size", "min", "max"])
    for group in groups_of(counts.index):
        if group in counts.index:
            size, least, most = counts.loc[group]
            print(f"{group}: {size} classes of {least:,} to {most:,} training images", flush=True)
        else:
            print(f"{group}: no class, so nothing is measured on it", flush=True)


if __name__ == "__main__":
    parser = program(
        __doc__,
        sets="table that split.py, folder_split.py or list_split.py wrote",
        takes="groups: thirds or counts; group_limits: two numbers, for counts",
        output="table (.parquet) to write",
    )
    run(main, parser)
