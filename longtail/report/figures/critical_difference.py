"""Average ranks of the losses, with bars over those that do not differ significantly."""

import math
from collections.abc import Sequence

import pandas as pd
from matplotlib.axes import Axes
from scikit_posthocs import critical_difference_diagram

from longtail.analysis.grid import Grid, Refusal, accuracies, repeats, scores, select, without_repeats
from longtail.analysis.statistics.friedman import complete_blocks, friedman, pairs
from longtail.data.split.sets import groups_of
from longtail.report import captions
from longtail.report.figures import style
from longtail.report.labels import label

NEEDS = {"models": 3, "losses": 3}
"""Friedman's test takes no fewer."""


@style.look()
def draw(
    evaluation: pd.DataFrame, train_set: str | None = None, test_sets: Sequence[str] | None = None
) -> style.Drawn:
    """A diagram (Demšar, 2006) per test set, over the models; rank 1 is best.

    Args:
        train_set: None takes the long-tailed one, or the one that there is. Two training sets are never ranked
            together, since a model would then count twice.
        test_sets: None takes the balanced one and those of the most frequent and the rarest classes.
    """
    test_sets = test_sets or ("balanced", *groups_of(evaluation["test_set"])[::2])
    there = evaluation["train_set"].unique()
    train_set = train_set or ("longtailed" if "longtailed" in there else there[0])
    own = select(evaluation, train_set=train_set)
    shown = select(accuracies(evaluation), train_set=train_set)
    tables = _blocks(own, [name for name in test_sets if name in set(shown["test_set"])])
    again = repeats(scores(own, Grid.of(own)), Grid.of(own))
    text = _caption(shown, tables, again)
    looks = style.styles(evaluation["loss"].unique(), style.LOSSES)
    refused = {name: _refusal(table) for name, table in tables.items()}
    if len(set(refused.values())) == 1 and all(refused.values()):
        return style.explanation(next(iter(refused.values())), text)
    figure = style.new_figure((0.8 + 0.1 * len(looks)) * len(tables))
    panels = figure.subplots(len(tables), 1, squeeze=False, sharex=True)[:, 0]
    for axes, (test_set, table) in zip(panels, tables.items(), strict=True):
        if refused[test_set]:
            axes.set_title(label(test_set), loc="left")
            style.explain(axes, refused[test_set])
        else:
            _panel(axes, table, label(test_set), looks)
    return style.Drawn(figure, text)


def _caption(table: pd.DataFrame, tables: dict[str, pd.DataFrame], again: list[tuple[str, str]]) -> str:
    """What is ranked over how many blocks, runs and images, and what had to be left out."""
    expected = list(table[["model", "train_set"]].drop_duplicates().itertuples(index=False, name=None))
    lost = [block for block in expected if any(block not in found.index for found in tables.values())]
    listed = ", ".join(f"{label(model)} trained on {label(name).lower()}" for model, name in lost)
    return captions.caption(
        f"Average ranks of the losses by top-1 accuracy over {captions.count(len(expected), 'model')} trained on the"
        f" {label(expected[0][1]).lower()} set, each the mean over the seeds that all its losses have;"
        f" {captions.seeds(table)}. Rank 1 is best.",
        "Bars join losses that do not differ by Nemenyi's test at the 5 % level; CD is its critical difference;"
        " p is that of Friedman's test. Both are shares of the patterns of ranks, with no approximation for many"
        " blocks. Where p is not below 0.05, the ranks show no difference.",
        captions.test_images(table[table["test_set"].isin(tables)]),
        f"Blocks left out, since a loss is missing there: {listed}." if lost else "",
        captions.repeated(again),
        captions.missing(table, "accuracy"),
    )


def _blocks(evaluation: pd.DataFrame, test_sets: Sequence[str]) -> dict[str, pd.DataFrame]:
    """Accuracies by complete block (rows) and loss (columns), for each test set."""
    grid = Grid.of(evaluation)
    found = scores(evaluation, grid)
    distinct, _ = without_repeats(found, grid, grid.train_sets[0])
    found, grid = found[found["loss"].isin(distinct.losses)], distinct
    return {name: complete_blocks(found[found["test_set"] == name], grid)[0] for name in test_sets}


def _refusal(table: pd.DataFrame) -> str:
    """Why there is no diagram, as a sentence; empty if there is one."""
    try:
        friedman(table)
    except Refusal as refusal:
        return f"{str(refusal)[0].upper()}{str(refusal)[1:]}."
    return ""


def _panel(axes: Axes, table: pd.DataFrame, title: str, looks: dict[str, style.Style]) -> None:
    result, compared = friedman(table), pairs(table)
    # Numbers take the place of names, because the diagram walks over sets, and the order of a set of strings is random.
    names = list(table.columns)
    p_values = pd.DataFrame(1.0, index=range(len(names)), columns=range(len(names)))
    for pair in compared.itertuples():
        first, second = names.index(pair.a), names.index(pair.b)
        p_values.loc[first, second] = p_values.loc[second, first] = pair.p_nemenyi
    drawn = critical_difference_diagram(
        result.ranks.set_axis(range(len(names))),
        p_values,
        ax=axes,
        color_palette={place: looks[name].color for place, name in enumerate(names)},
        label_fmt_left="{label}",
        label_fmt_right="{label}",
        label_props={"fontsize": 7},
        marker_props={"s": 12},
        elbow_props={"linewidth": 0.9},
        crossbar_props={"linewidth": 2.2},
        text_h_margin=0.15,
    )
    for text in drawn["labels"]:
        name = names[int(text.get_text())]
        text.set(text=f" {label(name)} ({result.ranks[name]:.2f}) ", color="black")
    axes.spines["top"].set(visible=True, bounds=(1, len(names)))
    axes.set_xticks(range(1, len(names) + 1))
    p = f"p = {result.p:.2g}" if result.p >= 0.001 else "p < 0.001"
    far = "" if math.isnan(result.critical_difference) else f", CD = {result.critical_difference:.2f}"
    axes.set_title(f"{title}: {p}{far}, {len(table)} models", loc="left")
