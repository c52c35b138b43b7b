"""Where a computation waits for a number from its device: `.item()`, `if tensor:`, and shapes that depend on values."""

import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

WAITS = (torch.Tag.data_dependent_output, torch.Tag.dynamic_output_shape)
"""PyTorch's marks of operations whose result the host has to wait for."""
INDEXING = frozenset(
    getattr(torch.ops.aten, name).default if name != "index" else torch.ops.aten.index.Tensor
    for name in ("index", "index_put", "index_put_")
)
"""Operations that wait only where a mask is the index."""
CHECKED_ON_CPU_ONLY = frozenset((torch.nn.functional.one_hot,))
"""Functions that look at their values on the CPU, to check them, and do not on a GPU."""
LIBRARY = str(Path(torch.__file__).parent)


class ReadBacks:
    """A context that notes every operation whose result the host has to wait for, in `found`.

    It sees them on every device, also on the CPU, where such an operation costs nothing; on a GPU each of them lets the
    device run dry. It is entered as often as needed. What PyTorch itself waits for in its optimisers and in the
    backward pass on a GPU, which runs in other threads, is not seen.

    Attributes:
        found: the operation and the line of the code outside PyTorch that called it, such as
            "aten._local_scalar_dense at my_loss.py, line 12", each once, in their order.
    """

    def __init__(self) -> None:
        self.found: dict[str, None] = {}
        self._checking = 0

    def __enter__(self) -> None:
        self._modes = _Functions(self), _Operations(self)
        for mode in self._modes:
            mode.__enter__()

    def __exit__(self, *error: Any) -> None:
        for mode in reversed(self._modes):
            mode.__exit__(*error)

    def note(self, operation: object) -> None:
        frame = sys._getframe(1)
        while frame.f_back and (_inner(frame) or frame.f_code.co_filename == __file__):
            frame = frame.f_back
        self.found[f"{operation} at {frame.f_code.co_filename}, line {frame.f_lineno}"] = None


class _Functions(TorchFunctionMode):
    def __init__(self, seen: ReadBacks) -> None:
        super().__init__()
        self.seen = seen

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        checks = func in CHECKED_ON_CPU_ONLY
        self.seen._checking += checks
        try:
            return func(*args, **(kwargs or {}))
        finally:
            self.seen._checking -= checks


class _Operations(TorchDispatchMode):
    def __init__(self, seen: ReadBacks) -> None:
        super().__init__()
        self.seen = seen

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        if not self.seen._checking and _waits(func, args):
            self.seen.note(func)
        return func(*args, **(kwargs or {}))


def _waits(operation: Any, args: Sequence[Any]) -> bool:
    if operation in INDEXING:
        return any(index is not None and index.dtype in (torch.bool, torch.uint8) for index in args[1])
    return any(tag in operation.tags for tag in WAITS)


def _inner(frame: FrameType) -> bool:
    """Whether a frame is PyTorch's own."""
    return frame.f_code.co_filename.startswith(LIBRARY)
