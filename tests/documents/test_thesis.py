"""docs/thesis.md against a fresh run of its tables, and its sentences against sums of their own."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binom, f, t, ttest_1samp

from longtail.report.typeset import fill
from tools.thesis import IMAGES, analyses, document_tables, read_thesis, without_collapsed

REPEATED = ["weighted_softmax", "class_balanced"]
"""Losses that repeat softmax to the last digit on balanced training."""


@pytest.fixture(scope="module")
def thesis(repository) -> pd.DataFrame:
    return read_thesis(repository / "resources" / "thesis_results.csv")


@pytest.fixture(scope="module")
def document(repository) -> str:
    return (repository / "docs" / "thesis.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def cube(thesis) -> pd.DataFrame:
    """Top-1 accuracy in percent, one column per loss."""
    accuracies = thesis[thesis["metric"] == "acc1"]
    return 100 * accuracies.pivot(index=["train_set", "test_set", "model"], columns="loss", values="value")


def prose(document: str, start: str) -> str:
    """The line of the answers' table that starts with a claim."""
    return next(line for line in document.splitlines() if line.startswith(f"| {start}"))


@pytest.mark.long
def test_the_tables_are_those_of_a_fresh_run(thesis, document):
    tables = document_tables(thesis, analyses(thesis), analyses(without_collapsed(thesis)))
    assert fill(document, tables) == document, "run the command that docs/thesis.md names"


def test_accuracies_are_restored_to_whole_images(thesis):
    accuracies = thesis[thesis["metric"] == "acc1"]
    counts = accuracies["value"] * accuracies["n"]
    assert len(accuracies) == 280
    assert np.abs(counts - counts.round()).max() < 1e-9
    # Head, middle and tail make up the long-tailed test set.
    wide = accuracies.assign(count=counts).pivot(
        index=["model", "train_set", "loss"], columns="test_set", values="count"
    )
    assert len(wide) == 56
    assert (wide["head"] + wide["middle"] + wide["tail"]).round().equals(wide["longtailed"].round())


def test_an_accuracy_that_is_no_share_is_refused(tmp_path):
    row = {
        "model": "m",
        "train_set": "balanced",
        "loss": "focal",
        "test_set": "tail",
        "metric": "acc1",
        "value": 0.51,
    }
    pd.DataFrame([row]).to_csv(tmp_path / "results.csv", index=False)
    with pytest.raises(ValueError, match=r"results.csv: the accuracy 0.51 of m with focal on 'tail'"):
        read_thesis(tmp_path / "results.csv")


def test_a_document_without_a_place_for_a_table_is_refused():
    with pytest.raises(ValueError, match=r"places for \['a'\], but the tables are \['b'\]"):
        fill("<!-- table: a -->\n<!-- end -->", {"b": pd.DataFrame()})


def test_gains_over_softmax_are_as_told(cube, document):
    gain = cube.sub(cube["softmax"], axis=0).loc["longtailed"]
    means = gain.groupby("test_set").mean()
    assert f"+{means.loc['tail', 'balanced_softmax']:.1f} points over softmax" in prose(
        document, "Balanced softmax is"
    )
    head = gain.loc["head", "balanced_softmax"]
    assert (head < 0).all()
    price = prose(document, "… at a small price")
    assert f"−{-head.mean():.1f} points on average" in price and "the same sign with all four" in price
    overall = gain.loc["balanced", "balanced_softmax"].round(1)
    assert f"+{overall.drop('vit_b16').min()} to +{overall.max()} points" in prose(
        document, "… and best overall"
    )
    assert f"+{overall['vit_b16']} with ViT" in prose(document, "… and best overall")
    for losses, claim in (
        (("ldam", "weighted_softmax"), "LDAM and"),
        (("equalization", "focal"), "Equalization and"),
    ):
        tail = [f"{abs(means.loc['tail', loss]):.1f}" for loss in losses]
        assert " and ".join([tail[0], f"{tail[1]}"]) in prose(document, claim).replace("+", "")
    both = [f"{-means.loc['balanced', loss]:.1f}" for loss in ("ldam", "weighted_softmax")]
    assert f"by {both[0]} and {both[1]} on the balanced test set" in prose(document, "LDAM and")


