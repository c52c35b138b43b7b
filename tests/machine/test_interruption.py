"""Killing the trainer, killing Snakemake, starting another beside it: the workflow goes on where it was."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml
from workspace import DIGITS, Workspace

from longtail.experiment import interruption
from longtail.experiment.status import status

ROOT = Path(__file__).parents[2]

CONFIG = {
    "grid": {"train_sets": ["balanced"], "models": ["resnet8"], "losses": ["softmax"]},
    "models": {"resnet8": {"pretrained": False}},
    "data": DIGITS,
    "train": {"epochs": 9, "image_size": 12, "batch_size": 64, "padding": 1, "learning_rate": 0.003},
    "job": {"threads": 1},
}

NUMBERS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
SLEEP = "import time; print('begun', flush=True); time.sleep(60)\n"
FAILS_ONCE = """
    from pathlib import Path
    if not Path("once").exists():
        Path("once").touch()
        raise ValueError("the first time")
    Path("again").touch()
    import time
    time.sleep(60)
"""
TARGET = "results/runs/balanced/resnet8/softmax/seed42/history.parquet"


pytestmark = pytest.mark.skipif(not Path("/proc/self/cwd").exists(), reason="needs /proc to find the trainer")


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """Where the run was trained and nothing killed it."""
    workspace = Workspace.create(tmp_path_factory.mktemp("undisturbed") / "workspace")
    (workspace.folder / "config/config.yaml").write_text(yaml.safe_dump(CONFIG))
    # The trainers that are killed are new processes.
    workspace.stub(
        f"import sys\nsys.path.append({str(ROOT / 'tests')!r})\nimport without_compiler\n", "train"
    )
    workspace.make_tensors("train_balanced", "val")
    workspace.snakemake(TARGET)
    return workspace


@pytest.fixture
def untrained(undisturbed, tmp_path):
    """The same with the data alone."""
    workspace = undisturbed.copy(tmp_path / "workspace")
    shutil.rmtree(workspace.folder / "results/runs")
    shutil.rmtree(workspace.folder / "results/logs/train")
    shutil.rmtree(workspace.folder / "work")
    return workspace


def wait_for(condition, seconds: float = 300) -> None:  # on a machine that others use too
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.05)


def log_of(workspace: Workspace) -> str:
    path = workspace.folder / "results/logs/train/balanced/resnet8/softmax/seed42.log"
    return path.read_text() if path.exists() else ""


def resumed(workspace: Workspace) -> bool:
    """Whether the latest start has resumed the run and trained an epoch."""
    log = log_of(workspace)
    return "resuming after epoch" in log and "\nepoch" in log.partition("resuming after epoch")[2]


def watched(workspace: Workspace):
    return status(workspace.folder / "results", "balanced/resnet8/softmax/seed42", time.time())


@pytest.mark.long
def test_a_forced_run_begins_anew_and_goes_on_where_it_was_killed(undisturbed, tmp_path):
    workspace = undisturbed.copy(tmp_path / "workspace")
    record = workspace.folder / TARGET.replace("history.parquet", "run.json")
    earlier = record.read_bytes()
    shutil.rmtree(workspace.folder / "results/logs/train")
    # Finished before.
    forced = workspace.begin(TARGET, "--forcerun", "train")
    wait_for(lambda: "epoch 3/" in log_of(workspace))
    assert "epoch 1/" in log_of(workspace)
    forced.kill()
    forced.wait()
    wait_for(lambda: not workspace.trainers(), seconds=30)
    # Killed, and Snakemake runs it again because it is not finished: that is no force.
    again = workspace.begin(TARGET)
    wait_for(lambda: resumed(workspace))
    assert "epoch 1/" not in log_of(workspace)
    again.kill()
    again.wait()
    wait_for(lambda: not workspace.trainers(), seconds=30)
    assert watched(workspace).state == "stopped"
    assert "has ended: stopping" in log_of(workspace)
    assert "stopped by SIGTERM" in log_of(workspace)
    # Unfinished before, and forced by its file.
    workspace.snakemake("--force", TARGET)
    assert "epoch 1/" in log_of(workspace)
    assert "resuming" not in log_of(workspace)
    assert (workspace.folder / TARGET).read_bytes() == (undisturbed.folder / TARGET).read_bytes()
    assert record.read_bytes() != earlier


def begin_to_interrupt(workspace: Workspace, target: str, *words: str, ignored: tuple[int, ...] = ()):
    """Start Snakemake in a session of its own, as a terminal does; its process and the file of what it says."""

    def dispose() -> None:  # whatever the tests themselves were started with
        for number in NUMBERS:
            signal.signal(number, signal.SIG_IGN if number in ignored else signal.SIG_DFL)

    told = workspace.folder / "told"
    with told.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "snakemake", *words, target],
            cwd=workspace.folder,
            stdout=file,
            stderr=file,
            start_new_session=True,
            preexec_fn=dispose,
            env={**os.environ, "CUDA_VISIBLE_DEVICES": ""},
        )
    return process, told


def hears(process: subprocess.Popen) -> bool:
    """Whether the process has a handler of SIGHUP, which it has once the profile was read."""
    status = Path(f"/proc/{process.pid}/status").read_text()
    return bool(int(status.partition("SigCgt:")[2].split()[0], 16) & 1)


def interrupt(workspace: Workspace, process, told: Path, number: int, *, group: bool) -> float:
    """Send a signal and look at the end; the seconds until then."""
    said, sent = told.stat().st_size, time.monotonic()
    if group:
        os.killpg(process.pid, number)
    else:
        process.send_signal(number)
    code = process.wait(60)
    took = time.monotonic() - sent
    text = told.read_bytes()[said:].decode()
    assert code == 128 + number, told.read_text()
    # What Snakemake had begun to say may stand before.
    first, kept, go_on = text.splitlines()[-3:]
    name = signal.Signals(number).name
    assert first.startswith(f"Interrupted by {name} while "), text
    assert kept == "Finished files and the states of unfinished runs are kept."
    assert go_on.startswith("To go on, give the same command again: snakemake ")
    assert "Traceback" not in text
    assert "Some jobs failed" not in told.read_text()
    assert not workspace.programs()
    return took


def test_kills_and_ctrl_c_lose_no_epoch_and_a_second_snakemake_is_told_who_works_there(
    untrained, undisturbed
):
    """One run goes through all of it, since every start of Snakemake and of a trainer takes seconds."""
    workspace = untrained
    first, told = begin_to_interrupt(workspace, TARGET)
    wait_for(workspace.trainers)
    held = workspace.trainers()
    for process in held:
        os.kill(process, signal.SIGSTOP)  # so that the first is still at work when the second starts
    done = workspace.snakemake(TARGET, check=False)
    for process in held:
        os.kill(process, signal.SIGCONT)
    assert done.returncode == 1
    assert f"Another Snakemake (process {first.pid}" in done.stdout + done.stderr
    assert "Traceback" not in done.stderr

    wait_for(lambda: "epoch 2/" in log_of(workspace))
    assert watched(workspace).state == "running"
    assert watched(workspace).epochs == 9
    os.kill(workspace.trainers()[0], signal.SIGKILL)
    # The default profile tries again, from the last epoch.
    wait_for(lambda: resumed(workspace))
    assert watched(workspace).resumed
    took = interrupt(workspace, first, told, signal.SIGINT, group=True)
    assert "running train balanced resnet8 softmax 42." in told.read_text()
    assert took < 10
    # The trainer hears the terminal, or Snakemake where that is quicker.
    assert re.search("stopped by SIG(INT|TERM) in epoch", log_of(workspace))
    assert log_of(workspace).count("resuming after epoch") == 1, "it was tried again"
    assert list((workspace.folder / "work").glob("*/current.state"))
    assert not (workspace.folder / TARGET).exists()

    # The same command and no extra flag.
    workspace.snakemake(TARGET)
    assert "resuming after epoch" in log_of(workspace)
    assert "epoch 1/" not in log_of(workspace)
    assert (workspace.folder / TARGET).read_bytes() == (undisturbed.folder / TARGET).read_bytes()


@pytest.mark.long
@pytest.mark.parametrize("group", [True, False], ids=["group", "alone"])
@pytest.mark.parametrize("number", NUMBERS)
@pytest.mark.parametrize("moment", ["training", "figure", "start", "planning", "jobs begin"])
def test_every_signal_ends_all_at_every_moment(untrained, number, group, moment):
    workspace = untrained
    target = "results/figures/class_distribution.pdf" if moment == "figure" else TARGET
    if moment == "figure":
        workspace.edit("workflow/scripts/figure.py", ") -> None:\n", ") -> None:\n    " + SLEEP)
    if moment == "planning":  # which otherwise takes as long as the machine likes
        with (workspace.folder / "Snakefile").open("a") as file:
            file.write("\n\nPath('planning').touch()\n__import__('time').sleep(60)\n")
    process, told = begin_to_interrupt(workspace, target)
    if moment == "training":
        wait_for(lambda: "epoch 2/" in log_of(workspace))
    elif moment == "figure":
        wait_for(lambda: list(workspace.folder.glob("results/logs/figures/*.log")))
        wait_for(lambda: "begun" in next(workspace.folder.glob("results/logs/figures/*.log")).read_text())
    elif moment == "jobs begin":
        wait_for(workspace.programs)
    elif moment == "planning":
        wait_for((workspace.folder / "planning").exists)
    else:
        wait_for(lambda: hears(process))
    assert interrupt(workspace, process, told, number, group=group) < 10
    assert ("no job was running" in told.read_text()) == (moment in ("start", "planning"))
    if moment == "training":
        assert f"stopped by {signal.Signals(number if group else signal.SIGTERM).name}" in log_of(workspace)
        assert list((workspace.folder / "work").glob("*/current.state"))


@pytest.mark.long
def test_a_second_ctrl_c_ends_at_once_and_under_nohup_a_closed_terminal_ends_nothing(untrained):
    workspace = untrained
    process, told = begin_to_interrupt(workspace, TARGET, ignored=(signal.SIGHUP,))
    wait_for(lambda: "epoch 2/" in log_of(workspace))
    os.killpg(process.pid, signal.SIGHUP)
    seen = log_of(workspace).count("\nepoch")
    wait_for(lambda: log_of(workspace).count("\nepoch") > seen + 1)
    assert process.poll() is None
    for job in workspace.trainers():
        os.kill(job, signal.SIGSTOP)  # so that it cannot end by itself
    os.killpg(process.pid, signal.SIGINT)
    time.sleep(2)
    assert process.poll() is None
    os.killpg(process.pid, signal.SIGINT)
    assert process.wait(5) == 130
    assert "Interrupted again: what still ran was killed" in told.read_text()
    wait_for(lambda: not workspace.programs(), seconds=5)


@pytest.mark.long
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_what_shows_the_finished_runs_forces_nothing_and_ends_with_the_first(untrained, number):
    workspace = untrained
    workspace.edit("workflow/scripts/figure.py", ") -> None:\n", f") -> None:\n{FAILS_ONCE}")
    words = ("--retries", "0", "--forcerun", "split", "--")
    process, told = begin_to_interrupt(workspace, "results/figures/class_distribution.pdf", *words)
    wait_for((workspace.folder / "again").exists)
    assert "Some jobs failed" in told.read_text()
    assert told.read_text().count("rule split:") == 1
    assert workspace.programs("figure.py")
    process.send_signal(number)
    end = time.monotonic() + 10
    assert process.wait(20) == (130 if number == signal.SIGINT else -number)
    wait_for(lambda: not workspace.programs(), seconds=10)
    with pytest.raises(ProcessLookupError):
        while time.monotonic() < end:  # the second Snakemake is of the same session
            os.killpg(process.pid, 0)
            time.sleep(0.05)


@pytest.mark.long
def test_a_soak_of_two_runs():
    """The short form of `make soak`: one kill or more from start to end, and the same bytes."""
    done = subprocess.run(
        [sys.executable, str(ROOT / "tests/soak.py"), "--runs", "2", "--seed", "1"],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert " by SIG" in done.stdout
    assert "\n8 files, 0 of them different" in done.stdout


def test_the_command_to_give_again_is_snakemakes_while_its_profile_runs_a_file_of_this_package(monkeypatch):
    for first, command in (
        ("longtail/machine/cores.py", "snakemake -n --config 'seeds=[1, 2]'"),
        ("/usr/bin/snakemake", "snakemake -n --config 'seeds=[1, 2]'"),
        ("mine.py", "python mine.py -n --config 'seeds=[1, 2]'"),
    ):
        monkeypatch.setattr(sys, "argv", [first, "-n", "--config", "seeds=[1, 2]"])
        monkeypatch.chdir(ROOT)
        assert interruption._command() == command
