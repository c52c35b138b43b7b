"""Decode the pictures that the published lists of a data set name into one set of tensors, in parts that stay."""

from pathlib import Path

from frame import Namespace, program, run

from longtail.data.collection.published import decode_listed
from longtail.data.collection.shape import Shape
from longtail.data.lists.published import PARTS, find_pictures, read_lists


def main(args: Namespace) -> None:
    own = args.settings
    lists = {name: Path(path) for name in PARTS if (path := own[name])}
    listed = read_lists(lists, own["class_names"])
    find_pictures(listed, args.root)
    shape = Shape(own["resize"], own["pad_with"])
    decode_listed(listed, args.root, args.output, own["size"], shape=shape, threads=args.threads)


if __name__ == "__main__":
    parser = program(
        __doc__,
        takes="the files train, val, test and class_names or null; size, resize and pad_with, as in the configuration",
        root="folder in which the paths of the lists start",
        output="file of tensors (.pth) to write",
    )
    parser.add_argument("--threads", type=int, default=1, help="images decoded at a time (default: 1)")
    run(main, parser)
