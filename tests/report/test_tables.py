"""The tables, checked on the thesis's own figures."""

import io
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from programs import run_program

from longtail.data.split.frequencies import DISTRIBUTIONS, largest_draw
from longtail.data.split.sets import TRAIN_SETS, frequency_groups, longtailed_counts
from longtail.files.parquet import write_parquet
from longtail.report import classes, tables
from longtail.report.catalogue import TABLE_FORMATS, TABLES
from longtail.report.counts import counts_table
from longtail.report.labels import label
from longtail.report.tables import cells, wide
from longtail.report.typeset import Table, csv, latex, markdown, write_table
from tools.thesis import IMAGES

ROOT = Path(__file__).parents[2]
THESIS_FILE = ROOT / "resources" / "thesis_results.csv"
THESIS = pd.read_csv(THESIS_FILE)
SETS = ["Balanced", "Long-tailed", "Head", "Middle", "Tail"]


def thesis_evaluation(**rows: str) -> pd.DataFrame:
    """The thesis's runs as if they were ours."""
    frame = THESIS.assign(seed=42, n=THESIS["test_set"].map(IMAGES)).drop(columns="source")
    for column, value in rows.items():
        frame = frame[frame[column] == value]
    return frame.reset_index(drop=True)


def bold_cells(table: Table) -> dict[str, set[str]]:
    """Names of the rows that are bold, per column."""
    names = table.text.iloc[:, table.keys - 1]
    return {column: set(names[table.bold[column]]) for column in table.text.columns[table.keys :]}


def test_top1_table_prints_the_thesis_and_marks_its_best():
    table = tables.top1_table(thesis_evaluation(), "longtailed", "resnet50")
    printed = table.text.set_index("Loss function")
    assert list(printed.columns) == SETS
    # Table A.8 of the thesis.
    assert printed.loc["Softmax"].tolist() == ["55.22", "79.54", "85.31", "63.91", "21.05"]
    assert printed.loc["Balanced softmax"].tolist() == ["59.08", "79.16", "82.70", "65.68", "60.53"]
    assert bold_cells(table) == {
        "Balanced": {"Balanced softmax"},
        "Long-tailed": {"Softmax"},
        "Head": {"Softmax"},
        "Middle": {"Balanced softmax"},
        "Tail": {"Balanced softmax"},
    }
    assert "ResNet-50, trained on the long-tailed training set" in table.caption
    assert "one training seed (42), one data split" in table.caption
    assert not table.notes


def test_equal_values_are_all_bold():
    # Table A.2: softmax, weighted softmax and class-balanced are one and the same on balanced counts.
    bold = bold_cells(tables.top1_table(thesis_evaluation(), "balanced", "mobilenetv2"))
    assert bold["Long-tailed"] == {"Softmax", "Weighted softmax", "Class-balanced"}
    assert bold["Tail"] == {"Balanced softmax", "Equalization", "LDAM"}
    tied = thesis_evaluation(model="mobilenetv2", train_set="longtailed").assign(value=0.5)
    table = tables.top1_table(tied, "longtailed", "mobilenetv2")
    assert all(len(names) == 7 for names in bold_cells(table).values())


def test_the_smallest_calibration_error_is_the_best():
    frame = thesis_evaluation(model="resnet50", train_set="longtailed").query("metric == 'acc1'")
    frame = frame.assign(metric="ece")
    text, bold = wide(cells(frame, ["ece"]), ["test_set", "loss"], "metric", ["test_set"])
    tail = text[text["Test set"] == "Tail"].set_index("Loss function")["Calibration error (%)"]
    assert tail["Softmax"] == "21.05"  # the accuracy in table A.8 of the thesis, taken for another metric
    best = text.loc[bold["Calibration error (%)"] & (text["Test set"] == "Tail"), "Loss function"]
    assert best.tolist() == [tail.astype(float).idxmin()]


def test_single_value_is_not_called_the_best():
    table = tables.top1_table(thesis_evaluation(loss="focal"), "longtailed", "resnet50")
    assert all(not names for names in bold_cells(table).values())


def test_values_that_print_alike_are_both_bold():
    frame = thesis_evaluation(model="resnet50", train_set="longtailed")
    best = (frame["loss"] == "softmax") & (frame["metric"] == "acc1")
    frame.loc[best, "value"] = 0.99999
    frame.loc[(frame["loss"] == "ldam") & (frame["metric"] == "acc1"), "value"] = 0.999991
    assert bold_cells(tables.top1_table(frame, "longtailed", "resnet50"))["Tail"] == {"Softmax", "LDAM"}


