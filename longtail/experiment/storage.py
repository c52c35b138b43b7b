"""Results in object storage, through the storage plugin that `--default-storage-provider` names.

Snakemake fetches the inputs of a job and stores its outputs. What planning and the programs need besides is here: where
a file lies on this machine meanwhile, whether it is in storage, and what cannot be done there.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from longtail.config.load import ConfigError
from longtail.config.paths import Paths

SENT = " (send to storage)"
"""What Snakemake writes after the name of an output."""


class Storage:
    """The place of the files of a workflow: the folder where Snakemake works, or storage.

    Args:
        workflow: Snakemake's.
    """

    def __init__(self, workflow: Any):
        self._workflow = workflow
        settings = workflow.storage_settings
        self.prefix: str = (
            (settings.default_storage_prefix or ".") if settings.default_storage_provider else ""
        )
        """Where in storage the files are; empty: on the disk."""

    def file(self, path: str) -> str:
        """The path of a file on this machine, where jobs find it; in storage, Snakemake's object of it comes along."""
        return self._workflow.inputfile(path) if self.prefix else path

    def local(self, path: str) -> str:
        """The path on this machine alone."""
        return str(self.file(path))

    def place(self, path: str) -> str:
        """Where people find a file: its path, in storage with what stands before it there."""
        return f"{self.prefix.rstrip('/')}/{path}" if self.prefix else path

    def is_file(self, path: str) -> bool:
        """Whether a file is there; where the results are in storage, in storage."""
        return is_there(self.file(path))

    def text(self, path: str) -> str:
        """The text of a file."""
        stored = stored_object(self.file(path))
        if stored is None:
            return Path(path).read_text(encoding="utf-8")
        with fetched(stored) as copy:
            return copy.read_text(encoding="utf-8")

    def log(self, told: str) -> str:
        """The path of a log on this machine, by what Snakemake says of it; fetched where another machine wrote it.

        Snakemake itself looks for a file of the name that it prints, and shows the log of no failed job in storage.
        """
        query = told.removesuffix(SENT)
        if query == told:
            return told
        stored = self._workflow.storage_registry.default_storage_provider.object(query)
        path = Path(stored.local_path())
        if stored.exists() and not (path.is_file() and path.stat().st_mtime >= stored.mtime()):
            path.parent.mkdir(parents=True, exist_ok=True)
            stored.retrieve_object()
        return str(path)

    def check(self, paths: Paths) -> None:
        """See that paths of the configuration can be in storage.

        Raises:
            ConfigError: one leads out of the folder where Snakemake works; what stands before it in storage ends there.
        """
        for key, path in (("results", paths.results), ("data", paths.data)):
            if self.prefix and (os.path.isabs(path) or ".." in Path(path).parts):  # noqa: PTH117
                raise ConfigError(
                    [
                        f"paths.{key}: {path} leads out of the folder where Snakemake works, and in storage it has to "
                        f"come after {self.prefix}; give a path below the folder, such as results/mine"
                    ]
                )

    def notes(self, work: str) -> Iterator[str]:
        """What users have to do without where the results are in storage.

        Args:
            work: the folder of the states of unfinished runs.
        """
        if self.prefix:
            yield (
                f"the results are in storage, below {self.prefix}. The lock keeps a second Snakemake away in this "
                "folder alone, so let no other machine work on them meanwhile; longtail watch does not see them, and "
                "what an earlier grid left is not moved aside"
            )
        shared = {usage.name for usage in self._workflow.storage_settings.shared_fs_usage}
        if "INPUT_OUTPUT" not in shared and not os.path.isabs(work):  # noqa: PTH117
            yield (
                f"paths.work: {work} is a folder of each machine that computes, so a run that is preempted begins anew "
                "elsewhere; give the path of a volume that all of them see, such as /state, to have it go on"
            )


async def never_newer(file: Any, time: float) -> bool:
    """In place of Snakemake's question whether an input is newer than the outputs, which their proofs answer better."""
    return False


def stored_object(path: Any) -> Any | None:
    """Snakemake's object of a file that is in storage; None: the file is on the disk."""
    return path.storage_object if getattr(path, "is_storage", False) else None


def is_there(path: Any) -> bool:
    """Whether a file is where the workflow has it, on the disk or in storage."""
    stored = stored_object(path)
    return os.path.isfile(path) if stored is None else stored.exists()  # noqa: PTH113 (thousands of files)


@contextmanager
def fetched(stored: Any) -> Iterator[Path]:
    """A copy of a file of storage, while the context lasts. The copy that jobs use may be there or not, and older."""
    with TemporaryDirectory() as folder:
        copy = Path(folder, "copy")
        own = stored.provider.object(stored.query)
        own.set_local_path(copy)
        own.retrieve_object()
        yield copy
