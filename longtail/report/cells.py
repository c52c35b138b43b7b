"""The cells of the tables: the mean over the seeds, its printed form, and which cells are the best of theirs.

A cell prints as "–" without test images, as "missing" without any of its runs, and with a dagger where it lacks some
of them.
"""

from collections.abc import Sequence

import pandas as pd

from longtail.analysis.grid import every_run
from longtail.analysis.metrics import METRICS
from longtail.report import captions
from longtail.report.labels import label

CELL = ["model", "train_set", "loss", "test_set", "metric"]
HEADINGS = {
    "model": "Model",
    "train_set": "Training set",
    "loss": "Loss function",
    "test_set": "Test set",
    "metric": "Metric",
}


def cells(evaluation: pd.DataFrame, metrics: Sequence[str]) -> pd.DataFrame:
    """Mean and standard deviation over the seeds, for every cell of the grid of runs, whether it ran or not.

    Args:
        evaluation: as for `grid.every_run`.
        metrics: names of the metrics to keep.

    Returns:
        Columns model, train_set, loss, test_set, metric, mean, sd (n - 1; NaN for one run), runs (how many have
        a value), expected (how many should), n; in the order of the evaluation.

    Raises:
        ValueError: a column is missing, or a value is there twice.
    """
    groups = every_run(evaluation, metrics).groupby(CELL, sort=False)
    return groups.agg(
        mean=("value", "mean"),
        sd=("value", "std"),
        runs=("value", "count"),
        expected=("value", "size"),
        n=("n", "max"),
    ).reset_index()


def wide(
    data: pd.DataFrame, rows: list[str], column: str, compared_within: Sequence[str] = ()
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The printed cells with a column for each value of `column`, and which of them are the best of theirs.

    Args:
        data: as `cells` returns it.
        rows: columns that name a row.
        column: test_set or metric.
        compared_within: those of `rows` in which a cell competes with its equals only; its column is another.
    """
    cell = data.assign(text=printed(data), best=_best(data, [*compared_within, column]))
    by_column = cell.set_index([*rows, column])[["text", "best"]].unstack(column, sort=False)
    # Renamed before the index is, as the metric `loss` and the `loss` of a row have one name.
    heading = (lambda name: METRICS[name].heading) if column == "metric" else label
    by_column = by_column.rename(columns=heading, level=column)
    text, bold = named(by_column["text"], rows), by_column["best"].reset_index()
    bold[rows] = False
    return text, bold.set_axis(text.columns, axis=1)


def named(text: pd.DataFrame, rows: list[str]) -> pd.DataFrame:
    """The table with its index, which names the rows, as first columns, in the form in which names are printed."""
    text = text.reset_index()
    for name in rows:
        text[name] = text[name].map((lambda each: METRICS[each].label) if name == "metric" else label)
    return text.rename(columns=HEADINGS)


def printed(data: pd.DataFrame) -> list[str]:
    """The cells as they are printed, without emphasis."""
    texts = []
    for cell in data.itertuples():
        if cell.n == 0:
            texts.append("–")
        elif cell.runs == 0:
            texts.append("missing")
        else:
            number = METRICS[cell.metric].format
            spread = f" ± {number(cell.sd)}" if pd.notna(cell.sd) else ""
            texts.append(number(cell.mean) + spread + ("†" if cell.runs < cell.expected else ""))
    return texts


def numbers(values: pd.Series, metrics: pd.Series) -> list[str]:
    """Values as they are printed, each in the form of its metric."""
    return [METRICS[metric].format(value) for value, metric in zip(values, metrics, strict=True)]


def differences(values: pd.Series, metrics: pd.Series) -> list[str]:
    """Differences as they are printed, with their sign; "–" where there is none."""
    return [
        "–" if pd.isna(value) else METRICS[metric].format(value, sign="+z").replace("-", "−")
        for value, metric in zip(values, metrics, strict=True)
    ]


def by_appearance(names: pd.Series) -> pd.Series:
    """Sort key that puts names in the order in which the configuration lists them."""
    return pd.Series(pd.factorize(names)[0], index=names.index)


def notes(data: pd.DataFrame, runs: pd.DataFrame) -> tuple[str, ...]:
    """What a table has to say about its signs and about missing runs.

    Args:
        data: as `cells` returns it.
        runs: the part of the evaluation that the table shows.
    """
    found = (
        "† Mean of fewer runs than planned; not compared with the others."
        if data["runs"].between(1, data["expected"] - 1).any()
        else "",
        "– No test images." if (data["n"] == 0).any() else "",
        captions.missing(runs, "value"),
    )
    return tuple(note for note in found if note)


def _best(data: pd.DataFrame, within: list[str]) -> pd.Series:
    """Whether a cell is the best of at least two by its metric.

    Numbers that print alike are equally good. A cell that lacks runs does not compete: without its worst model,
    a loss would have the best mean.
    """
    shown = pd.Series(map(float, numbers(data["mean"], data["metric"])), index=data.index)
    more = data["metric"].map(lambda name: METRICS[name].better == "more")
    score = shown.where(more, -shown).where(data["runs"] == data["expected"])
    groups = score.groupby([data[name] for name in within])
    return (score == groups.transform("max")) & (groups.transform("count") > 1)