def test_full_table_holds_every_value_of_the_thesis_and_its_smallest_loss():
    for (train_set, model), source in THESIS.groupby(["train_set", "model"]):
        table = tables.full_table(thesis_evaluation(), train_set, model)
        kept = table.data.set_index(["loss", "test_set", "metric"])["mean"]
        pd.testing.assert_series_equal(
            kept.sort_index(),
            source.set_index(["loss", "test_set", "metric"])["value"].sort_index(),
            check_names=False,
        )
    table = tables.full_table(thesis_evaluation(), "longtailed", "resnet50")
    printed = table.text.set_index(["Test set", "Loss function"])
    assert printed.loc["Tail", "LDAM"].tolist() == [
        f"{value:.4f}" if metric == "loss" else f"{100 * value:.2f}"
        for metric, value in THESIS.query(
            "model == 'resnet50' and train_set == 'longtailed' and loss == 'ldam' and test_set == 'tail'"
        )[["metric", "value"]].itertuples(index=False)
    ]
    assert list(printed.columns) == ["Loss", "Top-1 (%)", "F1 (%)"]
    assert list(dict.fromkeys(table.text["Test set"])) == SETS
    head = table.text["Test set"] == "Head"
    assert table.text.loc[head & table.bold["Loss"], "Loss function"].tolist() == ["Focal"]
    assert table.text.loc[head & table.bold["Top-1 (%)"], "Loss function"].tolist() == ["Softmax"]


def test_summaries_average_over_the_other_factor():
    accuracies = THESIS[(THESIS["metric"] == "acc1") & (THESIS["train_set"] == "longtailed")]
    per_model = tables.model_summary(thesis_evaluation())
    values = accuracies.query("model == 'resnet50' and test_set == 'tail'")["value"]
    assert len(values) == 7
    row = per_model.text.query("Model == 'ResNet-50' and Metric == 'Top-1 accuracy'").set_index(
        "Training set"
    )
    assert row.loc["Long-tailed", "Tail"] == f"{100 * values.mean():.2f} ± {100 * values.std():.2f}"
    assert "over 7 losses" in per_model.caption
    per_loss = tables.loss_summary(thesis_evaluation())
    values = accuracies.query("loss == 'balanced_softmax' and test_set == 'tail'")["value"]
    assert len(values) == 4
    row = per_loss.text.query("`Loss function` == 'Balanced softmax' and Metric == 'Top-1 accuracy'")
    assert (
        row.set_index("Training set").loc["Long-tailed", "Tail"]
        == f"{100 * values.mean():.2f} ± {100 * values.std():.2f}"
    )
    assert "over 4 models" in per_loss.caption


def test_a_loss_that_repeats_another_is_averaged_once():
    """In the thesis, softmax, weighted softmax and class-balanced are one run after balanced training."""
    table = tables.model_summary(thesis_evaluation())
    averaged = table.data.set_index("train_set")["averaged"]
    assert averaged["balanced"].eq(5).all() and averaged["longtailed"].eq(7).all()
    own = THESIS.query(
        "metric == 'acc1' and train_set == 'balanced' and model == 'resnet50' and test_set == 'tail'"
    )
    values = own[~own["loss"].isin(["weighted_softmax", "class_balanced"])]["value"]
    rows = table.text.query("Model == 'ResNet-50' and Metric == 'Top-1 accuracy'").set_index("Training set")
    assert rows.loc["Balanced", "Tail"] == f"{100 * values.mean():.2f} ± {100 * values.std():.2f}"
    told = "Counted once, with another loss of the same accuracies everywhere: "
    assert f"{told}Weighted softmax, Class-balanced (balanced training set)." in table.notes
    by_loss = tables.loss_summary(thesis_evaluation())
    assert "Weighted softmax" in set(by_loss.text["Loss function"]) and not by_loss.notes


def test_one_model_has_a_mean_without_a_spread():
    table = tables.loss_summary(thesis_evaluation(model="resnet50", train_set="longtailed"))
    printed = table.text.query("Metric == 'Top-1 accuracy'").set_index("Loss function")
    assert printed.loc["Softmax", SETS].tolist() == ["55.22", "79.54", "85.31", "63.91", "21.05"]
    assert "over 1 model " in table.caption


