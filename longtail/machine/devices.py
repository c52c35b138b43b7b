"""Choose the device that a job computes on. Snakemake counts GPUs, but tells no job which one is its own."""

import itertools
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import torch
from filelock import FileLock, Timeout


def moved(tensor: torch.Tensor, device: torch.device) -> torch.Tensor:
    """Move the tensor to the device. From the CPU to a GPU the copy runs while both go on with other work."""
    if tensor.device.type == "cpu" and device.type == "cuda":
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)


@contextmanager
def claim_devices(count: int = 1, jobs_per_gpu: int = 1) -> Iterator[list[torch.device]]:
    """Reserve `count` devices for this process until the block ends or the process dies.

    They are visible GPUs (`CUDA_VISIBLE_DEVICES` is honoured); without any, each is the CPU. While all GPUs are
    taken, this waits. GPUs are locked by their UUID, since on a cluster every job may see its own as number 0.

    Args:
        jobs_per_gpu: how many processes may hold one GPU at a time.

    Raises:
        ValueError: more GPUs are asked for than are visible.
    """
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if not torch.cuda.is_available():
        note = f" (CUDA_VISIBLE_DEVICES={visible}, but no GPU answers)" if visible else ""
        print(f"device: CPU, {torch.get_num_threads()} threads{note}", flush=True)
        yield [torch.device("cpu")] * count
        return
    names = [str(torch.cuda.get_device_properties(i).uuid) for i in range(torch.cuda.device_count())]
    if count > len(names):
        raise ValueError(
            f"train.gpus_per_job is {count}, but {len(names)} GPU(s) are visible here; "
            "lower it, or give the job more GPUs"
        )
    with claim(names, count, jobs_per_gpu) as indices:
        for index in indices:
            print(f"device: cuda:{index}, {torch.cuda.get_device_name(index)}, {names[index]}", flush=True)
        torch.cuda.set_device(indices[0])
        yield [torch.device("cuda", index) for index in indices]


@contextmanager
def claim(
    names: Sequence[str], count: int = 1, slots: int = 1, folder: Path | None = None, poll: float = 1.0
) -> Iterator[list[int]]:
    """Reserve `count` of the names and give their indices. At most `slots` processes of this machine hold one name.

    All names are taken at once or none is, so two jobs that want several each cannot block one another.

    Args:
        folder: where the locks are; by default one that all processes of this machine share.
        poll: seconds between two attempts.
    """
    folder = folder or Path(tempfile.gettempdir()) / "longtail-gpus"
    if not folder.is_dir():
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o777)  # the umask must not matter, since other users of this machine claim here too
    waiting = False
    while True:
        with ExitStack() as held:
            claimed: list[int] = []
            for slot, (index, name) in itertools.product(range(slots), enumerate(names)):
                if len(claimed) < count and index not in claimed:
                    # The kernel drops the lock when the process dies, however it dies.
                    lock = FileLock(folder / f"{name}.{slot}.lock", timeout=0, mode=0o666)
                    with suppress(Timeout):
                        held.enter_context(lock)
                        claimed.append(index)
            if len(claimed) == count:
                yield claimed
                return
        if not waiting:
            print(
                f"device: all {len(names)} GPU(s) are taken, waiting for {count}", file=sys.stderr, flush=True
            )
            waiting = True
        time.sleep(poll)


def precision_on(device: torch.device, precision: str) -> str:
    """The precision that `auto` stands for on a device: `bf16` where a GPU computes in it, else `fp32`."""
    if precision != "auto":
        return precision
    if device.type == "cuda" and torch.cuda.get_device_capability(device) >= (8, 0):
        return "bf16"
    return "fp32"


def device_named(name: str | None) -> torch.device:
    """The device of that name; without one, the GPU where there is one, else the CPU.

    Raises:
        ValueError: this machine or this build of PyTorch has no such device.
    """
    name = name or ("cuda" if torch.cuda.is_available() else "cpu")
    try:
        return torch.empty(0, device=name).device
    except (RuntimeError, AssertionError) as error:
        reason = str(error).partition("\n")[0]
        raise ValueError(f"there is no device {name!r} here ({reason}); cpu is always there") from None
