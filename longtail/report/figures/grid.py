"""The grid of runs behind a figure: which there are, which are missing, and their accuracies."""

import pandas as pd

from longtail.experiment.runs import RUN

TEST_SETS = ("balanced", "longtailed", "head", "middle", "tail")
GROUPS = ("head", "middle", "tail")


def run_grid(frame: pd.DataFrame) -> pd.MultiIndex:
    """Every combination of the models, losses, training sets and seeds in the frame, as it orders them."""
    return pd.MultiIndex.from_product([frame[name].unique() for name in RUN], names=RUN)


def missing_runs(frame: pd.DataFrame, value: str) -> pd.DataFrame:
    """The runs of the grid without any number in the column `value`."""
    present = pd.MultiIndex.from_frame(frame.loc[frame[value].notna(), RUN].drop_duplicates())
    grid = run_grid(frame)
    return grid[~grid.isin(present)].to_frame(index=False)


def select(frame: pd.DataFrame, **chosen: str | None) -> pd.DataFrame:
    """The rows of the chosen model, training set or loss; None chooses all.

    Raises:
        ValueError: there is no such row; says which names there are.
    """
    for column, name in chosen.items():
        if name is None:
            continue
        names = list(frame[column].unique())
        if name not in names:
            raise ValueError(
                f"{column} '{name}' is not among the results; there are: {', '.join(map(str, names))}"
            )
        frame = frame[frame[column] == name]
    return frame


def accuracies(evaluation: pd.DataFrame) -> pd.DataFrame:
    """Top-1 accuracy of every run of the grid on every test set that has images.

    A missing run has its rows here, with NaN, so whatever is counted or averaged later can tell.

    Args:
        evaluation: columns model, loss, train_set, seed, test_set, metric, value (fraction), n (test images).

    Returns:
        Columns model, loss, train_set, seed, test_set, accuracy (in percent), n; test sets in their usual order.

    Raises:
        ValueError: a column is missing, no run has an accuracy, or one accuracy is there twice.
    """
    require(evaluation, [*RUN, "test_set", "metric", "value", "n"], "evaluation")
    found = evaluation[(evaluation["metric"] == "acc1") & evaluation["test_set"].isin(TEST_SETS)]
    measured = found[found["value"].notna()]
    if measured.empty:
        raise ValueError(
            "the evaluation holds no top-1 accuracy (metric 'acc1'): not one run has been evaluated"
        )
    test_sets = [name for name in TEST_SETS if name in set(measured["test_set"])]
    order = pd.MultiIndex.from_tuples(
        [(*run, name) for run in run_grid(evaluation) for name in test_sets], names=[*RUN, "test_set"]
    )
    indexed = found.set_index([*RUN, "test_set"])
    if indexed.index.has_duplicates:
        twice = indexed.index[indexed.index.duplicated()][0]
        raise ValueError(f"the evaluation holds two top-1 accuracies of {twice}; one run was added twice")
    table = indexed[["value", "n"]].reindex(order).reset_index()
    table["n"] = table.groupby("test_set")["n"].transform("max")
    table.insert(5, "accuracy", 100 * table.pop("value"))
    return table


def over_seeds(table: pd.DataFrame) -> pd.DataFrame:
    """Mean and standard deviation over the seeds that ran, and how many did.

    Returns:
        Columns model, loss, train_set, test_set, mean, sd (n - 1; NaN for one run), runs, expected.
    """
    groups = table.groupby(["model", "loss", "train_set", "test_set"], sort=False)["accuracy"]
    return groups.agg(mean="mean", sd="std", runs="count", expected="size").reset_index()


def across(summary: pd.DataFrame, name: str) -> pd.DataFrame:
    """Mean and standard deviation of the means over seeds, per `name` (`model` or `loss`) over the other.

    Returns:
        Columns `name`, train_set, test_set, mean, sd, runs, expected.
    """
    groups = summary.groupby([name, "train_set", "test_set"], sort=False)
    return groups.agg(
        mean=("mean", "mean"), sd=("mean", "std"), runs=("runs", "sum"), expected=("expected", "sum")
    ).reset_index()


def require(frame: pd.DataFrame, columns: list[str], name: str) -> None:
    """
    Raises:
        ValueError: the frame lacks one of the columns.
    """
    absent = [column for column in columns if column not in frame.columns]
    if absent:
        raise ValueError(
            f"{name} lacks the columns {', '.join(absent)}; it has {', '.join(map(str, frame.columns))}"
        )
