"""Read all images of a source into one file of tensors."""

import sys
from pathlib import Path

sys.path.insert(
    0, str(Path(__file__).resolve().parents[2])
)  # the library beside this script, not an installed copy

import argparse
import importlib

from longtail.data.sources.table import known_sources
from longtail.data.tensors.files import save_tensors


def main() -> None:
    sources = {name: source for name, source in known_sources().items() if source.rules == "sources.smk"}
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--source", choices=list(sources), required=True, help="where the images come from")
    parser.add_argument("--archive", type=Path, help="cifar100: cifar-100-python.tar.gz")
    parser.add_argument("--sha256", help="cifar100: hash that the archive must have, in hexadecimal")
    parser.add_argument("--output", type=Path, required=True, help="file of tensors (.pth) to write")
    arguments = parser.parse_args()
    options = {}
    if sources[arguments.source].archive:
        if arguments.archive is None or arguments.sha256 is None:
            parser.error(f"--source {arguments.source} needs --archive and --sha256")
        options = {"archive": arguments.archive, "sha256": arguments.sha256}
    source = importlib.import_module(f"longtail.data.sources.{arguments.source}")
    try:
        save_tensors(source.load_images(**options), arguments.output)
    except (OSError, ValueError) as error:
        sys.exit(f"images.py: {error}")


if __name__ == "__main__":
    main()
