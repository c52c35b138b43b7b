"""A fingerprint changes with behaviour, and with nothing else."""

import ast
import contextlib
import json
import re
import subprocess
import sys
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from longtail.experiment import contents
from longtail.experiment import fingerprint as module
from longtail.experiment.fingerprint import ROOT
from longtail.files.sealed_json import SEAL, seal, unseal

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
    monkeypatch.setattr(contents.atexit, "register", keep := [].append)
    monkeypatch.setattr(module, "kept", keep.__self__, raising=False)
    forget()
    yield tmp_path
    forget()


def forget():
    for name in ("fingerprint", "trees", "_parse", "_files", "_of_package", "_elsewhere", "_read_before"):
        getattr(module, name).cache_clear()


def value(*choices):
    """The fingerprint as a new process finds it."""
    forget()
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


@pytest.fixture
def elsewhere(project, tmp_path_factory, monkeypatch):
    """A folder outside of the project, where the jobs work."""
    folder = tmp_path_factory.mktemp("elsewhere")
    monkeypatch.chdir(folder)
    return folder


def write(folder, files):
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)


@pytest.mark.parametrize("absolute", [False, True])
def test_a_users_own_file_is_a_choice_and_relative_to_the_working_directory(project, elsewhere, absolute):
    choice = str(elsewhere / "my_loss.py") if absolute else "my_loss.py"
    write(project, {"my_loss.py": "GAMMA = 0\n"})
    write(elsewhere, {"my_loss.py": "GAMMA = 1\n"})
    before = value(choice)
    write(project, {"my_loss.py": "GAMMA = 3\n"})
    assert value(choice) == before
    write(elsewhere, {"my_loss.py": "GAMMA = 2\n"})
    assert value(choice) != before


# A loss, the module whose change counts, and other modules that lead there.
HELPERS = {
    "beside": ("mine.py", "import helper\n", "helper.py", {}),
    "in a function": ("mine.py", "def f():\n    from helper import x\n", "helper.py", {}),
    "in a folder": ("losses/mine.py", "import helper\n", "losses/helper.py", {}),
    "relative": ("losses/mine.py", "from .helper import x\n", "losses/helper.py", {}),
    "a module relative": ("losses/mine.py", "from . import helper\n", "losses/helper.py", {}),
    "two up": (
        "a/b/mine.py",
        "from ..helper import x\n",
        "a/helper.py",
        {"a/__init__.py": "", "a/b/__init__.py": ""},
    ),
    "by its package": (
        "a/mine.py",
        "from a.helper import x\n",
        "a/helper.py",
        {"a/__init__.py": ""},
    ),
    "its own package": ("a/mine.py", "", "a/__init__.py", {}),
    "a package": ("mine.py", "import tools\n", "tools/__init__.py", {}),
    "a module of a package": (
        "mine.py",
        "from tools import helper\n",
        "tools/helper.py",
        {"tools/__init__.py": ""},
    ),
    "a package above": (
        "mine.py",
        "import tools.inner.helper\n",
        "tools/__init__.py",
        {"tools/inner/helper.py": ""},
    ),
    "a folder that is no package": ("mine.py", "import tools.helper as h\n", "tools/helper.py", {}),
    "by another": (
        "mine.py",
        "import first\n",
        "tools/helper.py",
        {"first.py": "from tools.second import x\n", "tools/second.py": "from tools import helper\n"},
    ),
    "relative by another": (
        "mine.py",
        "from tools.second import x\n",
        "tools/helper.py",
        {"tools/second.py": "from .helper import x\n"},
    ),
    "by a call": ("mine.py", "import importlib\nm = importlib.import_module('helper')\n", "helper.py", {}),
    "compiled": ("mine.py", "import helper\n", f"helper{module.EXTENSION_SUFFIXES[0]}", {}),
}


