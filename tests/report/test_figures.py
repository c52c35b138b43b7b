"""Figures: what is drawn is what was measured, nothing missing passes for a number, and files are reproducible."""

import itertools
import json
import math
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from cards import card
from matplotlib.text import Text
from programs import run_program

from longtail.analysis import frames
from longtail.data.split.sets import with_sets
from longtail.files.parquet import write_parquet
from longtail.report.figures import (
    accuracy_bars,
    accuracy_lines,
    class_distribution,
    confused_pairs,
    confusion,
    critical_difference,
    example_images,
    forest,
    head_middle_tail,
    loss_comparison,
    model_comparison,
    model_comparison_without_class_balanced,
    per_class_accuracy,
    reliability,
    run_cost,
    sources,
    style,
    tradeoff,
    training_curves,
)
from longtail.report.figures.sources import figures, tells

TAIL, FEW = ("tail",), ("head", "tail")  # a panel for each takes most of a figure's time
IMAGES = {"balanced": 500, "longtailed": 110, "head": 80, "middle": 20, "tail": 10}
MODELS, LOSSES = ("resnet50", "vit_b16"), ("softmax", "class_balanced", "ldam")
RUN = ["model", "loss", "train_set", "seed"]


# --- data -----------------------------------------------------------------------------------------------------


def evaluation(
    models=MODELS, losses=LOSSES, train_sets=("longtailed",), seeds=(0, 1, 2), accuracy=None, test_sets=IMAGES
) -> pd.DataFrame:
    """Accuracies by `accuracy(model, loss, train_set, seed, test_set)`, or different ones everywhere."""
    rows = []
    for place, run in enumerate(itertools.product(models, losses, train_sets, seeds)):
        for offset, test_set in enumerate(test_sets):
            value = accuracy(*run, test_set) if accuracy else (7 * place + 13 * offset) % 83 / 100 + 0.05
            rows.append((*run, test_set, "acc1", value, IMAGES[test_set]))
            rows.append((*run, test_set, "loss", 9.9, IMAGES[test_set]))
    return pd.DataFrame(rows, columns=[*RUN, "test_set", "metric", "value", "n"])


def drop_run(frame: pd.DataFrame, **run) -> pd.DataFrame:
    """The frame without the rows of the matching runs."""
    hit = np.logical_and.reduce([frame[name] == value for name, value in run.items()])
    return frame[~hit].reset_index(drop=True)


def classes() -> pd.DataFrame:
    """Six classes: two head, two middle, two tail."""
    return pd.DataFrame(
        {
            "label": range(6),
            "class_name": ["ape", "bee", "cat", "dog", "elk", "fox"],
            "group": ["head", "head", "middle", "middle", "tail", "tail"],
            "n_train": [16, 12, 8, 6, 3, 2],
        }
    )


def split() -> pd.DataFrame:
    rows = []
    for own in classes().itertuples():
        for subset, all_of_it, kept in (
            ("train", 16, own.n_train),
            ("test", 4, 1 + own.label % 2),
            ("val", 3, 0),
        ):
            rows += [
                (len(rows) + k, own.label, own.class_name, subset, k < kept, own.group)
                for k in range(all_of_it)
            ]
    return pd.DataFrame(rows, columns=["image_id", "label", "class_name", "subset", "longtailed", "group"])


def runs(losses=LOSSES, seeds=(0, 1, 2)) -> list[dict]:
    return [
        dict(zip(RUN, ("vit_b16", loss, "longtailed", seed), strict=True))
        for loss, seed in itertools.product(losses, seeds)
    ]


def per_class(losses=LOSSES, seeds=(0, 1, 2)) -> pd.DataFrame:
    frames = [
        classes().assign(n_test=4, acc=[1, 0.75, 0.75, 0.5, 0.25, 0.25 * (run["seed"] % 2)], **run)
        for run in runs(losses, seeds)
    ]
    return pd.concat(frames, ignore_index=True)


def histories(losses=LOSSES, seeds=(0, 1, 2)) -> pd.DataFrame:
    rows = [
        run
        | {"epoch": epoch, "train_loss": 2 / epoch, "train_acc1": 0.2 * epoch}
        | {"val_loss": 3 / epoch, "val_acc1": 0.1 * epoch + 0.01 * run["seed"], "learning_rate": 0.1}
        for run in runs(losses, seeds)
        for epoch in (1, 2, 3)
    ]
    return pd.DataFrame(rows)


def predictions(losses=LOSSES, seeds=(0, 1, 2)) -> pd.DataFrame:
    """Four test images a class, at 80 % confidence; one of each tail class is taken for class 0."""
    images = split().query("subset == 'test'")[["image_id", "label"]]
    first = ~images.duplicated("label") & (images["label"] >= 4)
    images = images.assign(predicted=images["label"].mask(first, 0), confidence=0.8)
    return pd.concat([images.assign(**run) for run in runs(losses, seeds)], ignore_index=True)


def records(losses=LOSSES, seeds=(0, 1, 2)) -> pd.DataFrame:
    rows = [
        run
        | {
            "seconds": 3600.0 + run["seed"],
            "images_per_second": 500.0,
            "peak_memory_mb": 2048.0,
            "device": "GPU",
        }
        for run in runs(losses, seeds)
    ]
    return pd.DataFrame(rows)


def differences(losses=LOSSES, seeds=(0, 1, 2)) -> pd.DataFrame:
    rows = [
        (
            model,
            "longtailed",
            test_set,
            loss,
            losses[0],
            0.1,
            0.02,
            0.18,
            p_holm,
            IMAGES[test_set],
            len(seeds),
            "",
        )
        for model in MODELS
        for loss, p_holm in zip(losses[1:], (0.01, 0.2), strict=False)
        for test_set in IMAGES
    ]
    columns = [
        "model",
        "train_set",
        "test_set",
        "loss",
        "reference",
        "difference",
        "low",
        "high",
        "p_holm",
        "n",
    ]
    return pd.DataFrame(rows, columns=[*columns, "seeds", "note"])


