"""Tell the user which setting to change when training fails for a reason that a setting can mend."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from longtail.machine.memory import ran_out_of_memory, what_to_change
from longtail.machine.numerics import lacks_a_deterministic_kernel
from longtail.training.recipe import Recipe


@contextmanager
def explained(recipe: Recipe, device: torch.device) -> Iterator[None]:
    """Raise PyTorch's errors of two kinds as a `ValueError` that says which setting to change.

    The two are: no memory is left, and an operation has no deterministic kernel. Any other error stays as it is.
    """
    try:
        yield
    except Exception as error:
        if ran_out_of_memory(error):
            told = what_to_change(error, device, batch_size=recipe.batch_size, micro_batch=recipe.micro_batch)
        elif lacks_a_deterministic_kernel(error):
            told = (
                f"{str(error).split()[0]}, an operation of the model or the loss, cannot be computed on {device.type} "
                "so that it gives the same numbers each time; set train.deterministic: false, or take a model or loss "
                "without it"
            )
        else:
            raise
        raise ValueError(told) from error
