"""Killing the trainer, killing Snakemake, starting another beside it: the workflow goes on where it was."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml
from filelock import FileLock
from workspace import DIGITS, Workspace

from longtail.experiment.status import status

ROOT = Path(__file__).parents[2]

CONFIG = {
    "grid": {"train_sets": ["balanced"], "models": ["resnet8"], "losses": ["softmax"]},
    "models": {"resnet8": {"pretrained": False}},
    "data": DIGITS,
    "train": {"epochs": 12, "image_size": 24, "batch_size": 64, "padding": 1, "learning_rate": 0.003},
    "job": {"threads": 1},
}

TARGET = "results/runs/balanced/resnet8/softmax/seed42/history.parquet"


pytestmark = pytest.mark.skipif(not Path("/proc/self/cwd").exists(), reason="needs /proc to find the trainer")


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """Where the run was trained and nothing killed it."""
    workspace = Workspace.create(tmp_path_factory.mktemp("undisturbed") / "workspace")
    (workspace.folder / "config/config.yaml").write_text(yaml.safe_dump(CONFIG))
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


def wait_for(condition, seconds: float = 90) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.05)


def log_of(workspace: Workspace) -> str:
    path = workspace.folder / "results/logs/train/balanced/resnet8/softmax/seed42.log"
    return path.read_text() if path.exists() else ""


def watched(workspace: Workspace):
    return status(workspace.folder / "results", "balanced/resnet8/softmax/seed42", time.time())


def test_a_killed_trainer_and_a_killed_snakemake_lose_no_epoch(untrained, undisturbed):
    workspace = untrained
    first = workspace.begin(TARGET)
    wait_for(lambda: "epoch 3/" in log_of(workspace) and "epoch 12/" not in log_of(workspace))
    assert watched(workspace).state == "running"
    assert watched(workspace).epochs == 12
    os.kill(workspace.trainers()[0], signal.SIGKILL)
    # The default profile tries again, from the last epoch.
    wait_for(lambda: "resuming after epoch" in log_of(workspace) and "\nepoch" in log_of(workspace))
    assert watched(workspace).resumed
    first.kill()
    first.wait()
    wait_for(lambda: not workspace.trainers(), seconds=30)
    assert watched(workspace).state == "stopped"
    assert "stopped by SIGTERM" in log_of(workspace)
    assert not (workspace.folder / TARGET).exists()
    # The same command and no extra flag.
    second = workspace.begin(TARGET)
    assert second.wait(timeout=120) == 0, (workspace.folder / "snakemake.err").read_text()
    assert "resuming after epoch" in log_of(workspace)
    assert "epoch 1/" not in log_of(workspace)
    assert (workspace.folder / TARGET).read_bytes() == (undisturbed.folder / TARGET).read_bytes()


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
    wait_for(lambda: "resuming after epoch" in log_of(workspace) and "\nepoch" in log_of(workspace))
    assert "epoch 1/" not in log_of(workspace)
    again.kill()
    again.wait()
    wait_for(lambda: not workspace.trainers(), seconds=30)
    # Unfinished before, and forced by its file.
    workspace.snakemake("--force", TARGET)
    assert "epoch 1/" in log_of(workspace)
    assert "resuming" not in log_of(workspace)
    assert (workspace.folder / TARGET).read_bytes() == (undisturbed.folder / TARGET).read_bytes()
    assert record.read_bytes() != earlier


def test_a_second_snakemake_in_the_folder_is_told_who_works_there(untrained):
    workspace = untrained
    first = workspace.begin(TARGET)
    wait_for(lambda: workspace.trainers())
    held = workspace.trainers()
    for process in held:
        os.kill(process, signal.SIGSTOP)  # so that the first is still at work when the second starts
    done = workspace.snakemake(TARGET, check=False)
    first.kill()
    first.wait()
    for process in held:
        os.kill(process, signal.SIGCONT)
    assert done.returncode == 1
    assert f"Another Snakemake (process {first.pid}" in done.stdout + done.stderr
    # The trainer was stopped while it was still being loaded, and its Snakemake killed before it could look for it.
    wait_for(lambda: not workspace.trainers(), seconds=30)
    assert "has ended: stopping" in log_of(workspace)


def test_a_snakemake_that_has_not_said_its_name_yet_keeps_others_out(untrained):
    folder = untrained.folder / ".snakemake"
    (folder / "longtail.holder").unlink(missing_ok=True)
    with FileLock(folder / "longtail.lock"):
        done = untrained.snakemake(TARGET, check=False)
    assert done.returncode == 1
    assert "Another Snakemake (which has not said its number) is working in this folder." in done.stderr
    assert "Traceback" not in done.stderr


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