def tensors(chosen="subset == 'train' and longtailed"):
    """Images of one grey for each class."""
    import torch

    from longtail.data.tensors.files import LabelledImages

    rows = split().query(chosen)
    ids, labels = torch.tensor(rows["image_id"].to_numpy()), torch.tensor(rows["label"].to_numpy())
    images = (20 * labels + 10).to(torch.uint8)[:, None, None, None].expand(-1, 3, 8, 8).contiguous()
    return LabelledImages(images, labels, ids, classes()["class_name"].tolist())


RUN_DATA = {
    training_curves: ("histories", histories, "epoch"),
    per_class_accuracy: ("per_class", per_class, "acc"),
    reliability: ("confidences", predictions, "predicted"),
    run_cost: ("records", records, "seconds"),
}
EVALUATION_FIGURES = {
    accuracy_bars: {"model": "vit_b16"},
    accuracy_lines: {"model": "vit_b16"},
    model_comparison: {},
    model_comparison_without_class_balanced: {},
    loss_comparison: {},
    head_middle_tail: {},
    tradeoff: {},
    critical_difference: {},
}
OWN_DRAWING = [
    module for module in EVALUATION_FIGURES if module is not model_comparison_without_class_balanced
]
"""Those that draw for themselves; the other one is `model_comparison` of fewer losses."""


def texts(figure) -> list[str]:
    """Everything that is written in the figure."""
    return [text.get_text() for text in figure.findobj(Text) if text.get_visible() and text.get_text()]


def blank(frame: pd.DataFrame, column: str, **run) -> pd.DataFrame:
    """The frame with one row without values in place of the matching runs, as the reader of a missing file has it."""
    rest = drop_run(frame, **run)
    first = frame[[*RUN]].merge(pd.DataFrame([run])).drop_duplicates()
    assert len(first)
    return pd.concat([rest, first], ignore_index=True)


# --- every figure ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("module", EVALUATION_FIGURES)
def test_captions_state_seeds_and_images_and_what_bars_are(module):
    frame = evaluation(seeds=(0, 1, 2, 3, 4), test_sets=TAIL)
    arguments = {"evaluation": frame, **EVALUATION_FIGURES[module]}
    caption = module.draw(**arguments).caption
    assert "5 training seeds (0, 1, 2, 3, 4)" in caption
    assert "one data split" in caption
    assert "tail 10" in caption
    assert "Missing" not in caption


@pytest.mark.parametrize("module", OWN_DRAWING)
def test_a_missing_run_is_marked_and_named(module):
    frame = drop_run(evaluation(test_sets=FEW), model="vit_b16", loss="ldam", train_set="longtailed", seed=2)
    arguments = {"evaluation": frame, **EVALUATION_FIGURES[module]}
    figure, caption = module.draw(**arguments)
    assert "ViT-B/16 with LDAM, long-tailed training set, seed 2" in caption
    # Critical difference ranks the mean over the seeds that all losses have, and says so.
    marked = any("/" in text and "runs)" in text for text in texts(figure))
    assert marked or module is critical_difference


@pytest.mark.parametrize("module", OWN_DRAWING)
def test_a_model_of_which_every_run_is_missing_is_drawn_as_missing(module):
    """NaN is the other form in which a run is missing."""
    frame = evaluation(test_sets=FEW if module is tradeoff else TAIL)
    frame.loc[frame["model"] == "vit_b16", "value"] = np.nan
    arguments = {"evaluation": frame, **EVALUATION_FIGURES[module]}
    figure, caption = module.draw(**arguments)
    assert "ViT-B/16 with LDAM, long-tailed training set, all seeds" in caption
    figure.draw_without_rendering()
    marked = [
        text for text in texts(figure) if "(missing)" in text or "/6 runs)" in text or "/9 runs)" in text
    ]
    assert marked or module is critical_difference


@pytest.mark.parametrize("module", OWN_DRAWING)
def test_one_run_is_drawn_or_explained(module):
    frame = evaluation(("vit_b16",), ("softmax",), ("longtailed",), (7,), test_sets=FEW)
    arguments = {"evaluation": frame, **EVALUATION_FIGURES[module]}
    figure, caption = module.draw(**arguments)
    assert any("Softmax" in text or "at least three losses" in text for text in texts(figure))
    assert "one training seed (7)" in caption or module is critical_difference


@pytest.mark.parametrize("module", RUN_DATA)
@pytest.mark.parametrize("case", ["one run", "three seeds", "missing run", "nothing finished"])
def test_figures_of_runs(module, case):
    name, make, column = RUN_DATA[module]
    one = case == "one run"
    frame = make(LOSSES[:1], (0,)) if one else make(("softmax", "ldam"))
    if case == "missing run":
        frame = blank(frame, column, model="vit_b16", loss="ldam", train_set="longtailed", seed=2)
    if case == "nothing finished":
        frame = frame.drop_duplicates(RUN).assign(**{column: np.nan})
    arguments = {name: frame, "model": "vit_b16", "train_set": "longtailed"}
    if module is reliability:
        arguments["split"] = split()
    figure, caption = module.draw(**arguments)
    drawn = texts(figure)
    assert ("one training seed (0)" if one else "3 training seeds (0, 1, 2)") in caption
    if case == "missing run":
        assert "ViT-B/16 with LDAM, long-tailed training set, seed 2" in caption
        assert any("(2/3 runs)" in text or "(5/6 runs)" in text for text in drawn)
    elif case == "nothing finished":
        assert any("no run finished" in text.lower() or "No run has finished" in text for text in drawn)
    else:
        assert "Missing" not in caption
        assert any("Softmax" in text for text in drawn)


