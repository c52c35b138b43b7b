"""Our programs in children of a server that has imported their libraries once: each costs its own work and no more.

What a new process alone would show (a seed of hashes, limits, several ranks) is tested in one.
"""

import multiprocessing
import os
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.append(str(ROOT / "workflow/scripts"))  # the frame of the programs
os.fsync = lambda descriptor: None  # as in conftest.py
CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(
    [
        "longtail.training.run",
        "longtail.inference.logits",
        "longtail.inference.temperature",
        "longtail.models.cifar_resnet",
        "longtail.losses.equalization",
        "torch._dynamo",  # every optimiser imports it, which takes seconds
        # What the files import that define the work of a child, which imports them again.
        *("pytest", "pyarrow.parquet", "safetensors.torch"),
    ]
)


def redirect(log: str | Path, *descriptors: int) -> None:
    """Append what this process writes to these descriptors to a file."""
    file = os.open(log, os.O_CREAT | os.O_WRONLY | os.O_APPEND)
    for descriptor in descriptors:
        os.dup2(file, descriptor)
