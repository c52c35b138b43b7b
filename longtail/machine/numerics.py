"""How kernels are chosen and numbers are multiplied."""

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
import torch

AUTOCAST = {"bf16": torch.bfloat16, "fp16": torch.float16}


def set_numerics(precision: str, *, deterministic: bool) -> None:
    """Set, for the whole process, the precision of float32 products and whether kernels are deterministic."""
    # Not torch.use_deterministic_algorithms: that imports the compiler, which takes seconds.
    torch.set_deterministic_debug_mode("error" if deterministic else "default")
    torch.utils.deterministic.fill_uninitialized_memory = False  # it hides no bug here and costs a pass
    torch.backends.cudnn.benchmark = not deterministic
    float32 = "tf32" if precision == "tf32" else "ieee"
    torch.backends.cudnn.conv.fp32_precision = torch.backends.cuda.matmul.fp32_precision = float32


def autocast(device: torch.device, precision: str) -> AbstractContextManager[Any]:
    """Autocast to the half precision, or nothing for `fp32` and `tf32`."""
    return torch.autocast(device.type, AUTOCAST[precision]) if precision in AUTOCAST else nullcontext()


def lacks_a_deterministic_kernel(error: BaseException) -> bool:
    """Whether an error means that PyTorch computes some operation of a run in one way only, and not repeatably."""
    return isinstance(error, RuntimeError) and "does not have a deterministic implementation" in str(error)


def check_finite(logits: np.ndarray, image_ids: np.ndarray) -> None:
    """ValueError, naming an image and the remedy, unless all logits (N x C) are finite."""
    broken = ~np.isfinite(logits).all(axis=1)
    if broken.any():
        raise ValueError(
            f"{broken.sum()} of {len(logits)} images have logits that are not finite, such as image "
            f"{image_ids[broken.argmax()]}: the model diverged or its half precision overflowed; train it anew, at a "
            "lower learning rate or in fp32"
        )