@pytest.mark.parametrize("module", [accuracy_bars, training_curves])
def test_an_unknown_model_is_refused_with_the_known_ones(module):
    frame = {"evaluation": evaluation()} if module is accuracy_bars else {"histories": histories()}
    with pytest.raises(ValueError, match=r"'vgg' is not among the results; there are: .*vit_b16"):
        module.draw(**frame, model="vgg", train_set="longtailed")


# --- what is drawn is what was measured -----------------------------------------------------------------------


def bars(figure, row: int, column: int) -> list[float]:
    """Lengths of the bars of one panel, top to bottom."""
    columns = len(figure.axes) // (1 + max(axes.get_subplotspec().rowspan.start for axes in figure.axes))
    container = figure.axes[row * columns + column].containers[0]
    return [patch.get_width() for patch in container]


def test_bars_are_means_and_standard_deviations_over_seeds():
    def accuracy(model, loss, train_set, seed, test_set):
        return {0: 0.5, 1: 0.6, 2: 0.7}[seed] if loss == "softmax" else 0.25

    figure = accuracy_bars.draw(evaluation(accuracy=accuracy), "vit_b16", "longtailed").figure
    assert bars(figure, 0, 0) == pytest.approx([60, 25, 25])
    errors = figure.axes[0].containers[1]
    segment = errors.lines[2][0].get_segments()[0]
    assert segment[:, 0] == pytest.approx([50, 70])  # the standard deviation of 50, 60 and 70 is 10
    assert "60.0 ± 10.0" in texts(figure)


def test_a_bar_over_part_of_the_seeds_says_so_and_a_missing_one_has_no_length():
    frame = evaluation(accuracy=lambda *run: 0.4 + 0.1 * run[3])
    frame = drop_run(frame, model="vit_b16", loss="softmax", train_set="longtailed", seed=2)
    frame = drop_run(frame, model="vit_b16", loss="ldam", train_set="longtailed")
    figure, caption = accuracy_bars.draw(frame, "vit_b16", "longtailed")
    lengths = bars(figure, 0, 0)
    assert lengths[:2] == pytest.approx([45, 50])
    assert np.isnan(lengths[2])
    labels = [text.get_text() for text in figure.axes[0].get_yticklabels()]
    assert labels == ["Softmax (2/3 runs)", "Class-balanced", "LDAM (missing)"]
    hatched = [patch for container in figure.axes[0].containers[2:] for patch in container]
    assert [patch.get_hatch() is not None for patch in hatched] == [True]
    assert "0.0" not in texts(figure)
    assert "LDAM, long-tailed training set, all seeds" in caption


def test_model_comparison_averages_losses_and_may_leave_some_out():
    values = {"softmax": 0.6, "class_balanced": 0.0, "ldam": 0.3}
    frame = evaluation(accuracy=lambda model, loss, *rest: values[loss], test_sets=FEW)
    everything = model_comparison.draw(frame).figure
    assert bars(everything, 0, 1) == pytest.approx([30, 30])
    assert "30.0 ± 30.0" in texts(everything)
    without, caption = model_comparison_without_class_balanced.draw(frame)
    assert bars(without, 0, 1) == pytest.approx([45, 45])
    assert not any("Class-balanced" in text for text in texts(without))
    assert "Left out on purpose: Class-balanced" in caption


def test_losses_with_the_same_runs_are_averaged_once():
    frame = evaluation(losses=("softmax", "focal"), train_sets=("balanced",), test_sets=FEW)
    twice = frame[frame["loss"] == "softmax"].assign(loss="class_balanced")
    alone, together = (
        model_comparison.draw(table) for table in (frame, pd.concat([frame, twice], ignore_index=True))
    )
    assert bars(together.figure, 0, 1) == bars(alone.figure, 0, 1)
    assert "over 2 losses" in together.caption
    told = "Counted once, with another loss of the same accuracies everywhere: Class-balanced (balanced training set)."
    assert told in together.caption and "Counted once" not in alone.caption


@pytest.mark.parametrize("apart", [True, False])
def test_captions_of_single_models_give_the_groups_of_images(apart):
    """Four test images of each of six classes: each of its own night, or two nights a class."""
    images = split()
    place = images.groupby(["label", "subset"]).cumcount()
    images["cluster"] = images["image_id"] if apart else images["image_id"] - place % 2
    shown = {"model": "vit_b16", "train_set": "longtailed"}
    one = ("softmax",), (0,)
    counted = per_class(*one).assign(clusters=4 if apart else 2)
    found = {
        "groups: 2 per class.": per_class_accuracy.draw(counted, **shown).caption,
        "groups: 12.": confusion.draw(predictions(*one), images, **shown, loss="softmax").caption,
        "groups: head 4, middle 4, tail 4.": reliability.draw(predictions(*one), images, **shown).caption,
    }
    for told, caption in found.items():
        assert (f"Images of one group are not independent of each other; {told}" in caption) != apart, caption
        assert "group are" not in caption or not apart


def test_model_comparison_without_its_only_loss_explains():
    figure, caption = model_comparison_without_class_balanced.draw(evaluation(losses=("class_balanced",)))
    assert any("no loss is left" in text for text in texts(figure))
    assert "no loss is left" in caption


def test_loss_comparison_averages_models_by_training_set():
    values = {("resnet50", "balanced"): 0.2, ("vit_b16", "balanced"): 0.8}
    frame = evaluation(
        train_sets=("balanced", "longtailed"),
        accuracy=lambda model, loss, train_set, *rest: values.get((model, train_set), 0.1),
        test_sets=FEW,
    )
    figure = loss_comparison.draw(frame).figure
    assert bars(figure, 0, 1) == pytest.approx([50, 50, 50])
    assert bars(figure, 1, 1) == pytest.approx([10, 10, 10])
    dots = [line for line in figure.axes[1].lines if len(line.get_xdata()) == 3 and line.get_marker() in "s^"]
    assert sorted(line.get_xdata()[0] for line in dots) == pytest.approx([20, 80])