def test_seeds_are_averaged_with_their_spread():
    first = thesis_evaluation(model="resnet50", train_set="longtailed")
    second = first.assign(seed=43, value=first["value"] + 0.02)
    table = tables.top1_table(pd.concat([first, second]), "longtailed", "resnet50")
    cell = table.text.set_index("Loss function").loc["Softmax", "Balanced"]
    assert cell == "56.22 ± 1.41"  # 55.22 and 57.22: the standard deviation is 2 / sqrt(2)
    assert "2 training seeds (42, 43)" in table.caption and "standard deviation" in table.caption
    summary = tables.model_summary(pd.concat([first, second]))
    alone = tables.model_summary(first.assign(value=first["value"] + 0.01))
    pd.testing.assert_frame_equal(
        summary.data.drop(columns=["runs", "expected"]), alone.data.drop(columns=["runs", "expected"])
    )


def with_missing(losses: dict[str, list[int]]) -> pd.DataFrame:
    """Two seeds of ResNet-50 and MobileNetV2; those listed per loss are missing for ResNet-50."""
    frame = thesis_evaluation(train_set="longtailed")
    frame = frame[frame["model"].isin(["resnet50", "mobilenetv2"])]
    frame = pd.concat([frame, frame.assign(seed=43)], ignore_index=True)
    for name, seeds in losses.items():
        gone = (frame["model"] == "resnet50") & (frame["loss"] == name) & frame["seed"].isin(seeds)
        frame.loc[gone, "value"] = np.nan
    return frame


@pytest.mark.parametrize("rows", ["with NaN", "absent"])
def test_missing_run_is_shown_and_named(rows):
    frame = with_missing({"balanced_softmax": [42, 43], "softmax": [43]})
    if rows == "absent":
        frame = frame.dropna(subset="value")
        gone = frame[(frame["model"] == "resnet50") & (frame["loss"] == "balanced_softmax")]
        assert gone.empty
    table = tables.model_summary(frame)
    assert table.text.query("Model == 'ResNet-50'")["Tail"].str.endswith("†").all()
    assert not table.text.query("Model == 'MobileNetV2'")["Tail"].str.contains("†").any()
    notes = " ".join(table.notes)
    assert "ResNet-50 with Balanced softmax, long-tailed training set, all seeds" in notes
    assert "ResNet-50 with Softmax, long-tailed training set, seed 43" in notes
    assert table.data.query("model == 'resnet50'")["averaged"].eq(6).all()
    if rows == "with NaN":
        table = tables.top1_table(frame, "longtailed", "resnet50")
        printed = table.text.set_index("Loss function")
        assert printed.loc["Balanced softmax"].eq("missing").all()
        assert printed.loc["Softmax"].tolist() == ["55.22†", "79.54†", "85.31†", "63.91†", "21.05†"]
        assert bold_cells(table)["Head"] == {"Focal"}  # softmax, which lacks a run, does not compete
        assert "nan" not in markdown(table) and "nan" not in latex(table, "x")
        assert "missing" in markdown(table) and r"\textsuperscript{\dag}" in latex(table, "x")
        row = pd.read_csv(io.StringIO(csv(table))).query("loss == 'balanced_softmax'")
        assert row["mean"].isna().all() and row["runs"].eq(0).all() and row["expected"].eq(2).all()


def test_group_without_images_is_a_dash_not_a_missing_run():
    frame = thesis_evaluation(model="resnet50", train_set="longtailed")
    frame.loc[frame["test_set"] == "tail", ["value", "n"]] = [np.nan, 0]
    table = tables.top1_table(frame, "longtailed", "resnet50")
    assert table.text["Tail"].eq("–").all() and not table.bold["Tail"].any()
    assert table.notes == ("– No test images.",)


def test_comparison_of_the_thesis_with_itself_is_zero():
    table = tables.thesis_comparison(thesis_evaluation(), THESIS)
    assert len(table.data) == 840 and table.data["difference"].eq(0).all()
    differences = table.text.filter(regex="diff")
    assert differences.shape == (280, 3)
    assert set(differences.to_numpy().ravel()) == {"+0.0000", "+0.00"}


def test_comparison_shows_ours_minus_theirs_for_what_was_run():
    frame = with_missing({"ldam": [42, 43]})
    frame.loc[frame["metric"] == "acc1", "value"] -= 0.0123
    table = tables.thesis_comparison(frame, THESIS)
    assert set(table.data["model"]) == {"resnet50", "mobilenetv2"} and set(table.data["train_set"]) == {
        "longtailed"
    }
    row = table.text.set_index(["Model", "Loss function", "Test set"]).loc["ResNet-50", "Softmax", "Balanced"]
    assert row[["Top-1 (%)", "Top-1 (%), thesis", "Top-1 (%), diff."]].tolist() == [
        "53.99 ± 0.00",
        "55.22",
        "−1.23",
    ]
    assert row["Loss, diff."] == "+0.0000"
    row = table.text.set_index(["Model", "Loss function", "Test set"]).loc["ResNet-50", "LDAM", "Balanced"]
    assert row[["Top-1 (%)", "Top-1 (%), thesis", "Top-1 (%), diff."]].tolist() == ["missing", "37.42", "–"]
    assert r"\ensuremath{-}1.23" in latex(table, "x")


