"""Mark the long-tailed part of the training and test images."""

from frame import Namespace, program, run

from longtail.data.split.longtailed import add_longtail
from longtail.data.split.sets import ASSIGNED
from longtail.files.parquet import write_parquet


def main(args: Namespace) -> None:
    subsets = ASSIGNED.read(args.subsets)
    write_parquet(add_longtail(subsets, **args.settings), args.output)


if __name__ == "__main__":
    parser = program(
        __doc__,
        subsets="table that subsets.py wrote",
        takes="seed, imbalance, imbalance_factor, and test_imbalance_factor or null: the same",
        output="table (.parquet) to write",
    )
    run(main, parser)
