"""Download a file, or copy it from this machine, and check its SHA-256."""

import argparse

from frame import program, run

from longtail.data.sources.download import DownloadError, download


def arguments() -> argparse.ArgumentParser:
    parser = program(__doc__, output="file to write")
    parser.add_argument("--url", nargs="+", required=True, help="addresses or paths, tried in this order")
    parser.add_argument("--sha256", required=True, help="hash that the file must have, in hexadecimal")
    return parser


def main(args: argparse.Namespace) -> None:
    try:
        download(args.url, args.sha256, args.output)
    except DownloadError as error:
        raise ValueError(error) from error


if __name__ == "__main__":
    run(main, arguments())