def test_lines_go_through_the_means():
    frame = evaluation(
        accuracy=lambda model, loss, train_set, seed, test_set: IMAGES[test_set] / 1000 + seed / 10
    )
    figure = accuracy_lines.draw(frame, "vit_b16").figure
    line = next(line for line in figure.axes[0].lines if len(line.get_ydata()) == 5)
    assert line.get_ydata() == pytest.approx([60, 21, 18, 12, 11])


def test_head_middle_tail_marks_the_means_and_every_seed():
    frame = evaluation(
        accuracy=lambda model, loss, train_set, seed, test_set: {"tail": 0.1 * seed}.get(test_set, 0.9)
    )
    figure = head_middle_tail.draw(frame, "vit_b16", "longtailed").figure
    tail = [line for line in figure.axes[0].lines if line.get_color() == style.GROUPS["tail"].color]
    dots, means = sorted(tail, key=lambda line: -len(line.get_xdata()))
    assert sorted(dots.get_xdata()) == pytest.approx([0, 0, 0, 10, 10, 10, 20, 20, 20])
    assert list(means.get_xdata()) == pytest.approx([10, 10, 10])


def test_an_empty_group_is_no_accuracy_of_zero():
    frame = evaluation()
    frame.loc[frame["test_set"] == "tail", ["value", "n"]] = [np.nan, 0]
    figure, caption = head_middle_tail.draw(frame)
    assert not any("Tail" in text for text in texts(figure))
    assert "tail" not in caption.split("Test images")[1]
    assert any(
        "needs test images of both head and tail" in text for text in texts(tradeoff.draw(frame).figure)
    )


def test_pareto_front_keeps_what_no_other_beats():
    head = np.array([90, 80, 85, 80, 70, np.nan, 90])
    tail = np.array([10, 40, 20, 39, 40, 90, 10])
    assert tradeoff.pareto_front(head, tail).tolist() == [True, True, True, False, False, False, True]


def test_critical_difference_places_average_ranks():
    order = {"softmax": 0.9, "class_balanced": 0.1, "ldam": 0.5}
    models = (*MODELS, "mobilenetv2")
    frame = evaluation(
        models, train_sets=("balanced", "longtailed"), accuracy=lambda model, loss, *_: order[loss]
    )
    drawn = texts(critical_difference.draw(frame, test_sets=["tail"]).figure)
    assert {"Softmax (1.00)", "LDAM (2.00)", "Class-balanced (3.00)"} <= {text.strip() for text in drawn}
    # There are 36 patterns of three models' ranks: one has average ranks of 1 and 3, and six have some 1.67 apart.
    assert any("p = 0.028, CD = 2.00, 3 models" in text for text in drawn)


def test_critical_difference_counts_no_model_twice():
    both = evaluation((*MODELS, "mobilenetv2"), train_sets=("balanced", "longtailed"), test_sets=TAIL)
    figure, caption = critical_difference.draw(both)
    assert "over 3 models trained on the long-tailed set" in caption
    assert texts(figure) == texts(critical_difference.draw(both, "longtailed").figure)
    assert "trained on the balanced set" in critical_difference.draw(both, "balanced").caption


def test_critical_difference_leaves_out_a_group_without_images_and_counts_a_repeated_loss_once():
    frame = evaluation(models=("vit_b16", "resnet50", "mobilenetv2"), train_sets=("balanced",))
    frame.loc[frame["test_set"] == "head", ["value", "n"]] = [np.nan, 0]
    twice = frame[frame["loss"] == "softmax"].assign(loss="weighted_softmax")
    figure, caption = critical_difference.draw(pd.concat([frame, twice], ignore_index=True))
    expected = critical_difference.draw(frame)
    assert [axes.get_title(loc="left") for axes in figure.axes] == [
        axes.get_title(loc="left") for axes in expected.figure.axes
    ]
    assert len(figure.axes) == 2 and "Test images: balanced 500, tail 10." in caption
    assert "left out" not in caption
    assert "Counted once, with another loss of the same accuracies everywhere: Weighted softmax" in caption
    assert not any("Weighted" in text for text in texts(figure))


@pytest.mark.parametrize(
    ("figure", "models", "losses", "says"),
    [
        ("critical_difference", 3, ["softmax", "ldam", "focal"], True),
        ("critical_difference", 2, ["softmax", "ldam", "focal"], False),
        ("critical_difference", 3, ["softmax", "ldam"], False),
        ("model_comparison", 2, ["softmax"], True),
        ("model_comparison", 1, ["softmax", "ldam", "focal"], False),
        ("model_comparison_without_class_balanced", 2, ["softmax", "ldam"], False),
        ("model_comparison_without_class_balanced", 2, ["softmax", "class_balanced"], True),
        ("loss_comparison", 1, ["softmax"], True),
    ],
)
def test_a_figure_that_would_say_nothing_of_a_grid_is_not_made_of_it(figure, models, losses, says):
    assert tells(figure, [f"m{number}" for number in range(models)], losses) == says


def test_what_figures_need_is_read():
    needing = {name for name in figures() if not tells(name, [], [])}
    assert needing == {"critical_difference", "model_comparison", "model_comparison_without_class_balanced"}


def test_critical_difference_refuses_too_little():
    for losses, told in ((("softmax", "ldam"), "at least three losses"), (LOSSES, "at least three models")):
        figure = critical_difference.draw(evaluation(losses=losses, test_sets=TAIL)).figure
        assert any(told in text for text in texts(figure))


