"""Colours on a terminal; none where the output is no terminal or NO_COLOR is set (https://no-color.org)."""

import argparse
import os
import re
import sys
import textwrap
from typing import TextIO

BOLD, RED, CYAN = "1", "1;31", "36"
_HEADING = re.compile(r"^(usage:|[a-z ]+:$)", re.MULTILINE)
_NAME = re.compile(
    r"^( {2,4})(-[^\s,]+(?:, -[^\s,]+)*|[a-z]+|[A-Z][A-Z.|]*)(?=  |\s[A-Z\[{]|$)", re.MULTILINE
)


def in_colour(text: str, colour: str, stream: TextIO | None = None) -> str:
    """The text in that colour, where the stream (without one, the standard output) shows colours."""
    stream = stream or sys.stdout
    shown = stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    return f"\033[{colour}m{text}\033[0m" if shown else text


def complain(error: object) -> None:
    """Print an error, which is one sentence, on standard error."""
    print(in_colour("error:", RED, sys.stderr), error, file=sys.stderr)


class Help(argparse.HelpFormatter):
    """Help whose paragraphs fit the terminal, with headings and the names of options in colour.

    A paragraph with an indented line stays as it is written.
    """

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        paragraphs = text.strip().split("\n\n")
        return "\n\n".join(
            part if "\n " in f"\n{part}" else textwrap.fill(part, width, break_on_hyphens=False)
            for part in paragraphs
        )

    def format_help(self) -> str:
        text = _HEADING.sub(lambda found: in_colour(found[1], BOLD), super().format_help())
        return _NAME.sub(lambda found: found[1] + in_colour(found[2], CYAN), text)
