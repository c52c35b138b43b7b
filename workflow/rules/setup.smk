# The checked configuration, and what the rule files share.

import atexit
import gc
import re
import shlex
from functools import cache
from importlib.util import find_spec
from json import dumps as as_json  # how the settings of a job travel to its program
from pathlib import Path

import snakemake.common
import snakemake.io
import snakemake.jobs
import snakemake.logging
import snakemake.rules
import snakemake.workflow
from snakemake.exceptions import WorkflowError
from snakemake.logging import logger
from snakemake.persistence.db import DbPersistence
from snakemake.persistence.file import FilePersistence

from longtail.config.load import ConfigError, load_files
from longtail.data.split.sets import SUBSETS
from longtail.experiment import runs
from longtail.experiment.forcing import begin_anew, forced_jobs
from longtail.experiment.interruption import Interruption
from longtail.experiment.jobs import PREDICT_MINUTES, Experiment
from longtail.experiment.keys import NUMBERS, Keys
from longtail.experiment.leftovers import put_aside
from longtail.experiment.lock import JOBS, lock_results, sign
from longtail.experiment.partial import show_finished
from longtail.experiment.proof import Proofs, with_proofs
from longtail.experiment.reasons import keep
from longtail.experiment.storage import Storage, never_newer
from longtail.machine.cores import (
    gpu_count,
    run_scripts_with_this_python,
    train_threads,
    usable_cores,
)
from longtail.machine.stopping import disown_jobs, name_workflow, stop_with_workflow
from longtail.machine.terminal import check_names

# What belongs to the workflow lies beside its Snakefile, wherever Snakemake works; where it works there, paths stay short,
# and a moved folder changes no command.
ROOT = Path(workflow.current_basedir.get_path_or_uri(secret_free=True)).parents[1]
BESIDE = "" if ROOT == Path.cwd() else f"{ROOT}/"
# As it stands in a shell command.
SCRIPTS = shlex.quote(f"{BESIDE}workflow/scripts")

run_scripts_with_this_python()

# A signal, of a scheduler or from a terminal, must reach the program and not a shell around it, whose end would look to
# Snakemake like the end of the job. So each rule's command is one command.
shell.prefix("set -euo pipefail; exec ")

# Planning makes hundreds of objects for each run and drops none, so looking for garbage would only waste time.
gc.disable()
# At every use of a rule's function, Snakemake asks for its parameters, which never change.
snakemake.common.get_function_params = snakemake.rules.get_function_params = cache(
    snakemake.common.get_function_params
)
command_of = snakemake.jobs.Job.shellcmd.fget


def command_if_shown(job):
    """The command of a job. A plan puts it together three times for each job, and shows it after -p alone."""
    plan = job.dag.workflow.dryrun and not job.dag.workflow.output_settings.printshellcmds
    return None if plan else command_of(job)


snakemake.jobs.Job.shellcmd = property(command_if_shown)

# Later files win: the one that the Snakefile names, then those after --configfile.
given = workflow.config_settings
default = [] if given.replace_workflow_config else workflow.configfiles[len(given.configfiles) :]

try:
    check_names()
except ValueError as error:
    raise WorkflowError(str(error)) from None
STORAGE = Storage(workflow)
try:
    EXPERIMENT = Experiment(load_files([*default, *given.configfiles], given.config), is_file=STORAGE.is_file)
    STORAGE.check(EXPERIMENT.config.paths)
    KEYS = Keys(EXPERIMENT)
    KEYS.split()  # looks at the files of a collection
    KEYS.check_own_code()
except ConfigError as error:
    raise WorkflowError(str(error)) from None
