"""No code of this project runs what it reads, and paths and names with a shell's signs stay words."""

import ast
from pathlib import Path

import pytest
import yaml
from workspace import DIGITS, Workspace

ROOT = Path(__file__).parents[2]
CODE = sorted(path for folder in ("longtail", "workflow/scripts") for path in (ROOT / folder).rglob("*.py"))


KEYWORDS = ("shell", "weights_only", "allow_pickle")


def calls(path: Path):
    """Dotted name of every call in a file, and those of its keywords that may let something be run."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call):
            keywords = {word.arg: ast.unparse(word.value) for word in node.keywords if word.arg in KEYWORDS}
            yield ast.unparse(node.func), keywords


def assert_that_nothing_that_was_read_is_run(path: Path) -> None:
    for name, keywords in calls(path):
        assert name not in ("eval", "exec", "os.system", "os.popen"), f"{path}: {name}"
        if name != "shtab.complete":  # whose `shell` is the one that it writes a script for
            assert keywords.get("shell", "False") == "False", f"{path}: {name} with a shell"
        if name == "torch.load":
            assert keywords.get("weights_only") == "True", f"{path}: torch.load may run code"
        if name.startswith(("pickle.load", "joblib.load", "dill.", "marshal.load", "yaml.load")):
            raise AssertionError(f"{path}: {name}")
        if name in ("np.load", "numpy.load"):
            assert keywords.get("allow_pickle", "False") == "False", f"{path}: {name} of pickles"


def test_nothing_that_was_read_is_run():
    assert len(CODE) > 200
    for path in CODE:
        assert_that_nothing_that_was_read_is_run(path)


def test_the_only_pickle_that_is_read_is_cifars_own():
    naming = (path for path in CODE if "pickle" in path.read_text(encoding="utf-8"))
    users = [path.name for path in naming if "pickle" in imports(path)]
    assert users == ["cifar.py"]


def imports(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {name.name for name in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
    return found


def test_the_check_finds_what_it_looks_for(tmp_path):
    path = tmp_path / "bad.py"
    for line in ("eval('1')", "torch.load(path)", "subprocess.run('x', shell=True)", "pickle.loads(b'')"):
        path.write_text(line)
        with pytest.raises(AssertionError):
            assert_that_nothing_that_was_read_is_run(path)


ODD = "a 'quoted' \"folder\" $(touch canary) `touch canary` & ; #"


@pytest.mark.long
def test_every_rule_takes_folders_with_a_shells_signs(tmp_path):
    """The whole workflow on the digits, run for real, in folders named so."""
    workspace = Workspace.create(tmp_path / ODD)
    config = {
        "grid": {"models": ["re.s+net-8"], "losses": ["softmax", "Focal_1.5+x-y"]},
        "models": {"re.s+net-8": {"architecture": "resnet8", "pretrained": False}},
        "losses": {"Focal_1.5+x-y": {"loss": "focal", "gamma": 1.5}},
        "data": DIGITS,
        "train": {"epochs": 1, "image_size": 8, "batch_size": 64, "padding": 1},
        "job": {"threads": 1},
        "paths": {"results": f"{ODD} results", "work": f"{ODD} work"},
    }
    (workspace.folder / "config/config.yaml").write_text(yaml.safe_dump(config))
    workspace.snakemake()
    results = workspace.folder / f"{ODD} results"
    assert (results / "summary.md").is_file()
    assert len(list(results.rglob("predictions.parquet"))) == 4
    assert (workspace.folder / f"{ODD} work").is_dir()
    assert not list(tmp_path.rglob("canary"))
    assert workspace.planned() == set()


def test_names_that_could_leave_their_folder_are_refused_before_any_job():
    from longtail.config.load import ConfigError, load_config

    for name in (
        "../x",
        "a/b",
        "a b",
        "$(touch canary)",
        "a'b",
        'a"b',
        "a\nb",
        "ünï",
        "",
        "-x",
        ".x",
        "{model}",
    ):
        for mapping in (
            {"grid": {"models": [name]}},
            {"grid": {"losses": [name]}},
            {"models": {name: {"architecture": "resnet8"}}},
            {"losses": {name: {"loss": "focal"}}},
        ):
            with pytest.raises(ConfigError):
                load_config(mapping)