def test_forest_fills_what_is_significant_and_marks_what_is_missing():
    figure, caption = forest.draw(differences(), "vit_b16", "longtailed")
    sure, unsure = figure.axes[0].lines[1:3]
    assert list(sure.get_xdata()) == pytest.approx([10])
    assert sure.get_markerfacecolor() != "white"
    assert list(unsure.get_xdata()) == pytest.approx([10])
    assert unsure.get_markerfacecolor() == "white"
    interval = figure.axes[0].collections[0].get_segments()[0]
    assert interval[:, 0] == pytest.approx([2, 18])
    assert "3 training seeds" in caption
    assert "tail 10" in caption
    lost = differences()
    lost.loc[lost["loss"] == "ldam", ["difference", "low", "high", "p_holm"]] = np.nan
    figure, caption = forest.draw(lost, "vit_b16", "longtailed")
    assert "missing" in texts(figure)
    assert "ViT-B/16 with LDAM, long-tailed training set" in caption
    nothing = lost.assign(difference=np.nan)
    drawn = texts(forest.draw(nothing, "vit_b16", "longtailed").figure)
    assert any("needs a finished run of Softmax" in text for text in drawn)


def test_forest_names_its_reference():
    figure, caption = forest.draw(differences(("ldam", "softmax", "focal")), "vit_b16", "longtailed")
    assert any("less that of LDAM" in axes.get_xlabel() for axes in figure.axes)
    assert "to LDAM, paired" in caption


def test_forest_of_a_single_loss_says_what_it_needs():
    nothing = differences().iloc[:1].map(lambda _: np.nan).assign(note="paired differences need two losses")
    figure, caption = forest.draw(nothing, "vit_b16", "longtailed")
    assert "Paired differences need two losses." in texts(figure)
    assert caption == "Paired differences need two losses."


def test_confusion_counts_and_lists_the_worst_pairs():
    arguments = {"split": split(), "model": "vit_b16", "train_set": "longtailed", "loss": "softmax"}
    figure, caption = confusion.draw(predictions(), **arguments)
    cells = figure.axes[0].images[0].get_array()
    assert cells[4].tolist() == pytest.approx([25, 0, 0, 0, 75, 0])  # one elk of four is taken for an ape
    assert cells[0].tolist() == pytest.approx([100, 0, 0, 0, 0, 0])
    assert {text for text in texts(figure) if " as " in text[:7]} == {"elk as ape", "fox as ape"}
    assert "Test images: 24, 4 per class" in caption
    lost = drop_run(predictions(), loss="softmax")
    lost = pd.concat([lost, pd.DataFrame(runs(("softmax",)))], ignore_index=True)
    assert any("missing" in text for text in texts(confusion.draw(lost, **arguments).figure))


def confusions() -> dict:
    """One elk is taken for an ape by all three seeds, another by one, a third for a bee by two."""
    frame = predictions()
    elks = sorted(frame.loc[frame["label"] == 4, "image_id"].unique())
    frame.loc[(frame["image_id"] == elks[3]) & (frame["seed"] > 0), "predicted"] = 1
    frame.loc[(frame["image_id"] == elks[2]) & (frame["seed"] == 2), "predicted"] = 0
    return {
        "predictions": frame,
        "test_tensors": tensors("subset == 'test'"),
        "tensors": tensors("subset == 'train'"),
        "split": split(),
        "model": "vit_b16",
        "train_set": "longtailed",
        "loss": "softmax",
    }


def test_confused_pairs_show_the_mistaken_images_beside_those_of_the_other_class():
    figure, caption = confused_pairs.draw(**confusions(), images=3)
    titles = [axes.get_title(loc="left") for axes in figure.axes]
    assert titles == [
        "elk as ape: 4 of 12",
        "Training images of ape (16)",
        "fox as ape: 3 of 12",
        "Training images of ape (16)",
        "elk as bee: 2 of 12",
        "Training images of bee (12)",
    ]
    left, right = (axes.images[0].get_array() for axes in figure.axes[:2])
    assert [left[0, 9 * place, 0] for place in range(3)] == [90, 90, 255], "two elks, then white"
    assert [right[0, 9 * place, 0] for place in range(3)] == [10, 10, 10], "three apes"
    assert "The 3 most confused of 3 confused pairs" in caption
    assert "3 training seeds (0, 1, 2)" in caption
    assert "Test images: 24; 9 of 72 predictions are wrong, 9 of them in these pairs." in caption


def test_confused_pairs_are_cut_to_the_most_and_show_first_what_most_seeds_mistook():
    arguments = confusions()
    titles = [axes.get_title(loc="left") for axes in confused_pairs.draw(**arguments, pairs=1).figure.axes]
    assert titles == ["elk as ape: 4 of 12", "Training images of ape (16)"]
    elks = arguments["test_tensors"].image_ids[arguments["test_tensors"].labels == 4]
    place = arguments["test_tensors"].image_ids.tolist().index(elks[0])
    arguments["test_tensors"].images[place] = 200  # the one that all three seeds take for an ape
    left = confused_pairs.draw(**arguments, pairs=1).figure.axes[0].images[0].get_array()
    assert [left[0, 9 * place, 0] for place in range(2)] == [200, 90]


def test_confused_pairs_name_only_images_that_were_trained_on():
    arguments = confusions() | {"train_set": "balanced"}
    arguments["predictions"] = arguments["predictions"].assign(train_set="balanced")
    titles = [axes.get_title(loc="left") for axes in confused_pairs.draw(**arguments).figure.axes]
    assert titles[5] == "Training images of bee (16)", "of which the long-tailed set has 12"


def test_confused_pairs_say_when_there_is_nothing_to_show():
    arguments = confusions()
    right = arguments["predictions"].assign(predicted=arguments["predictions"]["label"])
    figure, caption = confused_pairs.draw(**arguments | {"predictions": right})
    assert any("no test image was taken for another class" in text for text in texts(figure))
    assert "0 of 72 predictions are wrong" in caption
    lost = drop_run(predictions(), loss="softmax")
    lost = pd.concat([lost, pd.DataFrame(runs(("softmax",)))], ignore_index=True)
    figure, caption = confused_pairs.draw(**arguments | {"predictions": lost})
    assert any("no run finished" in text for text in texts(figure))
    assert "ViT-B/16 with Softmax" in caption
    elsewhere = arguments | {"test_tensors": tensors("subset == 'val'")}
    with pytest.raises(ValueError, match="the tensors lack image"):
        confused_pairs.draw(**elsewhere)


