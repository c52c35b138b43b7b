"""Load the images of a job into the memory of its device, or leave them in their files."""

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch

from longtail.data.tensors.files import LabelledImages, load_tensors

PLACES = ("auto", "device", "file")
SHARE = 0.5
"""The part of a device's free memory that `auto` gives to images. Weights, activations and other jobs get the rest."""


def load_sets(
    paths: Sequence[str | Path], device: torch.device, place: str = "auto", jobs: int = 1
) -> tuple[list[LabelledImages], bool]:
    """The sets of a job, and whether their images are in the memory of the device.

    If not, they stay in their files, memory-mapped. The system then reads what a batch needs, and keeps as much of it
    as memory is left for. The values are the same. Each file is read once in either case, to verify its checksum.

    Args:
        place: `device`, `file`, or `auto`, which is `device` if all sets together take at most SHARE of what is free.
        jobs: how many jobs share the device.

    Raises:
        FileNotFoundError, ValueError: as `load_tensors`.
    """
    sets = [load_tensors(path, mmap=True) for path in paths]
    needed, reason = sum(data.images.nbytes for data in sets), f"as job.images: {place} says"
    resident = place == "device"
    if place == "auto":
        free = free_memory(device)
        resident, reason = needed <= SHARE * free / jobs, f"{free / 2**20:,.0f} MiB free"
    where = "in memory" if resident else "left in their files"
    print(f"images: {needed / 2**20:,.0f} MiB, {where} ({reason})", flush=True)
    if resident:
        sets = [replace(data, images=data.images.to(device, copy=True)) for data in sets]
    return sets, resident


def free_memory(device: torch.device) -> int:
    """The bytes that a process can still take: on the GPU, or on the machine within its control groups' limits."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    return min([_available(), *_limits()])


def _available(meminfo: Path = Path("/proc/meminfo")) -> int:
    if not meminfo.is_file():  # macOS, which says only how much memory there is
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for line in meminfo.read_text().splitlines():
        name, _, value = line.partition(":")
        if name == "MemAvailable":
            return 1024 * int(value.split()[0])
    raise ValueError(f"{meminfo} has no line MemAvailable; set job.images: device, or file")


def _limits(groups: Path = Path("/proc/self/cgroup"), root: Path = Path("/sys/fs/cgroup")) -> list[int]:
    """The limits in bytes of the control groups around this process, such as a cluster gives a job."""
    limits = []
    for line in groups.read_text().splitlines() if groups.is_file() else ():
        _, controllers, group = line.split(":", 2)
        if controllers not in ("", "memory"):
            continue
        top, name = (root / "memory", "memory.limit_in_bytes") if controllers else (root, "memory.max")
        own = top / group.lstrip("/")
        for folder in (own, *own.parents):
            value = (folder / name).read_text().strip() if (folder / name).is_file() else ""
            limits += [int(value)] if value.isdigit() else []
            if folder == top:
                break
    return limits
