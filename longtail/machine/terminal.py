"""What a command prints: that it arrives, and colours where it is a terminal without NO_COLOR (https://no-color.org).

And that names arrive: of options and of files.
"""

import argparse
import codecs
import io
import os
import re
import sys
import textwrap
from collections.abc import Callable
from typing import NoReturn, TextIO

UNSAYABLE = "longtail-unsayable"
"""How a letter is treated that the encoding of the standard output lacks, as `codecs` has it."""
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
    """Print an error, which is one sentence, on standard error; on the standard output where that is closed or full."""
    try:
        print(in_colour("error:", RED, sys.stderr), error, file=sys.stderr, flush=True)
    except (OSError, AttributeError):
        print("error:", error, flush=True)


def check_streams() -> None:
    """Refuse a closed stream: what is printed would be lost, or go into the next file that is opened.

    Raises:
        ValueError: the standard output or the standard error is closed.
    """
    for name, stream in (("output", sys.stdout), ("error", sys.stderr)):
        if stream is None:
            raise ValueError(f"the standard {name} is closed; send it to a file, or to /dev/null")


def check_names() -> None:
    """Refuse an encoding of names in which `ä` is two other letters: classes would be called otherwise than elsewhere.

    Raises:
        ValueError: Python reads the names of files in another encoding than UTF-8.
    """
    if (encoding := sys.getfilesystemencoding()).lower() != "utf-8":
        raise ValueError(
            f"names of files are read in {encoding} here, so classes with other letters would be called otherwise than "
            "elsewhere; set PYTHONUTF8=1 or a locale in UTF-8, such as LC_ALL=C.UTF-8"
        )


def _unsayable(error: UnicodeError) -> NoReturn:
    """Say what a standard output in another encoding than UTF-8 cannot hold; a spelt name would be another one."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    raise OSError(
        f"the standard output is in {error.encoding}, which has no {error.object[error.start]!a}; set "
        "PYTHONIOENCODING=utf-8, or write into a file by an option"
    )


codecs.register_error(UNSAYABLE, _unsayable)


def exactly(stream: TextIO) -> TextIO:
    """The standard output, which from now on refuses what its encoding lacks, where a spelt name would be another."""
    if isinstance(stream, io.TextIOWrapper):
        stream.reconfigure(errors=UNSAYABLE)
    return stream


def heard(command: Callable[[], int | None]) -> int:
    """Run a command; its exit status, once all that it printed has arrived.

    It is 1, with a sentence on the other stream, where the standard output or error is closed or full, also where names
    are read in another encoding than UTF-8, and 0 where a pipe such as `| head` has read enough.
    """
    try:
        check_streams()
        check_names()
    except ValueError as error:
        if sys.stdout or sys.stderr:
            complain(error)
        return 1
    if isinstance(sys.stdout, io.TextIOWrapper):
        # argparse hides a failure to write its help, if it comes at once. Letters that the encoding lacks are spelt.
        sys.stdout.reconfigure(write_through=False, errors="backslashreplace")
    try:
        code = command() or 0
    except SystemExit as end:
        if isinstance(end.code, str):
            complain(end.code.removeprefix("error: "))
        code = 1 if isinstance(end.code, str) else end.code or 0
    except KeyboardInterrupt:
        code = 130
    except BrokenPipeError:
        code = 0
    except OSError as error:
        if error.filename is not None:
            raise
        complain(error)
        code = 1
    try:
        sys.stdout.flush()
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # Python would try again at its end
        if not isinstance(error, BrokenPipeError):
            complain(f"the standard output cannot be written: {error.strerror}")
            return code or 1
    return code


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
