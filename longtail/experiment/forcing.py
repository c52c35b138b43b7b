"""Runs that a command forces begin at their first epoch, whatever an earlier start left of them.

Snakemake tells no job whether it was forced, and a job of a cluster is always started with `--force`. So the Snakemake
that got the command leaves a file in the folder of each forced run's states. The trainer that finds it removes it
together with the states, so that a kill or a retry after that goes on where this trainer was.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from longtail.settings import constant


def forced_jobs(dag: Any, settings: Any, rule: str) -> Iterator[Any]:
    """The jobs of a rule that a command forces, by themselves or by a job before them.

    Snakemake itself also calls those forced that it runs again because they were killed.

    Args:
        dag, settings: Snakemake's, the latter of the dag.
    """
    words = [*settings.forcerun, *(settings.targets if settings.forcetargets else ())]
    files = {os.path.relpath(word) for word in words}
    if not files and not dag.forcerules:
        return

    def named(job: Any) -> bool:
        return job.rule in dag.forcerules or any(os.path.relpath(path) in files for path in job.output)

    for job in dag.needrun_jobs():
        if job.rule.name == rule and any(map(named, dag.bfs(dag.dependencies, job))):
            yield job


def begin_anew(state_folder: str | Path) -> None:
    """Have the next trainer of a run forget its states."""
    folder = Path(state_folder)
    if folder.is_dir():
        (folder / constant("training/checkpoint.py", "ANEW")).touch()
