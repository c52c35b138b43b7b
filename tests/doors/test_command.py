"""The command `longtail`: its help, what it opens, and what it says where it cannot."""

import argparse
import io
import itertools
import logging
import os
import re
import shutil
import subprocess
import sys
from importlib.metadata import entry_points

import pytest
import warm
from snakemake_interface_logger_plugins.common import LogEvent

from longtail import __main__ as command
from longtail.__main__ import COMMANDS, SHELLS, completion, every_action, main
from longtail.machine import terminal

DOORS = [name for name, one in COMMANDS.items() if not one.workflow]


@pytest.fixture
def became(monkeypatch):
    """What the process would become, in place of becoming it."""
    words: list[list[str]] = []

    def execv(_, given):
        words.append(given[given.index("-m") + 1 :])
        raise SystemExit(0)

    monkeypatch.setattr(os, "execv", execv)
    return words


def test_the_console_script_is_this_command():
    (script,) = [one for one in entry_points(group="console_scripts") if one.name == "longtail"]
    assert script.load() is main


@pytest.mark.parametrize("words", [[], ["-h"], ["--help"]])
def test_the_help_names_every_command(words, capsys):
    assert main(words) == 0
    told = capsys.readouterr().out
    assert all(f"\n  {name} " in told and one.told in told for name, one in COMMANDS.items())
    assert max(map(len, told.splitlines())) < 80


def test_the_help_imports_nothing_heavy():
    code = (
        "import sys, runpy; sys.argv = ['longtail', '--help']\n"
        "try: runpy.run_module('longtail', run_name='__main__')\n"
        "except SystemExit as end: assert not end.code\n"
        "print({'torch', 'pandas', 'numpy', 'pydantic', 'snakemake', 'rich', 'shtab'} & {*sys.modules})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "set()"


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_under_its_own_name(name, capsys):
    assert main([name, "--help"]) == 0
    assert f"usage: longtail {name}" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("word", "meant"),
    [
        ("predct", "predict"),
        ("Predict", "predict"),
        ("evalute", "evaluate"),
        ("citation", "cite"),
        ("plam", "plan"),
    ],
)
def test_a_misspelt_command_names_the_nearest(word, meant, capsys):
    assert main([word]) == 1
    told = capsys.readouterr().err
    assert told.startswith(f"error: the command '{word}' is not known; did you mean '{meant}'?")


@pytest.mark.parametrize("name", DOORS)
def test_a_door_gets_the_words_and_gives_the_status(name, monkeypatch):
    given = []
    door = COMMANDS[name].module(name)
    monkeypatch.setattr(door, "main", lambda words: given.append(words) or 3)
    assert main([name, "a", "--b"]) == 3
    assert given == [["a", "--b"]]


@pytest.mark.parametrize("ending", [SystemExit("error: why"), SystemExit("why")])
def test_a_door_that_ends_with_a_sentence_is_an_error_with_status_1(ending, monkeypatch, capsys):
    def door(_):
        raise ending

    monkeypatch.setattr("longtail.watch.main", door)
    assert main(["watch"]) == 1
    assert capsys.readouterr().err == "error: why\n"


