"""The statistics against published worked examples, hand-computed cases and exact enumeration."""

import itertools
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from programs import run_program
from results_folder import images, write_results
from scipy.stats import binomtest, friedmanchisquare, ttest_rel, tukey_hsd
from scipy.stats import t as scipy_t
from statsmodels.regression.linear_model import OLS

from longtail.analysis import grid
from longtail.analysis.grid import Grid, Refusal
from longtail.analysis.statistics import (
    anova,
    descriptive,
    dunnett,
    friedman,
    mcnemar,
    over_models,
    paired,
    posthoc,
    power,
    score,
    sign_flip,
    spread,
)
from longtail.analysis.statistics.correctness import Correctness, read_correctness
from longtail.analysis.statistics.holm import holm
from longtail.experiment.runs import Run
from longtail.files.parquet import read_parquet
from longtail.report import pages
from longtail.report.catalogue import STATISTICS

LOSSES = ("softmax", "focal", "balanced_softmax")
MODELS = ("mobilenetv2", "resnet50", "vit_b16")


def evaluation(values: dict[tuple, float], n: int = 100) -> pd.DataFrame:
    """Accuracies on the balanced test set by (model, loss, seed), after long-tailed training."""
    rows = [
        (model, loss, "longtailed", seed, "balanced", "acc1", value, n)
        for (model, loss, seed), value in values.items()
    ]
    return pd.DataFrame(rows, columns=list(grid.COLUMNS))


def variance(scores: pd.DataFrame) -> list[pd.DataFrame]:
    return [anova.two_way_anova(anova.fit(scores))]


def paired_differences(correctness: Correctness, own_grid: Grid, reference: str = "softmax") -> pd.DataFrame:
    return paired.paired_differences(correctness, own_grid, reference)


# --- intervals ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("correct", "n", "low", "high"),
    # Newcombe (1998), Statistics in Medicine 17, 857-872, table I, method 3.
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_wilson_interval_is_newcombes(correct, n, low, high):
    assert score.wilson(correct / n, n, 1.959964) == pytest.approx((low, high), abs=5e-5)
    right = (np.arange(n) < correct)[None]
    assert descriptive.share_interval(right.astype(float)) == pytest.approx((low, high), abs=5e-5)


def test_t_interval_is_students():
    # Student (1908), Biometrika 6: ten patients' additional sleep; the interval as R's documentation prints it.
    extra = np.array([0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0])
    other = np.array([1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4])
    assert descriptive.t_interval(extra - other) == pytest.approx((-2.4598858, -0.7001142), abs=1e-7)


def test_describe_chooses_the_interval_by_the_number_of_seeds():
    runs = {("resnet50", "softmax", seed): value for seed, value in enumerate([0.50, 0.54, 0.58])}
    runs |= {("resnet50", "focal", 1): 0.50}
    table = descriptive.describe(evaluation(runs), Grid.of(evaluation(runs))).set_index("loss")
    several, one = table.loc["softmax"], table.loc["focal"]
    assert (several["seeds"], several["interval"]) == (3, "t over seeds")
    # t(0.975, 2) = 4.303, and sd / sqrt(3) = 0.04 / 1.732
    assert several["high"] - several["mean"] == pytest.approx(4.303 * 0.04 / 3**0.5, abs=1e-4)
    assert (one["seeds"], one["interval"], one["note"]) == (1, "Wilson", "missing: seed 0, 2")
    assert np.isnan(one["sd"])


def test_an_accuracy_stays_between_0_and_1():
    runs = evaluation({("resnet50", "softmax", 1): 0.9, ("resnet50", "softmax", 2): 1.0})
    row = descriptive.describe(runs, Grid.of(runs)).iloc[0]
    # Student's t would give 0.95 ± 12.706 * 0.05.
    assert (row["low"], row["high"]) == (pytest.approx(0.95 - 12.706 * 0.05, abs=1e-4), 1.0)
    always = descriptive.share_interval(np.ones((3, 38)))
    assert always[0] < 0.95
    assert always[1] == 1


def test_accuracies_of_several_seeds_count_seeds_and_images():
    # Three seeds that are right on the same half of 200 images say as much as one; three that differ say less of seeds.
    alike = np.tile(np.arange(200) % 2 == 0, (3, 1)).astype(float)
    assert descriptive.share_interval(alike) == pytest.approx(score.wilson(0.5, 199, 1.959964), abs=1e-6)
    apart = (np.arange(200)[None] < np.array([[60], [100], [140]])).astype(float)
    low, high = descriptive.share_interval(apart)
    assert low < 0.25 and high > 0.75  # t of two degrees of freedom, 4.3, times 0.2 / sqrt(3)


def test_describe_lists_a_run_that_is_missing():
    runs = evaluation({("resnet50", "softmax", 1): 0.5, ("resnet50", "focal", 1): np.nan})
    row = descriptive.describe(runs, Grid.of(runs)).set_index("loss").loc["focal"]
    assert row["seeds"] == 0
    assert np.isnan(row["mean"])
    assert row["note"] == "missing: seed 1"


# --- analysis of variance -------------------------------------------------------------------------------------------

# Tippett (1950), Technological Applications of Statistics, p. 106: warp breaks by wool (A, B) and tension (L, M, H).
BREAKS = (
    "26 30 54 25 70 52 51 26 67 18 21 29 17 12 18 35 30 36 36 21 24 18 10 43 28 15 26 "
    "27 14 29 19 29 31 41 20 44 42 26 19 16 39 28 21 39 29 20 21 24 17 13 15 15 16 28"
)


@pytest.fixture(scope="module")
def warp_breaks() -> pd.DataFrame:
    wool, tension = np.repeat(["A", "B"], 27), np.tile(np.repeat(["L", "M", "H"], 9), 2)
    return pd.DataFrame({"value": np.array(BREAKS.split(), float), "model": wool, "loss": tension})


