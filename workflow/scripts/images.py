"""Read all images of a source into one file of tensors."""

import importlib
from pathlib import Path

from frame import Namespace, program, run

from longtail.data.sources.table import known_sources
from longtail.data.tensors.files import save_tensors


def main(args: Namespace) -> None:
    own = dict(args.settings)
    name = own.pop("source")
    described = known_sources()[name]
    source = importlib.import_module(f"longtail.data.sources.{described.family or name}")
    if args.archive:
        own["archive"] = args.archive
    if described.family:
        own |= {"name": name.partition("/")[2], "folder": args.folder}
    save_tensors(source.load_images(**own), args.output)


if __name__ == "__main__":
    parser = program(
        __doc__,
        takes=f"source, one of {', '.join(known_sources())}, and the sha256 of its archive, or the size of its images",
        output="file of tensors (.pth) to write",
    )
    parser.add_argument("--archive", type=Path, metavar="FILE", help="the archive, of a source that has one")
    folder = "where the files of a data set of torchvision are, or are fetched into"
    parser.add_argument("--folder", type=Path, default=Path("data/torchvision"), help=folder)
    run(main, parser)
