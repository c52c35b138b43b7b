"""Write the images of one set (train_balanced, val, test_tail, …) into a file of tensors."""

from frame import Namespace, program, run

from longtail.data.split.sets import ASSIGNED, SPLIT, SUBSETS
from longtail.data.tensors.files import load_tensors, save_tensors
from longtail.data.tensors.selection import select_set


def main(args: Namespace) -> None:
    split = SPLIT.read(args.split, list(ASSIGNED.columns))
    images = load_tensors(args.images, mmap=True)
    save_tensors(select_set(images, split, args.subset, scratch=args.output.parent), args.output)


if __name__ == "__main__":
    parser = program(
        __doc__,
        images="file of tensors that images.py wrote",
        split="table of split.py; that of subsets.py has the balanced sets and val",
        output="file of tensors (.pth) to write",
    )
    parser.add_argument("--subset", choices=SUBSETS, required=True, help="set to write")
    run(main, parser)
