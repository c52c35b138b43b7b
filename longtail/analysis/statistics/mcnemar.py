"""McNemar's test of two runs on the same images, and the bounds of its p where only the accuracies are known."""

from typing import NamedTuple

import numpy as np
import pandas as pd
from statsmodels.stats.contingency_tables import mcnemar as mcnemar_test

from longtail.analysis.grid import Grid, Refusal, compared, name_missing
from longtail.analysis.statistics.correctness import Correctness
from longtail.analysis.statistics.holm import holm
from longtail.data.split.sets import TEST_SETS
from longtail.experiment.runs import RUN, Run

COLUMNS = ["train_set", "model", "loss", "reference", "seed", "test_set"]
COLUMNS += ["both", "only_loss", "only_reference", "neither", "p", "p_holm", "n", "note"]


class McNemar(NamedTuple):
    """The number of images that both, one or neither of two runs got right, and the exact two-sided p."""

    both: int
    only_loss: int
    only_reference: int
    neither: int
    p: float


def mcnemar(a: np.ndarray, b: np.ndarray) -> McNemar:
    """Exact test that two runs are right equally often (McNemar, 1947, Psychometrika 12, 153-157).

    The test is about these two trained networks on further images. It does not say how another seed would have done.

    Args:
        a, b: of a loss and its reference; bool, one entry per image, in the same order.

    Raises:
        Refusal: no image.
        ValueError: unequal lengths.
    """
    if len(a) != len(b):
        raise ValueError(
            f"{len(a)} images on one side and {len(b)} on the other; a paired test needs the same ones"
        )
    if not len(a):
        raise Refusal("McNemar's test needs test images, but the test set has none")
    both, only_a, only_b, neither = (int(np.sum(who)) for who in (a & b, a & ~b, ~a & b, ~a & ~b))
    p = float(mcnemar_test([[both, only_a], [only_b, neither]], exact=True).pvalue)
    return McNemar(both, only_a, only_b, neither, p)


def mcnemar_bounds(correct_a: int, correct_b: int, n: int) -> tuple[float, float]:
    """The smallest and largest p of McNemar's exact test that two numbers of correct images allow.

    An image is discordant if only one of the two runs gets it right. The two numbers fix the difference of the
    discordant counts, but not their sum. The sum is least if one run is right wherever the other is, and largest if
    the two share as few correct images as n allows. For a given difference p grows with the sum, so these two cases
    give the smallest and the largest p.

    Args:
        correct_a, correct_b: correct images of each run, of the same n.

    Raises:
        Refusal: n is 0.
        ValueError: a count is not in 0 … n.
    """
    if n == 0:
        raise Refusal("McNemar's test needs test images, but the test set has none")
    if not (0 <= correct_a <= n and 0 <= correct_b <= n):
        raise ValueError(f"{correct_a} and {correct_b} of {n} images correct: counts must be 0 … n")
    bounds = []
    for both in (min(correct_a, correct_b), max(0, correct_a + correct_b - n)):
        only_a, only_b = correct_a - both, correct_b - both
        table = [[both, only_a], [only_b, n - both - only_a - only_b]]
        bounds.append(float(mcnemar_test(table, exact=True).pvalue))
    return bounds[0], bounds[1]


def bounds_table(found: pd.DataFrame, grid: Grid, reference: str, alpha: float = 0.05) -> pd.DataFrame:
    """The `mcnemar_bounds` of every run against the `reference` loss, for accuracies without predictions.

    Args:
        found: top-1 accuracies, as `longtail.analysis.grid.scores` returns them; value times n must be a count.

    Returns:
        Columns train_set, model, loss, seed, test_set, correct, correct_reference, n, difference (a fraction),
        p_low, p_high, p_holm_low, p_holm_high (Holm over the models and losses of one training set, test set and
        seed; the bounds of a family are reached together), verdict: "differs" (whatever the overlap), "not shown"
        (whatever the overlap) or "open"; note.

    Raises:
        Refusal: the reference, or any loss beside it, is not in the grid.
    """
    losses = compared(grid, reference)
    keys = [*RUN, "test_set"]
    counts = found.assign(correct=(found["value"] * found["n"]).round().astype(int)).set_index(keys)[
        ["correct", "n"]
    ]
    runs = [run for run in grid.runs if run.loss in losses]
    table = pd.DataFrame([_bound(counts, run, reference, test_set) for run in runs for test_set in TEST_SETS])
    family = table.groupby(["train_set", "test_set", "seed"])
    for end in ("low", "high"):
        table[f"p_holm_{end}"] = family[f"p_{end}"].transform(holm)
    table["verdict"] = np.select(
        [table["p_holm_high"] < alpha, table["p_holm_low"] >= alpha, table["p_low"].notna()],
        ["differs", "not shown", "open"],
        "",
    )
    return table[[name for name in table.columns if name != "note"] + ["note"]]


def mcnemar_table(correctness: Correctness, grid: Grid, reference: str) -> pd.DataFrame:
    """McNemar's test of every run against the `reference` loss with the same model, training set and seed.

    Returns:
        Columns train_set, model, loss, reference, seed, test_set, both, only_loss, only_reference, neither, p,
        p_holm (over the models and losses of one training set, test set and seed), n, note.

    Raises:
        Refusal: the reference, or any loss beside it, is not in the grid.
    """
    losses = compared(grid, reference)
    rows = [
        _compare(correctness, run, reference, test_set)
        for run in grid.runs
        if run.loss in losses
        for test_set in TEST_SETS
    ]
    table = pd.DataFrame(rows)
    table["p_holm"] = table.groupby(["train_set", "test_set", "seed"])["p"].transform(holm)
    return table.assign(reference=reference).reindex(columns=COLUMNS)


def _compare(correctness: Correctness, run: Run, reference: str, test_set: str) -> dict:
    members = correctness.members(test_set)
    row = {**run._asdict(), "test_set": test_set, "p": np.nan, "n": int(members.sum()), "note": ""}
    pair = [run, run._replace(loss=reference)]
    if absent := [name for name in pair if name not in correctness.correct]:
        return row | {"note": name_missing(absent)}
    try:
        return row | mcnemar(*(correctness.correct[name][members] for name in pair))._asdict()
    except Refusal as refusal:
        return row | {"note": str(refusal)}


def _bound(counts: pd.DataFrame, run: Run, reference: str, test_set: str) -> dict:
    row = {**run._asdict(), "test_set": test_set}
    pair = [run, run._replace(loss=reference)]
    if absent := [name for name in pair if (*name, test_set) not in counts.index]:
        return row | {"p_low": np.nan, "p_high": np.nan, "note": name_missing(absent)}
    (correct, n), (other, _) = (map(int, counts.loc[(*name, test_set)]) for name in pair)
    row |= {"correct": correct, "correct_reference": other, "n": n, "difference": (correct - other) / n}
    low, high = mcnemar_bounds(correct, other, n)
    return row | {"p_low": low, "p_high": high, "note": ""}
