"""The frame that every program in this folder stands in: where the library is, how settings arrive, how it ends.

A program imports this first, which puts the library beside it on the path, an installed copy or not. It then hands
its work and its parser to `run`:

    if __name__ == "__main__":
        parser = program(__doc__, images="file of tensors", output="table (.parquet) to write")
        run(main, parser)

Importing this imports neither the library nor any package, so that a program's own imports alone decide how long it
takes to start.
"""

import json
import os
import re
import sys
from argparse import ArgumentParser, ArgumentTypeError, Namespace, RawDescriptionHelpFormatter
from collections.abc import Callable
from io import TextIOWrapper
from pathlib import Path
from typing import Any, NoReturn

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))


def run(work: Callable[[Namespace], int | None], parser: ArgumentParser) -> NoReturn:
    """Read the command line, do the work, and end the process; a signal or the end of the workflow stops it.

    An `OSError` or a `ValueError` is something that the user of the program can mend: it becomes one sentence on
    standard error, and exit code 1. Any other exception is a fault of the program and keeps its traceback.

    Args:
        work: does everything; what it returns is the exit code, None being 0.
    """
    from longtail.files.outputs import check_outputs
    from longtail.machine.stopping import stoppable
    from longtail.machine.terminal import check_names, check_streams

    args = parser.parse_args()
    for stream in (sys.stdout, sys.stderr):
        # A log in another encoding spells the letters that it lacks, and no job fails for them.
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        check_streams()
        check_names()
        with stoppable():
            # Folders of results are read and written to; that those of images are not is known when planning.
            files = [path for path in _paths(args, outputs=False) if not Path(path).is_dir()]
            check_outputs(_paths(args, outputs=True), files)
            code = work(args)
        sys.stdout.flush()
    except (OSError, ValueError) as error:
        sys.exit(f"error: {error}{_inputs(args, str(error))}")
    sys.exit(code or 0)


def _inputs(args: Namespace, told: str) -> str:
    """The inputs of a program, where an error names no path and no option, so that users know what to look at."""
    named = [path for path in map(str, _paths(args, outputs=False)) if os.sep in path]
    if not named or "--" in told or os.sep in told:
        return ""
    return f" (in {', '.join(named[:4])}{', …' if len(named) > 4 else ''})"


def _paths(args: Namespace, outputs: bool) -> list[str | Path]:
    """The outputs, which are the options whose names begin so, or all other paths and words among the arguments."""
    names = [name for name in vars(args) if name.startswith("output") == outputs and name != "output_folder"]
    values = [value if isinstance(value := getattr(args, name), list) else [value] for name in names]
    return [one for each in values for one in each if isinstance(one, str | Path)]


def output(told: str) -> Callable[[str], Path]:
    """The type of an option for an output; its help may name the endings it takes, such as "page (.md, .html)"."""
    endings = re.findall(r"\.\w+", "".join(re.findall(r"\((\..+?)\)", told)))

    def path(text: str) -> Path:
        if endings and Path(text).suffix not in endings:
            raise ArgumentTypeError(f"the name {text} must end in {' or '.join(endings)}")
        return Path(text)

    return path


def program(description: str | None, takes: str = "", **paths: str) -> ArgumentParser:
    """A parser that prints the description as it is written, and reads `@FILE` as one argument a line.

    Args:
        takes: which settings there are; with it, the option `--settings` has to be given.
        paths: further options that have to be given, each the path of a file or a folder, and what that is.
    """
    parser = ArgumentParser(
        description=description,
        formatter_class=RawDescriptionHelpFormatter,
        fromfile_prefix_chars="@",
    )
    if takes:
        parser.add_argument("--settings", type=settings, required=True, metavar="JSON", help=takes)
    for name, told in paths.items():
        option = f"--{name.replace('_', '-')}"
        kind = output(told) if name.startswith("output") else Path
        parser.add_argument(option, type=kind, required=True, metavar="PATH", help=told)
    return parser


class Settings(dict[str, Any]):
    """The settings of a program; one that is missing is named where it is asked for."""

    def __missing__(self, name: str) -> Any:
        raise ValueError(f"--settings lacks {name!r}; it has {', '.join(self) or 'none'}")


def settings(text: str) -> Settings:
    """The type of the option `--settings`: JSON of an object, as the rules of the workflow hand settings on.

    Raises:
        ValueError: the text is no such JSON.
    """
    found = json.loads(text)
    if not isinstance(found, dict):
        raise ValueError(f"settings are a JSON object, found {text}")
    return Settings(found)
