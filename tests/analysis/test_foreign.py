"""Predictions of other programs: `longtail analyse` finds what the workflow finds, and refuses what it cannot know."""

import os
import re
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from programs import run_program

from longtail import load_results
from longtail.analysis.foreign import read_foreign
from longtail.commands import analyse
from longtail.commands.analyse import main
from longtail.data.split.sets import with_groups
from longtail.experiment.runs import Run
from longtail.files.parquet import read_parquet, write_parquet
from longtail.report.catalogue import STATISTICS
from longtail.report.figures import style

RESOURCES = Path(__file__).parents[2] / "resources"
COUNTS = [200, 90, 30, 12, 4, 2]
CLASSES = len(COUNTS)
RUNS = [
    Run(model, loss, "longtailed", seed)
    for model in ("a", "b")
    for loss in ("softmax", "mine")
    for seed in (1, 2)
]


def softmax(logits):
    shares = np.exp(logits - logits.max(axis=1, keepdims=True))
    return shares / shares.sum(axis=1, keepdims=True)


@pytest.fixture(scope="module")
def experiment():
    """The test images, with a long-tailed part and groups that belong together, and the logits of every run."""
    random = np.random.default_rng(3)
    images = pd.DataFrame({"label": np.repeat(np.arange(CLASSES), 20)})
    images["image_id"] = random.permutation(1000)[: len(images)]
    images["longtailed"] = images.groupby("label").cumcount() < 20 - 3 * images["label"]
    images["cluster"] = images["label"] * 100 + images.groupby("label").cumcount() // 2
    truth = 1.5 * np.eye(CLASSES)[images["label"]]
    logits = {run: (truth + random.normal(size=(len(images), CLASSES))).astype(np.float32) for run in RUNS}
    return images, logits


@pytest.fixture(scope="module")
def tables(experiment, tmp_path_factory):
    """The same as tables of another program: one of the logits of all runs, and the counts."""
    images, logits = experiment
    folder = tmp_path_factory.mktemp("tables")
    frames = [
        images.assign(**run._asdict(), **{f"logit_{label}": own[:, label] for label in range(CLASSES)})
        .drop(columns="train_set")
        .sample(frac=1, random_state=run.seed)
        for run, own in logits.items()
    ]
    pd.concat(frames).to_csv(folder / "all.csv", index=False)
    pd.DataFrame({"label": range(CLASSES), "n_train": COUNTS}).to_csv(folder / "counts.csv", index=False)
    return folder


@pytest.fixture(scope="module")
def by_the_workflow(experiment, tmp_path_factory):
    """What the programs of the workflow make of the same predictions."""
    images, logits = experiment
    folder = tmp_path_factory.mktemp("workflow")
    labels = np.repeat(np.arange(CLASSES), COUNTS)
    train = pd.DataFrame({"image_id": 1000 + np.arange(len(labels)), "label": labels, "longtailed": True})
    train["cluster"] = 10_000 + np.arange(len(labels))
    split = pd.concat([images.assign(subset="test"), train.assign(subset="train")], ignore_index=True)
    split["class_name"] = split["label"].map(str)
    write_parquet(with_groups(split, "thirds"), folder / "split.parquet")
    for run, own in logits.items():
        answers = images[["image_id", "label"]].assign(logits=list(own))
        write_parquet(answers, folder / "runs" / str(run) / "predictions.parquet")
    one = {"loss": "softmax", "loss_parameters": {}}
    evaluation = {"output": folder / "evaluation.parquet", "output_per_class": folder / "per_class.parquet"}
    runs = [folder / "runs" / str(run) for run in RUNS]
    losses = {"softmax": one, "mine": one}
    run_program("evaluation", *runs, split=folder / "split.parquet", settings=losses, **evaluation)
    run_program(
        "statistical_analysis",
        evaluation=folder / "evaluation.parquet",
        runs=folder / "runs",
        split=folder / "split.parquet",
        settings={"reference": "softmax", "data_seed": None},
        output_folder=folder / "statistics",
    )
    facts = {
        "source": "",
        "imbalance_factor": 1.0,
        "seed": None,
        "reference": "softmax",
        "model_files": False,
    }
    run_program(
        "summary",
        evaluation=folder / "evaluation.parquet",
        statistics=folder / "statistics",
        thesis=RESOURCES / "thesis_results.csv",
        published=RESOURCES / "published_results.csv",
        settings=facts,
        output=folder / "summary.md",
    )
    return folder


