"""The files of many runs as one frame."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

RUN = ["model", "loss", "train_set", "seed"]


def run_of(path: str | Path) -> dict[str, str | int]:
    """Model, loss, train_set and seed of a file in a run's folder, `…/{train_set}/{model}/{loss}/seed{seed}/{file}`.

    Raises:
        ValueError: the path is not of this form.
    """
    match = re.search(r"([^/]+)/([^/]+)/([^/]+)/seed(\d+)/[^/]+$", Path(path).as_posix())
    if not match:
        raise ValueError(f"{path} is not in a run's folder, …/{{train_set}}/{{model}}/{{loss}}/seed{{seed}}/")
    train_set, model, loss, seed = match.groups()
    return {"model": model, "loss": loss, "train_set": train_set, "seed": int(seed)}


def combine(
    paths: Sequence[str | Path],
    tables: Mapping[Path, pd.DataFrame],
    measured: Sequence[str],
    of_train_set: Sequence[str] = (),
) -> pd.DataFrame:
    """One frame of the tables of many runs, in the order of the paths; runs without a table become rows with NaN.

    Such a run has the rows of a run that is there, with NaN in the columns `measured`. So whatever counts, draws or
    averages the frame later can tell that the run is missing.

    Args:
        paths: a file of every run there should be, in its run's folder.
        tables: those that are there, by path.
        measured: columns that hold the run's results.
        of_train_set: columns that runs on the same training set share; NaN too where no such run is there.

    Returns:
        Columns model, loss, train_set, seed, and those of the tables.

    Raises:
        FileNotFoundError: no run has a table.
        ValueError: a path is not in a run's folder.
    """
    runs = {Path(path): run_of(path) for path in paths}
    if not tables:
        listed = ", ".join(map(str, list(runs)[:3]))
        raise FileNotFoundError(
            f"none of the {len(runs)} runs has its file ({listed}, …): train at least one"
        )
    templates = {runs[path]["train_set"]: table for path, table in tables.items()}
    other = next(iter(tables.values())).assign(**dict.fromkeys(of_train_set, np.nan))
    frames = []
    for path, run in runs.items():
        template = templates.get(run["train_set"], other)
        table = tables[path] if path in tables else template.assign(**dict.fromkeys(measured, np.nan))
        frames.append(table.assign(**run)[[*RUN, *table.columns]])
    return pd.concat(frames, ignore_index=True)
