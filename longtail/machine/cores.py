"""What this machine has, found out without importing PyTorch: planning must stay fast."""

import os
import sys
from pathlib import Path


def gpu_count() -> int:
    """NVIDIA GPUs that jobs started here can use; `CUDA_VISIBLE_DEVICES` is honoured."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return len([name for name in visible.split(",") if name.strip() not in ("", "-1")])
    return len(list(Path("/proc/driver/nvidia/gpus").glob("*")))


def train_threads(configured: int | None, cores: int | None) -> int:
    """CPU threads of a training job: as configured, else 2 beside a GPU and all cores without one.

    All cores make it one training job at a time, which on a CPU is faster than several side by side that each
    wait for the same memory. `cores` is None for jobs of a cluster, which have a GPU wherever they run.
    """
    if configured is not None:
        return configured
    return 2 if cores is None or gpu_count() else cores


def run_scripts_with_this_python() -> None:
    """Let `python` in a job be the one that runs the workflow, whether its environment is activated or not.

    A conda environment that Snakemake activates for a job still comes before it.
    """
    os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