def test_comparison_without_a_common_run_says_so(tmp_path):
    table = tables.thesis_comparison(thesis_evaluation(model="resnet50").assign(model="resnet8"), THESIS)
    assert table.caption == "None of these runs has a counterpart in the thesis."
    write_table(table, tmp_path, "thesis_comparison", "thesis")
    assert len((tmp_path / "thesis_comparison.csv").read_text().splitlines()) == 1


def test_counts_table_counts_each_subset_by_group():
    groups = {0: "head", 1: "middle", 2: "tail"}
    rows = [
        (label_, groups[label_], subset, index < kept)
        for subset, size, counts in (("train", 9, (9, 3, 1)), ("test", 4, (4, 2, 0)), ("val", 5, (0, 0, 0)))
        for label_, kept in enumerate(counts)
        for index in range(size)
    ]
    split = pd.DataFrame(rows, columns=["label", "group", "subset", "longtailed"])
    table = counts_table(split, TRAIN_SETS)
    assert table.text.to_numpy().tolist() == [
        ["Training, balanced", "27", "9", "9", "9", "9", "9"],
        ["Training, long-tailed", "13", "9", "3", "1", "9", "1"],
        ["Validation", "15", "5", "5", "5", "5", "5"],
        ["Test, balanced", "12", "4", "4", "4", "4", "4"],
        ["Test, long-tailed", "6", "4", "2", "0", "4", "0"],
    ]
    assert "3 classes (1 head, 1 middle, 1 tail)" in table.caption
    assert "One data split" in table.caption
    # A set that no model is trained on is none of this experiment.
    assert [row for row in counts_table(split, ["longtailed"]).text["Set"] if "Training" in row] == [
        "Training, long-tailed"
    ]


def test_counts_table_leaves_out_subsets_without_images():
    rows = [(0, "head", "train"), (0, "head", "train"), (1, "tail", "train"), (0, "head", "test")]
    split = pd.DataFrame(rows, columns=["label", "group", "subset"]).assign(longtailed=True, balanced=False)
    assert counts_table(split, TRAIN_SETS).text["Set"].tolist() == [
        "Training, long-tailed",
        "Test, long-tailed",
    ]


def test_run_that_is_there_twice_is_refused():
    frame = thesis_evaluation(model="resnet50")
    with pytest.raises(ValueError, match=r"two values of .*resnet50.*added twice"):
        tables.model_summary(pd.concat([frame, frame]))
    with pytest.raises(ValueError, match="model 'resnet8' is not among the results; there are: resnet50"):
        tables.top1_table(frame, "balanced", "resnet8")


ALL = {
    "top1": lambda: tables.top1_table(thesis_evaluation(), "longtailed", "vit_b16"),
    "full": lambda: tables.full_table(
        with_missing({"ldam": [42, 43], "focal": [42]}), "longtailed", "resnet50"
    ),
    "model_summary": lambda: tables.model_summary(thesis_evaluation()),
    "loss_summary": lambda: tables.loss_summary(thesis_evaluation()),
    "thesis_comparison": lambda: tables.thesis_comparison(thesis_evaluation(), THESIS),
}


@pytest.fixture(scope="module", params=ALL)
def table(request) -> Table:
    return ALL[request.param]()


def test_latex_is_well_formed(table):
    text = latex(table, "some-label")
    for name in ("table", "longtable", "tabular", "landscape"):
        assert text.count(rf"\begin{{{name}}}") == text.count(rf"\end{{{name}}}")
    unescaped = re.sub(r"\\[\\&%$#_{}]", "", text)
    assert unescaped.count("{") == unescaped.count("}")
    assert text.isascii(), "LaTeX without inputenc knows ASCII only"
    rows = [line for line in text.splitlines() if " & " in line and line.endswith(r"\\")]
    headings = 2 if "longtable" in text else 1  # the first page's and the others'
    assert len(rows) == len(table.text) + headings
    assert {row.count("&") - row.count(r"\&") for row in rows} == {table.text.shape[1] - 1}
    assert r"\label{tab:some-label}" in text
    packages = re.match(r"% needs \\usepackage\{(.*)\}", text).group(1).split(",")
    assert ("longtable" in packages) == (r"\begin{longtable}" in text) and "booktabs" in packages
    assert ("pdflscape" in packages) == (r"\begin{landscape}" in text)


