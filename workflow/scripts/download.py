"""Download a file, or copy it from this machine, and check its SHA-256."""

from frame import Namespace, program, run

from longtail.data.sources.download import DownloadError, download


def main(args: Namespace) -> None:
    try:
        download(args.url, args.sha256, args.output)
    except DownloadError as error:
        raise ValueError(error) from error


if __name__ == "__main__":
    parser = program(__doc__, output="file to write")
    parser.add_argument("--url", nargs="+", required=True, help="addresses or paths, tried in this order")
    parser.add_argument("--sha256", required=True, help="hash that the file must have, in hexadecimal")
    run(main, parser)