@pytest.mark.parametrize("case", HELPERS.values(), ids=HELPERS)
def test_what_a_loss_of_ones_own_imports_counts(elsewhere, case):
    loss, text, helper, others = case
    write(elsewhere, {loss: text, helper: "x = 1\n", **others})
    before = value(loss)
    write(elsewhere, {helper: "x = 2\n"})
    assert value(loss) != before
    write(elsewhere, {helper: "x = 1\n", "unused.py": "", "tools/unused.py": ""})
    assert value(loss) == before


def test_the_folder_of_a_loss_of_ones_own_does_not_count(elsewhere):
    found = set()
    for folder in ("a", "b/c", "z"):
        write(elsewhere / folder, {"mine.py": "import tools.helper\n", "tools/helper.py": "x = 1\n"})
        found.add(value(f"{folder}/mine.py"))
        found.add(value(str(elsewhere / folder / "mine.py")))
    assert len(found) == 1


def test_a_module_on_the_path_counts_and_an_installed_one_does_not(project, elsewhere, monkeypatch):
    write(elsewhere, {"path/lab/__init__.py": "x = 1\n", "mine.py": "import numpy, lab, in_root\n"})
    write(project, {"in_root.py": "x = 1\n"})
    monkeypatch.syspath_prepend(elsewhere / "path")
    before, files = value("mine.py"), module.closure("train.py", "mine.py")
    assert {file.name for file in files} >= {"in_root.py", "mine.py"}
    assert not any("numpy" in file.parts for file in files)
    write(elsewhere, {"path/lab/__init__.py": "x = 2\n"})
    assert value("mine.py") != before


def test_a_helper_that_is_no_python_is_named(elsewhere):
    write(elsewhere, {"mine.py": "import helper\n", "helper.py": "x = = 1\n"})
    with pytest.raises(ValueError, match=r"helper\.py, line 1: invalid syntax; mend it"):
        value("mine.py")


def tree(text):
    pieces = []
    module._dump(ast.parse(text), pieces, [])
    return "\n".join(pieces)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("x = {**a, 'b': c}", "x = {'b': a, **c}"),
        ("def f(*, a=1, b): 0", "def f(*, a, b=1): 0"),
        ("lambda *, a=1, b: 0", "lambda *, a, b=1: 0"),
        ("x[a:]", "x[:a]"),
        ("x[::a]", "x[:a:]"),
        ("return_ = None", "return_ = 0"),
        ("def f():\n return", "def f():\n return None"),
        ("x = 1", "x = 1.0"),
        ("x = 1", "x = True"),
        ("x = 'a'", "x = b'a'"),
        ("x = 0", "x = -0"),
        ("from a import b", "from .a import b"),
        ("from . import b", "from .. import b"),
        ("import a as b", "import b as a"),
        ("f(a, *b)", "f(*b, a)"),
        ("f(**a, b=c)", "f(b=c, **a)"),
        ("def f(a, /, b): 0", "def f(a, b, /): 0"),
        ("def f(a, b=1): 0", "def f(a=1, b=1): 0"),
        ("global a, b", "global a; global b"),
        ("if a: b\nelse: c", "if a: b\nc"),
        ("for a in b: c\nelse: d", "for a in b: c\nd"),
        ("try: a\nfinally: b", "try: a\nexcept: b"),
        ("while a:\n if b: c\n else: d", "while a:\n if b: c\nelse: d"),
        ("match a:\n case {'b': 1, **c}: 0", "match a:\n case {'b': 1}: 0"),
        ("match a:\n case B(c, d=e): 0", "match a:\n case B(c=d, d=e): 0"),
        ("[a for b in c if d if e]", "[a for b in c if (d and e)]"),
        ("[[a, b], c]", "[[a], b, c]"),
        ("f'{a!r}'", "f'{a!s}'"),
        ("f'{a:b}'", "f'{a}b'"),
        ("async def f(): 0", "def f(): 0"),
        ("x: int", "x: int = None"),
        ("raise a", "raise a from None"),
        ("assert a", "assert a, None"),
        ("a < b < c", "(a < b) < c"),
        ("@a\nclass B: 0", "class B(a): 0"),
        ("x = 'a\\nName(\\nid'", "x = 'a'"),
    ],
)
def test_programs_that_differ_have_other_trees(first, second):
    assert tree(first) != tree(second)