CONFIG = EXPERIMENT.config
# The folder of the results where jobs have it, and the runs in it that are shown.
RESULTS = STORAGE.local(CONFIG.paths.results)
SHOWN = set(EXPERIMENT.shown_runs)
# Tables of others to compare with lie beside the Snakefile, wherever the results are.
OF_OTHERS = {name: local(f"{BESIDE}{path}") for name, path in NUMBERS.items()}
PROOFS = Proofs(
    [*default, *given.configfiles],
    trained_anew=CONFIG.versions == "stale",
    keep=lambda key, took: keep(key, Path(CONFIG.paths.results), took),
)
# Which jobs are stale is for the proofs beside the results to say, and not for Snakemake's record alone.
snakemake.workflow.FilePersistence = with_proofs(FilePersistence, PROOFS)
snakemake.workflow.DbPersistence = with_proofs(DbPersistence, PROOFS)
# Nor for times, which storage gives anew when it is copied; on the disk, contents stand for them.
if STORAGE.prefix:
    snakemake.io._IOFile.is_newer = never_newer
    show_logs = snakemake.logging.show_logs
    snakemake.logging.show_logs = lambda logs: show_logs(map(STORAGE.log, logs))
if workflow.is_main_process and not CONFIG.partial:
    notes = [*STORAGE.notes(CONFIG.paths.work), *PROOFS.notes(KEYS, STORAGE.file)]
    for warning in [*CONFIG.warnings, *notes]:
        logger.warning(f"Note: {warning}")
if not EXPERIMENT.source.collection and "check_data" in sys.argv:
    raise WorkflowError(
        f"check_data looks through an image folder, but data.source is {CONFIG.data.source}. Name the configuration of "
        "your images: longtail check --configfile config/mine.yaml"
    )
# Environments and containers bring their own.
if CONFIG.job.events and not workflow.deployment_settings.deployment_method and not find_spec("tensorboard"):
    raise WorkflowError(
        "job.events: the curves need TensorBoard, which is not installed: pip install tensorboard, or set it to false"
    )
RUN_NAME = runs.PATTERN
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


# Whether jobs are handed to a cluster, or this process is such a job. Snakemake's limit of --jobs tells it.
ON_CLUSTER = workflow.remote_exec or workflow.resource_settings.nodes is not None
TRAIN_THREADS = train_threads(CONFIG.job.threads, None if ON_CLUSTER else workflow.cores)
# Without --resources gpu=N, as many training jobs at a time as the GPUs of this machine take. Those of a cluster are
# for its scheduler to count.
if "gpu" not in workflow.global_resources and gpu_count() and not ON_CLUSTER:
    workflow.register_resource("gpu", gpu_count() * CONFIG.job.jobs_per_gpu)


# A Snakemake that shows what is there after a failure of another one is like a job of that one. Any other holds the
# lock of the results, but for those that are started on a node of a cluster and live as long as their job.
SECOND = workflow.is_main_process and CONFIG.partial and stop_with_workflow()
MAIN = workflow.is_main_process and not SECOND
INTERRUPTION = Interruption(workflow, disown_jobs, quiet=SECOND)
if workflow.is_main_process:
    INTERRUPTION.install()
name_workflow(Path(CONFIG.paths.results, JOBS) if workflow.is_main_process else None)


onstart:
    gc.enable()
    if workflow.is_main_process:
        INTERRUPTION.install()  # once more, since the scheduler has put a handler of its own in its place
    if MAIN:
        try:
            lock_results(Path(CONFIG.paths.results))
            anew = [
                run_of(job.wildcards) for job in workflow.dag.needrun_jobs() if job.rule.name == "train"
            ]
            sign(Path(CONFIG.paths.results), EXPERIMENT.trained_runs, anew, STORAGE.prefix)
        except OSError as error:
            raise WorkflowError(str(error)) from None
        for job in forced_jobs(workflow.dag, workflow.dag_settings, "train"):
            begin_anew(KEYS.state_folder(run_of(job.wildcards)))
        # A command that forces the evaluation wants no value that an earlier one has computed.
        for job in forced_jobs(workflow.dag, workflow.dag_settings, "evaluation"):
            for path in job.output:
                Path(path).unlink(missing_ok=True)


def unrecorded(value):
    """A param that cannot change a result: Snakemake records no param whose function looks at the outputs."""
    return lambda wildcards, output: value


def updated(path):
    """An output that its job finds as it was. Snakemake fetches none from storage, where it is made anew as a whole."""
    return path if STORAGE.prefix else update(path)