def test_markdown_holds_the_same_cells(table):
    lines = [line for line in markdown(table).splitlines() if line.startswith("|")]
    cells = [[cell.strip().strip("*") for cell in line.strip("|").split("|")] for line in lines]
    assert cells[0] == list(table.text.columns)
    assert cells[2:] == table.text.to_numpy().tolist()
    bold = sum(line.count("**") for line in lines) / 2
    assert bold == (0 if table.bold is None else table.bold.to_numpy().sum())


def test_special_characters_survive_in_every_form(tmp_path):
    text = pd.DataFrame({"Name": ["a_b & 50 % of {x}|y^2~$#\\"], "Value": ["1.00"]})
    table = Table(pd.DataFrame({"name": ["a,b"], "value": [1 / 3]}), text, "A_caption", bold=text == "1.00")
    source = latex(table, "x")
    assert r"a\_b \& 50 \% of \{x\}|y\textasciicircum{}2\textasciitilde{}\$\#\textbackslash{}" in source
    assert r"\caption{A\_caption}" in source and r"\textbf{1.00}" in source
    assert r"{x}\|y^2" in markdown(table)
    write_table(table, tmp_path / "new", "t", "x")
    assert {path.name for path in (tmp_path / "new").iterdir()} == {"t.csv", "t.md", "t.tex", "t.html"}
    assert pd.read_csv(tmp_path / "new" / "t.csv")["value"].item() == 1 / 3


@pytest.mark.parametrize("cut", ["thirds", "counts"])
def test_classes_are_grouped_by_thirds_and_by_numbers_whichever_the_configuration_has(cut):
    """CIFAR100-LT at ratio 100 has 35 classes of more than 100 images, 35 of 20 to 100, and 30 of fewer."""
    counts = longtailed_counts(500, 100, 0.01)
    frames = [
        pd.DataFrame(
            {"label": range(100), "group": frequency_groups(counts, cut), "n_train": n_train, "acc": accuracy}
        ).assign(model="resnet32", loss=loss, train_set=train_set, seed=seed)
        for train_set, n_train in (("balanced", [500] * 100), ("longtailed", counts))
        for loss, seed, accuracy in (
            ("softmax", 1, np.where(np.array(n_train) > 100, 0.75, 0.25)),
            ("softmax", 2, np.where(np.array(n_train) > 100, 0.75, 0.5)),
            ("ldam", 1, np.linspace(1, 0, 100)),
            ("ldam", 2, np.nan),
        )
    ]
    table = tables.class_groups(pd.concat(frames, ignore_index=True))
    groups = ["Head (33)", "Middle (33)", "Tail (34)", "Many (35)", "Medium (35)", "Few (30)"]
    assert list(table.text.columns) == ["Model", "Loss function", *groups]
    softmax = table.text.set_index("Loss function").loc["Softmax", groups].tolist()
    # Two of the 33 middle classes are among the many: 2 * 75 + 31 * 25, and 31 * 50 with the other seed.
    middle = [(2 * 75 + 31 * rest) / 33 for rest in (25, 50)]
    assert softmax[0] == softmax[3] == "75.00 ± 0.00"
    assert softmax[1] == f"{np.mean(middle):.2f} ± {np.std(middle, ddof=1):.2f}"
    assert softmax[2] == softmax[4] == softmax[5] == f"37.50 ± {np.std([25, 50], ddof=1):.2f}"
    ldam = table.text.set_index("Loss function").loc["LDAM", groups].tolist()
    assert ldam[5] == f"{100 * np.linspace(1, 0, 100)[70:].mean():.2f}†"
    assert "ResNet-32 with LDAM, long-tailed training set, seed 2" in table.notes[-1]
    assert "many 102 to 500, medium 20 to 98, few 5 to 19." in table.caption


