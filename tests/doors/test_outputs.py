"""No program writes over what it reads: over an input by any of its names, over a folder, or with another ending."""

import json
import os
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path

import pandas as pd
import pytest
from programs import run_program

from longtail.export import arguments as export_arguments
from longtail.export import main as export
from longtail.files.parquet import write_parquet
from longtail.predict import arguments as predict_arguments
from longtail.predict import main as predict

ROOT = Path(__file__).parents[2]


@pytest.fixture
def place(tmp_path, monkeypatch) -> Path:
    """A folder with things that a program could be told to read; none of them may change."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "m.safetensors").write_bytes(b"a model")
    (tmp_path / "a.png").write_bytes(b"a picture")
    (tmp_path / "list.csv").write_text("path,rating\na.png,5\n")
    (tmp_path / "page.md").symlink_to("m.safetensors")
    os.link("list.csv", "other.csv")
    for folder in ("folder", "folder.csv", "folder.md", "folder.onnx"):
        (tmp_path / folder).mkdir()
    (tmp_path / "folder/b.png").write_bytes(b"another")
    (tmp_path / "linked").symlink_to("folder")
    return tmp_path


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["list.csv", "--output", "list.csv"], "one of the inputs"),
        (["list.csv", "--output", "./folder/../list.csv"], "one of the inputs"),
        (["list.csv", "--output", "other.csv"], "one of the inputs"),
        (["a.png", "--output", "folder.csv"], "is a folder"),
        (["a.png", "--output", "list.csv/new.csv"], "as list.csv is a file and no folder"),
        (["a.png", "--output", "list.csv/below/new.csv"], "as list.csv is a file and no folder"),
        ([".", "--output", "new.csv"], "the output new.csv lies in ., which is read"),
        (["folder", "--output", "folder/below/new.csv"], "lies in folder, which is read"),
        (["linked", "--output", "folder/new.parquet"], "lies in linked, which is read"),
        (["folder", "--output", "linked/new.csv"], "lies in folder, which is read"),
        (["a.png", "--output", "m.safetensors"], "must end in .csv or .parquet"),
        (["a.png", "--output", "a.png"], "must end in .csv or .parquet"),
        (["a.png", "--output", "folder"], "must end in .csv or .parquet"),
    ],
)
def test_predict_refuses_an_output_that_would_be_lost(place, capsys, words, told):
    before = content(place)
    with pytest.raises(SystemExit) if "must end" in told else nullcontext():
        assert predict(["m.safetensors", *words]) == 1
    assert told in capsys.readouterr().err
    assert content(place) == before


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--card", "m.safetensors"], "must end in .md"),
        (["--card", "page.md"], "one of the inputs"),
        (["--card", "folder.md"], "is a folder"),
        (["--onnx", "folder.onnx"], "is a folder"),
        (["--onnx", "m.safetensors"], "must end in .onnx"),
        (["--onnx", "page.onnx"], "one of the inputs"),  # its card would be page.md
        (["--card", "evaluation.md", "--evaluation", "evaluation.md"], "must end in .parquet"),
        (["--card", "list.csv/x.md"], "as list.csv is a file and no folder"),
    ],
)
def test_export_refuses_an_output_that_would_be_lost(place, capsys, words, told, monkeypatch):
    monkeypatch.setattr("longtail.export.ONNX_PACKAGES", ())
    (place / "evaluation.md").write_bytes(b"an evaluation by an odd name")
    before = content(place)
    with pytest.raises(SystemExit) if "must end" in told else nullcontext():
        assert export(["m.safetensors", *words]) == 1
    assert told in capsys.readouterr().err
    assert content(place) == before


def refused(capsys, name: str, *words: object, **options: object) -> str:
    with pytest.raises(SystemExit) as end:
        run_program(name, *words, **options)
    return f"{end.value} {capsys.readouterr().err}"


def test_a_program_of_the_workflow_refuses_its_input_a_folder_and_another_ending(place, capsys):
    split = place / "split.parquet"
    write_parquet(pd.DataFrame({"label": [0], "image_id": [1]}), split)
    (place / "link.parquet").symlink_to(split)
    (place / "folder.parquet").mkdir()
    before = content(place)
    settings = {"seed": 1, "imbalance_factor": 0.1, "test_imbalance_factor": 0.1}
    for output, told in [
        (split, "one of the inputs"),
        (place / "link.parquet", "one of the inputs"),
        (place / "folder.parquet", "is a folder"),
        (place / "split.csv", "must end in .parquet"),
    ]:
        assert told in refused(capsys, "split", subsets=split, settings=settings, output=output)
    assert content(place) == before


def test_two_outputs_of_one_name_are_refused(place, capsys):
    table = place / "new.parquet"
    settings = {"softmax": {"loss": "softmax", "loss_parameters": {}}}
    told = refused(
        capsys,
        "evaluation",
        place / "runs",
        split=place / "split.parquet",
        settings=settings,
        output=table,
        output_per_class=table,
    )
    assert "two outputs have the name" in told


@pytest.mark.parametrize("program", sorted(path.stem for path in (ROOT / "workflow/scripts").glob("*.py")))
def test_every_program_stands_in_the_frame_that_checks(program):
    text = (ROOT / f"workflow/scripts/{program}.py").read_text(encoding="utf-8")
    assert program == "frame" or "    run(main, " in text


def test_the_frame_still_needs_no_package():
    code = "import sys; sys.path.insert(0, 'workflow/scripts'); import frame, longtail.files.outputs; "
    code += "import json; print(json.dumps([name for name in ('torch', 'pandas', 'pydantic') if name in sys.modules]))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == []


@pytest.mark.parametrize(
    ("program", "words", "option"),
    [
        (predict, ["m.safetensors", "a.png", "--output={}.csv"], "--output"),
        (predict, ["m.safetensors", "{}.png"], "IMAGE"),
        (export, ["m.safetensors", "--card={}.md"], "--card"),
        (export, ["m.safetensors", "--onnx={}.onnx"], "--onnx"),
        (export, ["m.safetensors", "--card=x.md", "--evaluation={}.parquet"], "--evaluation"),
    ],
)
def test_a_path_after_an_equals_sign_means_what_it_means_elsewhere(
    place, capsys, monkeypatch, program, words, option
):
    monkeypatch.setenv("HOME", str(place / "home"))
    before = sorted(place.rglob("*"))
    with pytest.raises(SystemExit):
        program([word.format("$HOME/x") for word in words])
    assert f"argument {option}: the variable $HOME of the environment" in capsys.readouterr().err
    assert program([word.format("~/x") for word in words]) == 1  # the model is none
    assert sorted(place.rglob("*")) == before


def test_the_home_directory_is_filled_in_in_arguments(place, monkeypatch):
    monkeypatch.setenv("HOME", str(place))
    assert export_arguments(["~/m.safetensors", "--card=~/a.md"]).card == f"{place}/a.md"
    assert predict_arguments(["~/m.safetensors", "~/a.png", "--output=~/a.csv"]).output == f"{place}/a.csv"
