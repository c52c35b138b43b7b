"""The GPUs and cores of this machine, found without importing PyTorch, so that planning stays fast.

The profiles run this file before Snakemake reads the workflow: see `find_places`.
"""

import os
import sys
from contextlib import suppress
from pathlib import Path

ROOM = 2**20
"""Bytes that a cache, or a folder of temporary files, has to have room for; Snakemake and Matplotlib need less."""


def gpu_count() -> int:
    """How many NVIDIA GPUs jobs that start here can use; `CUDA_VISIBLE_DEVICES` is honoured."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return len([name for name in visible.split(",") if name.strip() not in ("", "-1")])
    return len(list(Path("/proc/driver/nvidia/gpus").glob("*")))


def usable_cores() -> int:
    """The cores that this process may use: those of the machine, or those that a cluster or a user has left it."""
    if hasattr(os, "sched_getaffinity"):  # not on macOS
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def train_threads(configured: int | None, cores: int | None) -> int:
    """CPU threads of a training job: as configured, else 2 beside a GPU and all cores without one.

    With all cores, one job trains at a time. On a CPU that is faster than several side by side, which would all wait
    for the same memory.

    Args:
        cores: the cores of this machine; None for jobs of a cluster, which always have a GPU.
    """
    if configured is not None:
        return configured
    return 2 if cores is None or gpu_count() else cores


def run_scripts_with_this_python() -> None:
    """Make `python` in a job the Python that runs the workflow, even where its environment is not activated.

    Where Snakemake activates a conda environment for a job, the Python of that environment still comes first.
    """
    os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])


def find_places() -> None:
    """Let Snakemake and the programs keep in `.snakemake` what they cannot keep in the user's cache or in TMPDIR.

    Snakemake would end in a traceback, though it keeps nothing there that this workflow needs. A disk that is full or a
    quota that is used up shows only when something is written.
    """
    home, temporary = os.environ.get("HOME", "/"), Path(os.environ.get("TMPDIR") or "/tmp")  # noqa: S108
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path(home) / ".cache")
    with suppress(OSError):
        cache.mkdir(parents=True, exist_ok=True)
    roomy: set[int] = set()
    for name, place, other in (("XDG_CACHE_HOME", cache, "cache"), ("TMPDIR", temporary, "tmp")):
        if not _has_room(place, roomy):
            instead = Path(".snakemake", other).absolute()
            with suppress(OSError):  # nothing can be written here either, which Snakemake says
                instead.mkdir(parents=True, exist_ok=True)
            os.environ[name] = str(instead)


def _has_room(folder: Path, roomy: set[int]) -> bool:
    """Whether a file of ROOM bytes can be written in a folder; of a single one where its file system has room.

    Args:
        roomy: the file systems that have room, to which that of the folder is added.
    """
    probe = folder / f".longtail.{os.getpid()}"
    try:
        device = folder.stat().st_dev
        probe.write_bytes(bytes(1 if device in roomy else ROOM))
        roomy.add(device)
    except OSError:
        return False
    finally:
        with suppress(OSError):
            probe.unlink()
    return True


if __name__ == "__main__":
    find_places()