@pytest.fixture(scope="module")
def analysed(tables):
    """The results of `longtail analyse`, with a figure for each model; documents/test_library.py has one for all."""
    out = tables / "results"
    words = [str(tables / "all.csv"), "--train-counts", str(tables / "counts.csv"), "--output", str(out)]
    drawn = {"reliability": analyse.figures()["reliability"]}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(analyse, "figures", lambda: drawn)
        patch.setitem(style.LOOK, "pdf.fonttype", 3)  # an embedded font takes a third of a figure's time
        assert main(words) == 0
    return out


def test_the_numbers_are_those_of_the_workflow(analysed, by_the_workflow):
    mine, theirs = (read_parquet(folder / "evaluation.parquet") for folder in (analysed, by_the_workflow))
    theirs = theirs[theirs["metric"] != "loss"]  # which only who trained a run can know
    pd.testing.assert_frame_equal(mine, theirs.reset_index(drop=True))
    mine, theirs = (read_parquet(folder / "per_class.parquet") for folder in (analysed, by_the_workflow))
    pd.testing.assert_frame_equal(mine, theirs)


@pytest.mark.parametrize("name", STATISTICS)
def test_the_statistics_are_those_of_the_workflow(analysed, by_the_workflow, name):
    mine, theirs = (pd.read_csv(folder / f"statistics/{name}.csv") for folder in (analysed, by_the_workflow))
    if "metric" in theirs:
        theirs = theirs[theirs["metric"] != "loss"].reset_index(drop=True)
    pd.testing.assert_frame_equal(mine, theirs)


def test_the_summary_is_that_of_the_workflow(analysed, by_the_workflow):
    mine, theirs = ((folder / "summary.md").read_text() for folder in (analysed, by_the_workflow))
    assert mine == theirs


def test_the_folder_is_one_of_results_and_the_page_has_everything(analysed):
    results = load_results(analysed)
    assert len(results.missing) == 0
    page = (analysed / "report.html").read_text()
    for heading in (
        "Which model do I use?",
        "b, trained on the long-tailed set",
        "Reliability",
        "McNemar tests",
        "tables/longtailed/a/full.html",
    ):
        assert heading in page, heading
    assert page.count("data:image/png") == 2
    assert "missing" not in (analysed / "tables/longtailed/a/full.md").read_text()
    assert "model.safetensors" not in (analysed / "summary.md").read_text()


@pytest.mark.long
def test_every_figure_of_predictions_is_drawn(tables, tmp_path):
    out = tmp_path / "out"
    words = [str(tables / "all.csv"), "--train-counts", str(tables / "counts.csv"), "--groups", "counts"]
    assert main([*words, "--output", str(out)]) == 0
    drawn = {path.stem for path in out.glob("figures/**/*.png")}
    of_training = {"confused_pairs", "example_images", "run_cost", "training_curves"}
    # Two figures say nothing here: one needs three models and three losses, the other the loss class_balanced.
    says_nothing = {"critical_difference", "model_comparison_without_class_balanced"}
    assert {*analyse.figures()} - drawn == of_training | says_nothing
    training, _, _ = (out / "figures/class_distribution.txt").read_text().partition("; test")
    assert "training: " in training and "balanced" not in training, "no run has a balanced training set"


