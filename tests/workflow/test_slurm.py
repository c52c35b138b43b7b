"""The slurm profile on a real cluster. `make test-slurm` starts one of a single node with four pretended GPUs.

The trainers are held still after their first epoch, so that what happens to them next does not depend on how fast
this machine is: one is killed, one reaches its time limit, one is put back into the queue, one just goes on.
"""

import json
import os
import shutil
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import psutil
import pytest

pytestmark = pytest.mark.skipif(
    "LONGTAIL_TEST_CLUSTER" not in os.environ, reason="no cluster to test on; `make test-slurm` starts one"
)
GRID = {
    "grid": {"models": ["resnet8"], "losses": ["softmax", "balanced_softmax"]},
    "models": {"resnet8": {"pretrained": False}},
    "data": {"source": "digits", "train_per_class": 120, "test_per_class": 40, "imbalance_factor": 0.0167},
    "train": {"epochs": 6, "batch_size": 32, "image_size": 16, "padding": 2, "step_size": 4},
    "job": {"threads": 1, "memory_mb": 1000, "minutes": 20},
}
RUNS = [
    f"{train_set}/resnet8/{loss}/seed42"
    for train_set in ("balanced", "longtailed")
    for loss in ("softmax", "balanced_softmax")
]
OUTPUTS = [
    "results/evaluation.parquet",
    *(
        f"results/runs/{run}/{name}.{kind}"
        for run in RUNS
        for name, kind in (("model", "safetensors"), ("history", "parquet"), ("predictions", "parquet"))
    ),
]
SLURM = ("--workflow-profile", "profiles/slurm", "--slurm-init-seconds-before-status-checks", "5")


class Trainer(NamedTuple):
    run: str
    job: str
    device: str
    state: Path
    """What it resumes from; there once the first epoch is saved."""
    process: psutil.Process


class Observed(NamedTuple):
    """What the disturbed workflow on the cluster did, and the undisturbed one beside it."""

    cluster: Path
    local: Path
    running: list[str]
    """SLURM jobs that were running while all trainers were held."""
    trainers: dict[str, Trainer]
    """By what happened to them."""
    first_logs: dict[str, str]
    """When the trainer of each run was held."""


