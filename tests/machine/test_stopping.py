"""A signal, or the end of the workflow, ends every program at once and leaves no part of a file."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from longtail.experiment.lock import JOBS, lock_results
from longtail.machine.processes import began
from longtail.machine.stopping import RESUME, UNWINDING, WORKFLOW, name_workflow

ROOT = Path(__file__).parents[2]
SCRIPTS = ROOT / "workflow/scripts"
PROGRAM = f"""
import sys, time
sys.path.insert(0, {str(SCRIPTS)!r})
from frame import program, run
from longtail.files.atomic import atomic_path

def main(args):
    with atomic_path(args.output) as path:
        path.write_text("half of it")
        try:
            print("begun", flush=True)
            time.sleep(60)
        finally:
            time.sleep(LAST)

run(main, program("", output="a file"))
"""
STARTER = f"""
import subprocess, sys, time
from pathlib import Path
sys.path.insert(0, {str(ROOT)!r})
from longtail.machine.stopping import name_workflow
name_workflow(Path(sys.argv[1]))
print(subprocess.Popen(sys.argv[2:]).pid, flush=True)
time.sleep(60)
"""
pytestmark = pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="needs Linux")


def words(folder: Path, last: float = 0) -> list[str]:
    """The command of a program that writes a file in the folder, and takes so many seconds to leave its work."""
    code = PROGRAM.replace("LAST", str(last))
    return [sys.executable, "-c", code, "--output", str(folder / "out" / "page.md")]


def begin(command: list[str], *, ignored: tuple[int, ...] = (), **environment: str) -> subprocess.Popen[str]:
    def dispose() -> None:  # whatever the tests themselves were started with
        for number in (signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN if number in ignored else signal.SIG_DFL)

    clean = {name: value for name, value in os.environ.items() if name != WORKFLOW}
    return subprocess.Popen(
        command,
        env={**clean, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        preexec_fn=dispose,
    )


def left(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / "out").glob("*"))


@pytest.mark.parametrize("path", sorted(SCRIPTS.glob("*.py")), ids=lambda path: path.stem)
def test_every_program_stands_in_the_frame(path):
    if path.stem != "frame":
        text = path.read_text(encoding="utf-8")
        assert re.search(r"\n    run\(main, (parser|arguments\(\))\)\n\Z", text)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR2])
def test_a_signal_ends_a_program_and_removes_what_it_wrote(tmp_path, number):
    process = begin(words(tmp_path))
    assert process.stdout.readline() == "begun\n"
    process.send_signal(number)
    told = process.communicate(timeout=10)[0]
    assert (process.returncode, told) == (RESUME, f"stopped by {number.name}\n")
    assert left(tmp_path) == []


def test_what_nohup_ignores_stays_ignored(tmp_path):
    process = begin(words(tmp_path), ignored=(signal.SIGHUP, signal.SIGINT))
    assert process.stdout.readline() == "begun\n"
    process.send_signal(signal.SIGHUP)
    process.send_signal(signal.SIGINT)
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(0.5)
    process.terminate()
    assert process.wait(10) == RESUME


def test_a_program_that_does_not_leave_its_work_is_ended_by_the_kernel(tmp_path):
    process = begin(words(tmp_path, last=60))
    assert process.stdout.readline() == "begun\n"
    sent = time.monotonic()
    process.terminate()
    time.sleep(0.2)
    process.terminate()  # does not interrupt what the first began
    assert process.wait(20) == -signal.SIGALRM
    assert time.monotonic() - sent >= UNWINDING - 0.1


def test_a_program_ends_with_its_workflow_and_the_next_one_waits_for_it(tmp_path):
    (tmp_path / JOBS).parent.mkdir()
    (tmp_path / JOBS).touch()
    starter = begin([sys.executable, "-c", STARTER, str(tmp_path / JOBS), *words(tmp_path)])
    job = int(starter.stdout.readline())
    assert starter.stdout.readline() == "begun\n"
    # A process that was stopped cannot end by itself.
    os.kill(job, signal.SIGSTOP)
    starter.kill()
    starter.wait()
    with pytest.raises(BlockingIOError, match=rf"earlier Snakemake .* do not end: process {job} .*kill -9"):
        lock_results(tmp_path, patience=0.5)
    os.kill(job, signal.SIGCONT)
    lock_results(tmp_path)
    assert starter.stdout.read().splitlines() == [
        f"the workflow (process {starter.pid}) has ended: stopping",
        "stopped by SIGTERM",
    ]
    assert left(tmp_path) == []


def test_a_program_that_begins_after_its_workflow_ended_does_nothing(tmp_path):
    (tmp_path / JOBS).parent.mkdir()
    (tmp_path / JOBS).touch()
    starter = begin(
        [sys.executable, "-c", STARTER.replace("time.sleep(60)", "sys.exit()"), str(tmp_path / JOBS), "env"]
    )
    named = next(line for line in starter.communicate()[0].splitlines() if line.startswith(WORKFLOW))
    process = begin(words(tmp_path), **{WORKFLOW: named.partition("=")[2]})
    assert process.communicate(timeout=10)[0].startswith(f"the workflow (process {starter.pid}) has ended")
    assert process.returncode == RESUME
    assert left(tmp_path) == []


@pytest.mark.parametrize(
    ("field", "stops"), [(1, True), (2, False)], ids=["number given again", "other machine"]
)
def test_the_number_of_a_process_counts_with_its_beginning_and_its_machine(
    tmp_path, monkeypatch, field, stops
):
    monkeypatch.setenv(WORKFLOW, "")
    name_workflow(None)
    fields = os.environ[WORKFLOW].split(" ")
    assert fields[:2] == [str(os.getpid()), began(os.getpid())]
    fields[field] = "0"
    process = begin(words(tmp_path), **{WORKFLOW: " ".join(fields)})
    assert (process.stdout.readline() == "begun\n") is not stops
    if not stops:
        process.terminate()
    assert process.wait(10) == RESUME


def test_a_rank_ends_with_the_trainer_that_started_it(tmp_path):
    rank = f"""
import sys, time
sys.path.insert(0, {str(ROOT)!r})
from longtail.machine.stopping import StopRequest, end_with_parent
end_with_parent()
StopRequest().install()
print("begun", flush=True)
time.sleep(60)
"""
    trainer = f"import subprocess, sys\nsubprocess.run([sys.executable, '-c', {rank!r}])"
    process = begin([sys.executable, "-c", trainer])
    assert process.stdout.readline() == "begun\n"
    process.kill()
    process.wait()
    assert process.stdout.read() == ""  # reached when the last process that could write has ended