def test_calibration_error_by_group():
    frame = predictions(("softmax",), (0,)).assign(correct=lambda own: own["predicted"] == own["label"])
    frame = with_sets(frame, split())
    errors = reliability.calibration_errors(frame).set_index("group")["error"]
    assert errors.to_dict() == pytest.approx(
        {"head": 20, "middle": 20, "tail": 5}
    )  # 100 or 75 % right, sure at 80 %
    assert "head 8, middle 8, tail 8" in reliability.draw(frame, split(), "vit_b16", "longtailed").caption


def test_reliability_says_where_too_few_images_leave_a_panel_empty():
    few = predictions(("softmax",), (0,))  # 8 images of each group, all with one confidence
    assert (
        texts(reliability.draw(few, split(), "vit_b16", "longtailed").figure).count("no bin has\n20 images")
        == 3
    )
    many = predictions(("softmax",), (0, 1, 2))
    assert "no bin has\n20 images" not in texts(
        reliability.draw(many, split(), "vit_b16", "longtailed").figure
    )


def test_class_distribution_counts_every_subset():
    figure, caption = class_distribution.draw(split())
    titles = [axes.get_title(loc="left") for axes in figure.axes]
    assert titles[0] == "Training, balanced\n96 images, 16 per class"
    assert titles[3] == "Training, long-tailed\n47 images, 2 to 16 per class"
    heights = [patch.get_height() for patch in figure.axes[3].patches]
    assert heights == [16, 12, 8, 6, 3, 2]
    assert "tail 5" in caption
    assert any("no long-tailed set" in text for text in texts(figure))


def test_class_distribution_shows_the_training_sets_of_the_grid():
    figure, caption = class_distribution.draw(split(), train_sets=["longtailed"])
    titles = [axes.get_title(loc="left") for axes in figure.axes]
    assert "Training\n47 images, 2 to 16 per class" in titles
    assert not any("96 images" in title for title in titles)
    assert "training: 47" in caption
    assert "96" not in caption


def test_class_distribution_of_a_collection_with_a_tail_of_its_own():
    natural = split().query("longtailed or subset == 'val'").assign(longtailed=True)
    titles = [axes.get_title(loc="left") for axes in class_distribution.draw(natural).figure.axes]
    assert titles[0] == "Training\n47 images, 2 to 16 per class"
    assert len(titles) == 3


@pytest.mark.parametrize(("letters", "panels"), [(12, 5), (45, 4)])
def test_the_counts_of_the_groups_hide_no_bar_however_long_the_names_are(letters, panels):
    frame = split()
    frame["class_name"] = [f"{name:n<{letters}.{letters}}{name}" for name in frame["class_name"]]
    train_sets = ["balanced", "longtailed"] if panels == 5 else ["longtailed"]
    figure = class_distribution.draw(frame, train_sets=train_sets).figure
    figure.draw_without_rendering()
    drawn = [axes for axes in figure.axes if axes.axison]
    assert len(drawn) == panels
    for axes in drawn:
        bars = [bar.get_window_extent() for bar in axes.patches]
        plates = [text.get_bbox_patch().get_window_extent() for text in axes.texts]
        hidden = [bar for bar in bars for plate in plates if plate.overlaps(bar)]
        assert not hidden, axes.get_title(loc="left")
        assert max(bar.y1 for bar in bars) < axes.get_window_extent().y1


def test_of_many_classes_none_has_a_bar_of_its_own():
    counts = np.arange(250, 0, -1)
    rows = {"train": np.repeat(np.arange(250), counts), "test": np.repeat(np.arange(250), 2)}
    frame = pd.concat([pd.DataFrame({"label": labels, "subset": name}) for name, labels in rows.items()])
    frame = frame.assign(image_id=range(len(frame)), longtailed=True, class_name=frame["label"].astype(str))
    frame["group"] = np.repeat(["head", "middle", "tail"], [84, 83, 83])[frame["label"]]
    figure, caption = class_distribution.draw(frame)
    spread, mean = (figure.axes[0].patches[place].get_data() for place in (0, 1))
    assert len(figure.axes[0].patches) == 6 and mean.edges[:2].tolist() == [-0.5, 2.5]
    assert (spread.values[0], mean.values[0], spread.baseline[0]) == (250, 249, 248)
    assert figure.axes[0].patches[5].get_data().edges[-1] == 249.5
    assert figure.axes[0].patches[5].get_data().values[-1] == 1.5, "the last of 83 in threes are two"
    assert "mean of up to 3 neighbouring classes of one group" in caption
    assert "250 images" not in caption and "training: 31,375" in caption


@pytest.mark.parametrize("trained", [np.arange(1, 251), np.full(250, 7)], ids=["long-tailed", "balanced"])
def test_of_many_classes_none_has_a_dot_of_its_own(trained):
    labels = np.arange(250)
    frame = pd.DataFrame(
        {"label": labels, "class_name": labels.astype(str), "group": "head", "n_train": trained}
    )
    frame = frame.assign(n_test=4, acc=np.where(labels < 125, 0.25, 0.75), **runs(("softmax",), (0,))[0])
    figure, caption = per_class_accuracy.draw(frame, "vit_b16", "longtailed")
    dots = figure.axes[0].lines[0]
    assert len(dots.get_xdata()) == 30 and set(dots.get_ydata()) == {25, 75}
    first = np.arange(1, 10)  # a thirtieth of the classes, by rank or by images
    expected = first.mean() if len(set(trained)) == 1 else math.factorial(9) ** (1 / 9)
    assert dots.get_xdata()[0] == pytest.approx(expected)
    (quartiles,) = [each for each in figure.axes[0].collections if len(each.get_paths()) == 30]
    assert quartiles.get_paths()[0].vertices[:, 1].tolist() == [25, 25]
    assert "means of" in caption and "Accuracy of each of 250 classes" in caption


