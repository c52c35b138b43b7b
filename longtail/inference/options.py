"""What the doors that compute with a trained model have in common on the command line."""

import argparse
import os

from longtail.settings import MOST_THREADS, path_argument


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
    parser.add_argument("--device", help="cpu, cuda, cuda:1, … (default: cuda where there is one)")
    parser.add_argument(
        "--threads",
        type=_threads,
        default=os.cpu_count(),
        metavar="N",
        help="CPU threads (default: all cores)",
    )


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
        raise argparse.ArgumentTypeError(
            "is empty, as where a variable of the shell is not set; the folder here is called ."
        )
    return path_argument(text)


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
