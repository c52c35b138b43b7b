"""A fingerprint changes with behaviour, and with nothing else."""

import json
import subprocess
import sys

import pytest

from longtail.experiment import fingerprint as module
from longtail.experiment.fingerprint import ROOT

LIBRARY = {
    "longtail/__init__.py": '"""Package."""\n',
    "longtail/losses/__init__.py": "import importlib\n",
    "longtail/losses/base.py": "WEIGHT = 1\n",
    "longtail/losses/focal.py": "from longtail.losses.base import WEIGHT\nGAMMA = 2.0\n",
    "longtail/losses/ldam.py": "S = 30\n",
    "longtail/loop.py": 'def run(x):\n    """Run."""\n    from longtail import late\n    return late.f(x)  # why\n',
    "longtail/late.py": "def f(x):\n    return x + 1\n",
    "longtail/unused.py": "X = 1\n",
    "train.py": "import os\nfrom longtail import losses\nfrom longtail.loop import run\n",
}


@pytest.fixture
def project(tmp_path, monkeypatch):
    for name, text in LIBRARY.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    monkeypatch.setattr(module, "ROOT", tmp_path)
    monkeypatch.setattr(module, "READ_BEFORE", tmp_path / "read.json")
    monkeypatch.setattr(module.atexit, "register", keep := [].append)
    monkeypatch.setattr(module, "kept", keep.__self__, raising=False)
    return tmp_path


def value(*choices):
    """The fingerprint as a new process finds it."""
    for cached in (module.fingerprint, module._read, module._read_before):
        cached.cache_clear()
    return module.fingerprint("train.py", *choices)


def test_closure_follows_imports_inside_functions_and_leaves_the_rest_out(project):
    files = {
        path.relative_to(project).as_posix() for path in module.closure("train.py", "longtail.losses.focal")
    }
    assert files == {
        "train.py",
        "longtail/losses/__init__.py",
        "longtail/losses/base.py",
        "longtail/losses/focal.py",
        "longtail/loop.py",
        "longtail/late.py",
    }


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("longtail/late.py", "def f(x):\n    return x + 2\n"),
        ("longtail/losses/focal.py", "from longtail.losses.base import WEIGHT\nGAMMA = 1.0\n"),
        ("longtail/losses/base.py", "WEIGHT = True\n"),
        ("train.py", "import os\nfrom longtail import losses\nfrom longtail.loop import run as r\n"),
    ],
)
def test_changed_code_changes_it(project, name, text):
    before = value("longtail.losses.focal")
    (project / name).write_text(text)
    assert value("longtail.losses.focal") != before


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("longtail/unused.py", "X = 2\n"),
        ("longtail/losses/ldam.py", "S = 1\n"),
        (
            "longtail/late.py",
            "# now with a comment\ndef f(x):\n\n    '''And a docstring.'''\n    return (x+1)\n",
        ),
        ("longtail/__init__.py", '"""Another docstring."""\n__version__ = "9"\n'),
    ],
)
def test_comments_docstrings_formatting_and_other_files_do_not(project, name, text):
    before = value("longtail.losses.focal")
    (project / name).write_text(text)
    assert value("longtail.losses.focal") == before


def test_a_choice_that_does_not_exist_is_named(project):
    with pytest.raises(FileNotFoundError, match=r"losses/fokal\.py does not exist"):
        value("longtail.losses.fokal")


def test_a_users_own_file_is_a_choice(project):
    (project / "my_loss.py").write_text("GAMMA = 1\n")
    before = value("my_loss.py")
    (project / "my_loss.py").write_text("GAMMA = 2\n")
    assert value("my_loss.py") != before


def test_it_is_the_same_in_another_folder_process_and_hash_seed(tmp_path):
    program = (
        "import sys, pathlib; from longtail.experiment import fingerprint as f; "
        "print(f.fingerprint('workflow/scripts/train.py', 'longtail.losses.focal'))"
    )
    seen = {
        subprocess.run(
            [sys.executable, "-c", program],
            cwd=folder,
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for folder, seed in ((ROOT, "1"), (tmp_path, "2"))
    }
    assert len(seen) == 1


def test_files_that_were_read_before_are_not_parsed_again(project, monkeypatch):
    before = value()
    module.kept.pop()()  # that process ends
    parsed = []
    monkeypatch.setattr(module, "_parsed", lambda content, path: parsed.append(path.name) or ("another", []))
    assert value() == before
    assert not parsed
    (project / "longtail/late.py").write_text("def f(x):\n    return x + 2\n")
    assert value() != before
    assert parsed == ["late.py"]


@pytest.mark.parametrize("damage", [lambda text: text[:-9], lambda text: "[]", lambda text: "\0" + text])
def test_a_damaged_note_of_files_read_before_is_made_again(project, damage):
    before = value()
    module.kept.pop()()
    whole = module.READ_BEFORE.read_text()
    module.READ_BEFORE.write_text(damage(whole))
    assert value() == before
    module.kept.pop()()
    assert module.READ_BEFORE.read_text() == whole


def test_a_note_by_another_version_of_the_fingerprint_is_not_believed(project):
    before = value()
    module.kept.pop()()
    note = json.loads(module.READ_BEFORE.read_text())
    note |= {"by": "another", "files": {name: ["other", []] for name in note["files"]}}
    module.READ_BEFORE.write_text(json.dumps(note))
    assert value() == before


def test_nothing_is_noted_where_nothing_can_be_written(project, monkeypatch):
    (project / "file").write_text("")
    monkeypatch.setattr(module, "READ_BEFORE", project / "file" / "read.json")
    value()
    module.kept.pop()()
    assert (project / "file").read_text() == ""