def test_example_images_show_the_images_and_leave_gaps():
    figure, caption = example_images.draw(tensors(), split(), classes_per_group=2, images_per_class=4)
    tail = figure.axes[2].images[0].get_array()
    assert tail[0, 0].tolist() == [90, 90, 90]  # class 4
    assert tail[9, 9].tolist() == [110, 110, 110]  # class 5, second image
    assert tail[9, 18].tolist() == [255, 255, 255]  # class 5 has two images
    assert "elk (3)" in texts(figure)
    assert "21 of 47 images, from 6 of 6 classes" in caption


def test_training_curves_are_means_over_seeds():
    figure = training_curves.draw(histories(("softmax",)), "vit_b16", "longtailed").figure
    assert figure.axes[3].lines[0].get_ydata() == pytest.approx([11, 21, 31])
    band = figure.axes[3].collections[0].get_paths()[0].vertices
    assert band[:, 1].min() == pytest.approx(10)  # the standard deviation of 10, 11 and 12 is 1


def test_run_cost_has_a_dot_per_run():
    figure, caption = run_cost.draw(records())
    times = np.concatenate([line.get_xdata() for line in figure.axes[0].lines])
    assert len(times) == 9
    assert times.min() == pytest.approx(60)
    assert "Training time (min)" in texts(figure)
    assert "9 training runs" in caption


# --- look and files -------------------------------------------------------------------------------------------


def test_styles_differ_in_more_than_colour():
    many = [*style.LOSSES, *(f"own_{number}" for number in range(12))]
    looks = style.styles(many, style.LOSSES)
    assert len({(look.marker, look.filled, look.color) for look in looks.values()}) == len(many)
    known = [looks[name] for name in style.LOSSES]
    assert len({(look.marker, look.filled) for look in known}) == len(known)


def test_a_style_does_not_depend_on_what_is_left_out():
    frame = evaluation(losses=("class_balanced", "mine", "softmax", "yours"), test_sets=TAIL)
    colors = [
        {
            text.get_text(): handle.get_color()
            for text, handle in zip(legend.get_texts(), legend.legend_handles, strict=True)
        }
        for module in (model_comparison, model_comparison_without_class_balanced)
        for legend in module.draw(frame).figure.legends
    ]
    assert colors[1].items() < colors[0].items()


def test_files_are_the_same_whatever_the_process(tmp_path, repository):
    """Dates, hash seeds and the order of sets leave no trace. This figure's library walks over sets of names."""
    frame = evaluation(("resnet50", "vit_b16", "resnet8"))
    frame.to_csv(tmp_path / "evaluation.csv", index=False)
    figures = [tmp_path / "here.pdf", tmp_path / "here.png"]
    style.save(critical_difference.draw(frame, test_sets=["tail"]).figure, *figures)
    command = [sys.executable, str(repository / "workflow/scripts/figure.py"), "critical_difference"]
    command += ["--evaluation", "evaluation.csv", "--settings", '{"test_sets": ["tail"]}']
    command += ["--output", "a/there.pdf", "a/there.png", "--caption", "there.rst"]
    environment = os.environ | {"PYTHONHASHSEED": "77", "TZ": "Asia/Tokyo", "SOURCE_DATE_EPOCH": "1"}
    subprocess.run(command, cwd=tmp_path, env=environment, check=True, capture_output=True)
    for path in figures:
        assert path.read_bytes() == (tmp_path / "a" / f"there{path.suffix}").read_bytes()
    assert "3 training seeds (0, 1, 2)" in (tmp_path / "there.rst").read_text(encoding="utf-8")
    pdf = figures[0].read_bytes()
    assert b"/Type3" not in pdf
    assert b"CIDFontType2" in pdf
    assert b"CreationDate" not in pdf


def test_a_figure_is_saved_as_pdf_or_png(tmp_path):
    with pytest.raises(ValueError, match=r"figure\.jpg: a figure is written as \.pdf or \.png"):
        style.save(style.explanation("nothing").figure, tmp_path / "figure.jpg")


def test_names_with_signs_of_mathematics_are_printed_as_they_are(tmp_path):
    frame = split().assign(class_name=lambda own: own["class_name"] + " $x_1$ ^{")
    figure = class_distribution.draw(frame, train_sets=["longtailed"]).figure
    style.save(figure, tmp_path / "figure.png")
    assert any("$x_1$ ^{" in text for text in texts(figure))


# --- reading and the program ----------------------------------------------------------------------------------


def run_file(folder: Path, name: str, loss: str = "softmax", seed: int = 0) -> Path:
    return folder / "longtailed" / "vit_b16" / loss / f"seed{seed}" / name


def test_reading_runs_keeps_a_place_for_the_missing(tmp_path):
    there, absent = (run_file(tmp_path, "history.parquet", seed=seed) for seed in (0, 1))
    write_parquet(histories(("softmax",), (0,)).drop(columns=RUN), there)
    frame = frames.read_histories([there, absent])
    assert frame[RUN].drop_duplicates().to_dict("records") == runs(("softmax",), (0, 1))
    assert frame["epoch"].tolist()[:3] == [1, 2, 3]
    assert np.isnan(frame["epoch"].iloc[3])
    assert frames.read_histories([absent])["epoch"].isna().all()
    named = frames.read_histories([there, "longtailed/vit_b16/softmax/seed1"])
    pd.testing.assert_frame_equal(named, frame)
    with pytest.raises(ValueError, match=r"not in the folder of a run"):
        write_parquet(histories(), tmp_path / "history.parquet")
        frames.read_histories([tmp_path / "history.parquet"])


