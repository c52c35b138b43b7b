"""Recognise errors that mean that memory ran out, and tell the user what to change."""

import errno

import torch

from longtail.machine.environment import peak_memory_mb


def ran_out_of_memory(error: BaseException) -> bool:
    """Whether an error means that the device or the host had no memory left."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM
    # PyTorch's allocator on the CPU has no exception of its own.
    return isinstance(error, RuntimeError) and "can't allocate memory" in str(error)


def what_to_change(
    error: BaseException, device: torch.device, *, batch_size: int, micro_batch: int | None
) -> str:
    """A message that says what ran out, the measured peak, and which settings need less.

    Args:
        device: where the run was.
        batch_size, micro_batch: as its recipe says; without a micro-batch the whole batch is computed at once.
    """
    gpu = device.type == "cuda"
    peak = f"{peak_memory_mb(device):.0f} MiB {'of the GPU' if gpu else 'of the process'} at the peak"
    part = (micro_batch or batch_size) // 2
    smaller = (
        f"set train.micro_batch: {part} (its gradients add up to those of train.batch_size, {batch_size})"
        if part and batch_size % part == 0
        else "lower train.batch_size"
    )
    more = "train.precision: bf16" if gpu else "more memory for the job (job.memory_mb)"
    cause = str(error).strip().partition("\n")[0] or type(error).__name__
    return (
        f"out of memory, {peak}. Either {smaller}, or a lower train.eval_batch_size or train.image_size, or {more}. "
        f"The batch size was not changed. The same command continues after the last finished epoch. ({cause})"
    )
