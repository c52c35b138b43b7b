"""The files of the configuration: what YAML would take for something else is refused, with file and line."""

import time
from pathlib import Path

import pytest
import yaml
from warm import plan

from longtail.config.files import Unreadable, number, read_file, wrong_words
from longtail.config.load import ConfigError, load_files

ROOT = Path(__file__).parents[2]
OWN = "losses: {mine: {loss: {path: x.py, name: Y}, parameters: {%s}}}\n"
BOMB = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 8)
)


@pytest.fixture
def file(tmp_path):
    """Writes a configuration."""

    def write(content, name="mine.yaml"):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


def problems(*files, **settings) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load_files(files, settings)
    return caught.value.problems


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("train: {epochs: 3}\ntrain: {epochs: 4}\n", "line 2: train stands in line 1 already"),
        ("train:\n  epochs: 3\n  epochs: 3\n", "line 3: train.epochs stands in line 2 already"),
        ("models:\n- {a: 1, a: 2}\n", "line 2: models.0.a stands in line 2 already"),
        ("data: {seed: 010}\n", "line 1: 010 may be octal; write 10, or '010' if it is text"),
        ("seeds: [1, -08]\n", "line 1: -08 may be octal"),
        ("train: {epochs: 1:30}\n", "line 1: YAML reads 1:30 in base 60"),
        ("\ndata: {seed: 2020-01-01}\n", "line 2: 2020-01-01 is a date, which no setting takes"),
        ("seeds: !!set {1}\n", "line 1: a value is called set"),
        ("paths: {work: !!binary eA==}\n", "line 1: 'eA==' is called binary"),
        ("seeds: [!!int x]\n", "line 1: 'x' is called int"),
        (OWN % "t: {1: 0.5}", "line 1: the key 1 is a number, and keys are text; write '1'"),
        ("models: {no: {}}\n", "line 1: the key no is a truth value"),
        ("? [a]\n: 1\n", "line 1: a key is a list or a mapping"),
    ],
)
def test_what_yaml_would_take_for_something_else_is_refused_with_its_line(file, text, message):
    path = file(text)
    assert any(f"{path}, {message}" in problem for problem in problems(path)), problems(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('data: {lists: {train: "café"}}'.encode("latin-1"), "line 1: this is not UTF-8"),
        ("seeds: [1]".encode("utf-16"), "line 1: this is not UTF-8"),
        (b"seeds: [1]\0", "is no text"),
        ("seeds: [1\n", "line 2: this is not YAML"),
        ("- 1\n", "holds no settings"),
        ("", "holds no settings"),
        (f"train: {{epochs: {'9' * 5000}}}\n", "line 1: a number of 5,000 digits"),
        ("train: &a {epochs: *a}\n", "line 1: an alias (*) refers to what it stands in"),
        (f"seeds: {'[' * 1000}{']' * 1000}\n", "is nested deeper than 50 levels"),
        (f"seeds: {'[' * 60}{']' * 60}\n", "is nested deeper than 50 levels"),
        (BOMB, "stands for more than 100,000 values"),
        (b"#" * 1_000_001, "has 1,000,001 bytes"),
    ],
)
def test_a_file_that_cannot_be_read_ends_in_one_sentence_and_soon(file, content, message):
    path, before = file(content), time.process_time()
    (problem,) = problems(path)
    assert problem.startswith(str(path)) and message in problem and len(problem) < 300
    assert time.process_time() - before < 5


def test_a_value_that_is_refused_as_written_is_refused_once(file):
    assert len(problems(file("data: {seed: 2020-01-01}\npaths: {work: 1:30}\n"))) == 2


def test_what_is_no_file_is_refused(tmp_path):
    for path, message in ((tmp_path, "is not a file"), (tmp_path / "x", "does not exist")):
        with pytest.raises(Unreadable, match=message):
            read_file(path)