def test_the_loss_on_balanced_training_is_as_told(cube, document):
    table = cube.loc["balanced", "balanced"].drop(columns=REPEATED)
    grand = table.to_numpy().mean()
    losses = len(table) * ((table.mean() - grand) ** 2).sum()
    models = table.shape[1] * ((table.mean(axis=1) - grand) ** 2).sum()
    error = ((table - grand) ** 2).to_numpy().sum() - losses - models
    statistic = (losses / 4) / (error / 12)
    expected = f"F = {statistic:.2f}, p = {f.sf(statistic, 4, 12):.3f}"
    told = prose(document, "On balanced training")
    assert expected in told
    gain = table.sub(table["softmax"], axis=0).drop(columns="softmax")
    margins = {
        loss: max(map(abs, ttest_1samp(own, 0).confidence_interval(0.90))) for loss, own in gain.items()
    }
    assert f"LDAM within {margins.pop('ldam'):.1f}" in told
    assert f"all but LDAM lie within {max(margins.values()):.1f} points" in told


def test_contrasts_over_models_are_students(cube, document):
    """The numbers are those that the issue of this study names, and SciPy's."""
    gain = cube.sub(cube["softmax"], axis=0).loc["longtailed"]
    expected = {
        "head": ("−2.5", "[−2.9, −2.1]"),
        "balanced": ("+4.0", "[+1.8, +6.2]"),
        "tail": ("+22.4", "[−0.4, +45.2]"),
    }
    for test_set, claim in (
        ("head", "… at a small"),
        ("balanced", "… and best"),
        ("tail", "Balanced softmax is"),
    ):
        test = ttest_1samp(gain.loc[test_set, "balanced_softmax"], 0)
        low, high = test.confidence_interval(0.95)
        difference, interval = expected[test_set]
        assert interval == f"[{low:+.1f}, {high:+.1f}]".replace("-", "−")
        digits = 4 if test.pvalue < 0.001 else 3
        told = prose(document, claim)
        assert difference in told and f"{interval}, p = {test.pvalue:.{digits}f}" in told
    head = ttest_1samp(gain.loc["head", "balanced_softmax"], 0).confidence_interval(0.90)
    assert f"More than {-head.low:.1f} points are excluded" in prose(document, "… at a small")
    collapse = ttest_1samp(gain.loc["head", "class_balanced"], 0).confidence_interval(0.95)
    assert f"[{collapse.low:.1f}, {collapse.high:.1f}]".replace("-", "−") in prose(
        document, "The class-balanced loss"
    )


def test_models_are_as_told(cube, document):
    table = {train_set: cube.loc[train_set, "balanced"] for train_set in ("balanced", "longtailed")}
    table["balanced"] = table["balanced"].drop(columns=REPEATED)
    means = {train_set: own.mean(axis=1) for train_set, own in table.items()}
    best = prose(document, "ConvNeXt is the best")
    lead = means["balanced"]["convnext_base"] - means["balanced"]
    assert f"leads MobileNetV2 by {lead['mobilenetv2']:.1f} points" in best
    assert f"ResNet-50 by {lead['resnet50']:.1f} only" in best
    convolutional = ["mobilenetv2", "resnet50", "convnext_base"]
    fewer = table["longtailed"].drop(columns="class_balanced")
    for own, words in ((table["longtailed"], "within {:.1f} points"), (fewer, "within {:.1f} (p")):
        mean = own.mean(axis=1)[convolutional]
        assert words.format(mean.max() - mean.min()) in best
    assert means["longtailed"][convolutional].idxmax() == "resnet50"
    stable = prose(document, "ConvNeXt is the most stable")
    sds = [table["balanced"].std(axis=1), table["longtailed"].std(axis=1)]
    sds.append(fewer.std(axis=1))
    assert [sd.idxmin() if place == 0 else sd.idxmax() for place, sd in enumerate(sds)] == [
        "convnext_base"
    ] * 3
    assert all(f"{sd['convnext_base']:.2f}" in stable for sd in sds)
    below = [means[train_set][convolutional] - means[train_set]["vit_b16"] for train_set in table]
    low, high = min(map(min, below)), max(map(max, below))
    assert f"{low:.1f} to {high:.1f} points below" in prose(document, "ViT is the worst")


