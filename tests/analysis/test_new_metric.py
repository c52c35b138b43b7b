"""A new metric is a change of one file: the recipe of CONTRIBUTING, followed in a copy of this project."""

import json
import subprocess
import sys

import pandas as pd
import pytest
from results_folder import images, write_results
from workspace import Workspace

from longtail.files.parquet import read_parquet, write_parquet

FUNCTION = '''def balanced_error(answers: Answers) -> float:
    """One less the mean class accuracy."""
    return 1 - mean_class_accuracy(answers)


METRICS = {
'''
ROW = """    "balanced_error": Metric(
        "Balanced error", balanced_error, better="less", test_sets=("balanced", "tail")
    ),
}
"""
PRINT = """
import pandas as pd
from longtail.analysis.grid import Grid
from longtail.analysis.metrics import METRICS
from longtail.analysis.statistics.descriptive import describe

evaluation = pd.read_parquet("results/evaluation.parquet")
metric = METRICS["balanced_error"]
print(metric.label, metric.heading, metric.better, metric.format(0.25), metric.format(-0.25, "+z"), sep="|")
table = describe(evaluation, Grid.of(evaluation))
print(sorted(table.loc[table["metric"] == "balanced_error", "test_set"].unique()))
"""


@pytest.fixture(scope="module")
def workspace(tmp_path_factory):
    """A copy of this project with one more metric, and an evaluation made there; half of each group is right."""
    workspace = Workspace.create(tmp_path_factory.mktemp("new_metric") / "workspace")
    workspace.edit("longtail/analysis/metrics.py", "METRICS = {\n", FUNCTION)
    path = workspace.folder / "longtail/analysis/metrics.py"
    text = path.read_text(encoding="utf-8")
    assert text.endswith("}\n")
    path.write_text(text.removesuffix("}\n") + ROW, encoding="utf-8")
    folder = write_results(
        workspace.folder / "results", lambda *run: 10, ("resnet8",), ("softmax",), train_sets=("longtailed",)
    )
    test = images().assign(subset="test")
    train = test.assign(subset="train", image_id=test["image_id"] + len(test))
    split = pd.concat([test, train]).assign(class_name=lambda own: own["group"])
    write_parquet(split, folder / "data/split.parquet")
    losses = json.dumps({"softmax": {"loss": "softmax", "loss_parameters": {}}})
    command = [
        sys.executable,
        "workflow/scripts/evaluation.py",
        "results/runs/longtailed/resnet8/softmax/seed42",
    ]
    command += ["--split", "results/data/split.parquet", "--losses", losses]
    command += ["--output", "results/evaluation.parquet", "--output-per-class", "results/per_class.parquet"]
    subprocess.run(command, cwd=workspace.folder, check=True, capture_output=True)
    return workspace


def test_it_is_evaluated_where_it_is_for(workspace):
    table = read_parquet(workspace.folder / "results/evaluation.parquet")
    own = table[table["metric"] == "balanced_error"].set_index("test_set")["value"]
    assert own.to_dict() == pytest.approx({"balanced": 0.75, "tail": 0})


def test_it_is_printed_and_described_as_its_row_says(workspace):
    done = subprocess.run(
        [sys.executable, "-c", PRINT], cwd=workspace.folder, check=True, capture_output=True, text=True
    )
    assert done.stdout.splitlines() == [
        "Balanced error|Balanced error (%)|less|25.00|-25.00",
        "['balanced', 'tail']",
    ]