def test_confidence_is_that_of_the_scaled_logits(tmp_path):
    import torch

    from longtail.models.card import digest_of
    from longtail.models.file import save_model

    frame = pd.DataFrame({"image_id": [1], "label": [0]})
    path = run_file(tmp_path, "predictions.parquet", "ldam")
    model = run_file(tmp_path, "model.safetensors", "ldam")
    save_model(model, {"weight": torch.zeros(1)}, card(logit_scale=30.0, loss="ldam"))
    answers = frame.assign(logits=[np.array([0.1, 0.0], dtype=np.float32)])
    write_parquet(answers, path, {"model": digest_of(model)})
    read = frames.read_confidences([path])
    assert read["confidence"].tolist() == pytest.approx([1 / (1 + np.exp(-3.0))])
    assert "confidence" not in frames.read_predictions([path])
    run_file(tmp_path, "model.safetensors", "ldam").unlink()
    with pytest.raises(ValueError, match=r"ldam.*has no model beside it"):
        frames.read_confidences([path])


def test_reading_records(tmp_path):
    path = run_file(tmp_path, "run.json")
    path.parent.mkdir(parents=True)
    epochs = [{"train_images_per_second": speed} for speed in (10.0, 100.0, 110.0)]
    path.write_text(json.dumps({"seconds": 9.0, "peak_memory_mb": 5.0, "device": "CPU", "epochs": epochs}))
    assert frames.read_records([path]).iloc[0].to_dict() == {
        **runs(("softmax",), (0,))[0],
        **{"seconds": 9.0, "images_per_second": 100.0, "peak_memory_mb": 5.0, "device": "CPU"},
    }
    path.write_text("{}")
    with pytest.raises(ValueError, match=r"run\.json is no record of a run"):
        frames.read_records([path])


@pytest.mark.parametrize(
    ("name", "option", "file"),
    [("run_cost", "--records", "run.json"), ("training_curves", "--histories", "history.parquet")],
)
def test_a_run_without_its_file_is_missing_only_where_it_is_named(tmp_path, capsys, name, option, file):
    """Drawn of files that a job did not get, a figure said "Cost of 0 training runs"."""
    absent = tmp_path / "runs" / "longtailed/vit_b16/softmax/seed1" / file
    chosen = [] if name == "run_cost" else ["--model", "vit_b16", "--train-set", "longtailed"]
    words = [name, *chosen, "--output", tmp_path / "figure.png", option]
    told = rf"{file} of the run longtailed/vit_b16/softmax/seed1 does not exist.*name the run as missing"
    with pytest.raises(SystemExit, match=told):
        run_program("figure", *words, absent)
    assert not (tmp_path / "figure.png").exists()
    run_program("figure", *words, "longtailed/vit_b16/softmax/seed1")
    assert (tmp_path / "figure.png").exists()
    assert "missing: longtailed/vit_b16/softmax/seed1\n" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["bar_chart"], r"there is no figure 'bar_chart'; there are: accuracy_bars, .*training_curves"),
        (["accuracy_bars", "--model", "vit_b16"], "'accuracy_bars' needs --evaluation"),
        (
            ["class_distribution", "--split", "s.csv", "--model", "a"],
            "does not take --model; it takes: split",
        ),
        (["class_distribution", "--split", "s.csv", "--settings", '{"colour": 1}'], "does not take colour"),
        (["class_distribution", "--split", "absent.csv"], "absent.csv"),
    ],
)
def test_the_program_says_what_a_figure_needs(monkeypatch, tmp_path, options, message):
    monkeypatch.chdir(tmp_path)
    split().to_csv("s.csv", index=False)
    with pytest.raises(SystemExit, match=message):
        run_program("figure", *options, "--output", "figure.png")
    assert not Path("figure.png").exists()


def test_every_figure_is_found():
    assert set(sources.figures()) == {
        module.__name__.rpartition(".")[2]
        for module in (
            *EVALUATION_FIGURES,
            *RUN_DATA,
            class_distribution,
            confused_pairs,
            confusion,
            example_images,
            forest,
        )
    }


LATIN = [f"Pseudopanthera macularia subsp. {place:03} (Linnaeus, 1758)" for place in range(150)]


def of_many_classes(count: int) -> dict:
    """Two training and two test images of each class; the last 30 classes are taken for the class before."""
    rows = [
        (4 * label + place, label, LATIN[label], "train" if place < 2 else "test", True, "head")
        for label in range(count)
        for place in range(4)
    ]
    own = pd.DataFrame(rows, columns=["image_id", "label", "class_name", "subset", "longtailed", "group"])
    test = own[own["subset"] == "test"][["image_id", "label"]]
    predicted = test["label"].where(test["label"] < count - 30, test["label"] - 1)
    run = dict(zip(RUN, ("vit_b16", "softmax", "longtailed", 0), strict=True))
    return {"predictions": test.assign(predicted=predicted, **run), "split": own} | {
        name: run[name] for name in ("model", "loss", "train_set")
    }


def test_confusion_names_every_class_whole_on_both_axes():
    figure, caption = confusion.draw(**of_many_classes(100))
    axes = figure.axes[0]
    for labels in (axes.get_xticklabels(), axes.get_yticklabels()):
        assert [text.get_text() for text in labels] == LATIN[:100]
    # Each name has the height of its letters for itself.
    figure.draw_without_rendering()
    heights = [label.get_window_extent().y0 for label in axes.get_yticklabels()]
    assert min(-np.diff(heights)) > 0.8 * confusion.FONT_SIZE / 72 * figure.dpi
    assert min(name.get_window_extent().x0 for name in axes.get_yticklabels()) > 0
    assert min(name.get_window_extent().y0 for name in axes.get_xticklabels()) > 0
    assert f"{LATIN[70]} as {LATIN[69]}" in texts(figure)
    assert "cut" not in caption


def test_confusion_of_more_than_100_classes_shows_those_that_are_confused_most():
    figure, caption = confusion.draw(**of_many_classes(150))
    shown = [text.get_text() for text in figure.axes[0].get_yticklabels()]
    assert len(shown) == 60
    assert set(LATIN[119:]) <= set(shown), "the 30 that are wrong, and that which one of them was taken for"
    assert "Of 150 classes the 60 of the pairs that are confused most" in caption
