"""Figures, tables and statistics of an earlier grid, which must not lie among the new ones.

Only files that a proof names are moved, and only where they are as they were made: nobody loses a file of their own.
The runs themselves stay where they are, since training them took time.
"""

import os
from collections.abc import Iterable
from pathlib import Path

from longtail.experiment.proof import FOLDER, made_files

FOLDERS = ("figures", "tables", "statistics")
ASIDE = "earlier"
"""The folder of the results that they are moved to, under the paths that they had."""


def put_aside(results: Path, made: Iterable[str | Path]) -> str:
    """Move what an earlier configuration has made and this one does not.

    Args:
        made: all files that the present configuration makes.

    Returns:
        A sentence about what was moved; empty: nothing was.

    Raises:
        OSError: a file could not be moved.
    """
    wanted = {os.path.realpath(path) for path in made}
    moved = []
    for name in FOLDERS:
        for proof in sorted((results / name).rglob(f"{FOLDER}/*.json")):
            found = list(made_files(proof))
            left = [path for path in found if os.path.realpath(path) not in wanted]
            for path in left:
                aside = results / ASIDE / path.relative_to(results)
                aside.parent.mkdir(parents=True, exist_ok=True)
                moved.append(path.replace(aside))
            if left and len(left) == len(found):
                proof.unlink()
                _remove_empty(proof.parent, results / name)
    if not moved:
        return ""
    first = moved[0].relative_to(results / ASIDE)
    more = f" and {len(moved) - 1:,} more" if len(moved) > 1 else ""
    return (
        f"Moved to {results / ASIDE}, since this configuration does not make them: {first}{more}. "
        "Delete that folder, or look at it."
    )


def _remove_empty(folder: Path, top: Path) -> None:
    while folder != top.parent and not any(folder.iterdir()):
        folder.rmdir()
        folder = folder.parent