def test_two_way_anova_is_that_of_the_warp_breaks(warp_breaks):
    table = anova.two_way_anova(anova.fit(warp_breaks)).set_index("term")
    # As R's documentation of `aov` and `warpbreaks` prints them.
    expected = {"model": (3.765, 0.058213), "loss": (8.498, 0.000693), "loss x model": (4.189, 0.021044)}
    for term, (statistic, p) in expected.items():
        assert table.loc[term, "statistic"] == pytest.approx(statistic, abs=5e-4)
        assert table.loc[term, "p"] == pytest.approx(p, abs=5e-7)
    assert table.loc["Residual", ["sum_sq", "df"]].tolist() == pytest.approx([5745, 48], abs=0.5)
    assert (table.loc[list(expected), "note"] == "").all()


def test_one_run_per_cell_gives_the_additive_model_and_says_so():
    # By hand: SS 6 (loss), 9 (model), 1 (error, 2 df), 16 in all.
    values = {("a", "x"): 1, ("b", "x"): 2, ("c", "x"): 3, ("a", "y"): 2, ("b", "y"): 4, ("c", "y"): 6}
    scores = pd.DataFrame(
        [(*cell, value) for cell, value in values.items()], columns=["model", "loss", "value"]
    )
    table = anova.two_way_anova(anova.fit(scores)).set_index("term")
    assert table.loc["loss", ["statistic", "df"]].tolist() == pytest.approx([12, 1])
    assert table.loc["model", ["statistic", "df"]].tolist() == pytest.approx([9, 2])
    assert table.loc[["loss", "model"], "partial_eta_squared"].tolist() == pytest.approx([6 / 7, 9 / 10])
    assert table.loc[["loss", "model"], "omega_squared"].tolist() == pytest.approx([5.5 / 16.5, 8 / 16.5])
    assert "loss x model" not in table.index
    assert "interaction of loss and model cannot be tested" in table.loc["loss", "note"]


def test_anova_of_one_model_is_one_way(warp_breaks):
    table = anova.two_way_anova(anova.fit(warp_breaks.assign(model="only")))
    # R: summary(aov(breaks ~ tension, warpbreaks)): F 7.206, p 0.00175
    assert table.loc[0, ["statistic", "p"]].tolist() == pytest.approx([7.206, 0.00175], abs=5e-4)
    assert table.loc[0, "note"] == "one model: one-way analysis of the loss"


@pytest.mark.parametrize(
    ("cells", "reason"),
    [
        ([("a", "x", 1.0), ("a", "x", 2.0)], "at least two losses or two models"),
        ([("a", "x", 1.0), ("a", "y", 2.0), ("a", "z", 4.0)], "at least two seeds, or two models"),
        ([("a", "x", 1.0), ("a", "x", 1.0), ("a", "y", 2.0), ("a", "y", 2.0)], "do not vary"),
        (
            [("a", "x", 1.0), ("a", "x", 1.5), ("a", "x", 1.2), ("b", "y", 2.0), ("b", "y", 3.0)],
            "cannot be told apart",
        ),
    ],
)
def test_anova_refuses_what_it_cannot_say(cells, reason):
    with pytest.raises(Refusal, match=reason):
        anova.fit(pd.DataFrame(cells, columns=["model", "loss", "value"]))


def test_tukey_compares_within_the_other_factor(warp_breaks):
    additive = OLS.from_formula("value ~ C(loss, Sum) + C(model, Sum)", warp_breaks).fit()
    model = anova.LinearModel(warp_breaks, ("loss", "model"), False, additive)
    table = posthoc.tukey_hsd(model, "loss").set_index(["a", "b"])
    # R's documentation of TukeyHSD: TukeyHSD(aov(breaks ~ wool + tension, warpbreaks), "tension")
    expected = {
        ("L", "M"): (10.000000, 0.6465793, 19.35342, 0.0336262),
        ("H", "L"): (-14.722222, -24.07564, -5.3688015, 0.0011218),
        ("H", "M"): (-4.722222, -14.07564, 4.6311985, 0.4474210),
    }
    for pair, numbers in expected.items():
        found = table.loc[pair, ["difference", "low", "high", "p"]].tolist()
        assert found == pytest.approx(numbers, rel=5e-5), pair


def one_model(groups: dict[str, list[float]]) -> pd.DataFrame:
    """Scores of one model, by loss."""
    rows = [("m", loss, value) for loss, own in groups.items() for value in own]
    return pd.DataFrame(rows, columns=["model", "loss", "value"])


def test_no_test_of_an_assumption_chooses_the_method():
    rng = np.random.default_rng(3)
    scores = one_model({"x": rng.normal(0, 0.1, 12), "y": rng.normal(1, 0.1, 12), "z": rng.normal(1, 4, 12)})
    assert set(posthoc.posthoc(anova.fit(scores))["method"]) == {"Tukey HSD"}
    assert set(anova.two_way_anova(anova.fit(scores))["term"]) == {"loss", "Residual"}


def test_with_several_seeds_the_loss_is_tested_over_models_in_general(warp_breaks):
    table = anova.two_way_anova(anova.fit(warp_breaks)).set_index("term")
    # R: anova(lm(breaks ~ wool * tension)): mean squares 1017.13 (tension) and 501.39 (wool:tension), 2 df each.
    row = table.loc["loss, over models in general"]
    assert row["statistic"] == pytest.approx(1017.13 / 501.39, rel=1e-5)
    assert row["p"] == pytest.approx(1 / (1 + 1017.13 / 501.39), rel=1e-4)  # F of 2 and 2 df


def test_tukey_copes_with_unequal_numbers_of_runs():
    groups = {"x": [24.5, 23.5, 26.4, 27.1, 29.9], "y": [28.4, 34.2, 29.5, 32.2], "z": [26.1, 28.3, 24.3]}
    scores = pd.DataFrame(
        [("m", loss, v) for loss, own in groups.items() for v in own], columns=["model", "loss", "value"]
    )
    table = posthoc.posthoc(anova.fit(scores))
    theirs = tukey_hsd(*groups.values())
    assert table["p"].tolist() == pytest.approx(
        [theirs.pvalue[0, 1], theirs.pvalue[0, 2], theirs.pvalue[1, 2]]
    )


