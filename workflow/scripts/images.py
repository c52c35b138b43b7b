"""Read all images of a source into one file of tensors."""

import importlib
from pathlib import Path

from frame import Namespace, program, run

from longtail.data.sources.table import known_sources
from longtail.data.tensors.files import save_tensors


def main(args: Namespace) -> None:
    own = dict(args.settings)
    source = importlib.import_module(f"longtail.data.sources.{own.pop('source')}")
    if args.archive:
        own["archive"] = args.archive
    save_tensors(source.load_images(**own), args.output)


if __name__ == "__main__":
    parser = program(
        __doc__,
        takes=f"source, one of {', '.join(known_sources())}, and the sha256 of its archive",
        output="file of tensors (.pth) to write",
    )
    parser.add_argument("--archive", type=Path, metavar="FILE", help="the archive, of a source that has one")
    run(main, parser)
