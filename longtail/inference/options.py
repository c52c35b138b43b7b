"""What the doors that compute with a trained model have in common on the command line."""

import argparse
import math
from typing import get_args

from longtail.config.data import ImageFolder
from longtail.data.lists.rows import COLUMNS, GROUP_COLUMN, Choices
from longtail.machine.cores import usable_cores
from longtail.settings import MOST_THREADS, path_argument, unknown

_OPTIONS = (
    ". Here, settings of a configuration are options: --columns path=COLUMN label=COLUMN, --group-column "
    "COLUMN, --root FOLDER, --regions ignore, --min-confidence SHARE"
)
"""What errors of `data.image_folder` lack for a command that takes no configuration."""


_EMPTY = "is empty, as where a variable of the shell is not set"


def add_model(parser: argparse.ArgumentParser) -> None:
    """Add the argument `model`: a file whose name `model_argument` has checked."""
    parser.add_argument(
        "model", metavar="MODEL", type=model_argument, help="model.safetensors in the folder of a run"
    )


def add_computing(parser: argparse.ArgumentParser) -> None:
    """Add the options on how to compute: `batch_size`, `device` and `threads`."""
    parser.add_argument(
        "--batch-size", type=count_argument, default=64, metavar="N", help="pictures at a time (default: 64)"
    )
    parser.add_argument(
        "--device", type=given_text, help="cpu, cuda, cuda:1, … (default: cuda where there is one)"
    )
    parser.add_argument(
        "--threads",
        type=_threads,
        default=usable_cores(),
        metavar="N",
        help="CPU threads (default: all cores)",
    )


def add_list(parser: argparse.ArgumentParser, *, or_else: str = "") -> None:
    """Add what a user may have to say of a list of pictures, as `data.image_folder` does in a configuration.

    Args:
        or_else: what is taken as groups where there is no such column, for the help.
    """
    parser.add_argument("--root", metavar="FOLDER", type=given_path, help="where the paths of a list begin")
    parser.add_argument(
        "--columns",
        metavar="MEANING=COLUMN",
        nargs="+",
        default=[],
        type=_meaning,
        help=f"columns of a list that are called otherwise than {', '.join(COLUMNS[:3])}, …",
    )
    parser.add_argument(
        "--group-column",
        metavar="COLUMN",
        type=given_text,
        default=GROUP_COLUMN,
        help=f"column of a list whose equal values are not independent (default: {GROUP_COLUMN}{or_else})",
    )
    parser.add_argument(
        "--regions",
        choices=get_args(ImageFolder.model_fields["regions"].annotation),
        default=ImageFolder.model_fields["regions"].default,
        help="whether regions that a list gives are cut out, or whole pictures are taken (default: %(default)s)",
    )
    parser.add_argument(
        "--min-confidence",
        metavar="SHARE",
        type=_share,
        help="least confidence of what a detector found (default: as its file recommends)",
    )


def choices_of(args: argparse.Namespace) -> Choices:
    """What the options of `add_list` say; `args.root` is apart."""
    return Choices(dict(args.columns), args.group_column, args.regions, args.min_confidence)


def as_options(error: Exception) -> str:
    """An error about a list, with the options of `add_list` where it names settings."""
    return f"{error}{_OPTIONS if 'data.image_folder.' in str(error) else ''}"


def model_argument(text: str) -> str:
    """The type of an argument that is the file of a trained model.

    Raises:
        argparse.ArgumentTypeError: the name has another ending, or is no path.
    """
    if not text.endswith(".safetensors"):
        raise argparse.ArgumentTypeError(
            f"MODEL comes first, and its name ends in .safetensors; found {text}"
        )
    return path_argument(text)


def given_path(text: str) -> str:
    """The type of an argument that is a path and may not be empty, as it is where a variable of the shell is not set.

    Raises:
        argparse.ArgumentTypeError: it is empty, or no path.
    """
    if not text:
        raise argparse.ArgumentTypeError(f"{_EMPTY}; the folder here is called .")
    return path_argument(text)


def given_text(text: str) -> str:
    """The type of an argument that is a name and may not be empty either.

    Raises:
        argparse.ArgumentTypeError: it is empty.
    """
    if not text.strip():
        raise argparse.ArgumentTypeError(f"{_EMPTY}; give a name, or leave the option out")
    return text


def _share(text: str) -> float:
    """The type of an argument that is a number from 0 to 1; not-a-number would keep or leave out all."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"found {text!r}, needed: a number from 0 to 1")
    return value


def count_argument(text: str) -> int:
    """The type of an argument that is a number of things, at least one.

    Raises:
        argparse.ArgumentTypeError: it is smaller, or no whole number.
    """
    try:
        value = int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"found {text!r}, needed: a whole number") from None
    if value < 1:
        raise argparse.ArgumentTypeError(f"found {value}, needed: at least 1")
    return value


def _threads(text: str) -> int:
    value = count_argument(text)
    if value > MOST_THREADS:
        raise argparse.ArgumentTypeError(f"found {value}, allowed: at most {MOST_THREADS}")
    return value


def _meaning(text: str) -> tuple[str, str]:
    """The type of an argument MEANING=COLUMN.

    Raises:
        argparse.ArgumentTypeError: it has no =, or the meaning is unknown.
    """
    meaning, equals, column = text.partition("=")
    if not equals or not column:
        raise argparse.ArgumentTypeError(f"found {text!r}, expected such as path=File")
    if meaning not in COLUMNS:
        raise argparse.ArgumentTypeError(unknown(f"{meaning!r}", meaning, COLUMNS))
    return meaning, column