# --- paired tests ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("better", "worse", "n", "critical", "low", "high"),
    [
        # Tango (1998), as the tests of R's ratesci have it: airway data, and a cross-over trial at 90 %.
        (9, 3, 32, 1.959964, -0.027, 0.390),
        (0, 1, 44, 1.644854, -0.096, 0.037),
        # R's PropCIs: scoreci.mp(20, 60, 1000).
        (60, 20, 1000, 1.959964, 0.0231, 0.0584),
        # 38 images: none that only one gets right, and all that only one does.
        (0, 0, 38, 1.959964, -0.092, 0.092),
        (38, 0, 38, 1.959964, 0.816, 1.0),
    ],
)
def test_tangos_interval_is_that_of_other_packages(better, worse, n, critical, low, high):
    found = score.tango(better / n, worse / n, n, critical)
    assert found == pytest.approx((low, high), abs=1e-3 if n < 100 else 1e-4)
    assert score.tango(worse / n, better / n, n, critical) == pytest.approx((-found[1], -found[0]))


@pytest.mark.parametrize("n", [5, 38, 1051])
def test_tangos_interval_agrees_with_mcnemars_test_about_0(n):
    rng = np.random.default_rng(n)
    for _ in range(100):
        better, worse, _ = rng.multinomial(n, [0.1, 0.05, 0.85])
        low, high = score.tango(better / n, worse / n, n, 1.959964)
        assert -1 <= low < high <= 1
        z = (better - worse) / (better + worse) ** 0.5 if better + worse else 0.0
        assert (low > 0 or high < 0) == (abs(z) > 1.959964)


def test_random_effects_are_those_of_the_analysis_of_variance():
    rng = np.random.default_rng(1)
    found = rng.normal(0, 1, (4, 9)) + rng.normal(0, 1, (4, 1)) + rng.normal(0, 1, 9)
    frame = pd.DataFrame(found).stack().rename("value").rename_axis(["seed", "image"]).reset_index()
    from statsmodels.stats.anova import anova_lm

    table = anova_lm(OLS.from_formula("value ~ C(seed) + C(image)", frame).fit())
    seeds, images, rest = table["mean_sq"]
    of = spread.spread([found])
    assert of.images == pytest.approx(images / 36)
    assert of.runs_df == 3
    # The median of chi square with 3 degrees of freedom is 2.36597.
    assert of.runs == pytest.approx((seeds * 3 / 2.36597388 - rest) / 36)
    # Alone, each part has its own quantile: of t with 3 degrees of freedom, and of the normal distribution.
    assert spread.Spread(1.0, 3, 0.0, np.inf).critical() == pytest.approx(3.182446, abs=1e-6)
    assert spread.Spread(0.0, 0, 1.0, np.inf).critical() == pytest.approx(1.959964, abs=1e-6)
    assert spread.Spread(1.0, 3, 1.0, np.inf).critical() == pytest.approx(
        ((3.182446**2 + 1.959964**2) / 2) ** 0.5, abs=1e-6
    )
    assert spread.Spread(1.0, 3, 0.0, np.inf).p(3.182446) == pytest.approx(0.05, abs=1e-6)


def test_clusters_of_equal_images_are_worth_one_image_each():
    rng = np.random.default_rng(0)
    single = rng.integers(-1, 2, 60)
    cluster = np.repeat(np.arange(60), 5)
    alone = paired.paired_difference([single[None]])
    clustered = paired.paired_difference([np.repeat(single, 5)[None]], cluster)
    assert clustered.p == alone.p
    assert clustered.difference == alone.difference
    # Student's t with 59 degrees of freedom in place of the normal quantile, and the variance over 59: 3 % wider.
    assert alone.high - alone.low < clustered.high - clustered.low < 1.05 * (alone.high - alone.low)
    apart = paired.paired_difference([np.repeat(single, 5)[None]])
    assert apart.high - apart.low < 0.5 * (alone.high - alone.low)
    # Nothing discordant tells nothing of the clusters.
    none = paired.paired_difference([np.zeros((1, 300), int)], cluster)
    assert none.high == pytest.approx(score.tango(0, 0, 60, 2.000995)[1], abs=1e-6)


def test_two_seeds_have_an_interval_but_no_test():
    rng = np.random.default_rng(0)
    found = paired.paired_difference([rng.integers(-1, 2, (2, 100))])
    assert np.isnan(found.p)
    assert found.low < found.difference < found.high


@pytest.mark.parametrize("seeds", [3, 10])
def test_interval_and_test_of_several_seeds_agree(seeds):
    rng = np.random.default_rng(seeds)
    for shift in np.linspace(0, 0.3, 20):
        better = rng.random((seeds, 150)) < 0.3 + shift + rng.normal(0, 0.05, (seeds, 1))
        found = paired.paired_difference([better.astype(int) - (rng.random((seeds, 150)) < 0.3)])
        assert (found.low > 0 or found.high < 0) == (found.p < 0.05)
        assert found.margin < max(abs(found.low), abs(found.high))


def test_power_is_that_of_mcnemars_test():
    # Connor (1987), Biometrics 43, 207-211: n = (z √ψ + z' √(ψ - δ²))² / δ², here for 20 % discordant and 10 points.
    n = (1.959964 * 0.2**0.5 + 0.841621 * (0.2 - 0.1**2) ** 0.5) ** 2 / 0.1**2
    assert power.detectable(spread.Spread(0.0, 0, 0.2 / n, np.inf)) == pytest.approx(0.1, rel=0.02)
    assert power.expected(round(n), 1) == pytest.approx(0.1, rel=0.02)
    of = spread.Spread(0.0, 0, 0.2 / 38, np.inf)
    assert power.images_needed(0.1, of, 38) == pytest.approx(n, rel=0.03)
    assert power.images_needed(1e-4, of, 38) is None


