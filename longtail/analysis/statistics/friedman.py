"""The tests of Friedman, Nemenyi and Wilcoxon, which ask whether ranks differ over the models."""

import itertools
import math
from functools import cache
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.stats import rankdata

from longtail.analysis.grid import Grid, Refusal, join_notes, without_repeats
from longtail.analysis.statistics.holm import holm
from longtail.analysis.statistics.sign_flip import ALPHA, least_p, sign_flip
from longtail.data.split.sets import tested_sets

COUNTED = 100_000
"""Up to so many patterns of ranks are all counted; of more, 19,999 are drawn, always the same ones."""
DRAWN = 19_999
BLOCK = ["model", "train_set"]
SCOPE = ["test_set", "train_set"]
BY_LOSS = ["loss", "average_rank", "critical_difference", "chi2", "p", "method", "blocks", "note"]
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
    wide = found.pivot(index=[*BLOCK, "seed"], columns="loss", values="value")
    absent = [loss for loss in grid.losses if loss not in wide or wide[loss].isna().all()]
    complete = wide[[loss for loss in grid.losses if loss not in absent]].dropna()
    blocks = complete.groupby(BLOCK, sort=False)
    table = blocks.mean()
    expected = list(itertools.product(grid.models, grid.train_sets))
    lost = [
        f"{model} trained on {train_set}"
        for model, train_set in expected
        if (model, train_set) not in table.index
    ]
    partial = [
        f"{model} trained on {train_set} ({seeds} of {len(grid.seeds)} seeds)"
        for (model, train_set), seeds in blocks.size().items()
        if seeds < len(grid.seeds)
    ]
    note = join_notes(
        f"losses without any run: {', '.join(absent)}" if absent else "",
        f"blocks left out because a loss is missing: {', '.join(lost)}" if lost else "",
        f"blocks with missing seeds: {', '.join(partial)}" if partial else "",
    )
    return table, note


def friedman_tables(found: pd.DataFrame, grid: Grid) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Friedman's test and all pairs, for each test set and training set.

    The blocks are the models. Both training sets together would take two blocks from each model, as if what is special
    about a model did not show in both.

    Args:
        found: as `longtail.analysis.grid.scores` returns them.

    Returns:
        Two frames. By loss: test_set, train_set, loss, average_rank, critical_difference, chi2, p, method, blocks,
        note. By pair: test_set, train_set, and the columns of `pairs`. Refusals are rows with nothing but a note.
    """
    by_loss: list[pd.DataFrame] = []
    by_pair: list[pd.DataFrame] = []
    distinct = {train_set: without_repeats(found, grid, train_set) for train_set in grid.train_sets}
    for test_set, train_set in itertools.product(tested_sets(found["test_set"]), grid.train_sets):
        expected, repeats = distinct[train_set]
        own = found[(found["test_set"] == test_set) & (found["train_set"] == train_set)]
        table, note = complete_blocks(own[own["loss"].isin(expected.losses)], expected)
        try:
            frames = [_by_loss(table), pairs(table)]
        except Refusal as refusal:
            frames = [pd.DataFrame([{"note": str(refusal)}])] * 2
        for frame, collected in zip(frames, (by_loss, by_pair), strict=True):
            notes = [join_notes(own_note, repeats, note) for own_note in frame["note"]]
            collected.append(frame.assign(test_set=test_set, train_set=train_set, note=notes))
    return (
        pd.concat(by_loss, ignore_index=True).reindex(columns=[*SCOPE, *BY_LOSS]),
        pd.concat(by_pair, ignore_index=True).reindex(columns=[*SCOPE, *BY_PAIR]),
    )


class Friedman(NamedTuple):
    """The result of Friedman's test for k losses over N blocks."""

    ranks: pd.Series
    """Average rank of each loss; 1 is best."""
    chi2: float
    """Friedman's statistic, corrected for ties."""
    p: float
    """The share of the patterns of ranks that reach it, if no loss differs."""
    critical_difference: float
    """How far two average ranks must lie apart to differ at the 5 % level, by Nemenyi's test; NaN if none can."""
    method: str
    """Which patterns were counted."""
    largest: np.ndarray
    """The largest difference of two average ranks in each of those patterns, ascending."""

    def p_of_pair(self, difference: float) -> float:
        """Nemenyi's p: the share of the patterns in which any two average ranks lie that far apart."""
        return float(np.mean(self.largest >= abs(difference) - 1e-9))


