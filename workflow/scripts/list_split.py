"""The split of a data set from lists of its images alone: text files of lines `path label`."""

from pathlib import Path

from frame import Namespace, program, run

from longtail.data.split.lists import split_of_lists
from longtail.files.parquet import write_parquet


def main(args: Namespace) -> None:
    own = dict(args.settings)
    lists = {name: Path(path) for name in ("train", "val", "test") if (path := own.pop(name))}
    write_parquet(split_of_lists(lists, **own), args.output)


if __name__ == "__main__":
    parser = program(
        __doc__,
        takes="the files train, val, test and class_names or null; classes",
        output="table (.parquet) to write",
    )
    run(main, parser)