def test_seeds_settle_what_seeds_leave_open():
    rng = np.random.default_rng(0)
    of = spread.spread([rng.integers(-1, 2, (3, 2000)) + 0.0 + (rng.random((3, 1)) < 0.5)])
    needed = power.seeds_needed(0.4, of, 3)
    assert needed > 3
    # With so many seeds, 80 of 100 experiments with normal seeds find it.
    sd = (of.runs * 3) ** 0.5
    means = rng.normal(0.4, sd, (20_000, needed))
    t = means.mean(axis=1) / means.std(axis=1, ddof=1) * needed**0.5
    assert np.mean(np.abs(t) > scipy_t.ppf(0.975, needed - 1)) == pytest.approx(0.8, abs=0.06)
    # Two images leave an error that no seed takes away.
    assert power.seeds_needed(0.01, spread.Spread(1e-4, 2, 1e-2, np.inf), 3) is None


def test_unequal_seeds_weigh_models_equally_in_estimate_and_test():
    # One model is better in its one run, the other worse in its three: by models +10 points, by runs -5.
    better, worse = np.zeros((1, 100), int), np.zeros((3, 100), int)
    better[0, :40], worse[:, :20] = 1, -1
    found = paired.paired_difference([better, worse])
    assert found.difference == pytest.approx(0.1)
    assert 0 < found.low < found.difference < found.high
    assert found.p < 0.05
    again = paired.paired_difference([better, worse[:1]])
    assert again.difference == found.difference


def test_holm_is_the_textbook_one():
    # Four tests at 0.005, 0.01, 0.03, 0.04: times 4, 3, 2, 1, and never below the one before.
    assert holm(np.array([0.01, 0.04, np.nan, 0.03, 0.005])).tolist() == pytest.approx(
        [0.03, 0.06, np.nan, 0.06, 0.02], nan_ok=True
    )


def test_mcnemar_counts_and_p_by_hand():
    a = np.array([True] * 5 + [True] * 7 + [False] * 1 + [False] * 3)
    b = np.array([True] * 5 + [False] * 7 + [True] * 1 + [False] * 3)
    # Two-sided binomial with 1 of 8: 2 * (1 + 8) / 256
    assert mcnemar.mcnemar(a, b) == (5, 7, 1, 3, pytest.approx(0.0703125))


def test_mcnemar_refuses_an_empty_group_and_unpaired_images():
    with pytest.raises(Refusal, match="has none"):
        mcnemar.mcnemar(np.array([], bool), np.array([], bool))
    with pytest.raises(ValueError, match="3 images on one side and 2"):
        mcnemar.mcnemar(np.ones(3, bool), np.ones(2, bool))


@pytest.mark.parametrize("n", [7, 12])
def test_mcnemar_bounds_hold_every_overlap(n):
    for a, b in itertools.product(range(n + 1), repeat=2):
        p = [
            binomtest(a - both, a + b - 2 * both).pvalue if a + b > 2 * both else 1.0
            for both in range(max(0, a + b - n), min(a, b) + 1)
        ]
        assert mcnemar.mcnemar_bounds([mcnemar.Part(a, b, n)]) == pytest.approx((min(p), max(p)))


def test_sign_flip_is_fishers_on_darwins_plants():
    # Fisher (1935), The Design of Experiments, section 21: 1,726 of 32,768 patterns are as extreme.
    plants = np.array([49, -67, 8, 16, 6, 23, 28, 41, 14, 29, 56, 24, 75, 60, -48])
    assert sign_flip.sign_flip(plants) == pytest.approx(1726 / 32768, abs=1e-12)


@pytest.mark.parametrize(
    "differences", [[3, 1, -2, 4], [1, 1, 0, 2, -1, 1], [5, 5, 5, 5, 5], [2, -2], [7], [0, 0], [3, -1, -2]]
)
def test_sign_flip_counts_every_pattern(differences):
    d = np.array(differences)
    sums = [abs(np.dot(signs, d)) for signs in itertools.product([1, -1], repeat=len(d))]
    assert sign_flip.sign_flip(d) == pytest.approx(np.mean([value >= abs(d.sum()) for value in sums]))


def test_bounds_add_up_over_the_parts_of_a_test_set():
    parts = [mcnemar.Part(30, 20, 40), mcnemar.Part(5, 15, 20)]
    found = [
        binomtest(a - both + b - c, total).pvalue if (total := a + 20 - 2 * both + b + 15 - 2 * c) else 1.0
        for a, b in [(30, 5)]
        for both in range(10, 21)
        for c in range(0, 6)
    ]
    assert mcnemar.mcnemar_bounds(parts) == pytest.approx((min(found), max(found)))
    whole = mcnemar.mcnemar_bounds([mcnemar.Part(35, 35, 60)])
    assert whole[0] <= mcnemar.mcnemar_bounds(parts)[0]


@pytest.fixture
def two_models() -> tuple[Correctness, Grid]:
    """One seed; focal is right on 8 more images than softmax with each model, ldam has no run with resnet50."""
    models, losses = ("mobilenetv2", "resnet50"), ("softmax", "focal", "ldam")
    correct = {}
    for place, (model, loss) in enumerate(itertools.product(models, losses)):
        right = np.zeros(120, bool)
        right[place : place + 50 + 8 * (loss == "focal")] = True
        correct[Run(model, loss, "longtailed", 1)] = right
    del correct[Run("resnet50", "ldam", "longtailed", 1)]
    return Correctness(images(), correct), Grid(models, losses, ("longtailed",), (1,))