# Small pieces of source, nested in one another.
ATOMS = st.sampled_from(["a", "b", "0", "1", "None", "True", "''", "'a'", "b'a'", "..."])
EXPRESSIONS = st.recursive(
    ATOMS,
    lambda inner: st.one_of(
        st.lists(st.one_of(inner, inner.map("*{}".format)), max_size=3).map(
            lambda each: f"[{', '.join(each)}]"
        ),
        st.lists(
            st.one_of(
                inner.map("**{}".format), st.tuples(inner, inner).map(lambda two: f"{two[0]}: {two[1]}")
            ),
            max_size=3,
        ).map(lambda each: f"{{{', '.join(each)}}}"),
        st.tuples(*[st.one_of(st.just(""), inner)] * 3).map(lambda three: f"a[{':'.join(three)}]"),
        st.tuples(inner, inner, inner).map(lambda three: "({} if {} else {})".format(*three)),
        st.lists(
            st.one_of(inner, st.tuples(st.sampled_from("cd"), inner).map("=".join)), max_size=2, unique=True
        ).map(lambda each: f"f({', '.join(sorted(each, key=lambda one: '=' in one))})"),
        st.tuples(st.sampled_from(["", "=1"]), st.sampled_from(["", "=1"]), inner).map(
            lambda three: f"(lambda *, a{three[0]}, b{three[1]}: {three[2]})"
        ),
    ),
    max_leaves=4,
)


@given(st.lists(EXPRESSIONS, min_size=2, max_size=10))
def test_trees_are_equal_where_those_of_python_are(texts):
    pairs = set()
    for text in texts:
        with contextlib.suppress(SyntaxError):
            pairs.add((ast.dump(ast.parse(f"x = {text}")), tree(f"x = {text}")))
    assert len({python for python, _ in pairs}) == len({own for _, own in pairs}) == len(pairs)


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
    monkeypatch.setattr(
        module, "_parsed", lambda content: parsed.append(content) or module._Source("another", ())
    )
    assert value() == before
    assert not parsed
    (project / "longtail/late.py").write_text("def f(x):\n    return x + 2\n")
    assert value() != before
    assert parsed == [b"def f(x):\n    return x + 2\n"]


def entry_of(note, value):
    """The note with another value in each entry, and its seal right."""
    content = unseal(note, "note")
    return seal({**content, "files": dict.fromkeys(content["files"], value)})


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: text[:-9],
        lambda text: "[]",
        lambda text: "\0" + text,
        lambda text: re.sub(r'(": \["[0-9a-f]*?)[0-8]', r"\g<1>9", text, count=1),
        lambda text: text.replace(SEAL, "sealed"),
        lambda text: json.dumps(unseal(text, "note") | {"files": {}}),
        *(
            partial(entry_of, value=value)
            for value in (None, 1, [], ["a"], ["a", 1], ["a", [1]], ["a", ["b"], 3])
        ),
    ],
)
def test_a_damaged_note_of_files_read_before_is_made_again(project, damage):
    before = value()
    module.kept.pop()()
    whole = module.READ_BEFORE.read_text()
    module.READ_BEFORE.write_text(damage(whole))
    assert module.READ_BEFORE.read_text() != whole
    assert value() == before
    module.kept.pop()()
    assert module.READ_BEFORE.read_text() == whole


def test_a_note_by_another_version_of_the_fingerprint_is_not_believed(project):
    before = value()
    module.kept.pop()()
    note = unseal(module.READ_BEFORE.read_text(), "note")
    note |= {"by": "another", "files": {name: ["other", []] for name in note["files"]}}
    module.READ_BEFORE.write_text(seal(note))
    assert value() == before


def test_nothing_is_noted_where_nothing_can_be_written(project, monkeypatch):
    (project / "file").write_text("")
    monkeypatch.setattr(module, "READ_BEFORE", project / "file" / "read.json")
    value()
    module.kept.pop()()
    assert (project / "file").read_text() == ""
