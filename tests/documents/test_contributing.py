"""The recipes of CONTRIBUTING.md, followed in a copy of the project, work and change as few files as they say."""

import json
import re
import shlex
import subprocess
from collections.abc import Iterator

import pytest
import warm
import yaml
from results_folder import write_results
from workspace import ROOT, Workspace

PAGE = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
RECIPES = dict(re.findall(r"^### Add a (.+?)\n(.*?)(?=^##|\Z)", PAGE, re.DOTALL | re.MULTILINE))
FILES = {"loss": 1, "model": 1, "metric": 1, "figure": 1, "data source": 1, "training setting": 2}


def blocks(recipe: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", RECIPES[recipe], re.DOTALL | re.MULTILINE)


def follow(workspace: Workspace, recipe: str) -> set[str]:
    """Write the new files and make the changes of a recipe; the files concerned."""
    touched = set()
    for code in blocks(recipe, "python"):
        name = code.partition("\n")[0].removeprefix("# ")
        assert not (workspace.folder / name).exists(), f"{name} is there already"
        (workspace.folder / name).write_text(code, encoding="utf-8")
        touched.add(name)
    for diff in blocks(recipe, "diff"):
        head, *lines = diff.splitlines()
        name = head.removeprefix("--- ")
        for hunk in "\n".join(lines).split("\n@@\n"):
            before, after = (
                "\n".join(line[1:] for line in hunk.splitlines() if line[:1] in signs)
                for signs in (" -", " +")
            )
            assert (workspace.folder / name).read_text(encoding="utf-8").count(before) == 1, (
                f"{name}: {before!r}"
            )
            workspace.edit(name, before, after)
        touched.add(name)
    return touched


def run(workspace: Workspace, *words: str) -> subprocess.CompletedProcess[str]:
    done = warm.run(workspace.folder, *words)
    assert done.returncode == 0, f"{shlex.join(words)}\n{done.stdout}{done.stderr}"
    return done


@pytest.fixture(scope="module")
def copies(tmp_path_factory) -> tuple[Workspace, Workspace]:
    """A copy of the project that stays as it is, and one to work in."""
    pristine = Workspace.create(tmp_path_factory.mktemp("contributing") / "pristine")
    return pristine, pristine.copy(pristine.folder.with_name("workspace"))


@pytest.fixture
def workspace(copies) -> Iterator[Workspace]:
    pristine, workspace = copies
    yield workspace
    workspace.restore(pristine)


@pytest.mark.parametrize("recipe", FILES)
def test_a_recipe_works_and_changes_as_few_files_as_it_says(workspace, recipe):
    assert len(follow(workspace, recipe)) == FILES[recipe]
    commands = [shlex.split(line) for block in blocks(recipe, "bash") for line in block.splitlines()]
    assert commands
    for words in commands:
        if words[:2] == ["snakemake", "-n"]:
            workspace.plan(*words[2:])
        else:
            run(workspace, *words)


def test_the_page_has_no_other_recipe():
    assert RECIPES.keys() == FILES.keys()


def test_a_new_metric_is_evaluated(workspace):
    follow(workspace, "metric")
    program = """
import numpy as np, pandas as pd, torch
from longtail.analysis.evaluation import evaluate
from longtail.analysis.metrics import METRICS
from longtail.losses import build_loss
logits = np.array([[7.0, 6, 5, 4, 3, 2, 1]] * 4)
frame = pd.DataFrame({"image_id": range(4), "label": [0, 4, 5, 6], "group": "head", "longtailed": True})
table = evaluate(frame, logits, build_loss("softmax", torch.ones(7, dtype=torch.int64)))
print(METRICS["acc5"].heading, *table.loc[table["metric"] == "acc5", "value"])
"""
    assert run(workspace, "python", "-c", program).stdout == "Top-5 (%) 0.5 0.5 0.5 nan nan\n"


def test_a_new_figure_is_drawn(workspace, tmp_path):
    follow(workspace, "figure")
    results = write_results(tmp_path / "results", lambda *run: 5, ["resnet8"], ["softmax", "focal"])
    evaluation, picture, caption = results / "evaluation.parquet", tmp_path / "a.png", tmp_path / "a.txt"
    words = ("tail_accuracy", "--evaluation", evaluation, "--output", picture, "--caption", caption)
    run(workspace, "python", "workflow/scripts/figure.py", *map(str, words))
    assert picture.stat().st_size > 1000
    assert "tail" in caption.read_text(encoding="utf-8")


def test_a_new_setting_reaches_the_training(workspace, digits, train_arguments, tmp_path):
    follow(workspace, "training setting")
    program = """
import json, runpy, sys
sys.path.insert(0, "workflow/scripts")
for words in json.loads(sys.argv[1]):
    sys.argv = ["train.py", *words]
    try:
        runpy.run_path("workflow/scripts/train.py", run_name="__main__")
    except SystemExit as end:
        assert not end.code, end.code
"""
    folders = {chosen: tmp_path / str(chosen) for chosen in (True, False)}
    common = {"epochs": 1, "warmup_epochs": 0}
    trainings = [
        train_arguments(digits, folder, recipe={**common, "centralize": chosen})
        for chosen, folder in folders.items()
    ]
    run(workspace, "python", "-c", program, json.dumps(trainings))
    central, plain = ((folder / "history.parquet").read_bytes() for folder in folders.values())
    assert central != plain


def test_a_commit_is_checked_as_make_lint_checks():
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"][0]["hooks"]
    assert [hook["entry"] for hook in hooks] == ["make lint"]


def test_the_page_names_targets_that_exist():
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert set(re.findall(r"\bmake ([a-z-]+)", PAGE)) <= set(targets)
