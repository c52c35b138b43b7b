"""A new metric is one row of a table, as CONTRIBUTING says: it is evaluated, printed and described by that row."""

import pandas as pd
import pytest
from programs import run_program
from results_folder import images, write_results

from longtail.analysis.grid import Grid
from longtail.analysis.metrics import METRICS, Metric, mean_class_accuracy
from longtail.analysis.statistics.descriptive import describe
from longtail.files.parquet import read_parquet, write_parquet


@pytest.fixture
def metric(monkeypatch):
    """One metric more."""
    metric = Metric(
        "Balanced error",
        lambda answers: 1 - mean_class_accuracy(answers),
        better="less",
        test_sets=("balanced", "tail"),
    )
    monkeypatch.setitem(METRICS, "balanced_error", metric)
    return metric


def test_it_is_evaluated_where_it_is_for_and_described_there(metric, tmp_path):
    """The first ten of the forty images of each group are right. The long-tailed test set has those ten of the tail."""
    folder = write_results(tmp_path, lambda *run: 10, ("resnet8",), ("softmax",), train_sets=("longtailed",))
    test = images().assign(subset="test")
    train = test.assign(subset="train", image_id=test["image_id"] + len(test))
    split = pd.concat([test, train]).assign(class_name=lambda own: own["group"])
    write_parquet(split, folder / "data/split.parquet")
    run_program(
        *("evaluation", folder / "runs/longtailed/resnet8/softmax/seed42"),
        split=folder / "data/split.parquet",
        settings={"softmax": {"loss": "softmax", "loss_parameters": {}}},
        output=folder / "evaluation.parquet",
        output_per_class=folder / "per_class.parquet",
    )
    table = read_parquet(folder / "evaluation.parquet")
    own = table[table["metric"] == "balanced_error"].set_index("test_set")["value"]
    assert own.to_dict() == pytest.approx({"balanced": 0.75, "tail": 0})
    described = describe(table, Grid.of(table))
    sets = described.loc[described["metric"] == "balanced_error", "test_set"]
    assert set(sets) == {"balanced", "tail"}


def test_it_is_printed_as_its_row_says(metric):
    assert (metric.label, metric.heading, metric.better) == ("Balanced error", "Balanced error (%)", "less")
    assert (metric.format(0.25), metric.format(-0.25, "+z")) == ("25.00", "-25.00")