def checkout(folder: Path, repository: Path) -> Path:
    """A copy of the repository, with what is not committed yet."""
    listed = subprocess.check_output(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], cwd=repository, text=True
    )
    for name in filter(None, listed.split("\0")):
        if (repository / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(repository / name, folder / name)
    (folder / "grid.yaml").write_text(json.dumps(GRID))
    return folder


def snakemake(folder: Path, *options: str) -> subprocess.Popen:
    command = [sys.executable, "-m", "snakemake", "results/evaluation.parquet", "--configfile", "grid.yaml"]
    with (folder / "snakemake.log").open("a") as log:
        return subprocess.Popen([*command, *options], cwd=folder, stdout=log, stderr=subprocess.STDOUT)


def log_of(folder: Path, run: str) -> str:
    path = folder / f"results/logs/train/{run}.log"
    return path.read_text() if path.exists() else ""


def wait_until(happened, seconds: float, what: str, workflow: subprocess.Popen, folder: Path) -> None:
    end = time.monotonic() + seconds
    while not happened():
        if workflow.poll() is not None or time.monotonic() > end:
            pytest.fail(f"not within {seconds} s: {what}\n{(folder / 'snakemake.log').read_text()[-5000:]}")
        time.sleep(0.05)


def trainers_in(folder: Path) -> list[Trainer]:
    found = []
    for process in psutil.process_iter():
        try:
            words = process.cmdline()
            if words[1:2] == ["workflow/scripts/train.py"] and Path(process.cwd()) == folder:
                output = Path(words[words.index("--output-model") + 1])
                environment = process.environ()
                run = str(output.parent.relative_to("results/runs"))
                job, device = environment["SLURM_JOB_ID"], environment["CUDA_VISIBLE_DEVICES"]
                state = folder / words[words.index("--work") + 1] / "current.state"
                found.append(Trainer(run, job, device, state, process))
        except (psutil.NoSuchProcess, psutil.ZombieProcess):
            continue
    return found


def slurm_jobs(*filters: str) -> dict[str, str]:
    """State of each job, finished ones too."""
    command = ["squeue", "--noheader", "--states=all", "--format=%i %T", *filters]
    return dict(line.split() for line in subprocess.check_output(command, text=True).splitlines())


def scontrol(*words: str) -> str:
    return subprocess.check_output(["scontrol", *words], text=True)


@pytest.fixture(scope="module")
def observed(tmp_path_factory, repository) -> Observed:
    folder, undisturbed = (
        checkout(tmp_path_factory.mktemp(name), repository) for name in ("cluster", "local")
    )
    workflows = [workflow := snakemake(folder, *SLURM)]
    held: dict[str, Trainer] = {}

    def all_held() -> bool:
        for trainer in trainers_in(folder):
            if trainer.run not in held and trainer.state.exists():
                trainer.process.suspend()
                held[trainer.run] = trainer
        return len(held) == len(RUNS)

    try:
        wait_until(all_held, 600, "four trainers beside one another", workflow, folder)
        running = [job for job, state in slurm_jobs().items() if state == "RUNNING"]
        first_logs = {run: log_of(folder, run) for run in RUNS}
        killed, overdue, requeued, spared = (held[run] for run in RUNS)
        scontrol("update", f"JobId={overdue.job}", "TimeLimit=1")
        killed.process.kill()
        spared.process.resume()
        scontrol("requeue", requeued.job)
        for trainer, seconds in ((requeued, 60), (overdue, 240)):
            wait_until(
                lambda run=trainer.run: "stopped by SIGTERM" in log_of(folder, run),
                seconds,
                f"{trainer.run} saved its state before SLURM ended it",
                workflow,
                folder,
            )
            if trainer is requeued:
                # SLURM lets it wait for two minutes otherwise.
                scontrol("update", f"JobId={requeued.job}", "StartTime=now")
                workflows.append(snakemake(undisturbed))
        for process, where in zip(workflows, (folder, undisturbed), strict=True):
            assert process.wait(600) == 0, (where / "snakemake.log").read_text()[-5000:]
    finally:
        for process in workflows:
            process.kill()
    named = {"killed": killed, "overdue": overdue, "requeued": requeued, "spared": spared}
    return Observed(folder, undisturbed, running, named, first_logs)


def test_four_jobs_train_at_a_time_each_on_its_device(observed):
    assert len(observed.running) == 4
    for trainer in observed.trainers.values():
        assert trainer.job in observed.running
        assert f"CUDA_VISIBLE_DEVICES={trainer.device}," in observed.first_logs[trainer.run]
    assert sorted(trainer.device for trainer in observed.trainers.values()) == ["0", "1", "2", "3"]


def test_results_are_those_of_a_local_run_byte_for_byte(observed):
    for name in OUTPUTS:
        assert (observed.cluster / name).read_bytes() == (observed.local / name).read_bytes(), name


def test_disturbed_runs_continued_from_their_last_epoch(observed):
    for name, trainer in observed.trainers.items():
        log = log_of(observed.cluster, trainer.run)
        assert ("resuming after epoch " in log) == (name != "spared"), (name, log)


def test_what_failed_was_submitted_again_and_nothing_but_training_was_queued(observed):
    jobs = slurm_jobs()
    assert Counter(jobs.values()) == {"COMPLETED": 4, "FAILED": 1, "TIMEOUT": 1}
    trainers = observed.trainers
    assert jobs[trainers["killed"].job] == "FAILED"
    assert jobs[trainers["overdue"].job] == "TIMEOUT"
    assert jobs[trainers["requeued"].job] == "COMPLETED"
    assert "Restarts=1" in scontrol("show", "job", trainers["requeued"].job)


def test_a_second_attempt_asks_for_more_time_and_memory(observed):
    # The newest job is a second attempt. Not just any other is a first one as submitted: the overdue one's limit was
    # changed, and which run Snakemake submits first is open.
    first, last = (
        scontrol("show", "job", job) for job in (observed.trainers["spared"].job, max(slurm_jobs(), key=int))
    )
    assert "TimeLimit=00:50:00" in first  # 20 minutes of training and 30 of prediction
    assert "mem=1000M" in first
    assert "TimeLimit=01:10:00" in last
    assert "mem=2000M" in last


@pytest.mark.parametrize("options", [SLURM, ()], ids=["slurm profile", "default profile"])
def test_afterwards_nothing_is_left_to_do_even_when_files_were_touched(observed, options):
    for name in ("train_balanced", "val", "test_balanced"):
        (observed.cluster / f"results/data/{name}.pth").touch()
    assert snakemake(observed.cluster, *options, "--dry-run").wait(120) == 0
    assert "Nothing to be done" in (observed.cluster / "snakemake.log").read_text().rpartition("SNAKEMAKE")[2]


def test_no_output_names_the_folder_it_was_made_in(observed):
    made = [path for path in (observed.cluster / "results").rglob("*") if path.is_file()]
    assert len(made) > len(OUTPUTS)
    folder = str(observed.cluster).encode()
    assert [path for path in made if "logs" not in path.parts and folder in path.read_bytes()] == []