def test_paired_differences_pair_the_images_and_name_what_is_missing(two_models):
    correctness, own_grid = two_models
    table = paired_differences(correctness, own_grid).query("test_set == 'balanced'")
    rows = table.set_index(["model", "loss"])
    focal = rows.loc["mobilenetv2", "focal"]
    # focal: images 1 … 58, softmax: 0 … 49, so 9 against 1: 2 * (1 + 10) / 1024
    assert (focal["difference"], focal["p"]) == (pytest.approx(8 / 120), pytest.approx(0.021484375))
    assert focal["low"] < 8 / 120 < focal["high"]
    assert (focal["n"], focal["seeds"], focal["method"]) == (120, 1, "McNemar, exact")
    missing = rows.loc["resnet50", "ldam"]
    assert np.isnan(missing[["difference", "low", "high", "p", "p_holm"]].astype(float)).all()
    assert "resnet50 trained on longtailed with ldam (seed 1)" in missing["note"]
    # The family: three tests of single models on each of five test sets, the missing one not counted.
    every = paired_differences(correctness, own_grid)
    singles = every[every["model"] != paired.ALL_MODELS]
    assert singles["p_holm"].min() == pytest.approx(15 * singles["p"].min())
    pooled = rows.loc[paired.ALL_MODELS]
    assert pooled.loc["focal", "difference"] == pytest.approx(8 / 120)
    assert np.isnan(pooled.loc["ldam", "difference"])  # a mean over one model would not compare


def test_a_model_without_any_run_leaves_the_average_over_the_others(two_models):
    correctness, own_grid = two_models
    wider = Grid((*own_grid.models, "vit_b16"), own_grid.losses, own_grid.train_sets, own_grid.seeds)
    table = paired_differences(correctness, wider).set_index(["test_set", "model", "loss"])
    row = table.loc["balanced", paired.ALL_MODELS, "focal"]
    assert row["difference"] == pytest.approx(8 / 120)
    assert "vit_b16 trained on longtailed with focal, softmax (seed 1)" in row["note"]


def test_identical_predictions_differ_by_nothing(two_models):
    correctness, own_grid = two_models
    softmax = correctness.correct[Run("resnet50", "softmax", "longtailed", 1)]
    correctness.correct[Run("resnet50", "focal", "longtailed", 1)] = softmax
    row = paired_differences(correctness, own_grid).set_index(["test_set", "model", "loss"])
    row = row.loc["tail", "resnet50", "focal"]
    assert row["difference"] == 0
    assert row[["low", "high", "p", "p_holm"]].isna().all()
    assert row["note"].startswith(
        "the same answers as under the reference on every test image, so the two are one run"
    )


def test_an_empty_group_is_missing_not_zero(two_models):
    correctness, own_grid = two_models
    without = correctness.images.assign(longtailed=correctness.images["group"] != "tail")
    tables = [
        paired_differences(Correctness(without, correctness.correct), own_grid),
        mcnemar.mcnemar_table(Correctness(without, correctness.correct), own_grid, "softmax"),
    ]
    for table in tables:
        tail = table[(table["test_set"] == "tail") & (table["loss"] == "focal")]
        assert (tail["n"] == 0).all()
        assert tail["p"].isna().all()
        assert tail["note"].str.contains("no image|none").all()


def test_without_the_reference_there_is_nothing_to_pair(two_models):
    correctness, own_grid = two_models
    for compare in (paired_differences, mcnemar.mcnemar_table):
        with pytest.raises(
            Refusal, match="need the reference loss 'ce' and another one, but the losses are: softmax"
        ):
            compare(correctness, own_grid, "ce")


# --- over models in general ---------------------------------------------------------------------------------------


def over_all(values: dict[tuple, float], n: int = 1000) -> pd.DataFrame:
    frame = evaluation(values, n)
    own = over_models.differences_over_models(grid.scores(frame, Grid.of(frame)), Grid.of(frame), "softmax")
    return own[own["test_set"] == "balanced"].set_index("loss")


def test_models_in_general_are_students_pairs():
    rng = np.random.default_rng(4)
    models = [f"m{place}" for place in range(5)]
    base = {model: rng.uniform(0.3, 0.7) for model in models}
    gains = {"softmax": 0.0, "focal": 0.02, "ldam": -0.1}
    values = {
        (model, loss, seed): base[model] + gain + rng.normal(0, 0.02)
        for model in models
        for loss, gain in gains.items()
        for seed in (1, 2)
    }
    table = over_all(values)
    for loss in ("focal", "ldam"):
        own, other = (
            [np.mean([values[model, name, seed] for seed in (1, 2)]) for model in models]
            for name in (loss, "softmax")
        )
        test = ttest_rel(own, other)
        interval = test.confidence_interval(0.95)
        found = table.loc[loss, ["difference", "low", "high", "p"]].tolist()
        expected = [np.mean(own) - np.mean(other), interval.low, interval.high, test.pvalue]
        assert found == pytest.approx(expected, abs=1e-12)
        # Two one-sided tests reject a margin exactly where the 90 % interval lies within it.
        assert table.loc[loss, "margin"] == pytest.approx(max(map(abs, test.confidence_interval(0.90))))
        odds = [np.log((a * 1000 + 0.5) / (1000.5 - a * 1000)) for a in [*own, *other]]
        assert table.loc[loss, "log_odds"] == pytest.approx(np.mean(odds[:5]) - np.mean(odds[5:]), abs=0.01)
        assert table.loc[loss, "p"] <= table.loc[loss, "p_dunnett"] <= min(1, 2 * table.loc[loss, "p"])


def test_models_that_all_gain_the_same_leave_nothing_to_test_with():
    values = {(model, loss, 1): 0.5 + 0.1 * (loss == "focal") for model in MODELS for loss in LOSSES}
    table = over_all(values)
    assert table.loc["focal", "difference"] == pytest.approx(0.1)
    assert table[["low", "high", "p", "p_dunnett", "p_holm"]].isna().all(axis=None)
    assert "every model has the same difference, which leaves no error" in table.loc["focal", "note"]
    assert "every model has the same answers with both losses" in table.loc["balanced_softmax", "note"]