def test_a_group_without_a_class_is_told_and_a_balanced_set_has_one_cut():
    runs = pd.DataFrame({"label": range(4), "n_train": [60, 30, 21, 20], "acc": [1.0, 0.5, 0.25, 0.0]})
    runs = runs.assign(group="medium", model="resnet8", loss="softmax", train_set="longtailed", seed=1)
    table = tables.class_groups(runs)
    assert list(table.text.columns[2:]) == ["Head (1)", "Middle (1)", "Tail (2)", "Medium (4)"]
    assert table.text.iloc[0, 2:].tolist() == ["100.00", "50.00", "12.50", "43.75"]
    assert "medium 20 to 60. No class is in many or few." in table.caption
    balanced = tables.class_groups(runs.assign(train_set="balanced", n_train=20))
    assert list(balanced.text.columns[2:]) == ["Medium (4)"]


def test_published_results_beside_ours():
    published = pd.read_csv(ROOT / "resources" / "published_results.csv", dtype=str)
    runs = [("softmax", 0.39), ("ldam_drw", 0.42), ("softmax+la", np.nan), ("my_own", 0.5)]
    evaluation = pd.DataFrame(
        [("resnet32", loss, "longtailed", 1, "balanced", "acc1", value, 10000) for loss, value in runs],
        columns=["model", "loss", "train_set", "seed", "test_set", "metric", "value", "n"],
    )
    table = tables.published_comparison(evaluation, published, "cao2019")
    assert table.text.values.tolist() == [
        ["Softmax", "38.32", "200", "39.00", "+0.68"],
        ["LDAM-DRW", "42.47", "200", "42.00", "−0.47"],
        ["Softmax + LA", "44.07", "1419", "missing", "–"],
    ]


def test_every_entry_of_the_published_protocol_has_one_published_number():
    config = yaml.safe_load((ROOT / "config/cao2019.yaml").read_text())
    everything = pd.read_csv(ROOT / "resources" / "published_results.csv")
    wide = everything["model"] == "resnet32x4"  # GLMC's, which has files of its own
    assert everything[wide]["loss"].eq("glmc").all()
    published = everything[(everything["protocol"] == "cao2019") & ~wide]
    assert sorted(published["loss"]) == sorted([*config["grid"]["losses"], *config["variants"]])
    # What the rows have in common with the configuration, in the words of their sources.
    assert set(published["model"]) == set(config["grid"]["models"])
    same = published[["backbone", "pretraining", "dataset"]].drop_duplicates()
    assert same.to_numpy().tolist() == [
        ["ResNet-32", "none", "CIFAR100-LT IR100"],
        ["ResNet-32 with three narrow experts", "none", "CIFAR100-LT IR100"],
    ]
    smaller = everything[(everything["protocol"] == "cao2019-cifar10") & ~wide]
    assert smaller["loss"].is_unique
    config = yaml.safe_load((ROOT / "config/cifar10-lt.yaml").read_text())
    assert sorted(smaller["loss"]) == sorted([*config["grid"]["losses"], *config["variants"]])
    assert smaller["dataset"].eq("CIFAR10-LT IR100").all()


def test_script_writes_every_table_of_the_catalogue(tmp_path):
    write_parquet(thesis_evaluation(), tmp_path / "evaluation.parquet")
    split = pd.DataFrame({"label": [0], "group": ["head"], "subset": ["train"], "longtailed": [True]})
    write_parquet(split, tmp_path / "split.parquet")
    run = {"model": "resnet50", "loss": "softmax", "train_set": "longtailed", "seed": 1}
    one = pd.DataFrame(
        [
            {
                **run,
                "label": 0,
                "class_name": "ape",
                "group": "head",
                "n_train": 9,
                "n_test": 2,
                "acc": 0.5,
                "f1": 0.5,
            }
        ]
    )
    write_parquet(one, tmp_path / "per_class.parquet")
    of_seeds = {"test_set": "balanced", "seeds": 2, "single": 0.5, "ensemble": 0.6, "n": 2}
    write_parquet(pd.DataFrame([run | of_seeds]), tmp_path / "ensembles.parquet")
    evaluation = ["--evaluation", tmp_path / "evaluation.parquet", "--output-folder", tmp_path]
    of_model = ["top1", "full", "--train-set", "balanced", "--model"]
    for arguments in (
        [*of_model, "resnet50"],
        ["model_summary", "loss_summary"],
        ["counts", "--split", tmp_path / "split.parquet", "--train-sets", "longtailed"],
        ["class_groups", "--per-class", tmp_path / "per_class.parquet"],
        ["test_distributions", "--per-class", tmp_path / "per_class.parquet"],
        ["ensembles", "--ensembles", tmp_path / "ensembles.parquet"],
        ["thesis_comparison", "--thesis", THESIS_FILE],
        [
            "published_comparison",
            "--protocol",
            "cao2019",
            "--published",
            ROOT / "resources/published_results.csv",
        ],
    ):
        run_program("tables", *arguments, *evaluation, "--note", "x: corrects twice.")
        name = next(word for word in arguments if word in TABLES)
        assert (tmp_path / f"{name}.md").read_text().count("x: corrects twice.") == 1
    assert {path.name for path in tmp_path.iterdir() if path.suffix != ".parquet"} == {
        f"{name}.{suffix}" for name in TABLES for suffix in TABLE_FORMATS
    }
    assert r"\label{tab:top1-balanced-resnet50}" in (tmp_path / "top1.tex").read_text()
    with pytest.raises(SystemExit, match="error: model 'x' is not among the results"):
        run_program("tables", *of_model, "x", *evaluation)
    with pytest.raises(SystemExit, match="error: the table 'top1' needs --train-set, --model"):
        run_program("tables", "top1", *evaluation)


