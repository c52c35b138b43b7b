"""Work in forks of the process that tests, which has imported its libraries already.

What a new process alone would show (a seed of hashes, limits, several ranks) is tested in one.
"""

import multiprocessing
import os
import platform
import sys
from pathlib import Path

# What a training would import late, for seconds, is there before any fork. Every optimiser imports the compiler.
import torch
import torch._dynamo

import longtail.inference.logits
import longtail.inference.temperature
import longtail.losses.equalization
import longtail.models.cifar_resnet  # noqa: F401

platform.platform()  # asks other programs once, for the record of a run
# A fork cannot train where autograd has started threads for devices. It looks for devices at the first backward pass,
# and finds one where a model has been exported before.
torch.ones(1, requires_grad=True).sum().backward()

CONTEXT = multiprocessing.get_context("fork")


def redirect(log: str | Path) -> None:
    """Append all that this process says to a file."""
    file = os.open(log, os.O_CREAT | os.O_WRONLY | os.O_APPEND)
    for descriptor in (1, 2):
        os.dup2(file, descriptor)
    # Those that it has from its parent write into what pytest captures.
    sys.stdout, sys.stderr = (open(descriptor, "w", buffering=1, closefd=False) for descriptor in (1, 2))  # noqa: SIM115
