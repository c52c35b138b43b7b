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


def test_settings_are_plain_values():
    assert settings('{"seed": 1, "group_limits": [9, 3]}') == {"seed": 1, "group_limits": [9, 3]}
