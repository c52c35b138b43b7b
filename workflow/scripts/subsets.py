"""Divide the images of a source into training, test and validation images, the same number in every class."""

from frame import Namespace, program, run

from longtail.data.split.balanced import assign_subsets
from longtail.data.tensors.files import load_tensors
from longtail.files.parquet import write_parquet


def main(args: Namespace) -> None:
    subsets = assign_subsets(load_tensors(args.images, mmap=True), **args.settings)
    write_parquet(subsets, args.output)


if __name__ == "__main__":
    parser = program(
        __doc__,
        images="file of tensors that images.py wrote",
        takes="seed, train_per_class, and test_per_class or null: the source's own test set",
        output="table (.parquet) to write",
    )
    run(main, parser)
