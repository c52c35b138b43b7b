"""Blocks of model and training set, in which the losses are ranked, and the rank tests over them."""

import itertools

import pandas as pd

from longtail.analysis.grid import Grid, Refusal, join_notes
from longtail.analysis.statistics.friedman import COLUMNS, friedman, pairs
from longtail.data.split.sets import TEST_SETS

ALL_TRAIN_SETS = "all"
BLOCK = ["model", "train_set"]
SCOPE = ["test_set", "train_set"]
BY_LOSS = ["loss", "average_rank", "critical_difference", "chi2", "p", "f", "p_f", "blocks", "note"]


def complete_blocks(found: pd.DataFrame, grid: Grid) -> tuple[pd.DataFrame, str]:
    """Mean scores by block of model and training set, and what had to be left out.

    A block's means are over the seeds that all its losses have. A loss without any run is left out, then every
    block that lacks a loss.

    Args:
        found: rows of one test set, as `longtail.analysis.grid.scores` returns them.

    Returns:
        One row per complete block (model, train_set), one column per loss; and a note that names what is missing.
    """
    wide = found.pivot(index=[*BLOCK, "seed"], columns="loss", values="value").reindex(
        columns=list(grid.losses)
    )
    absent = [loss for loss in grid.losses if wide[loss].isna().all()]
    complete = wide.drop(columns=absent).dropna()
    table = complete.groupby(BLOCK, sort=False).mean()
    expected = list(itertools.product(grid.models, grid.train_sets))
    lost = [
        f"{model} trained on {train_set}"
        for model, train_set in expected
        if (model, train_set) not in table.index
    ]
    partial = [
        f"{model} trained on {train_set} ({seeds} of {len(grid.seeds)} seeds)"
        for (model, train_set), seeds in complete.groupby(BLOCK, sort=False).size().items()
        if seeds < len(grid.seeds)
    ]
    note = join_notes(
        f"losses without any run: {', '.join(absent)}" if absent else "",
        f"blocks left out because a loss is missing: {', '.join(lost)}" if lost else "",
        f"blocks with missing seeds: {', '.join(partial)}" if partial else "",
    )
    return table, note


def friedman_tables(found: pd.DataFrame, grid: Grid) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Friedman's test and all pairs, for each test set, over all training sets and over each alone.

    Args:
        found: as `longtail.analysis.grid.scores` returns them.

    Returns:
        Two frames. By loss: test_set, train_set ("all", or one), loss, average_rank, critical_difference, chi2,
        p, f, p_f, blocks, note. By pair: test_set, train_set, and the columns of `pairs`. Refusals are rows with
        nothing but a note.
    """
    scopes = [(ALL_TRAIN_SETS, grid.train_sets)] if len(grid.train_sets) > 1 else []
    scopes += [(train_set, (train_set,)) for train_set in grid.train_sets]
    by_loss: list[pd.DataFrame] = []
    by_pair: list[pd.DataFrame] = []
    for test_set, (scope, train_sets) in itertools.product(TEST_SETS, scopes):
        own = found[(found["test_set"] == test_set) & found["train_set"].isin(train_sets)]
        table, note = complete_blocks(own, Grid(grid.models, grid.losses, train_sets, grid.seeds))
        try:
            frames = [_by_loss(table), pairs(table)]
        except Refusal as refusal:
            frames = [pd.DataFrame([{"note": str(refusal)}])] * 2
        for frame, collected in zip(frames, (by_loss, by_pair), strict=True):
            notes = [join_notes(own_note, note) for own_note in frame["note"]]
            collected.append(frame.assign(test_set=test_set, train_set=scope, note=notes))
    return (
        pd.concat(by_loss, ignore_index=True).reindex(columns=[*SCOPE, *BY_LOSS]),
        pd.concat(by_pair, ignore_index=True).reindex(columns=[*SCOPE, *COLUMNS]),
    )


def _by_loss(table: pd.DataFrame) -> pd.DataFrame:
    result = friedman(table)
    ranks = result.ranks.sort_values(kind="stable")
    return pd.DataFrame(
        {
            "loss": ranks.index,
            "average_rank": ranks.to_numpy(),
            "critical_difference": result.critical_difference,
            "chi2": result.chi2,
            "p": result.p,
            "f": result.f,
            "p_f": result.p_f,
            "blocks": len(table),
            "note": "",
        }
    )