def test_one_model_is_no_sample_of_models():
    frame = evaluation({("resnet50", loss, 1): 0.5 for loss in LOSSES})
    with pytest.raises(Refusal, match="at least two models"):
        over_models.differences_over_models(frame, Grid.of(frame), "softmax")


@pytest.mark.parametrize(("models", "losses"), [(4, 6), (10, 3)])
def test_dunnett_is_the_chance_of_the_largest_of_all(models, losses):
    rng = np.random.default_rng(99)
    noise = rng.standard_normal((20_000, models, losses + 1))
    differences = noise[..., 1:] - noise[..., :1]
    t = differences.mean(axis=1) / differences.std(axis=1, ddof=1) * models**0.5
    largest = np.sort(np.abs(t).max(axis=1))
    bound = largest[int(0.95 * len(largest))]
    first = dunnett.dunnett(np.array([bound, *[0.1] * (losses - 1)]), models)
    assert first[0] == pytest.approx(0.05, abs=0.005)
    assert dunnett.dunnett(np.array([np.nan, 2.0]), models)[1] == pytest.approx(
        dunnett.dunnett(np.array([2.0]), models)[0]
    )


def test_runs_outside_the_grid_are_ignored():
    frame = evaluation({("a", "softmax", 1): 0.5, ("b", "softmax", 1): 0.4, ("a", "ldam", 1): 0.3})
    frame = pd.concat([frame, frame.assign(seed=2), frame.assign(train_set="balanced")], ignore_index=True)
    found = grid.scores(frame, Grid(("a",), ("softmax",), ("longtailed",), (1,)))
    assert found["value"].tolist() == [0.5]


def test_losses_with_the_same_accuracies_count_once():
    values = {
        (model, loss, 1): 0.5 + 0.05 * i + 0.01 * j + 0.003 * (i * j % 3)
        for i, model in enumerate(MODELS)
        for j, loss in enumerate((*LOSSES, "ldam"))
    }
    values |= {(model, "weighted_softmax", 1): values[model, "softmax", 1] for model in MODELS}
    frame = evaluation(values)
    own_grid = Grid.of(frame)
    found = grid.scores(frame, own_grid)
    ranks = friedman.friedman_tables(found, own_grid)[0].query("test_set == 'balanced'")
    assert "weighted_softmax" not in set(ranks["loss"])
    assert ranks["note"].str.contains("count once: softmax = weighted_softmax").all()
    table = grid.by_set(found, own_grid, variance, anova.COLUMNS)[0].query("test_set == 'balanced'")
    assert table.set_index("term").loc["loss", "df"] == 3


# --- ranks ----------------------------------------------------------------------------------------------------------

# Demšar (2006), JMLR 7, table 6: AUC of C4.5 and three variants on 14 data sets. The paper prints .975 twice for the
# last but one but ranks the two 2 and 3, hence the fourth digit.
DEMSAR = """.763 .768 .771 .798  .599 .591 .590 .569  .954 .971 .968 .967  .628 .661 .654 .657  .882 .888 .886 .898
.936 .931 .916 .931  .661 .668 .609 .685  .583 .583 .563 .625  .775 .838 .866 .875  1 1 1 1
.940 .962 .965 .962  .619 .666 .614 .669  .972 .981 .9751 .975  .957 .978 .946 .970"""
# Hollander and Wolfe (1973), p. 140: times to round first base by three methods, 22 players.
ROUNDING = """5.40 5.50 5.55 5.85 5.70 5.75 5.20 5.60 5.50 5.55 5.50 5.40 5.90 5.85 5.70 5.45 5.55 5.60 5.40 5.40 5.35
5.45 5.50 5.35 5.25 5.15 5.00 5.85 5.80 5.70 5.25 5.20 5.10 5.65 5.55 5.45 5.60 5.35 5.45 5.05 5.00 4.95 5.50 5.50
5.40 5.45 5.55 5.50 5.55 5.55 5.35 5.45 5.50 5.55 5.50 5.45 5.25 5.65 5.60 5.40 5.70 5.65 5.55 6.30 6.30 6.25"""


@pytest.fixture(scope="module")
def demsar() -> pd.DataFrame:
    return pd.DataFrame(np.array(DEMSAR.split(), float).reshape(14, 4), columns=["c45", "m", "cf", "m+cf"])


def test_average_ranks_and_critical_difference_are_demsars(demsar):
    result = friedman.friedman(demsar, alpha=0.10)
    assert result.ranks.round(3).tolist() == [3.143, 2.000, 2.893, 1.964]
    # Demšar's are for many blocks; the average of 14 ranks goes in steps of 1 / 28.
    assert result.critical_difference == pytest.approx(1.12, abs=1 / 28)
    assert friedman.friedman(demsar).critical_difference == pytest.approx(
        2.569 * (4 * 5 / (6 * 14)) ** 0.5, abs=2 / 28
    )
    # "the difference between C4.5 and C4.5+m+cf (1.18) is" beyond the one at 0.10; at 0.05 it is not.
    table = friedman.pairs(demsar).set_index(["a", "b"])
    assert table.loc[("c45", "m+cf"), "rank_difference"] == pytest.approx(1.179, abs=5e-4)
    assert 0.05 < table.loc[("c45", "m+cf"), "p_nemenyi"] < 0.10
    assert table.loc[("m", "m+cf"), "p_nemenyi"] > 0.10


def test_friedman_is_hollander_and_wolfes():
    times = pd.DataFrame(np.array(ROUNDING.split(), float).reshape(22, 3))
    result = friedman.friedman(-times)
    assert result.chi2 == pytest.approx(11.143, abs=5e-4)
    # R prints 0.003805, by chi square; the drawn patterns have an error of 0.0005.
    assert result.p == pytest.approx(0.003805, abs=0.0015)
    assert result.method == "permutation, 19,999 patterns"


