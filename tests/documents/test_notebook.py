"""The example notebook runs on small results from its first cell to its last, and is kept without outputs."""

import itertools
import json
import shutil
import sys
from pathlib import Path

import nbformat
import pandas as pd
import pytest
from nbclient import NotebookClient
from results_folder import write_results
from warm import place
from warm_python import PLACE

from longtail.files.parquet import write_parquet

ROOT = Path(__file__).parents[2]
NOTEBOOK = ROOT / "docs/results.ipynb"
LOSSES = ["softmax", "focal"]
FAILED = ("resnet8", "focal", "balanced", 42)


@pytest.fixture
def project(tmp_path):
    """A folder like the project's, with results of four runs, one of which failed."""
    (tmp_path / "Snakefile").touch()
    shutil.copytree(NOTEBOOK.parent, tmp_path / "docs")
    folder = tmp_path / "results/demo"
    correct = {"head": 20, "middle": 10, "tail": 5}
    write_results(folder, lambda *run: correct[run[-1]], ["resnet8"], LOSSES, missing=[FAILED])
    classes = []
    for train_set, loss in itertools.product(["balanced", "longtailed"], LOSSES):
        run = ("resnet8", loss, train_set, 42)
        classes += [(*run, label, str(label), "head", 10 * label + 1, 5, 0.5, 0.4) for label in range(3)]
        if run == FAILED:
            continue
        place = folder / "runs" / train_set / "resnet8" / loss / "seed42"
        epochs = {
            "epoch": [1, 2],
            "train_loss": 1.0,
            "train_acc1": 0.5,
            "val_loss": 1.0,
            "val_acc1": [0.4, 0.5],
        }
        write_parquet(pd.DataFrame({**epochs, "learning_rate": 0.1}), place / "history.parquet")
        record = {
            "seconds": 3.0,
            "peak_memory_mb": 100.0,
            "device": "a processor",
            "epochs": [{"epoch": 1, "train_seconds": 1.0, "train_images_per_second": 500.0}],
        }
        (place / "run.json").write_text(json.dumps(record))
    columns = ["model", "loss", "train_set", "seed", "label", "class_name", "group", "n_train", "n_test"]
    columns += ["acc", "f1"]
    write_parquet(pd.DataFrame(classes, columns=columns), folder / "per_class.parquet")
    return tmp_path


def outputs(notebook) -> str:
    """The text of all outputs."""
    found = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    return "\n".join(output.get("data", {}).get("text/plain", "") for output in found)


def test_the_notebook_runs(project, monkeypatch):
    # The kernel is a child of the process that has imported the libraries. Matplotlib is among them, so the kernel's
    # choice of a backend comes as an argument: the variable that makes it is read when Matplotlib is imported.
    monkeypatch.setenv(PLACE, str(place()))
    monkeypatch.setattr(sys, "executable", str(place() / "python"))
    (project / "docs/longtail").symlink_to(ROOT / "longtail")
    notebook = nbformat.read(project / "docs/results.ipynb", as_version=4)
    resources = {"metadata": {"path": str(project / "docs")}}
    inline = ["--matplotlib=inline"]
    client = NotebookClient(
        notebook, timeout=120, kernel_name="python3", resources=resources, extra_arguments=inline
    )
    client.execute()
    text = outputs(notebook)
    assert "4 runs" in text and "1 of them missing" in text
    assert "50.0" in text  # of 40 images of the head, 20 are right
    assert any(
        "image/png" in output.get("data", {}) for cell in notebook.cells for output in cell.get("outputs", [])
    )


def test_the_notebook_is_kept_without_outputs():
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert all(not cell.outputs and cell.execution_count is None for cell in code)