@pytest.mark.parametrize("name", DOORS)
def test_no_option_takes_an_empty_word(name):
    """It is what a variable of the shell gives that is not set, and would silently mean something else."""
    taking = [
        one
        for one in every_action(COMMANDS[name].module(name).parser())
        if one.nargs not in (0, 2) and not one.choices and one.dest not in ("config", "list")
    ]
    assert taking or name == "clean"
    for action in taking:
        assert action.type, f"{action.option_strings or action.dest} takes any text"
        with pytest.raises((argparse.ArgumentTypeError, ValueError)):
            action.type("")


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252", "shift_jis"])
def test_letters_that_the_standard_output_lacks_are_told(encoding, tmp_path):
    code = "import sys; from longtail.machine.terminal import exactly, heard; "
    code += "sys.exit(heard(lambda: print('e \U0001f642', file=exactly(sys.stdout))))"
    environment = {**os.environ, "PYTHONIOENCODING": encoding, "PYTHONUTF8": "0"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert done.returncode == 1 and not done.stdout
    assert (
        done.stderr.startswith("error: the standard output is in ")
        and "has no '\\U0001f642'; set" in done.stderr
    )
    assert done.stderr.count("\n") == 1


def test_names_in_another_encoding_are_refused_before_classes_are_called_otherwise(tmp_path):
    environment = {**os.environ, "LC_ALL": "C", "PYTHONUTF8": "0"}
    command = [sys.executable, "-m", "longtail", "init", "ä"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 1 and done.stderr.count("\n") == 1
    assert re.fullmatch(
        r"error: names of files are read in \S+ here, .*; set PYTHONUTF8=1 or .*\n", done.stderr
    )
    del environment["PYTHONUTF8"]
    done = subprocess.run(command[:3], env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, ""), "in the locale C alone, Python reads UTF-8"


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_help_is_shown_in_any_encoding(encoding):
    environment = {**os.environ, "PYTHONIOENCODING": encoding}
    done = subprocess.run([sys.executable, "-m", "longtail"], env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "") and "[OPTION \\u2026]" in done.stdout


def test_a_job_with_a_log_in_another_encoding_goes_on(tmp_path, repository):
    code = "from frame import program, run; run(lambda _: print('\u00e9'), program(''))"
    environment = {
        **os.environ,
        "PYTHONIOENCODING": "ascii",
        "PYTHONPATH": str(repository / "workflow/scripts"),
    }
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "\\xe9\n", "")


LOOPS = {
    "report": ["loop"],
    "cite": ["loop"],
    "watch": ["loop", "--once"],
    "init": ["loop", "--output", "new.yaml"],
    "evaluate": ["loop.safetensors", "loop"],
    "predict": ["loop.safetensors", "loop"],
    "export": ["loop.safetensors", "--card", "new.md"],
    "worklist": ["wrong", "loop.safetensors"],
    "analyse": ["loop.csv", "--train-counts", "loop.csv", "--output", "new"],
}


@pytest.mark.parametrize("name", LOOPS)
def test_a_link_to_itself_is_nothing_for_any_command(name, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for ending in ("", ".safetensors", ".csv"):
        (tmp_path / f"loop{ending}").symlink_to(f"loop{ending}")
    assert main([name, *LOOPS[name]]) == 1
    told = capsys.readouterr().err
    assert "loop" in told and told.startswith("error: ") and told.count("\n") == 1
    assert not {path.name for path in tmp_path.iterdir()} & {"new.yaml", "new.md", "new"}


@pytest.mark.parametrize("name", ["check", "plan", "demo"])
def test_where_there_is_no_workflow_a_sentence_says_where_it_is(name, tmp_path, monkeypatch, capsys, became):
    monkeypatch.chdir(tmp_path)
    assert main([name, "--cores", "1"]) == 1
    told = capsys.readouterr().err
    assert f"error: `longtail {name}` needs the files of the workflow (Snakefile," in told
    assert str(tmp_path) in told and f"such as {command.ROOT}" in told
    monkeypatch.setattr(command, "find_spec", lambda _: None)
    assert main([name]) == 1
    assert f"`longtail {name}` needs Snakemake" in capsys.readouterr().err
    assert became == []


def test_a_snakefile_of_another_workflow_is_not_ours(tmp_path, monkeypatch, capsys, became):
    (tmp_path / "Snakefile").write_text("rule all:\n")
    monkeypatch.chdir(tmp_path)
    assert main(["check"]) == 1
    assert "needs the files of the workflow" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (
            ["plan", "--configfile", "config/demo.yaml", "-j1"],
            "longtail.plan --configfile config/demo.yaml -j1",
        ),
        (
            ["check", "--configfile", "a.yaml", "-c2"],
            "snakemake check_data --configfile a.yaml -c2 --quiet host rules reason",
        ),
        (["check", "-n"], "snakemake check_data -n"),
        (["check", "--verbose"], "snakemake check_data --verbose"),
    ],
)
def test_in_a_checkout_options_are_passed_on(words, expected, monkeypatch, became, repository):
    monkeypatch.chdir(repository)
    assert main(words) == 0
    assert " ".join(became[0]) == expected