def test_class_balanced_is_last_everywhere_but_on_the_tail(cube, document):
    others = cube.loc["longtailed"].drop(index="tail", level="test_set")
    assert (others.idxmin(axis=1) == "class_balanced").all()
    tail = cube.loc["longtailed", "tail"]
    assert (tail.idxmin(axis=1) != "class_balanced").any()
    assert (tail.drop(columns="class_balanced").idxmax(axis=1) == "balanced_softmax").all()
    assert "average rank 7.00" in prose(document, "The class-balanced loss")


def test_balanced_softmax_is_certain_with_three_models(cube, document):
    """The largest p of McNemar's exact test, after Holm over all 24 comparisons, worked out anew."""
    counts = {
        name: (cube.loc["longtailed", name] * n / 100).round().astype(int) for name, n in IMAGES.items()
    }
    parts = {name: (counts[name], IMAGES[name]) for name in ("head", "middle", "tail")}
    parts["rest"] = (counts["balanced"] - counts["longtailed"], IMAGES["balanced"] - IMAGES["longtailed"])
    largest = {}
    for model in counts["balanced"].index:
        for loss in counts["balanced"].columns.drop("softmax"):
            one = other = 0
            for own, n in parts.values():
                a, b = own.loc[model, loss], own.loc[model, "softmax"]
                one, other = one + a - max(0, a + b - n), other + b - max(0, a + b - n)
            largest[model, loss] = min(1.0, 2 * binom.cdf(min(one, other), one + other, 0.5))
    p = pd.Series(largest).sort_values()
    adjusted = (p * np.arange(len(p), 0, -1)).cummax().clip(upper=1)
    own = adjusted.xs("balanced_softmax", level=1)
    assert (own < 0.05).sum() == 3
    assert own["vit_b16"] > 0.05
    assert f"(p at most {own[own < 0.05].max():.3f})" in prose(document, "… and best overall")
    assert (adjusted.xs("ldam", level=1) < 0.05).all()
    assert (adjusted.xs("weighted_softmax", level=1) < 0.05).sum() == 3


def test_repeats_bound_what_a_gain_can_mean(cube, document):
    wide = cube.loc["balanced"]
    spread = (wide["balanced_softmax"] - wide["softmax"]).groupby("test_set").std()
    reach = t.ppf(0.975, 3) * spread / 2  # the error of a mean of four
    told = f"lies within {reach['balanced']:.1f} points on the balanced test set, {reach['head']:.1f} on the head and"
    assert f"{told} {reach['tail']:.1f} on the tail" in " ".join(document.split())
    gain = (cube["balanced_softmax"] - cube["softmax"]).loc["longtailed"].groupby("test_set").mean().abs()
    assert (gain[["balanced", "head", "tail"]] > reach[["balanced", "head", "tail"]]).all()
    # The runs that repeat softmax to the last digit: 56 runs, 48 distinct ones.
    assert wide["softmax"].equals(wide["weighted_softmax"])
    assert wide["softmax"].equals(wide["class_balanced"])


def test_the_command_of_the_document_exists(repository: Path, document):
    command = next(line.strip() for line in document.splitlines() if "tools/thesis.py" in line)
    assert command.split()[:2] == ["python", "tools/thesis.py"]
    source = (repository / "tools" / "thesis.py").read_text(encoding="utf-8")
    assert all(f'"{option}"' in source for option in command.split() if option.startswith("--"))