@pytest.mark.parametrize(
    ("damage", "found"),
    [
        (lambda frame: frame.iloc[:0], "holds no row"),
        (lambda frame: frame[[]], "lacks the columns"),
        *(
            (lambda frame, name=name: frame.drop(columns=name), "lacks the columns")
            for name in ("model", "n")
        ),
        *(
            (lambda frame, name=name: frame.assign(**{name: np.nan}), f"in the column {name},")
            for name in ("loss",)
        ),
        *(
            (lambda frame, name=name: frame.assign(**{name: "x"}), f"in the column {name},")
            for name in ("value", "n")
        ),
        (
            lambda frame: frame.assign(metric=frame["metric"].mask(frame.index == 1)),
            "the column metric, row 2",
        ),
    ],
)
def test_an_odd_table_of_the_results_is_named(tmp_path, damage, found):
    path = tmp_path / "evaluation.parquet"
    write_parquet(damage(thesis_evaluation()), path)
    words = ["top1", "--train-set", "balanced", "--model", "resnet50", "--evaluation", path]
    with pytest.raises(SystemExit, match=f"^error: (?s:.*){found}") as caught:
        run_program("tables", *words, "--output-folder", tmp_path)
    assert str(path) in str(caught.value)


def test_the_rules_read_the_catalogue_without_a_package():
    code = "import sys, longtail.report.catalogue; print({'torch', 'pandas', 'numpy'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


@pytest.mark.parametrize(
    ("name", "printed"),
    [("resnet50", "ResNet-50"), ("balanced_softmax", "Balanced softmax"), ("focal_gamma1", "focal gamma1")],
)
def test_names_are_printed_for_people(name, printed):
    assert label(name) == printed


