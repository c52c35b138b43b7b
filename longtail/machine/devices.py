"""Choose the device that a job computes on. Snakemake counts GPUs, but tells no job which one is its own.

Jobs agree by locks that the kernel keeps on the driver's own device node, a range of one byte for each place on each
GPU. There is no file of ours, so nobody can put a link, a file or a folder of their own in its place, and every process
that may use a GPU meets the others: of all users, and whatever their TMPDIR. Who may not open the driver cannot lock.
"""

import errno
import fcntl
import hashlib
import itertools
import os
import struct
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import torch

from longtail.machine.processes import all_described, holders

NODES = ("/dev/nvidiactl", "/dev/dxg", "/dev/kfd", "/dev/null")
"""The nodes that every process with a GPU opens: NVIDIA's, that of Windows' Linux, AMD's; the last is everywhere."""
REMINDER = 600.0
"""Seconds between two lines that say whom a job waits for."""


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
    names: Sequence[str],
    count: int = 1,
    slots: int = 1,
    node: str | Path | None = None,
    poll: float = 1.0,
    reminder: float = REMINDER,
) -> Iterator[list[int]]:
    """Reserve `count` of the names and give their indices. At most `slots` processes of this machine hold one name.

    All names are taken at once or none is, so two jobs that want several each cannot block one another. Where the
    system has no such locks, that is said, and the first names are given.

    Args:
        node: the file whose bytes are locked; by default the first of `NODES` that can be opened.
        poll: seconds between two attempts.
        reminder: seconds between two lines that say who holds the names.
    """
    places = {
        (index, slot): _byte(name, slot)
        for slot, (index, name) in itertools.product(range(slots), enumerate(names))
    }
    next_told = time.monotonic()
    while True:
        descriptor = _opened(node)
        try:
            claimed: list[int] = []
            for (index, _), place in places.items():
                if len(claimed) < count and index not in claimed and _lock(descriptor, place):
                    claimed.append(index)
            if len(claimed) == count:
                with suppress(OSError):  # only this one names its holder to others
                    fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
                yield claimed
                return
        finally:
            os.close(descriptor)  # with all its locks; the kernel does the same when the process dies
        if time.monotonic() >= next_told:
            next_told = time.monotonic() + reminder
            _say_who_holds(len(names), count, set(places.values()), node)
        time.sleep(poll)


def _opened(node: str | Path | None) -> int:
    """A new opening of the node, which has locks of its own.

    Raises:
        OSError: it cannot be opened.
    """
    for path in NODES[:-1] if node is None else ():
        with suppress(OSError):  # no such driver, or not for this user
            return os.open(path, os.O_RDWR | os.O_CLOEXEC)
    return os.open(node or NODES[-1], os.O_RDWR | os.O_CLOEXEC)


def _byte(name: str, slot: int) -> int:
    """The byte that stands for a place on a GPU, the same in every process."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:5]) * 256 + slot


def _lock(descriptor: int, place: int) -> bool:
    """Lock a byte for this opening of the file; False where another one has it."""
    # The struct flock of Linux: type, whence, start, length, process. Unlike lockf's, a lock of F_OFD_SETLK stays when
    # another opening of the file is closed, and CUDA opens and closes the node as it likes.
    request = struct.pack("hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, place, 1, 0)
    try:
        fcntl.fcntl(descriptor, fcntl.F_OFD_SETLK, request)
    except OSError as error:
        if error.errno in (errno.EAGAIN, errno.EACCES):
            return False
        if error.errno not in (errno.EINVAL, errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS):
            raise
        told = f"device: this system cannot lock a GPU ({error.strerror}); two jobs may meet on one"
        print(told, file=sys.stderr)
    return True


def _say_who_holds(total: int, count: int, places: set[int], node: str | Path | None) -> None:
    descriptor = _opened(node)
    try:
        found = [process for process in holders(descriptor) if _may_hold(process, places)]
    finally:
        os.close(descriptor)
    told = f"device: all {total} GPU(s) are taken, waiting for {count}. Held by {all_described(found)}"
    print(told, file=sys.stderr, flush=True)


def _may_hold(process: int, places: set[int]) -> bool:
    """Whether a process that holds some GPU holds one of these places. Another user's process cannot be asked."""
    try:
        texts = [path.read_text() for path in Path(f"/proc/{process}/fdinfo").iterdir()]
    except OSError:
        return True
    rows = [line.split() for text in texts for line in text.splitlines() if "OFDLCK" in line]
    return any(int(row[-2]) in places for row in rows)


def precision_on(device: torch.device, precision: str) -> str:
    """The precision that `auto` stands for on a device: `bf16` where it computes in it, else `fp32`."""
    if precision != "auto":
        return precision
    return "bf16" if _computes_in_bf16(device) else "fp32"


def _computes_in_bf16(device: torch.device) -> bool:
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    # Other processors emulate bf16, which is slower than fp32.
    return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()


def device_named(name: str | None) -> torch.device:
    """The device of that name; without one, the GPU where there is one, else the CPU.

    Raises:
        ValueError: this machine or this build of PyTorch has no such device.
    """
    name = name or ("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.empty(0, device=name).device
    except (RuntimeError, AssertionError) as error:
        reason = str(error).partition("\n")[0]
        raise ValueError(f"there is no device {name!r} here ({reason}); cpu is always there") from None
    if device.type == "meta":
        raise ValueError("the device 'meta' computes nothing; choose cpu or cuda")
    return device
