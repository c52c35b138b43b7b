"""The GPUs and cores of this machine, found without importing PyTorch, so that planning stays fast.

The profiles run this file before Snakemake reads the workflow: see `find_a_cache`.
"""

import os
import sys
from pathlib import Path


def gpu_count() -> int:
    """How many NVIDIA GPUs jobs that start here can use; `CUDA_VISIBLE_DEVICES` is honoured."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return len([name for name in visible.split(",") if name.strip() not in ("", "-1")])
    return len(list(Path("/proc/driver/nvidia/gpus").glob("*")))


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


def find_a_cache() -> None:
    """Where the cache of the user's home cannot be written, let Snakemake and the programs keep theirs in `.snakemake`.

    Snakemake would end in a traceback, though it keeps nothing there that this workflow needs.
    """
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path(os.environ.get("HOME", "/")) / ".cache")
    try:
        cache.mkdir(parents=True, exist_ok=True)
        if os.access(cache, os.W_OK | os.X_OK):
            return
    except OSError:
        pass
    os.environ["XDG_CACHE_HOME"] = str(Path(".snakemake/cache").absolute())


if __name__ == "__main__":
    find_a_cache()