@pytest.mark.parametrize("value", ["yes", "on", "no", "off", "true", "False"])
def test_a_truth_value_is_no_number(file, value):
    text = f"seeds: [{value}]\ntrain:\n  epochs: {value}\n  learning_rate: {value}\njob: {{minutes: {{a: {value}}}}}\n"
    found = problems(path := file(text))
    for key, line in (("seeds", 1), ("train.epochs", 3), ("train.learning_rate", 4), ("job.minutes", 5)):
        assert any(p.startswith(f"{key}: ") and p.endswith(f"({path}, line {line})") for p in found), found
    assert load_files([file(f"train: {{flip: {value}}}\n")], {}).train.flip is (
        value in ("yes", "on", "true")
    )


def test_numbers_are_numbers_in_free_mappings_too(file):
    expected = {"a": 1e-3, "b": 1e3, "c": 10, "d": "1e-3", "e": True, "f": 15, "g": [0.5, "x"]}
    path = file(OWN % "a: 1e-3, b: 1E+3, c: 10, d: '1e-3', e: true, f: 0o17, g: [.5, x]")
    assert load_files([path], {}).losses["mine"].parameters == expected
    given = {"a": "1e-3", "e": "true", "g": ["1", "x", "null"]}  # as Snakemake hands --config on
    mine = {"loss": {"path": "x.py", "name": "Y"}, "parameters": given}
    entry = load_files([], {"losses": {"mine": mine}}).losses["mine"]
    assert entry.parameters == {"a": 1e-3, "e": True, "g": [1, "x", None]}
    assert [number(text) for text in ("1_0", "1.", "e5", "-.5e-3", "nan", "")] == [
        None,
        1,
        None,
        -0.5e-3,
        None,
        None,
    ]


def test_a_shipped_file_says_the_same_as_to_pyyaml():
    for path in ("config/cao2019.yaml", "config/modern.yaml", "config/demo.yaml"):
        assert read_file(ROOT / path).content == yaml.safe_load((ROOT / path).read_text())


def test_later_files_and_the_command_line_win_and_problems_name_the_place(file):
    first = file("train:\n  epochs: 3\n  batch_size: x\n<<: {seeds: [5]}\n")
    second = file("train:\n  epochs: 0\ndata: {seed: -1}\n", "second.yaml")
    found = problems(first, second, data={"seed": "x"})
    for key, place in (
        ("train.epochs", f"({second}, line 2)"),
        ("train.batch_size", f"({first}, line 3)"),
        ("data.seed", "(--config)"),
    ):
        assert any(p.startswith(f"{key}: ") and p.endswith(place) for p in found), found
    assert (
        load_files(
            [file("a: &a {epochs: 3}\n".replace("a: ", "train: ")), second],
            {"train": {"epochs": "4"}, "data": {"seed": 1}},
        ).train.epochs
        == 4
    )


@pytest.mark.parametrize(
    ("words", "form"),
    [
        (["train.epochs=3"], "write --config 'train={epochs: 3}'"),
        (["data.cifar100.url=x"], "write --config 'data={cifar100: {url: x}}'"),
        (["train={epochs:", "3}"], "such as --config 'train={epochs: 3}'"),
        (["train=epochs:3"], "write --config 'train={epochs: 3}'"),
        (["train={epochs: 3, epochs: 4}"], "epochs stands in line 1 already"),
    ],
)
def test_settings_after_config_get_the_form_that_is_right(words, form):
    assert form in "\n".join(wrong_words(words))
    assert list(wrong_words(["seeds=[1]", "train={epochs: 3}", "partial=true", "variants=null"])) == []


def test_snakemake_ends_in_the_same_sentences(file):
    for words, message in (
        (["--configfile", str(file(b"a: \xe9"))], "this is not UTF-8"),
        (
            ["--configfile", str(file("train: {epochs: yes, epochs: 1}", "b.yaml"))],
            "train.epochs stands in line 1",
        ),
        (["--config", "train.epochs=3"], "write --config 'train={epochs: 3}'"),
    ):
        code, text = plan(ROOT, *words)
        assert code == 1 and message in text and "Traceback" not in text, text
