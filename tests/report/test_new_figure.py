"""A new figure is one new file, as CONTRIBUTING says: it is planned, drawn, or refused by name."""

import pytest
from programs import run_program
from results_folder import write_results
from workspace import Workspace

from longtail.report import figures
from longtail.report.figures import sources

FIGURE = '''"""Accuracy on the tail alone."""

import pandas as pd

from longtail.report import captions
from longtail.report.figures import style
from longtail.analysis.grid import accuracies, select
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


@pytest.fixture
def folder(monkeypatch, tmp_path):
    """A folder with one more figure, of every model and training set, beside those that there are."""
    folder = tmp_path / "figures"
    folder.mkdir()
    (folder / "tail_bars.py").write_text(FIGURE, encoding="utf-8")
    monkeypatch.setattr(figures, "__path__", [*figures.__path__, str(folder)])
    monkeypatch.setattr(sources, "__file__", str(folder / "sources.py"))
    sources.figures.cache_clear()
    yield folder
    sources.figures.cache_clear()


def test_its_jobs_are_planned_with_their_files(tmp_path):
    workspace = Workspace.create(tmp_path / "workspace")
    (workspace.folder / "longtail/report/figures/tail_bars.py").write_text(FIGURE, encoding="utf-8")
    lines = workspace.plan("figures", "--configfile", "config/demo.yaml").splitlines()
    for train_set in ("balanced", "longtailed"):
        files = f"results/demo/figures/{train_set}/resnet8/tail_bars"
        assert f"    output: {', '.join(f'{files}.{suffix}' for suffix in ('pdf', 'png', 'txt'))}" in lines
        runs = f"results/demo/runs/{train_set}/resnet8"
        inputs = next(
            line
            for line in lines
            if line.startswith("    input: results/demo/evaluation.parquet, ") and f"{runs}/ldam" in line
        )
        assert inputs.count("run.json") == 7 and inputs.count(runs) == 7


def test_it_is_drawn_with_its_caption(folder, tmp_path):
    results = write_results(
        tmp_path / "results", lambda *run: 5, ("resnet8",), ("softmax", "ldam"), train_sets=("balanced",)
    )
    run_program(
        *("figure", "tail_bars"),
        evaluation=results / "evaluation.parquet",
        records="balanced/resnet8/softmax/seed42",
        model="resnet8",
        train_set="balanced",
        settings={"height": 3},
        output=tmp_path / "tail.png",
        caption=tmp_path / "tail.txt",
    )
    assert (tmp_path / "tail.png").read_bytes().startswith(b"\x89PNG")
    assert (tmp_path / "tail.txt").read_text(encoding="utf-8") == (
        "The tail under ResNet-8. Test images: tail 10.\n"
    )


def test_one_that_needs_what_there_is_not_is_refused_by_name(folder):
    path = folder / "tail_bars.py"
    path.write_text(FIGURE.replace("evaluation: pd", "evaluations: pd"), encoding="utf-8")
    told = r"tail_bars\.py: draw needs 'evaluations', which is not among evaluation, per_class,"
    with pytest.raises(ValueError, match=told):
        sources.figures()
