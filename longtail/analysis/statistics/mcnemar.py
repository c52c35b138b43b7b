"""McNemar's test of two runs on the same images, and the bounds of its p where only the accuracies are known."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.stats import binom

from longtail.analysis.grid import Grid, Refusal, compared, name_missing
from longtail.analysis.statistics.correctness import Correctness
from longtail.analysis.statistics.holm import holm
from longtail.analysis.statistics.sign_flip import sign_flip
from longtail.data.split.sets import GROUPS, TEST_SETS, tested_sets
from longtail.experiment.runs import RUN, Run

IDENTICAL = "the same answers as under the reference on every test image, so the two are one run and nothing is tested"
COLUMNS = ["train_set", "model", "loss", "reference", "seed", "test_set"]
COLUMNS += ["both", "only_loss", "only_reference", "neither", "p", "p_holm", "n", "clusters", "note"]


class McNemar(NamedTuple):
    """The number of images that both, one or neither of two runs got right, and the exact two-sided p."""

    both: int
    only_loss: int
    only_reference: int
    neither: int
    p: float


class Part(NamedTuple):
    """The correct images of a run, those of its reference, and how many images there are."""

    correct: int
    reference: int
    n: int


def mcnemar(a: np.ndarray, b: np.ndarray, cluster: np.ndarray | None = None) -> McNemar:
    """Exact test that two runs are right equally often (McNemar, 1947, Psychometrika 12, 153-157).

    The test is about these two trained networks on further images. It does not say how another seed would have done.

    Args:
        a, b: of a loss and its reference; bool, one entry per image, in the same order.
        cluster: int, one entry per image; images with the same number are not independent, so their discordant images
            change sides together. None: each image stands for itself.

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
    differences = a.astype(int) - b.astype(int)
    p = sign_flip(differences if cluster is None else np.bincount(cluster, differences))
    return McNemar(both, only_a, only_b, neither, p)


def mcnemar_bounds(parts: Sequence[Part]) -> tuple[float, float]:
    """The smallest and largest p of McNemar's exact test that the numbers of correct images allow.

    An image is discordant if only one of the two runs gets it right. The numbers fix the difference of the two
    discordant counts, but not their sum. In each part the sum is least if one run is right wherever the other is, and
    largest if the two share as few correct images as n allows; over the parts these add up. For a given difference p
    grows with the sum, so these two cases give the smallest and the largest p.

    Args:
        parts: the counts of parts of the test set that have no image in common. The more of them are known, the closer
            are the bounds.

    Raises:
        Refusal: there is no image.
        ValueError: a count is not in 0 … n.
    """
    if not sum(n for *_, n in parts):
        raise Refusal("McNemar's test needs test images, but the test set has none")
    for a, b, n in parts:
        if not (0 <= a <= n and 0 <= b <= n):
            raise ValueError(f"{a} and {b} of {n} images correct: counts must be 0 … n")
    difference = abs(sum(a - b for a, b, _ in parts))
    least = sum(abs(a - b) for a, b, _ in parts)
    most = sum(a + b - 2 * max(0, a + b - n) for a, b, n in parts)
    low, high = (
        min(1.0, 2 * float(binom.cdf((total - difference) // 2, total, 0.5))) for total in (least, most)
    )
    return low, high


def bounds_table(found: pd.DataFrame, grid: Grid, reference: str, alpha: float = 0.05) -> pd.DataFrame:
    """The `mcnemar_bounds` of every run against the `reference` loss, for accuracies without predictions.

    Args:
        found: top-1 accuracies, as `longtail.analysis.grid.scores` returns them; value times n must be a count.

    Returns:
        Columns train_set, model, loss, seed, test_set, correct, correct_reference, n, difference (a fraction),
        p_low, p_high, p_holm_low, p_holm_high (Holm over the models and losses of one training set, test set and
        seed; the bounds of a family are reached together), verdict: "differs" (whatever the overlap), "not shown"
        (whatever the overlap) or "open"; note. Head, middle and tail are parts of the long-tailed set and this of the
        balanced one, so their overlaps bound those of the whole.

    Raises:
        Refusal: the reference, or any loss beside it, is not in the grid.
    """
    losses = compared(grid, reference)
    keys = [*RUN, "test_set"]
    counts = found.assign(correct=(found["value"] * found["n"]).round().astype(int)).set_index(keys)
    runs, test_sets = [run for run in grid.runs if run.loss in losses], tested_sets(found["test_set"])
    table = pd.DataFrame([_bound(counts, run, reference, name) for run in runs for name in test_sets])
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
        p_holm (over the models and losses of one training set, test set and seed), n, clusters, note.

    Raises:
        Refusal: the reference, or any loss beside it, is not in the grid.
    """
    losses = compared(grid, reference)
    runs, test_sets = [run for run in grid.runs if run.loss in losses], correctness.test_sets
    table = pd.DataFrame([_compare(correctness, run, reference, name) for run in runs for name in test_sets])
    table["p_holm"] = table.groupby(["train_set", "test_set", "seed"])["p"].transform(holm)
    return table.assign(reference=reference).reindex(columns=COLUMNS)


def _compare(correctness: Correctness, run: Run, reference: str, test_set: str) -> dict:
    members = correctness.members(test_set)
    row = {**run._asdict(), "test_set": test_set, "p": np.nan, "n": int(members.sum()), "note": ""}
    pair = [run, run._replace(loss=reference)]
    if absent := [name for name in pair if name not in correctness.correct]:
        return row | {"note": name_missing(absent)}
    own, other = (correctness.correct[name] for name in pair)
    cluster = None if correctness.cluster is None else correctness.cluster[members]
    row["clusters"] = row["n"] if cluster is None else len(np.unique(cluster))
    try:
        found = mcnemar(own[members], other[members], cluster)._asdict()
        return row | found | ({"p": np.nan, "note": IDENTICAL} if np.array_equal(own, other) else {})
    except Refusal as refusal:
        return row | {"note": str(refusal)}


def _bound(counts: pd.DataFrame, run: Run, reference: str, test_set: str) -> dict:
    row = {**run._asdict(), "test_set": test_set}
    pair = [run, run._replace(loss=reference)]
    if absent := [name for name in pair if (*name, test_set) not in counts.index]:
        return row | {"p_low": np.nan, "p_high": np.nan, "note": name_missing(absent)}
    whole = {}
    for name in TEST_SETS:
        if all((*one, name) in counts.index for one in pair):
            own, other = (counts.loc[(*one, name), "correct"] for one in pair)
            whole[name] = Part(int(own), int(other), int(counts.loc[(*run, name), "n"]))
    correct, other, n = whole[test_set]
    row |= {"correct": correct, "correct_reference": other, "n": n, "difference": (correct - other) / n}
    low, high = mcnemar_bounds(_parts(whole, test_set))
    return row | {"p_low": low, "p_high": high, "note": ""}


def _parts(whole: dict[str, Part], test_set: str) -> list[Part]:
    """The counts of a test set by the parts that the other test sets divide it into: groups, and what is in none."""
    inside = {
        "balanced": ["longtailed"] if "longtailed" in whole else [],
        "longtailed": [name for name in GROUPS if name in whole],
    }.get(test_set, [])
    parts = [part for name in inside for part in _parts(whole, name)]
    a, b, n = (total - sum(part[place] for part in parts) for place, total in enumerate(whole[test_set]))
    if min(a, b, n) < 0 or max(a, b) > n:
        return [whole[test_set]]  # the sets are not nested in this way
    return [*parts, Part(a, b, n)]