@pytest.mark.parametrize(
    ("ranks", "chi2", "p"),
    # Friedman (1937), tables V and VI: exact probabilities.
    [
        ([[1, 2, 3]] * 3, 6.0, 1 / 36),
        ([[1, 2, 3]] * 3 + [[2, 1, 3]], 6.5, 0.042),
        ([[1, 2, 3]] * 4, 8.0, 0.0046),
        ([[1, 2, 3, 4]] * 2 + [[2, 1, 3, 4]], 8.2, 0.017),
    ],
)
def test_friedman_is_exact_with_few_blocks(ranks, chi2, p):
    result = friedman.friedman(-pd.DataFrame(ranks))
    assert (result.chi2, result.p) == (pytest.approx(chi2), pytest.approx(p, abs=5e-4))
    assert result.method.startswith("exact, all ")
    assert result.chi2 == pytest.approx(friedmanchisquare(*np.transpose(ranks)).statistic)


def test_ties_of_ranks_count_every_pattern():
    table = pd.DataFrame([[1.0, 2, 2], [3, 3, 1], [1, 2, 3]])
    ranks = table.rank(axis=1, ascending=False).to_numpy()
    sums = [
        np.sum(patterns, axis=0)
        for patterns in itertools.product(*(list(itertools.permutations(row)) for row in ranks))
    ]
    squares = np.array([np.sum(own**2) for own in sums])
    result = friedman.friedman(table)
    assert result.p == pytest.approx(np.mean(squares >= np.sum(ranks.sum(axis=0) ** 2) - 1e-9))
    apart = np.array([np.ptp(own) for own in sums]) / 3
    assert result.p_of_pair(1.0) == pytest.approx(np.mean(apart >= 1 - 1e-9))
    assert np.mean(apart >= result.critical_difference - 1e-9) <= 0.05


def test_ranks_put_the_highest_accuracy_first():
    table = pd.DataFrame(
        {"good": [0.9, 0.8, 0.7, 0.9], "bad": [0.1, 0.2, 0.3, 0.2], "fair": [0.5, 0.6, 0.5, 0.4]}
    )
    assert friedman.friedman(table).ranks.to_dict() == {"good": 1, "bad": 3, "fair": 2}


def test_signed_rank_is_hollander_and_wolfes():
    # Hollander and Wolfe (1973), p. 29: depression of nine patients at two visits; R prints 0.01953 one-sided.
    first = np.array([1.83, 0.50, 1.62, 2.48, 1.68, 1.88, 1.55, 3.06, 1.30])
    second = np.array([0.878, 0.647, 0.598, 2.05, 1.06, 1.29, 1.06, 3.14, 1.29])
    assert friedman.signed_rank(first - second) == pytest.approx(2 * 0.01953, abs=1e-5)


def test_signed_rank_with_ties_counts_every_pattern():
    differences = np.array([2.0, 2.0, -1.0, 3.0, 0.0, 1.0, 1.0])
    ranks = np.array([4.5, 4.5, 2, 6, 2, 2])  # of those that are not 0
    observed = abs(4.5 + 4.5 - 2 + 6 + 2 + 2)
    sums = [abs(np.dot(signs, ranks)) for signs in itertools.product([1, -1], repeat=6)]
    assert friedman.signed_rank(differences) == pytest.approx(np.mean(np.array(sums) >= observed))
    assert friedman.signed_rank(np.zeros(4)) == 1


def test_few_blocks_say_what_wilcoxon_would_need(demsar):
    note = friedman.pairs(demsar.iloc[:4])["note"].iloc[0]
    # The smallest p of 4 blocks is 2 / 16; six pairs need 2 / 2**8 * 6 = 0.047.
    assert (
        note
        == "4 blocks: Wilcoxon cannot go below p = 0.125, 0.75 after Holm over 6 pairs; 0.05 needs 8 blocks"
    )
    assert (friedman.pairs(demsar)["note"] == "").all()


@pytest.mark.parametrize(
    ("rows", "columns", "reason"),
    [
        (14, 2, "at least three losses"),
        (2, 4, "at least three models"),
        (1, 4, "at least three models"),
    ],
)
def test_friedman_refuses_too_little(demsar, rows, columns, reason):
    with pytest.raises(Refusal, match=reason):
        friedman.friedman(demsar.iloc[:rows, :columns])


def test_friedman_refuses_ties_everywhere():
    with pytest.raises(Refusal, match="tie in every block"):
        friedman.friedman(pd.DataFrame(np.ones((5, 3))))


def test_blocks_average_the_seeds_all_losses_have_and_name_what_they_leave_out():
    runs = {(model, loss, seed): 0.5 + 0.1 * seed for model in MODELS for loss in LOSSES for seed in (0, 1)}
    runs[("resnet50", "focal", 1)] = np.nan
    runs |= {("vit_b16", "focal", seed): np.nan for seed in (0, 1)}
    runs |= {(model, "ldam", seed): np.nan for model in MODELS for seed in (0, 1)}
    frame = evaluation(runs)
    own_grid = Grid.of(frame)
    table, note = friedman.complete_blocks(grid.scores(frame, own_grid), own_grid)
    assert table.index.tolist() == [("mobilenetv2", "longtailed"), ("resnet50", "longtailed")]
    assert table.loc["mobilenetv2"].iloc[0].tolist() == pytest.approx([0.55] * 3)
    assert table.loc["resnet50"].iloc[0].tolist() == pytest.approx([0.5] * 3)  # seed 0 alone, for every loss
    assert "losses without any run: ldam" in note
    assert "vit_b16 trained on longtailed" in note
    assert "resnet50 trained on longtailed (1 of 2 seeds)" in note


# --- files ----------------------------------------------------------------------------------------------------------


