"""A new figure is one new file: the recipe of CONTRIBUTING, followed in a copy of this project."""

import subprocess
import sys

import pytest
from results_folder import write_results
from workspace import Workspace

FIGURE = '''"""Accuracy on the tail alone."""

import pandas as pd

from longtail.report import captions
from longtail.report.figures import style
from longtail.report.figures.grid import accuracies, select
from longtail.report.labels import label


@style.look()
def draw(
    evaluation: pd.DataFrame, records: pd.DataFrame, model: str, train_set: str, height: float = 2.0
) -> style.Drawn:
    """A bar for each run."""
    table = select(accuracies(evaluation), model=model, train_set=train_set).query("test_set == 'tail'")
    figure = style.new_figure(height)
    figure.subplots().bar([label(name) for name in table["loss"]], table["accuracy"])
    return style.Drawn(figure, captions.of_accuracies(table, f"The tail under {label(model)}."))
'''


@pytest.fixture(scope="module")
def workspace(tmp_path_factory):
    """A copy of this project with one more figure, of every model and training set."""
    workspace = Workspace.create(tmp_path_factory.mktemp("new_figure") / "workspace")
    (workspace.folder / "longtail/report/figures/tail_bars.py").write_text(FIGURE, encoding="utf-8")
    return workspace


def test_its_jobs_are_planned_with_their_files(workspace):
    done = workspace.snakemake("-n", "figures", "--configfile", "config/demo.yaml")
    for train_set in ("balanced", "longtailed"):
        files = f"results/demo/figures/{train_set}/resnet8/tail_bars"
        assert f"output: {', '.join(f'{files}.{suffix}' for suffix in ('pdf', 'png', 'txt'))}" in done.stdout
        runs = f"results/demo/runs/{train_set}/resnet8"
        inputs = next(
            line
            for line in done.stdout.splitlines()
            if line.startswith("    input: results/demo/evaluation.parquet, ") and f"{runs}/ldam" in line
        )
        assert inputs.count("run.json") == 7 and inputs.count(runs) == 7


def test_it_is_drawn_with_its_caption(workspace):
    folder = write_results(
        workspace.folder / "results",
        lambda *run: 5,
        ("resnet8",),
        ("softmax", "ldam"),
        train_sets=("balanced",),
    )
    record = folder / "runs/balanced/resnet8/softmax/seed42/run.json"
    command = [sys.executable, "workflow/scripts/figure.py", "tail_bars", "--evaluation"]
    command += ["results/evaluation.parquet", "--records", str(record), "--model", "resnet8"]
    command += ["--train-set", "balanced", "--settings", '{"height": 3}']
    command += ["--output", "tail.png", "--caption", "tail.txt"]
    subprocess.run(command, cwd=workspace.folder, check=True, capture_output=True)
    assert (workspace.folder / "tail.png").read_bytes().startswith(b"\x89PNG")
    assert (workspace.folder / "tail.txt").read_text(encoding="utf-8") == (
        "The tail under ResNet-8. Test images: tail 10.\n"
    )


def test_one_that_needs_what_there_is_not_is_refused_by_name(workspace, tmp_path):
    other = workspace.copy(tmp_path / "workspace")
    other.edit("longtail/report/figures/tail_bars.py", "evaluation: pd", "evaluations: pd")
    code = "from longtail.report.figures.sources import figures; figures()"
    done = subprocess.run([sys.executable, "-c", code], cwd=other.folder, capture_output=True, text=True)
    assert "tail_bars.py: draw needs 'evaluations', which is not among evaluation, per_class," in done.stderr