def friedman(blocks: pd.DataFrame, alpha: float = 0.05) -> Friedman:
    """Test whether the ranks of the methods differ over the blocks (Friedman, 1937, JASA 32, 675-701).

    If they do not, each order of the ranks within each block is as likely as any other. The p is the share of all such
    patterns whose statistic is as large, or, where they are too many to count, of 19,999 that are drawn. No
    approximation is needed, which with few blocks are far off: Iman and Davenport's F gives p < 0.001 for three blocks
    that agree on three losses, where it is 1/36. Nemenyi's test of the pairs uses the same patterns.

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
            f"Friedman's test needs at least three models that have all losses, and these runs have {n}; add models"
        )
    ranks = rankdata(-blocks.to_numpy().round(12), axis=1)
    if (ranks == ranks[:, :1]).all():
        raise Refusal("all losses tie in every block, so there are no ranks to compare")
    squares, largest, method = _patterns(tuple(map(tuple, ranks)))
    sums = ranks.sum(axis=0)
    p = float(np.mean(squares >= np.sum((sums - sums.mean()) ** 2) - 1e-9))
    spread = np.sum((ranks - (k + 1) / 2) ** 2)
    chi2 = float((k - 1) * np.sum((sums - n * (k + 1) / 2) ** 2) / spread)
    reached = np.unique(largest)
    rare = [value for value in reached if np.mean(largest >= value - 1e-9) <= alpha]
    critical = float(rare[0]) if rare else math.nan
    return Friedman(pd.Series(sums / n, index=blocks.columns), chi2, p, critical, method, largest)


@cache
def _patterns(ranks: tuple[tuple[float, ...], ...]) -> tuple[np.ndarray, np.ndarray, str]:
    """What every pattern of ranks gives, and which patterns these are.

    Returns:
        The squared deviations of the rank sums, the largest differences of two average ranks (ascending), and the
        name of the method.
    """
    own = np.array(ranks)
    n, k = own.shape
    patterns = math.factorial(k) ** (n - 1)
    if patterns <= COUNTED:  # the order in the first block can stand for all
        sums = own[:1]
        for block in own[1:]:
            orders = np.array(list(itertools.permutations(block)))
            sums = (sums[:, None] + orders).reshape(-1, k)
        method = f"exact, all {patterns:,} patterns"
    else:
        rng = np.random.default_rng(0)
        drawn = np.zeros((DRAWN, k))
        for block in own:
            drawn += rng.permuted(np.tile(block, (DRAWN, 1)), axis=1)
        sums = np.concatenate([own.sum(axis=0)[None], drawn])
        method = f"permutation, {DRAWN:,} patterns"
    squares = np.sum((sums - n * (k + 1) / 2) ** 2, axis=1)
    return squares, np.sort(np.ptp(sums, axis=1)) / n, method


def pairs(blocks: pd.DataFrame) -> pd.DataFrame:
    """Nemenyi's test and Wilcoxon's signed-rank test of all pairs of methods.

    Nemenyi's p depends on the other methods in the comparison; Wilcoxon's does not (Benavoli, Corani and Mangili,
    2016, JMLR 17, 1-10), and Holm corrects it for the number of pairs. Both are exact, or from drawn patterns.

    Args:
        blocks: as for `friedman`.

    Returns:
        Columns a, b, rank_difference (average rank of a minus that of b), difference (median over the blocks of
        a minus b), p_nemenyi, p_wilcoxon, p_holm, note.

    Raises:
        Refusal: as `friedman`.
    """
    result = friedman(blocks)
    names = list(itertools.combinations(blocks.columns, 2))
    limit = _limit(len(blocks), len(names))
    rows = []
    for a, b in names:
        # Means of the same counts can differ in their last bits. Rounded, they tie.
        difference = (blocks[a] - blocks[b]).round(12)
        tied = bool((difference == 0).all())
        rank_difference = result.ranks[a] - result.ranks[b]
        p = result.p_of_pair(rank_difference), signed_rank(difference.to_numpy())
        note = join_notes("tie in every block" if tied else "", limit)
        rows.append((a, b, rank_difference, difference.median(), *p, note))
    table = pd.DataFrame(rows, columns=[name for name in BY_PAIR if name != "p_holm"])
    return table.assign(p_holm=holm(table["p_wilcoxon"])).reindex(columns=BY_PAIR)


def signed_rank(differences: np.ndarray) -> float:
    """Exact two-sided p of Wilcoxon's signed-rank test; differences of 0 are left out."""
    changing = differences[differences != 0]
    return sign_flip(2 * np.sign(changing) * rankdata(np.abs(changing)))  # doubled, ranks of ties are whole


def _by_loss(table: pd.DataFrame) -> pd.DataFrame:
    result = friedman(table)._asdict()
    ranks = result.pop("ranks").sort_values(kind="stable")
    del result["largest"]
    own = {"loss": ranks.index, "average_rank": ranks.to_numpy(), "blocks": len(table), "note": ""}
    return pd.DataFrame(own | result)


def _limit(n: int, tests: int) -> str:
    """A note that the signed-rank test cannot reach significance with so few blocks; empty where it can."""
    least = least_p(n)
    if tests * least <= ALPHA:
        return ""
    needed = 1 + math.ceil(math.log2(tests / ALPHA))
    return (
        f"{n} blocks: Wilcoxon cannot go below p = {least:.4g}, {min(1.0, tests * least):.4g} after Holm over {tests} "
        f"pairs; {ALPHA} needs {needed} blocks"
    )