def test_the_tables_of_single_classes(tmp_path):
    names = ["=Noctua|pronuba", "Idaea aversata", "Udea"]
    rows = [
        (4 * label + k, label, names[label], ("train", "test")[k % 2], True, "head", k // 2)
        for label in range(3)
        for k in range(4)
    ]
    split = pd.DataFrame(
        rows, columns=["image_id", "label", "class_name", "subset", "longtailed", "group", "cluster"]
    )
    test = split[split["subset"] == "test"][["image_id", "label"]]
    run = {"model": "resnet8", "loss": "softmax", "train_set": "longtailed", "seed": 1}
    predictions = test.assign(predicted=[0, 1, 1, 1, 2, 2], **run)
    chosen = {name: run[name] for name in ("model", "loss", "train_set")}
    for name, build in classes.TABLES.items():
        write_table(build(predictions, split, **chosen), tmp_path, name)
    table = pd.read_csv(tmp_path / "classes.csv").set_index("class_name")
    assert list(table.index) == ["'=Noctua|pronuba", "Idaea aversata", "Udea"], "no spreadsheet runs a name"
    assert table.loc["'=Noctua|pronuba", ["precision", "recall", "taken_for"]].tolist() == [
        1,
        0.5,
        "Idaea aversata",
    ]
    assert table[["n_train", "n_test", "groups_train", "groups_test"]].to_numpy().tolist() == [[2] * 4] * 3
    text = (tmp_path / "classes.md").read_text(encoding="utf-8")
    assert r"=Noctua\|pronuba" in text
    assert "Training groups" in text
    square = pd.read_csv(tmp_path / "confusion.csv", index_col=0)
    assert square.to_numpy().tolist() == [[1, 1, 0], [0, 2, 0], [0, 0, 2]]
    assert "Idaea aversata |       1 |    2 |        50.0 |" in (tmp_path / "confusion.md").read_text(
        encoding="utf-8"
    )
    assert "<table>" in (tmp_path / "confusion.html").read_text(encoding="utf-8")


def test_the_classes_of_a_missing_run_are_named_and_empty():
    split = pd.DataFrame(
        [(k, k % 2, "ab"[k % 2], ("train", "test")[k // 2], True, "head") for k in range(4)],
        columns=["image_id", "label", "class_name", "subset", "longtailed", "group"],
    )
    run = {"model": "resnet8", "loss": "ldam", "train_set": "longtailed", "seed": 1}
    lost = pd.DataFrame([{"image_id": np.nan, "label": np.nan, "predicted": np.nan, **run}])
    table = classes.classes(lost, split, "longtailed", "resnet8", "ldam")
    assert "Missing (failed or not run)" in table.caption
    assert list(table.text.columns) == ["Class", "Part", "Training images", "Test images"]


def test_test_distributions_are_those_that_the_reference_draws_from_its_test_images():
    # The counts of the reference's code, for 100 test images of each of 10 classes, are rounded down.
    shares = tables.distributions(10)
    drawn = {"Forward 50": [100, 64, 41, 27, 17, 11, 7, 4, 3, 2], "Backward 10": [10, 12, 16, 21, 27, 35]}
    assert len(shares) == 11 and list(shares)[5] == "Uniform"
    for name, share in shares.items():
        assert sum(share) == pytest.approx(1)
        ratio = 1 if name == "Uniform" else int(name.split()[1])
        assert max(share) / min(share) == pytest.approx(ratio)
    scaled = [100 * share / max(shares["Forward 50"]) for share in shares["Forward 50"]]
    assert [int(number + 1e-9) for number in scaled] == drawn["Forward 50"]
    scaled = [100 * share / max(shares["Backward 10"]) for share in shares["Backward 10"]]
    assert [int(number + 1e-9) for number in scaled][:6] == drawn["Backward 10"]
    # The same from counts in another order of labels, and from a test set in which a class has fewer images or none.
    counts = [9, 10, *range(8, 0, -1)]
    order = [1, 0, *range(2, 10)]
    found = largest_draw("forward_50", counts, [100] * 10)
    assert [found[label] for label in order] == drawn["Forward 50"]
    backward = largest_draw("backward_50", counts, [100] * 10)
    assert [backward[label] for label in order] == drawn["Forward 50"][::-1]
    assert largest_draw("uniform", [3, 2, 1], [50, 0, 20]) == [20, 0, 20]
    assert [name.replace("_", " ").capitalize() for name in DISTRIBUTIONS] == list(shares)


def test_a_model_that_knows_frequent_classes_is_better_forward_and_worse_backward():
    runs = pd.DataFrame({"label": range(3), "n_train": [2, 60, 9], "acc": [0.0, 1.0, 0.5]})
    runs = runs.assign(model="resnet8", loss="softmax", train_set="longtailed", seed=1)
    table = tables.test_distributions(pd.concat([runs, runs.assign(loss="ldam", acc=np.nan)]))
    shown = table.text.set_index("Loss function").iloc[:, 1:]
    assert list(shown)[::5] == ["Forward 50", "Uniform", "Backward 50"]
    # The classes by training images are 1, 2 and 0, and 1 / sqrt(50) is what lies between the ends.
    middle = 50**-0.5
    assert shown.loc["Softmax", "Forward 50"] == f"{100 * (1 + middle / 2) / (1 + middle + 0.02):.2f}"
    assert shown.loc["Softmax", "Uniform"] == "50.00"
    assert shown.loc["Softmax", "Backward 50"] == f"{100 * (0.02 + middle / 2) / (1 + middle + 0.02):.2f}"
    assert shown.loc["LDAM"].eq("missing").all() and "seed 1" in table.notes[-1]


def test_ensembles_stand_with_what_they_gain():
    row = {"model": "resnet8", "loss": "softmax", "train_set": "longtailed", "test_set": "balanced", "n": 9}
    empty = {"test_set": "tail", "n": 0, "single": np.nan, "ensemble": np.nan}
    found = pd.DataFrame([{**row, "seeds": 3, "single": 0.4, "ensemble": 0.5}, {**row, "seeds": 3, **empty}])
    table = tables.ensembles(found)
    assert table.text.values.tolist() == [["Long-tailed", "ResNet-8", "Softmax", "3", "50.00 (+10.00)", "–"]]
    none = tables.ensembles(found.iloc[:0])
    assert none.text.empty and "No two runs" in none.notes[0]
