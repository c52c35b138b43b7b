"""Settings of PyTorch's numerics: deterministic kernels, the precision of products, and a check of logits."""

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
import torch

AUTOCAST = {"bf16": torch.bfloat16, "fp16": torch.float16}


def set_numerics(precision: str, *, deterministic: bool) -> None:
    """Set, for the whole process, the precision of float32 products and whether kernels are deterministic."""
    # torch.use_deterministic_algorithms does the same, but imports the compiler, which takes seconds.
    torch.set_deterministic_debug_mode("error" if deterministic else "default")
    # torch's types leave out some attributes of these two modules.
    filling: Any = torch.utils.deterministic
    cudnn: Any = torch.backends.cudnn
    filling.fill_uninitialized_memory = False  # it hides no bug here and costs a pass
    cudnn.benchmark = not deterministic
    float32 = "tf32" if precision == "tf32" else "ieee"
    cudnn.conv.fp32_precision = torch.backends.cuda.matmul.fp32_precision = float32


def autocast(device: torch.device, precision: str) -> AbstractContextManager[Any]:
    """Autocast to `bf16` or `fp16`; for `fp32` and `tf32`, a context that does nothing."""
    return torch.autocast(device.type, AUTOCAST[precision]) if precision in AUTOCAST else nullcontext()


def lacks_a_deterministic_kernel(error: BaseException) -> bool:
    """Whether an error means that PyTorch has no kernel for some operation that gives the same result each time."""
    return isinstance(error, RuntimeError) and "does not have a deterministic implementation" in str(error)


def check_finite(logits: np.ndarray, image_ids: np.ndarray) -> None:
    """Refuse logits (N x C) that are not all finite.

    Raises:
        ValueError: names the first such image and the remedy.
    """
    # The ends of a row tell it without an array as large as the logits.
    broken = ~(np.isfinite(logits.min(axis=1)) & np.isfinite(logits.max(axis=1)))
    if broken.any():
        raise ValueError(
            f"{broken.sum()} of {len(logits)} images have logits that are not finite, such as image "
            f"{image_ids[broken.argmax()]}: the model diverged or its half precision overflowed; train it anew, at a "
            "lower learning rate or in fp32"
        )
