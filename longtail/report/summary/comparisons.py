"""The models beside each other, and the runs beside the thesis and published results."""

import pandas as pd

from longtail.analysis.grid import Refusal, scores, without_repeats
from longtail.report.labels import label
from longtail.report.summary.evidence import Evidence
from longtail.report.summary.phrases import best_of, full_columns, percent, points, spread

COLLAPSED = "class_balanced"
"""The loss that fell to an accuracy near 0 in the thesis, and would hide what the other losses have in common."""

DATASETS = {"cifar100": "CIFAR100", "cifar10": "CIFAR10"}
"""The sources that there are published results of, as these call them."""
FALLS = {"exponential": "LT", "step": "step"}


def model_comparison(evidence: Evidence) -> str:
    """Mean and standard deviation of every model over the losses, with and without the class-balanced one."""
    columns, sentences, repeated = {}, [], False
    for train_set in evidence.grid.train_sets:
        cells = evidence.competing(train_set, ("balanced",))
        distinct, _ = without_repeats(scores(evidence.evaluation, evidence.grid), evidence.grid, train_set)
        cells = cells[cells["loss"].isin(distinct.losses)]
        repeated |= len(distinct.losses) < len(evidence.grid.losses)
        selections = {"all losses": cells}
        if COLLAPSED in set(cells["loss"]):
            selections[f"without {label(COLLAPSED).lower()}"] = cells[cells["loss"] != COLLAPSED]
        for name, chosen in selections.items():
            groups = chosen.groupby("model", sort=False)["mean"].agg(["mean", "std"])
            texts = [
                percent(mean) + ("" if pd.isna(sd) else f" ± {100 * sd:.1f}")
                for mean, sd in groups.to_numpy()
            ]
            columns[f"{label(train_set)}, {name}"] = pd.Series(texts, index=map(label, groups.index))
            if len(groups) > 1:
                best = f"highest mean: {best_of(groups['mean'])}"
                if groups["std"].notna().any():
                    best += f"; least spread: {best_of(groups['std'], least=True)}"
                sentences.append(f"{label(train_set)} training set, {name}: {best}.")
    table = pd.DataFrame(columns).fillna("")
    if table.empty:
        raise Refusal("no loss has all its runs")
    caption = (
        "This describes these runs and tests nothing. Top-1 accuracy on the balanced test set, mean ± standard "
        "deviation (n − 1) over the losses."
    )
    if repeated:
        caption += " Losses with the same accuracies everywhere count once."
    lead = " ".join([*sentences, caption]) + evidence.left_out
    return f"{lead}\n\n{full_columns(table.rename_axis('Model').reset_index())}"


def beside_thesis(evidence: Evidence) -> str:
    """How far the accuracies lie from the thesis's, by test set, and how many of its values their intervals hold."""
    keys = ["model", "train_set", "loss", "test_set"]
    thesis = evidence.thesis[evidence.thesis["metric"] == "acc1"][[*keys, "value"]]
    both = evidence.cells.dropna(subset="mean").merge(thesis, on=keys)
    if both.empty:
        raise Refusal("none of their models and losses is in the thesis")
    both["difference"] = both["mean"] - both["value"]
    both["inside"] = (both["low"] <= both["value"]) & (both["value"] <= both["high"])
    groups = both.groupby(["train_set", "test_set"], sort=False)
    rows = [
        {
            "Trained on": label(train_set),
            "Tested on": label(test_set),
            "Cells": str(len(own)),
            "Mean difference": points(own["difference"].mean()),
            "Mean absolute difference": f"{100 * own['difference'].abs().mean():.1f}",
            "Thesis inside our interval": f"{own['inside'].sum()} of {own['low'].notna().sum()}",
        }
        for (train_set, test_set), own in groups
    ]
    answer = (
        f"{len(both)} accuracies have a counterpart in the thesis, on nested test sets: "
        f"{points(both['difference'].mean())} points on average (ours less the thesis's), "
        f"{100 * both['difference'].abs().mean():.1f} regardless of sign. The thesis has one run each, and another "
        "recipe where the configuration says so. Our intervals leave out the error of its values: of two runs that are "
        "equally good, each tested on other images, one lies inside the interval of the other in about five of six "
        "cases, not in 95 %. Every cell is in `tables/thesis_comparison.csv`."
    )
    return f"{answer}\n\n{full_columns(pd.DataFrame(rows))}"


def beside_published(evidence: Evidence) -> str:
    """The accuracies on the balanced test set beside published ones for the same data and loss, or network."""
    parts = [_published_losses(evidence), _published_networks(evidence)]
    found = [part for part in parts if part]
    if not found:
        raise Refusal(
            "no published result has their data and losses; resources/published_results.csv lists what there is"
        )
    caution = (
        "These are no repetitions, unless the runs follow config/cao2019.yaml: the published test set is the "
        "official one, elsewhere it is cut from the training images, and networks, pretraining and recipes differ."
    )
    return "\n\n".join([caution, *found])


def _published_losses(evidence: Evidence) -> str:
    """The table of losses after long-tailed training; empty where the published data are others."""
    settings = evidence.settings
    name = f"{DATASETS[settings.source]}-{FALLS[settings.imbalance]} IR{1 / settings.imbalance_factor:g}"
    published = evidence.published[evidence.published["dataset"] == name]
    if "longtailed" not in evidence.grid.train_sets or published.empty:
        return ""
    cells = evidence.competing("longtailed", ("balanced",))
    wide = cells.pivot_table(index="loss", columns="model", values="mean", sort=False)
    rows = [
        {
            "Loss function": label(str(loss)),
            **{label(model): percent(value) for model, value in ours.items()},
            "Published, ResNet-32 from scratch": spread(published.loc[published["loss"] == loss, "top1"]),
        }
        for loss, ours in wide.iterrows()
    ]
    lead = f"Trained on the long-tailed set ({name}), top-1:"
    return f"{lead}\n\n{full_columns(pd.DataFrame(rows))}" if rows else ""


def _published_networks(evidence: Evidence) -> str:
    """The table of networks after balanced training, of those that have a published result; empty without any."""
    name = {"cifar100": "CIFAR-100 (balanced)"}.get(evidence.settings.source)
    published = evidence.published[evidence.published["dataset"] == name]
    if "balanced" not in evidence.grid.train_sets:
        return ""
    cells = evidence.competing("balanced", ("balanced",))
    cells = cells[(cells["loss"] == evidence.settings.reference) & cells["model"].isin(published["model"])]
    rows = [
        {
            "Model": label(row.model),
            label(evidence.settings.reference): percent(row.mean),
            "Published": spread(published.loc[published["model"] == row.model, "top1"]),
        }
        for row in cells.itertuples()
    ]
    return f"Trained on the balanced set, top-1:\n\n{full_columns(pd.DataFrame(rows))}" if rows else ""
