"""The processes that share a run, one for each GPU, and how they are started."""

import os
import signal
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import multiprocessing
from torch.multiprocessing import ProcessExitedException

from longtail.machine.stopping import RESUME, heed


class Ranks:
    """This process's place among those that share a run: rank `rank` of `count`. By default it is the only one."""

    def __init__(self, rank: int = 0, count: int = 1):
        self.rank, self.count = rank, count

    def share(self, batch: torch.Tensor) -> torch.Tensor:
        """This rank's part of a batch, or the whole batch where it is too small to be divided.

        In the second case every rank computes the same gradient, and so the average is that of one process.
        """
        return batch.tensor_split(self.count)[self.rank] if self._divides(len(batch)) else batch

    def weight(self, batch: torch.Tensor) -> float:
        """The factor of this rank's part of the loss, which makes up for the average of gradients over the ranks."""
        return float(self.count) if self._divides(len(batch)) else 1.0

    def total(self, value: torch.Tensor) -> torch.Tensor:
        """The sum over all ranks, written into `value`."""
        if self.count > 1:
            torch.distributed.all_reduce(value)
        return value

    def first(self, value: torch.Tensor) -> torch.Tensor:
        """The value of the first rank, written into `value`."""
        if self.count > 1:
            torch.distributed.broadcast(value, 0)
        return value

    def any(self, flag: bool, device: torch.device) -> bool:
        """Whether any rank says yes; all ranks get the same answer."""
        return flag if self.count == 1 else bool(self.total(torch.tensor(float(flag), device=device)))

    def _divides(self, size: int) -> bool:
        return size >= 2 * self.count


@contextmanager
def joined(rank: int, devices: Sequence[torch.device], rendezvous: str) -> Iterator[Ranks]:
    """Be one of the processes that share a run.

    Args:
        devices: the device of each rank.
        rendezvous: path of a file through which the processes find each other; it must not exist yet.
    """
    device = devices[rank]
    if device.type == "cuda":
        torch.cuda.set_device(device)
    torch.distributed.init_process_group(
        "nccl" if device.type == "cuda" else "gloo",
        init_method=f"file://{rendezvous}",
        rank=rank,
        world_size=len(devices),
    )
    try:
        yield Ranks(rank, len(devices))
    finally:
        torch.distributed.destroy_process_group()


def start_ranks(work: Callable[..., None], args: Any, devices: Sequence[torch.device]) -> int:
    """Start one process for each device, hand on every request to stop, and return the exit code for all of them.

    Args:
        work: what each process does, called with its rank, `args`, `devices` and the path for `joined`. A function
            at the top level of its module, as the processes import it anew.
    """
    with tempfile.TemporaryDirectory() as folder:
        context = multiprocessing.start_processes(
            work,
            args=(args, devices, str(Path(folder) / "rendezvous")),
            nprocs=len(devices),
            join=False,
            start_method="spawn",
        )

        def pass_on(number: int, frame: object) -> None:
            for process in context.processes:
                if process.pid and process.is_alive():
                    os.kill(process.pid, signal.SIGTERM)

        heed(pass_on)
        try:
            while not context.join():
                pass
        except ProcessExitedException as error:
            # A rank that is still being loaded has no state to save, and ends by the signal itself.
            return RESUME if error.exit_code in (RESUME, -signal.SIGTERM) else 1
    return 0
