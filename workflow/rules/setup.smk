# The checked configuration, and what the rule files share.

from snakemake.exceptions import WorkflowError

from longtail.config import ConfigError, load_config
from longtail.experiment import PREDICT_MINUTES, SUBSETS, Experiment, RunId
from longtail.machine import gpu_count, train_threads

try:
    EXPERIMENT = Experiment(load_config(config))
except ConfigError as error:
    raise WorkflowError(str(error)) from None
CONFIG = EXPERIMENT.config
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


def of_all_runs(name):
    """That file of every run that tables and figures wait for."""
    return files_of(name, EXPERIMENT.shown_runs)