@pytest.fixture(scope="module")
def wide(experiment):
    """Writes a table of some runs, with classes and images called by names; and its counts, in another order."""
    images, logits = experiment
    names = [f"kind {c}" for c in range(CLASSES)]
    named = images.assign(
        label=[names[label] for label in images["label"]],
        image_id=[f"photo {number}.jpg" for number in images["image_id"]],
    )

    @cache
    def table(kind, runs):
        frames = []
        for run in runs:
            own = named.assign(model=run.model, loss=run.loss, seed=run.seed)
            if kind == "predicted":
                own["predicted"] = [names[c] for c in logits[run].argmax(axis=1)]
            else:
                values = logits[run] if kind == "logit" else softmax(logits[run])
                own = own.join(pd.DataFrame(values, columns=[f"{kind}_{name}" for name in names]))
            frames.append(own)
        return pd.concat(frames).to_csv(index=False)

    def write(folder, kind="logit", runs=RUNS[:2], name="table.csv"):
        (folder / name).write_text(table(kind, tuple(runs)))
        pd.DataFrame({"label": names, "n_train": COUNTS}).to_csv(folder / "counts.csv", index=False)
        return folder / name

    return write


@pytest.mark.parametrize("kind", ["logit", "probability", "predicted"])
def test_names_and_every_kind_of_answer_are_read(experiment, wide, tmp_path, kind):
    images, logits = experiment
    path = wide(tmp_path, kind)
    found = read_foreign([path], tmp_path / "counts.csv")
    assert {*found.answers} == {*RUNS[:2]}
    assert found.scored == (frozenset() if kind == "predicted" else frozenset(RUNS[:2]))
    names = found.split.set_index("image_id")["image"]
    order = [f"photo {number}.jpg" for number in images["image_id"]]
    for run, answers in found.answers.items():
        own = answers.assign(image=answers["image_id"].map(names)).set_index("image").loc[order]
        given = np.stack(own["logits"])
        assert given.argmax(axis=1).tolist() == logits[run].argmax(axis=1).tolist()
        assert own["label"].tolist() == images["label"].tolist()
        if kind != "predicted":
            np.testing.assert_allclose(
                softmax(given.astype(float)), softmax(logits[run].astype(float)), atol=1e-6
            )