def accuracy(model: str, loss: str, train_set: str, seed: int, group: str) -> int:
    """Correct images: balanced softmax helps the tail after long-tailed training."""
    base = {"head": 30, "middle": 20, "tail": 4 if train_set == "longtailed" else 20}[group]
    gain = 12 if (loss, group, train_set) == ("balanced_softmax", "tail", "longtailed") else 0
    # Something different for every run, so that there is an error to estimate.
    return (
        base + gain + (7 * MODELS.index(model) + 3 * LOSSES.index(loss) + 5 * seed) % 4 - MODELS.index(model)
    )


@pytest.fixture(scope="module")
def analysed(tmp_path_factory) -> Path:
    """Three models, three losses, two seeds; one run failed."""
    folder = write_results(
        tmp_path_factory.mktemp("results"),
        accuracy,
        MODELS,
        LOSSES,
        seeds=(1, 2),
        train_sets=("longtailed",),
        missing=[("vit_b16", "focal", "longtailed", 2)],
    )
    run_program(
        "statistical_analysis",
        *("--evaluation", folder / "evaluation.parquet", "--runs", folder / "runs"),
        *("--split", folder / "data/split.parquet", "--output-folder", folder / "statistics"),
        *("--settings", json.dumps({"reference": "softmax", "data_seed": 7})),
    )
    return folder


@pytest.mark.parametrize("name", STATISTICS)
def test_every_page_states_seeds_images_and_missing_runs(analysed, name):
    page = (analysed / "statistics" / f"{name}.md").read_text(encoding="utf-8")
    assert "2 training seeds (1, 2), 1 data split (data seed 7)" in page
    assert "Test images: balanced 120, of them long-tailed 70, of these head 40, middle 20, tail 10." in page
    assert (
        "Runs: 17 of 18; missing and in no number: vit_b16 trained on longtailed with focal (seed 2)." in page
    )
    assert (analysed / "statistics" / f"{name}.csv").stat().st_size > 100


def test_the_differences_on_file_are_those_of_the_images(analysed):
    table = pd.read_csv(analysed / "statistics" / "paired_differences.csv")
    expected = "model train_set test_set loss reference difference low high p p_holm margin"
    expected += " detectable seeds_needed images_needed n clusters seeds method note"
    assert list(table.columns) == expected.split()
    row = table.set_index(["model", "train_set", "test_set", "loss"]).loc[
        ("resnet50", "longtailed", "balanced", "balanced_softmax")
    ]
    counts = {
        loss: [
            sum(accuracy("resnet50", loss, "longtailed", seed, group) for group in ("head", "middle", "tail"))
            for seed in (1, 2)
        ]
        for loss in ("balanced_softmax", "softmax")
    }
    gain = np.mean(counts["balanced_softmax"]) - np.mean(counts["softmax"])
    assert row["difference"] == pytest.approx(gain / 120)
    assert row["seeds"] == 2


def test_the_failed_run_is_named_where_it_is_missed(analysed):
    folder = analysed / "statistics"
    notes = pd.read_csv(folder / "anova.csv")["note"]
    assert notes.str.contains(
        "missing and in no number: vit_b16 trained on longtailed with focal (seed 2)", regex=False
    ).all()
    row = pd.read_csv(folder / "descriptive.csv").query(
        "model == 'vit_b16' and loss == 'focal' and test_set == 'tail' and metric == 'acc1'"
    )
    assert row[["seeds", "note"]].to_numpy().tolist() == [[1, "missing: seed 2"]]


def test_predictions_of_another_split_are_refused(analysed, tmp_path):
    grid_of_one = Grid(("resnet50",), ("softmax", "focal"), ("balanced",), (1,))
    other = write_results(tmp_path, accuracy, ("resnet50",), ("softmax", "focal"), seeds=(1,))
    path = other / "runs/balanced/resnet50/focal/seed1/predictions.parquet"
    frame = read_parquet(path)
    from longtail.files.parquet import write_parquet

    write_parquet(frame.assign(image_id=frame["image_id"] + 1), path)
    with pytest.raises(
        ValueError, match=r"focal/seed1/predictions.parquet holds other test images than .*softmax"
    ):
        read_correctness(other / "runs", other / "data/split.parquet", grid_of_one)
    with pytest.raises(FileNotFoundError, match="none of the 2 runs has predictions"):
        read_correctness(tmp_path / "nothing", other / "data/split.parquet", grid_of_one)


def test_scores_refuse_a_run_that_is_there_twice():
    frame = evaluation({("resnet50", "softmax", 1): 0.5})
    with pytest.raises(ValueError, match="acc1 twice for longtailed/resnet50/softmax/seed1 on 'balanced'"):
        grid.scores(pd.concat([frame, frame]), Grid.of(frame))
    with pytest.raises(ValueError, match="lacks the columns n"):
        grid.scores(frame.drop(columns="n"), Grid.of(frame))


def test_a_set_without_results_is_a_row_that_says_so():
    frame = evaluation(
        {(model, loss, 1): 0.1 * i for i, (model, loss) in enumerate(itertools.product(MODELS, LOSSES))}
    )
    own_grid = Grid.of(frame)
    table = grid.by_set(grid.scores(frame, own_grid), own_grid, variance, anova.COLUMNS)[0]
    tail = table[table["test_set"] == "tail"]
    assert tail["note"].tolist() == [
        "no run has a result here: the test set has no image, or no run has ended"
    ]
    assert tail["p"].isna().all()


def test_a_page_prints_equal_notes_once():
    data = pd.DataFrame(
        {
            "train_set": "balanced",
            "test_set": ["head", "tail"],
            "term": "loss",
            "p": [0.0001, 0.25],
            "note": "few runs",
        }
    )
    table = pages.page("anova", data, "1 training seed (42).")
    assert table.notes == ("1. Few runs.",)
    assert table.text["P"].tolist() == ["< 0.001", "0.250"]
    assert table.text["Note"].tolist() == ["1", "1"]
