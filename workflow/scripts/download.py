"""Download a file, or copy it from this machine, and check its SHA-256."""

import argparse
from pathlib import Path

from frame import program, run

from longtail.data.sources.download import DownloadError, download


def arguments() -> argparse.ArgumentParser:
    parser = program(__doc__)
    parser.add_argument("--url", nargs="+", required=True, help="addresses or paths, tried in this order")
    parser.add_argument("--sha256", required=True, help="hash that the file must have, in hexadecimal")
    parser.add_argument("--output", type=Path, required=True, help="file to write")
    return parser


def main(args: argparse.Namespace) -> None:
    try:
        download(args.url, args.sha256, args.output)
    except DownloadError as error:
        raise ValueError(error) from error


if __name__ == "__main__":
    run(main, arguments())
