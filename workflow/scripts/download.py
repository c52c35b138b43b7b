"""Download a file, or copy it from this machine, and check its SHA-256."""

import sys
from pathlib import Path

sys.path.insert(
    0, str(Path(__file__).resolve().parents[2])
)  # the library beside this script, not an installed copy

import argparse

from longtail.data.sources.download import DownloadError, download


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", nargs="+", required=True, help="addresses or paths, tried in this order")
    parser.add_argument("--sha256", required=True, help="hash that the file must have, in hexadecimal")
    parser.add_argument("--output", type=Path, required=True, help="file to write")
    arguments = parser.parse_args()
    try:
        download(arguments.url, arguments.sha256, arguments.output)
    except (DownloadError, OSError, ValueError) as error:
        sys.exit(f"download.py: {error}")


if __name__ == "__main__":
    main()
