"""The files of many runs as one frame."""

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from longtail.parquet import read_parquet

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


def gather(
    paths: Sequence[str | Path], measured: Sequence[str], of_train_set: Sequence[str] = ()
) -> pd.DataFrame:
    """One frame of the files of many runs, in the order of the paths; absent files become rows with NaN.

    A run whose file is absent has the rows of a run that is there, with NaN in the columns `measured`. So whatever
    counts, draws or averages the frame later can tell that the run is missing.

    Args:
        paths: a file for every run there should be, each in its run's folder.
        measured: columns that hold the run's results.
        of_train_set: columns that runs on the same training set share; NaN too where no such run is there.

    Raises:
        FileNotFoundError: none of the files exists.
        ValueError: a path is not in a run's folder; a file is damaged, lacks a column, or is of another run.
    """
    runs = {Path(path): run_of(path) for path in paths}
    frames = {path: _read_run(path, run, measured) for path, run in runs.items() if path.is_file()}
    if not frames:
        listed = ", ".join(map(str, list(runs)[:3]))
        raise FileNotFoundError(
            f"none of the {len(runs)} runs has its file ({listed}, …): train at least one"
        )
    templates = {runs[path]["train_set"]: frame for path, frame in frames.items()}
    other = next(iter(frames.values())).assign(**dict.fromkeys(of_train_set, np.nan))
    for path, run in runs.items():
        if path not in frames:
            template = templates.get(run["train_set"], other)
            frames[path] = template.assign(**run, **dict.fromkeys(measured, np.nan))
    return pd.concat([frames[path] for path in runs], ignore_index=True)


def _read_run(path: Path, run: dict[str, str | int], measured: Sequence[str]) -> pd.DataFrame:
    frame = read_parquet(path, [*RUN, *measured])
    for name, value in run.items():
        if not (frame[name] == value).all():
            found = ", ".join(map(str, frame[name].unique()))
            raise ValueError(
                f"{path} holds results of {name} {found}, not {value}; was it copied from another folder?"
            )
    return frame
