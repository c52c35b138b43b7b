# The checked configuration, and what the rule files share.

import gc
import re
import socket
import subprocess
import time
from pathlib import Path

from filelock import FileLock, Timeout
from snakemake.exceptions import WorkflowError

from longtail.config.load import ConfigError, load_config
from longtail.experiment.jobs import PREDICT_MINUTES, SUBSETS, Experiment, RunId
from longtail.machine.cores import (
    gpu_count,
    run_scripts_with_this_python,
    train_threads,
)

run_scripts_with_this_python()

# Planning makes hundreds of objects for each run and drops none: looking for garbage among them is wasted.
gc.disable()

try:
    EXPERIMENT = Experiment(load_config(config))
    EXPERIMENT.split_key()  # looks at the files of a collection
except ConfigError as error:
    raise WorkflowError(str(error)) from None
CONFIG = EXPERIMENT.config
if CONFIG.data.source != "image_folder" and "check_data" in sys.argv:
    raise WorkflowError(
        f"check_data looks through an image folder, but data.source is {CONFIG.data.source}. Name the configuration of "
        "your images: make check-data CONFIG=config/mine.yaml, or snakemake check_data --configfile config/mine.yaml"
    )
RUN_NAME = "{train_set}/{model}/{loss}/seed{seed}"
RUN = f"<results>/runs/{RUN_NAME}"


pathvars:
    results=CONFIG.paths.results,
    data=CONFIG.paths.data,
    logs=f"{CONFIG.paths.results}/logs",


wildcard_constraints:
    train_set="balanced|longtailed",
    model="[^/]+",
    loss="[^/]+",
    seed="[0-9]+",
    subset="|".join(SUBSETS),


# Whether jobs are handed to a cluster, or this is one of them. Snakemake itself tells it by a limit of --jobs.
ON_CLUSTER = workflow.remote_exec or workflow.resource_settings.nodes is not None
TRAIN_THREADS = train_threads(
    CONFIG.job.threads, None if ON_CLUSTER else workflow.cores
)
# Without --resources gpu=N, as many training jobs at a time as the GPUs of this machine take. Those of a cluster are
# for its scheduler to count.
if "gpu" not in workflow.global_resources and gpu_count() and not ON_CLUSTER:
    workflow.register_resource("gpu", gpu_count() * CONFIG.job.jobs_per_gpu)


FOLDER_LOCK = FileLock(".snakemake/longtail.lock", timeout=0)


onstart:
    gc.enable()
    if workflow.is_main_process and not CONFIG.partial:
        lock_folder()


def lock_folder():
    """Be the only workflow in this folder.

    The profiles turn Snakemake's own lock off: it stays behind when Snakemake is killed, and a second instance that
    ends removes the first one's. The kernel drops this one with its process.
    """
    holder = Path(".snakemake/longtail.holder")
    try:
        FOLDER_LOCK.acquire()
    except Timeout:
        for _ in range(50):  # until one that has only just taken it has said who it is
            if name := holder.read_text() if holder.is_file() else "":
                break
            time.sleep(0.1)
        raise WorkflowError(
            f"Another Snakemake ({name or 'which has not said its number'}) is working in this folder. "
            "Wait for it, or stop it."
        ) from None
    holder.write_text(f"process {os.getpid()} on {socket.gethostname()}")


def unrecorded(value):
    """A param that cannot change a result: Snakemake records no param whose function looks at the outputs."""
    return lambda wildcards, output: value


def run_of(wildcards):
    return RunId(
        wildcards.train_set, wildcards.model, wildcards.loss, int(wildcards.seed)
    )


def files_of(name, runs):
    """That file of each of these runs."""
    return [f"{CONFIG.paths.results}/runs/{run}/{name}" for run in runs]


def group_of_run(wildcards):
    """Not the group of the run that it starts from, or the two would be one job with one time limit."""
    return "retraining" if EXPERIMENT.start(run_of(wildcards)) else "run"


def memory(wildcards, attempt):
    return CONFIG.job.memory_mb * attempt


def train_minutes(wildcards, attempt):
    return EXPERIMENT.minutes(wildcards.model, attempt)


# What is submitted together, and what a job is given there. Elsewhere it would only make planning slower.
RUN_GROUP = group_of_run if ON_CLUSTER else None
MEMORY = memory if ON_CLUSTER else CONFIG.job.memory_mb
TRAIN_MINUTES = train_minutes if ON_CLUSTER else None


def model_it_starts_from(wildcards):
    start = EXPERIMENT.start(run_of(wildcards))
    return files_of("model.safetensors", [start]) if start else []


def of_all_runs(name):
    """That file of every run that tables and figures wait for."""
    return files_of(name, EXPERIMENT.shown_runs)


def show_what_is_there():
    """After a failure, make the tables and figures of the runs that are finished; the others show as missing."""
    interrupted = getattr(workflow.scheduler, "_user_kill", None)
    if CONFIG.partial or interrupted or not workflow.is_main_process:
        return
    words = sys.argv[1:]
    position = next(
        (i + 1 for i, word in enumerate(words) if word in ("--config", "-C")), None
    )
    if position:
        words.insert(position, "partial=true")
    else:
        words[:0] = ["--config", "partial=true", "--keep-going"]
    print(
        "Some jobs failed. Making what the finished runs can show:",
        file=sys.stderr,
        flush=True,
    )
    # This process still holds the lock of the folder, and waits.
    subprocess.run(
        [sys.executable, "-m", "snakemake", "--nolock", "--retries=0", *words]
    )