def test_the_demo_shows_what_came_out_but_not_after_a_dry_run_or_a_failure(monkeypatch, capsys, repository):
    monkeypatch.chdir(repository)
    ran, shown = [], []
    codes = iter([0, 0, 7, 0])
    monkeypatch.setattr(command, "_beside", lambda *words: ran.append(words) or next(codes))
    monkeypatch.setattr("longtail.commands.demo.main", lambda words: shown.append(words) or 0)
    assert [main(["demo", *words]) for words in ([], ["-n"], [], ["--verbose"])] == [0, 0, 7, 0]
    told = ("--configfile", "config/demo.yaml")
    assert ran[0] == ran[2] == ("longtail.commands.calm", *told)
    assert ran[1] == ("snakemake", "-n", *told) and ran[3] == ("snakemake", "--verbose", *told)
    assert shown == [["results/demo"]] * 2


SMALL_WORKFLOW = """
rule all:
    input: "a.txt", "b.txt", "c.txt"

rule good:
    output: "{name}.txt"
    wildcard_constraints: name="a|c"
    shell: "touch {output}"

rule bad:
    output: "b.txt"
    log: "bad.log"
    shell: "printf 'what went %s' wrong > {log}; exit 1"
"""


def test_the_demo_tells_each_finished_job_in_a_line_and_a_failure_in_full(tmp_path):
    (tmp_path / "longtail").symlink_to(command.ROOT / "longtail")
    (tmp_path / "Snakefile").write_text(SMALL_WORKFLOW)
    words = ("python", "-m", "longtail.commands.calm", "--cores", "1", "--keep-going")
    done = warm.run(tmp_path, *words)
    assert done.returncode == 1
    lines = done.stderr.splitlines()
    finished = [line.rpartition(" ")[0] for line in lines if " done: " in line]
    assert finished == ["1 of 4 done: good", "2 of 4 done: good"]
    for told in ("Error in rule bad:", "Logfile bad.log:", "what went wrong"):
        assert done.stderr.count(told) == 1
    assert len(lines) < 30 and "Building DAG" not in done.stderr
    (tmp_path / "Snakefile").write_text("rule all:\n    input: 'nothing'\n")
    done = warm.run(tmp_path, *words)
    assert done.returncode == 1 and "MissingInputException" in done.stderr


def test_on_a_terminal_the_demo_keeps_to_one_line(monkeypatch):
    from longtail.commands import calm

    class Terminal(io.StringIO):
        def isatty(self):
            return True

        def fileno(self):
            return 2

    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(calm.os, "get_terminal_size", lambda _: os.terminal_size((80, 24)))
    handler = calm.LogHandler(None, None)
    run = {"train_set": "longtailed", "model": "a_model_of_a_long_name", "loss": "a_long_name", "seed": "42"}
    job = {"event": LogEvent.JOB_INFO, "jobid": 1, "rule_name": "train", "wildcards": run}
    for about in (
        {"event": LogEvent.RUN_INFO, "stats": {"train": 3, "total": 4}},
        job,
        {"event": LogEvent.JOB_FINISHED, "job_id": 1},
        {"event": LogEvent.PROGRESS, "done": 1, "total": 4},
        {"msg": "a note", "levelno": logging.WARNING, "levelname": "WARNING"},
        {"msg": "a detail", "levelno": logging.INFO},
    ):
        handler.emit(logging.makeLogRecord(about))
    handler.close()
    told = terminal.getvalue()
    shown = [part for part in told.split("\r\033[K") if part]
    assert [" ".join(part.split()[1:5]) for part in shown[:2]] == ["0 of 4 done,", "1 of 4 done,"]
    for part in shown[:2]:
        assert len(part) < 80 and "now train longtailed/" in part and "…" in part and part.endswith("seed42")
    assert shown[2:] == ["a note\n"] and told.count("\n") == 1


