"""The sets of a source whose classes keep the sizes that they have."""

from frame import Namespace, program, run

from longtail.data.split.official import official_split
from longtail.data.tensors.files import load_tensors
from longtail.files.parquet import write_parquet


def main(args: Namespace) -> None:
    write_parquet(official_split(load_tensors(args.images, mmap=True), **args.settings), args.output)


if __name__ == "__main__":
    parser = program(
        __doc__,
        images="file of tensors that images.py wrote",
        takes="seed, and test_per_class or null: the source's own test set",
        output="table (.parquet) to write",
    )
    run(main, parser)
