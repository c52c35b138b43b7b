"""Delete the states of unfinished runs: `longtail clean`, with the configuration's options of `snakemake`.

The configuration says where they are (`paths.work`). Only files that training leaves there are deleted; everything else
stays and is named, and so does the state of a run that is being trained.
"""

import re
import sys
from argparse import ArgumentParser
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from filelock import FileLock, Timeout

from longtail.config.command_line import add_configuration, configured
from longtail.machine.terminal import Help

STATE = re.compile(r"(current|previous|new)\.state|progress\.json|\.progress\.\d+\.tmp\.json|holder|lock")


def clean(work: Path) -> list[str]:
    """Delete the states in a folder, and the folder itself where nothing is left; returns a line on each thing done."""
    if not work.is_dir():
        return [f"{work}: there is nothing to delete."]
    runs = size = 0
    kept = []
    for folder in sorted(work.iterdir()):
        # A run's folder is called by its key.
        if folder.is_symlink() or not folder.is_dir() or not re.fullmatch("[0-9a-f]{20}", folder.name):
            kept.append(f"{folder}: kept, as it is no state of a run.")
            continue
        lock = FileLock(folder / "lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            kept.append(f"{folder}: kept, as its run is being trained.")
            continue
        except OSError as error:
            kept.append(f"{folder}: kept, as its lock cannot be taken ({error.strerror}).")
            continue
        try:
            for file in sorted(folder.iterdir()):
                if STATE.fullmatch(file.name) and (file.is_symlink() or file.is_file()):
                    size += file.lstat().st_size
                    file.unlink()
                else:
                    kept.append(f"{file}: kept, as it is no part of a state.")
        finally:
            lock.release()
        (folder / "lock").unlink(missing_ok=True)
        with suppress(OSError):  # something in it was kept
            folder.rmdir()
        runs += 1
    with suppress(OSError):
        work.rmdir()
    return [f"{work}: deleted the states of {runs} unfinished runs, {size / 1e6:,.1f} MB.", *kept]


def parser() -> ArgumentParser:
    parser = ArgumentParser(prog="longtail clean", description=__doc__, formatter_class=Help)
    add_configuration(parser)
    return parser


def main(words: Sequence[str] | None = None) -> None:
    given = parser().parse_args(words)
    try:
        print("\n".join(clean(Path(configured(given.configfile, given.config).paths.work))))
    except (OSError, ValueError) as error:
        sys.exit(f"error: {error}")