def options_of_place(threads):
    """Where and with how many threads a job computes: `job.threads` also where Snakemake has fewer cores.

    Else no more than there are cores, where they would wait for one another: --cores may say 16 on a laptop.
    """
    own = CONFIG.job.threads or min(threads, usable_cores())
    return ["--threads", str(own), *EXPERIMENT.place_options()]


def as_options(values):
    """Those of the values that are there, each after the option that has its name."""
    return [
        word
        for name, value in values.items()
        if value
        for word in (f"--{name.replace('_', '-')}", *([value] if isinstance(value, str) else value))
    ]


def run_of(wildcards):
    return runs.Run(wildcards.model, wildcards.loss, wildcards.train_set, int(wildcards.seed))


def files_of(name, runs):
    """The path of a file in the folders of these runs."""
    return [f"{CONFIG.paths.results}/runs/{run}/{name}" for run in runs]


def caveats(losses):
    """What a caption has to say of these losses, as options."""
    shown = [CONFIG.caveats[loss] for loss in dict.fromkeys(losses) if loss in CONFIG.caveats]
    return [word for sentence in shown for word in ("--note", sentence)]


def group_of_run(wildcards):
    """The group whose jobs a cluster gets as one job.

    A run that needs the model of another has a group of its own: in the group of that run, both would be one job with
    one time limit.
    """
    stage = EXPERIMENT.stage(run_of(wildcards))
    return {0: "run", 1: "retraining"}.get(stage, f"retraining{stage}")


# On a cluster, these jobs are submitted together and get these resources. Elsewhere this would only slow planning down.
RUN_GROUP = group_of_run if ON_CLUSTER else None
MEMORY = CONFIG.job.memory_mb
TRAIN_MINUTES = None
if ON_CLUSTER:
    MEMORY = lambda wildcards, attempt: CONFIG.job.memory_mb * attempt
    TRAIN_MINUTES = lambda wildcards, attempt: EXPERIMENT.minutes(wildcards.model, attempt)


def files_of_training(wildcards):
    """What a training needs besides its images: pretrained weights or the model that it starts from, the model that
    it learns from, and the groups."""
    start = model_it_starts_from(wildcards)
    files = {"start": start} if start else {}
    if CONFIG.model(wildcards.model).pretrained and not start:
        files["weights"] = f"{CONFIG.paths.results}/weights/{wildcards.model}.safetensors"
    if teacher := model_it_learns_from(wildcards):
        files["teacher"] = teacher
    if EXPERIMENT.needs_groups(wildcards.model, wildcards.loss):
        files["split"] = f"{CONFIG.paths.results}/data/split.parquet"
    return files


def model_it_starts_from(wildcards):
    start = EXPERIMENT.start(run_of(wildcards))
    return files_of(runs.MODEL, [start]) if start else []


def model_it_learns_from(wildcards):
    """The model of the teacher: of a run, or a file from elsewhere, which is no result."""
    teacher, distill = EXPERIMENT.teacher(run_of(wildcards)), CONFIG.loss(wildcards.loss).distill
    return files_of(runs.MODEL, [teacher]) if teacher else [local(distill.path)] if distill else []


def of_all_runs(name):
    """The path of a file in the folder of every run that tables and figures wait for."""
    return files_of(name, EXPERIMENT.shown_runs)


def put_leftovers_aside():
    """Once all is made, part figures and tables of an earlier grid from those of this one."""
    if not MAIN or STORAGE.prefix or not any(job.rule.name == "all" for job in workflow.dag.jobs):
        return
    told = put_aside(Path(CONFIG.paths.results), [file for job in workflow.dag.jobs for file in job.output])
    if told:
        logger.warning(told)


def name_index():
    """Say where to begin reading, where all is made."""
    if MAIN and any(job.rule.name == "all" for job in workflow.dag.jobs):
        logger.info(f"The results: {rules.index.output[0]}")


def show_what_is_there():
    """After a failure, make the tables and figures of the runs that are finished; the others show as missing."""
    if MAIN and not CONFIG.partial:
        show_finished(sys.argv[1:])
