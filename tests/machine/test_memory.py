"""Which errors mean that memory ran out, and what is proposed then."""

import errno

import pytest
import torch

from longtail.machine.memory import ran_out_of_memory, what_to_change


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (MemoryError(), True),
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."), True),
        (OSError(errno.ENOMEM, "Cannot allocate memory"), True),
        (OSError(errno.ENOSPC, "No space left on device"), False),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), False),
        (ValueError("can't allocate memory"), False),
    ],
)
def test_what_counts_as_out_of_memory(error, expected):
    assert ran_out_of_memory(error) is expected


def test_pytorchs_own_error_on_the_cpu_is_recognised():
    with pytest.raises(RuntimeError) as caught:
        torch.empty(2**60, dtype=torch.uint8)
    assert ran_out_of_memory(caught.value)


@pytest.mark.parametrize(
    ("batch", "micro", "expected"),
    [
        (128, None, "set train.micro_batch: 64"),
        (128, 32, "set train.micro_batch: 16"),
        (4, 1, "lower train.batch_size"),
    ],
)
def test_it_proposes_half_of_what_was_too_much(batch, micro, expected):
    told = what_to_change(MemoryError(), torch.device("cpu"), batch_size=batch, micro_batch=micro)
    assert expected in told
    assert "(MemoryError)" in told
