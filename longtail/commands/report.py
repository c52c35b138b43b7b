"""Pack the results into one file: the page of all answers, figures and tables, with all that it leads to inside.

The page is `index.html` in the results, which the workflow makes. The file opens in any browser, without a network.
"""

import os
import sys
from argparse import ArgumentParser
from collections.abc import Sequence
from pathlib import Path

from longtail.config.command_line import add_configuration, configured
from longtail.files.atomic import atomic_path, write_text
from longtail.files.text import printable
from longtail.machine.terminal import Help
from longtail.settings import path_argument

DEFAULT = "report.html"


def report(results: Path, output: Path | None = None) -> Path:
    """Write the file, and return its path.

    Args:
        output: a page (.html), or an archive (.zip) of the page and the files that it leads to; None: report.html in
            the results.

    Raises:
        FileNotFoundError: the results have no page yet.
        ValueError: the output is the page itself, or has another ending.
    """
    from longtail.report.index import NAME, archive, packed  # imports pandas

    page, output = results / NAME, output or results / DEFAULT
    if output.suffix not in (".html", ".zip"):
        raise ValueError(
            f"--output {output}: a report is a page (.html) or an archive (.zip); name one of these"
        )
    if os.path.realpath(output) == os.path.realpath(page):
        raise ValueError(f"--output {output} is the page that the report is made of; name another file")
    if not page.is_file():
        raise FileNotFoundError(
            f"{page} does not exist; let snakemake make it (with --config partial=true, of the finished runs), or "
            "name the folder of other results"
        )
    text = page.read_text(encoding="utf-8")
    if output.suffix == ".zip":
        with atomic_path(output) as temporary:
            archive(text, results, temporary)
    else:
        write_text(output, packed(text, results))
    return output


def parser() -> ArgumentParser:
    parser = ArgumentParser(prog="longtail report", description=__doc__, formatter_class=Help)
    parser.add_argument(
        "results", nargs="?", type=path_argument, metavar="RESULTS", help="default: that of the configuration"
    )
    add_configuration(parser)
    parser.add_argument(
        "--output",
        type=path_argument,
        metavar="FILE",
        help=".html or .zip (default: report.html in the results)",
    )
    return parser


def main(words: Sequence[str] | None = None) -> None:
    given = parser().parse_args(words)
    try:
        results = given.results or configured(given.configfile, given.config).paths.results
        path = report(Path(results), Path(given.output) if given.output else None)
        print(f"{printable(str(path))}: {path.stat().st_size / 1e6:,.1f} MB, opens in any browser")
    except (OSError, ValueError) as error:
        sys.exit(f"error: {printable(str(error))}")