def test_a_signal_to_the_demo_reaches_snakemake(tmp_path):
    """The handler of the child writes a file, so that a demo that only ends itself is seen."""
    child = (
        "import signal, sys, time, pathlib\n"
        "signal.signal(signal.SIGTERM, lambda *_: (pathlib.Path('told').touch(), sys.exit(5)))\n"
        "pathlib.Path('ready').touch()\n"
        "time.sleep(60)"
    )
    (tmp_path / "sleeper.py").write_text(child)
    code = "import sys; from longtail.__main__ import _beside; sys.exit(_beside('sleeper'))"
    environment = {**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{command.ROOT}"}
    with subprocess.Popen([sys.executable, "-c", code], cwd=tmp_path, env=environment) as process:
        while not (tmp_path / "ready").exists():
            assert process.poll() is None
        process.terminate()
        assert process.wait(30) == 5
    assert (tmp_path / "told").exists()


@pytest.mark.parametrize("shell", SHELLS)
def test_the_completion_is_a_program_of_the_shell_and_knows_commands_and_options(shell, tmp_path):
    text = completion(shell)
    assert all(name in text for name in COMMANDS)
    assert "group-column" in text and "configfile" in text
    if shutil.which(shell):
        subprocess.run([shell, "-n"], input=text, text=True, check=True)


def test_bash_completes_commands_and_options():
    script = completion("bash") + (
        "\nCOMP_WORDS=(longtail ev); COMP_CWORD=1; _shtab_longtail; echo ${COMPREPLY[@]}"
        "\nCOMP_WORDS=(longtail init --fo); COMP_CWORD=2; _shtab_longtail; echo ${COMPREPLY[@]}"
    )
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=False)
    assert done.stdout.split() == ["evaluate", "--force"]


def test_an_unknown_shell_names_those_there_are(capsys):
    for words in ([], ["ksh"]):
        assert main(["--print-completion", *words]) == 1
        assert "bash, zsh, fish" in capsys.readouterr().err


def test_colours_are_on_a_terminal_alone(monkeypatch, capsys):
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    for stream in ("stdout", "stderr"):
        monkeypatch.setattr(getattr(sys, stream), "isatty", lambda: True, raising=False)
    assert "\033[" in command.page() and "\033[" in command.workflow_parser("check").format_help()
    terminal.complain("why")
    assert capsys.readouterr().err == "\033[1;31merror:\033[0m why\n"
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\033" not in command.page() + command.workflow_parser("check").format_help()
    monkeypatch.delenv("NO_COLOR")
    monkeypatch.setattr(sys.stdout, "isatty", lambda: False)
    assert "\033" not in command.page()


def test_a_reader_that_has_seen_enough_is_no_error():
    words = [sys.executable, "-m", "longtail", "--help"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        process.stdout.close()
        assert process.stderr.read() == "" and process.wait() == 0


REDIRECTED = {
    ">&-": "error: the standard output is closed; send it to a file, or to /dev/null",
    "2>&-": "error: the standard error is closed; send it to a file, or to /dev/null",
    ">/dev/full": "error: the standard output cannot be written: No space left on device",
}


@pytest.mark.parametrize(
    ("words", "redirected", "unbuffered"),
    [
        *itertools.product(["--version", "clean --help"], [">/dev/full"], ["", "1"]),
        # Python has no such stream at all, with or without a buffer.
        *itertools.product(["--version", "clean --help"], [">&-"], [""]),
        ("--version", "2>&-", ""),
    ],
)
def test_output_that_arrives_nowhere_is_told_on_the_other_stream(words, redirected, unbuffered):
    done = subprocess.run(
        ["bash", "-c", f"{sys.executable} -m longtail {words} {redirected}"],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": unbuffered},
    )
    assert done.returncode == 1
    assert (done.stdout or done.stderr).strip() == REDIRECTED[redirected]
    assert not done.stdout or not done.stderr


def test_an_error_whose_stream_is_full_is_told_on_the_other():
    """And nothing is lost without a status: an unknown command, with no place for its error."""
    line = f"{sys.executable} -m longtail predcit 2>/dev/full"
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True)
    assert done.returncode == 1
    assert "the command 'predcit' is not known; did you mean 'predict'?" in done.stdout


def test_a_program_of_the_workflow_ends_with_an_error_where_nobody_hears_it(tmp_path):
    grid = '{"train_sets": ["balanced"], "models": ["m"], "losses": ["l"], "seeds": [1]}'
    program = f"workflow/scripts/run_list.py --settings '{grid}' --output {tmp_path}/list.txt"
    done = subprocess.run(
        ["bash", "-c", f"{sys.executable} {command.ROOT}/{program} >&-"],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert done.stderr.startswith("error: ") and done.stderr.count("\n") == 1, done.stderr
