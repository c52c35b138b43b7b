"""Outputs that would take something away, or that the next reading of a folder would find in it."""

import os
from collections.abc import Iterable
from pathlib import Path


def check_outputs(outputs: Iterable[str | Path], inputs: Iterable[str | Path]) -> None:
    """Refuse to write over an input, into a folder that is read, two outputs to one file, and a file where a folder is.

    Links are followed, so an input is known by any of its names.

    Raises:
        ValueError: names the output, and what to do.
    """
    read, written = list(map(Path, inputs)), list[Path]()
    folders = {os.path.realpath(path): path for path in read if path.is_dir()}
    for output in map(Path, outputs):
        if output.is_dir():
            raise ValueError(f"the output {output} is a folder; give the name of a file")
        if above := next((path for path in output.parents if path.exists() and not path.is_dir()), None):
            raise ValueError(
                f"the output {output} cannot be made, as {above} is a file and no folder; name another folder"
            )
        if any(_same(output, path) for path in read):
            raise ValueError(
                f"the output {output} is one of the inputs, which would be lost; give another name"
            )
        around = (str(folder) for folder in Path(os.path.realpath(output)).parents)
        if folder := next((folders[path] for path in around if path in folders), None):
            raise ValueError(
                f"the output {output} lies in {folder}, which is read, so that the next reading would find it there; "
                "name another folder"
            )
        if any(_same(output, path) for path in written):
            raise ValueError(f"two outputs have the name {output}; give another name")
        written.append(output)


def _same(one: Path, other: Path) -> bool:
    try:
        return one.samefile(other)
    except OSError:  # one of them does not exist, or its name is too long
        return one.absolute() == other.absolute()