def test_answers_alone_give_no_calibration_and_missing_runs_are_named(wide, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(analyse, "figures", lambda: {})
    path = wide(tmp_path, "predicted", RUNS[:3])
    words = ["--train-counts", str(tmp_path / "counts.csv"), "--output", str(tmp_path / "o")]
    assert main([str(path), *words]) == 0
    told = capsys.readouterr().out
    assert "3 of 3 runs tell the predicted class alone" in told
    assert "missing and in no number: a trained on longtailed with mine (seed 2)" in told
    results = load_results(tmp_path / "o")
    assert results.missing["seed"].tolist() == [2]
    values = results.evaluation.groupby("metric")["value"].count()
    assert values[["ece", "ece_by_chance", "cross_entropy"]].tolist() == [0, 0, 0]
    assert values[["acc1", "f1", "mean_class_acc"]].tolist() == [15, 15, 15]


def test_a_table_without_runs_is_of_the_method_that_the_file_is_called_by(wide, tmp_path):
    for run, name in zip(RUNS, ("focal", "ours"), strict=False):
        path = wide(tmp_path, runs=[run], name=f"{name}.csv")
        pd.read_csv(path).drop(columns=["model", "loss", "seed"]).to_csv(path, index=False)
    found = read_foreign([tmp_path / "focal.csv", tmp_path / "ours.csv"], tmp_path / "counts.csv")
    assert [*found.answers] == [Run("model", "focal", "longtailed", 0), Run("model", "ours", "longtailed", 0)]


def test_parquet_is_read_as_csv_is(wide, tmp_path):
    path = wide(tmp_path)
    pd.read_csv(path).to_parquet(tmp_path / "table.parquet")
    one, other = (
        read_foreign([tmp_path / f"table.{kind}"], tmp_path / "counts.csv") for kind in ("csv", "parquet")
    )
    pd.testing.assert_frame_equal(one.split, other.split)
    for run in one.answers:
        pd.testing.assert_frame_equal(one.answers[run], other.answers[run])


def first(column, value):
    """Another value in the first row."""

    def change(table):
        table[column] = table[column].astype(object)
        table.loc[0, column] = value
        return table

    return change


def doubled(table):
    return pd.concat([table, table.iloc[[5]]])


def without(*names):
    return lambda table: table.drop(columns=list(names))


PROBABILITIES = {f"logit_kind {c}": f"probability_kind {c}" for c in range(CLASSES)}
FAULTS = {
    "no image": (without("image_id"), "lacks the column image_id"),
    "no answer": (without(*PROBABILITIES), "lacks what was predicted"),
    "a class without a column": (without("logit_kind 3"), "lacks logit_kind 3"),
    "a column without a class": (lambda t: t.assign(logit_other=1.0), "has logit_other too many"),
    "two kinds of columns": (
        lambda t: t.assign(**{"probability_kind 1": 0.5}),
        "has probability_kind 1 too many",
    ),
    "an image twice": (
        doubled,
        r"line 242: found the image 'photo \d+.jpg' twice for model a, loss softmax, seed 1",
    ),
    "an image fewer": (lambda t: t.iloc[1:], "lacks 1 of the images of .*, such as 'photo"),
    "another image": (first("image_id", "new.jpg"), "lacks 1 of the images of"),
    "another label": (first("label", "kind 5"), "has another label of the image 'photo"),
    "an unknown label": (
        first("label", "kind 9"),
        r"line 2: found 'kind 9' in the column label, .* \(kind 0, ",
    ),
    "no label": (first("label", ""), "line 2: found no value in the column label"),
    "no number": (first("logit_kind 2", ""), "line 2: found a logit that is no finite number"),
    "an infinite number": (first("logit_kind 2", "inf"), "line 2: found a logit that is no finite number"),
    "a word": (
        first("logit_kind 2", "high"),
        "line 2: found 'high' in the column logit_kind 2, which takes numbers",
    ),
    "no seed": (first("seed", "x"), "line 2: found 'x' as seed"),
    "a name with a slash": (first("model", "a/b"), "line 2: found 'a/b' as model; a name is of letters"),
    "another part": (first("longtailed", "False"), "has another longtailed of the image"),
    "no truth": (
        lambda t: t.assign(longtailed="perhaps"),
        "line 2: found 'perhaps' in the column longtailed",
    ),
    "a label without an end": (first("label", 5000 * "9"), "line 2: found '9{50,}… in the column label"),
    "capitals": (
        lambda t: pd.concat([t, t.assign(loss="SOFTMAX")]),
        "SOFTMAX and the loss softmax differ in capitals",
    ),
    "balanced training": (lambda t: t.assign(train_set="balanced"), "has the train_set 'balanced'"),
    "a wrong prediction": (lambda t: t.assign(predicted="kind 0"), "has not the largest logit"),
    "logits called probabilities": (
        lambda t: t.rename(columns=PROBABILITIES),
        "line 2: found a probability that is not from 0 to 1; name the columns logit_",
    ),
    "no row": (lambda t: t.iloc[:0], "holds no row"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_what_cannot_be_meant_is_refused_in_one_sentence(wide, tmp_path, fault):
    change, told = FAULTS[fault]
    path = wide(tmp_path)
    change(pd.read_csv(path, dtype=str)).to_csv(path, index=False)
    with pytest.raises(ValueError, match=told) as error:
        read_foreign([path], tmp_path / "counts.csv")
    assert fault == "capitals" or "table.csv" in str(error.value)


@pytest.mark.parametrize(
    ("kind", "change", "told"),
    [
        ("probability", lambda p: 0.9 * p, "line 2: found probabilities whose sum is 0.9 and not 1"),
        ("probability", lambda p: -p, "line 2: found a probability that is not from 0 to 1"),
        ("probability", lambda p: p.where(p > 2), "line 2: found a probability that is no finite number"),
        ("logit", softmax, "has logits that look like probabilities"),
    ],
)
def test_logits_and_probabilities_are_not_taken_for_each_other(wide, tmp_path, kind, change, told):
    path = wide(tmp_path, kind)
    table = pd.read_csv(path)
    columns = [name for name in table if name.startswith(kind)]
    values = table[columns]
    table[columns] = change(values.to_numpy() if change is softmax else values)
    table.to_csv(path, index=False)
    with pytest.raises(ValueError, match=re.escape(told)):
        read_foreign([path], tmp_path / "counts.csv")


def test_rounded_probabilities_are_probabilities(wide, tmp_path):
    path = wide(tmp_path, "probability")
    pd.read_csv(path).round(4).to_csv(path, index=False)
    assert read_foreign([path], tmp_path / "counts.csv").scored


@pytest.mark.parametrize(
    ("counts", "told"),
    [
        ("label,n_train\nkind 0,5\n", "which is no label of the counts (kind 0)"),
        ("label,n\nkind 0,5\n", "lacks the columns n_train"),
        ("label,n_train\nkind 0,5\nkind 0,6\n", "has two rows of label kind 0"),
        ("label,n_train\nkind 0,many\n", "in the column n_train"),
        ("label,n_train\nkind 0,-1\n", "in the column n_train"),
        (
            "label,n_train\nkind 0,0\nkind 1,0\n",
            "has 0 training images in the column n_train; it takes from 1",
        ),
        ("label,n_train\nkind 0,1099511627776\n", "1099511627776 in the column n_train"),
        (
            "label,n_train\nkind 0,40000000\nkind 1,40000000\n",
            "has 80,000,000 training images in the column n_train",
        ),
        (f"label,n_train\nkind 0,5\n{5000 * '9'},5\n", "found 'kind 1' in the column label"),
        ("label,n_train\n0,5\n2,5\n", "but not 1; labels are 0, 1"),
        ("label,n_train,class_name\n0,5,x\n1,5,x\n", "has two classes with the class_name 'x'"),
    ],
)
def test_counts_that_are_none_are_refused(wide, tmp_path, counts, told):
    path = wide(tmp_path)
    (tmp_path / "counts.csv").write_text(counts)
    with pytest.raises(ValueError, match=re.escape(told)):
        read_foreign([path], tmp_path / "counts.csv")


@pytest.mark.parametrize("values", [[[1, 2]], [b"x"], [None], ["x"], [{"a": 1}]])
@pytest.mark.parametrize("column", ["logit_kind 2", "label", "longtailed", "loss", "seed"])
def test_values_of_parquet_that_are_none_are_refused(wide, tmp_path, column, values):
    table = pd.read_csv(wide(tmp_path), dtype={"seed": str})
    if column == "loss" and values == ["x"]:
        return
    table.assign(**{column: values * len(table)}).to_parquet(tmp_path / "odd.parquet")
    with pytest.raises(ValueError, match=r"odd\.parquet, row \d+: found "):
        read_foreign([tmp_path / "odd.parquet"], tmp_path / "counts.csv")


@pytest.mark.parametrize("name", ["a b", "ünï", "=cmd", os.fsdecode(b"\xff"), ".x", "x" * 101])
def test_the_name_of_a_file_that_names_no_method_is_refused(wide, tmp_path, name):
    table = pd.read_csv(wide(tmp_path)).query("loss == 'softmax'").drop(columns="loss")
    table.to_csv(tmp_path / f"{name}.csv", index=False)
    with pytest.raises(ValueError, match="as loss, which is the name of the file"):
        read_foreign([tmp_path / f"{name}.csv"], tmp_path / "counts.csv")


def test_a_run_in_two_tables_is_refused(wide, tmp_path):
    paths = [wide(tmp_path, name=f"{name}.csv") for name in ("one", "two")]
    with pytest.raises(
        ValueError, match=r"two\.csv holds the run model a, loss softmax, seed 1, and so does .*one\.csv"
    ):
        read_foreign(paths, tmp_path / "counts.csv")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--reference", "focal"], "--reference focal: no run is of it; there are softmax"),
        (["--output", "."], ". is there already; name a new folder"),
        (["--output", "counts.csv"], "counts.csv is there already"),
    ],
)
def test_what_cannot_be_done_leaves_everything_as_it_was(wide, tmp_path, monkeypatch, capsys, words, told):
    path = wide(tmp_path)
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.iterdir())
    assert main([str(path), "--train-counts", "counts.csv", "--output", "out", *words]) == 1
    assert told in capsys.readouterr().err
    assert sorted(tmp_path.iterdir()) == before
