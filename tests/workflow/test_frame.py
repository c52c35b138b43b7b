"""Every program ends in one sentence for what its user can mend, and keeps the traceback of its own faults."""

import argparse
import subprocess
import sys

import pytest
from frame import program, run, settings

PROGRAM = """
import sys
sys.path.insert(0, "workflow/scripts")
from frame import program, run
parser = program("A program.", takes="what it needs")
def work(args):
    if "code" in args.settings:
        return args.settings["code"]
    raise KeyError("ours") if "ours" in args.settings else OSError("the disk is full")
run(work, parser)
"""


@pytest.mark.parametrize(
    ("given", "code", "told"),
    [
        ('{"code": 75}', 75, ""),
        ("{}", 1, "error: the disk is full"),
        ('{"ours": 1}', 1, "Traceback"),
        ("[1]", 2, "invalid settings value"),
        ("{", 2, "invalid settings value"),
    ],
)
def test_a_program_ends_with_its_code_and_says_why(repository, given, code, told):
    command = [sys.executable, "-c", PROGRAM, "--settings", given]
    done = subprocess.run(command, capture_output=True, text=True, cwd=repository)
    assert done.returncode == code
    assert told in done.stderr
    assert ("Traceback" in done.stderr) == (told == "Traceback")


def test_a_setting_that_is_missing_is_named(monkeypatch):
    parser = program(None, takes="seed")
    monkeypatch.setattr(sys, "argv", ["program", "--settings", '{"sed": 1}'])

    def work(args: argparse.Namespace) -> None:
        args.settings["seed"]

    with pytest.raises(SystemExit, match=r"^error: --settings lacks 'seed'; it has sed$"):
        run(work, parser)


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (ValueError("no median for empty data"), "error: no median for empty data (in a/x.csv, b/y.csv)"),
        (
            ValueError("zip() argument 2 is shorter than argument 1"),
            "error: zip() argument 2 is shorter than argument 1 (in",
        ),
        (ValueError("a/x.csv is damaged"), "error: a/x.csv is damaged"),
        (ValueError("the table needs --split"), "error: the table needs --split"),
    ],
)
def test_an_error_that_names_no_file_gets_the_names_of_the_inputs(monkeypatch, error, told):
    parser = program(None, first="a file", output="a file")
    parser.add_argument("--more", nargs="+")
    words = ["program", "--first", "a/x.csv", "--more", "b/y.csv", "--output", "c/z.csv"]
    monkeypatch.setattr(sys, "argv", words)

    def work(args: argparse.Namespace) -> None:
        raise error

    with pytest.raises(SystemExit) as caught:
        run(work, parser)
    assert str(caught.value).startswith(told)
    assert ("(in " in str(caught.value)) == ("(in" in told)


def test_settings_are_plain_values():
    assert settings('{"seed": 1, "group_limits": [9, 3]}') == {"seed": 1, "group_limits": [9, 3]}
