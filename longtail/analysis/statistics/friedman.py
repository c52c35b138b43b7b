"""The tests of Friedman, Nemenyi and Wilcoxon, which ask whether ranks differ over blocks of model and training set."""

import itertools
import math
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.stats import f, friedmanchisquare, rankdata, studentized_range, wilcoxon

from longtail.analysis.grid import Grid, Refusal, join_notes
from longtail.analysis.statistics.holm import holm
from longtail.analysis.statistics.sign_flip import ALPHA, least_p, sign_flip, signs_needed
from longtail.data.split.sets import TEST_SETS

ALL_TRAIN_SETS = "all"
BLOCK = ["model", "train_set"]
SCOPE = ["test_set", "train_set"]
BY_LOSS = ["loss", "average_rank", "critical_difference", "chi2", "p", "f", "p_f", "blocks", "note"]
BY_PAIR = ["a", "b", "rank_difference", "difference", "p_nemenyi", "p_wilcoxon", "p_holm", "note"]


def complete_blocks(found: pd.DataFrame, grid: Grid) -> tuple[pd.DataFrame, str]:
    """Mean scores by block of model and training set, and a note on what had to be left out.

    The means of a block use only the seeds that all its losses have. First every loss without any run is left out,
    then every block that lacks a loss.

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
        pd.concat(by_pair, ignore_index=True).reindex(columns=[*SCOPE, *BY_PAIR]),
    )


class Friedman(NamedTuple):
    """The result of Friedman's test for k losses over N blocks."""

    ranks: pd.Series
    """Average rank of each loss; 1 is best."""
    chi2: float
    p: float
    """The p of chi2, corrected for ties. It is too coarse for few blocks."""
    f: float
    p_f: float
    """The p of Iman and Davenport's F, which Demšar recommends."""
    critical_difference: float
    """How far two average ranks must lie apart to differ at the 5 % level, by Nemenyi's test."""


def friedman(blocks: pd.DataFrame, alpha: float = 0.05) -> Friedman:
    """Test whether the ranks of the methods differ over the blocks (Demšar, 2006, JMLR 7, 1-30, section 3.2).

    Args:
        blocks: one row per block, one column per method; higher is better; no NaN.

    Raises:
        Refusal: there are fewer than three methods or three blocks, or all methods tie in every block.
    """
    n, k = blocks.shape
    if k < 3:
        raise Refusal(
            f"Friedman's test compares at least three losses, but these runs have {k}; compare two by pairs"
        )
    if n < 3:
        raise Refusal(
            f"Friedman's test needs at least three complete blocks of model and training set, but there are {n}; "
            "add models"
        )
    ranks = blocks.rank(axis="columns", ascending=False)
    if (ranks.nunique(axis="columns") == 1).all():
        raise Refusal("all losses tie in every block, so there are no ranks to compare")
    chi2, p = friedmanchisquare(*(blocks[name] for name in blocks.columns))
    rest = n * (k - 1) - chi2
    statistic = (n - 1) * chi2 / rest if rest > 1e-9 else math.inf
    p_f = f.sf(statistic, k - 1, (k - 1) * (n - 1))
    # Demšar's table 5 lists the studentized range divided by sqrt(2).
    q = studentized_range.ppf(1 - alpha, k, np.inf) / math.sqrt(2)
    critical = q * math.sqrt(k * (k + 1) / (6 * n))
    return Friedman(ranks.mean(), float(chi2), float(p), float(statistic), float(p_f), critical)


def pairs(blocks: pd.DataFrame) -> pd.DataFrame:
    """Nemenyi's test and Wilcoxon's signed-rank test of all pairs of methods.

    Nemenyi's p depends on the other methods in the comparison; Wilcoxon's does not (Benavoli, Corani and Mangili,
    2016, JMLR 17, 1-10), and Holm corrects it for the number of pairs.

    Args:
        blocks: as for `friedman`.

    Returns:
        Columns a, b, rank_difference (average rank of a minus that of b), difference (median over the blocks of
        a minus b), p_nemenyi, p_wilcoxon, p_holm, note.

    Raises:
        Refusal: as `friedman`.
    """
    from scikit_posthocs import posthoc_nemenyi_friedman  # brings seaborn along

    ranks = friedman(blocks).ranks
    nemenyi = posthoc_nemenyi_friedman(blocks.to_numpy())
    names = list(itertools.combinations(range(blocks.shape[1]), 2))
    limit = _limit(len(blocks), len(names))
    rows = []
    for first, second in names:
        a, b = blocks.columns[first], blocks.columns[second]
        # Means of the same counts can differ in their last bits. Rounded, they tie.
        difference = (blocks[a] - blocks[b]).round(12)
        tied = bool((difference == 0).all())
        rows.append(
            {
                "a": a,
                "b": b,
                "rank_difference": ranks[a] - ranks[b],
                "difference": difference.median(),
                "p_nemenyi": nemenyi.iloc[first, second],
                "p_wilcoxon": signed_rank(difference.to_numpy()),
                "note": join_notes("tie in every block" if tied else "", limit),
            }
        )
    table = pd.DataFrame(rows)
    return table.assign(p_holm=holm(table["p_wilcoxon"])).reindex(columns=BY_PAIR)


def signed_rank(differences: np.ndarray) -> float:
    """Exact two-sided p of Wilcoxon's signed-rank test; differences of 0 are left out."""
    changing = differences[differences != 0]
    sizes = np.abs(changing)
    if len(changing) > 1 and len(np.unique(sizes)) < len(sizes):
        # SciPy has the same test, but takes up to seconds for a pair with ties, as it lists all patterns of signs.
        return sign_flip(np.sign(changing) * rankdata(sizes))
    return float(wilcoxon(changing, method="exact").pvalue) if len(changing) else 1.0


def _by_loss(table: pd.DataFrame) -> pd.DataFrame:
    result = friedman(table)._asdict()
    ranks = result.pop("ranks").sort_values(kind="stable")
    own = {"loss": ranks.index, "average_rank": ranks.to_numpy(), "blocks": len(table), "note": ""}
    return pd.DataFrame(own | result)


def _limit(n: int, tests: int) -> str:
    """A note that the signed-rank test cannot reach significance with so few blocks; empty where it can."""
    least = least_p(n)
    if tests * least <= ALPHA:
        return ""
    return (
        f"{n} blocks: Wilcoxon cannot go below p = {least:.4g}, {min(1.0, tests * least):.4g} after Holm over {tests} "
        f"pairs; {ALPHA} needs {signs_needed(tests)} blocks"
    )
