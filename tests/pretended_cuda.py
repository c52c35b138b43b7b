"""A GPU without a GPU: tensors that lie in the memory of the host, but count as CUDA's.

    with pretended_cuda() as watch:
        train(device=torch.device("cuda"))
    assert not watch.events

Within the block `torch.cuda.is_available()` is true, and what is made on or moved to `cuda` says that it is there. The
values are those of the CPU, so a run on the pretended GPU must end with the bytes of a run on the CPU. What a GPU would
refuse is refused, with the line of the product in the message:

- tensors of two devices in one operation (only numbers, tensors without dimensions, may come from the CPU);
- a generator of another device than the tensor;
- `.numpy()` of a tensor on the GPU, and pinning one.

What a GPU would allow, but wait for, is noted in `watch.events`:

- a read-back: `.item()`, `.tolist()`, `bool(tensor)`, `.cpu()`, a copy to the CPU, pickling, and every operation whose
  result has a size that depends on values (`nonzero`, a boolean mask as index, `unique`, `bincount`, `torch.equal`);
- an upload that blocks: a copy from the CPU that is not from pinned memory with `non_blocking`, also that of an index.

How it works: the storages of tensors on the pretended GPU are listed. A `TorchFunctionMode` sees the calls of Python,
translates devices, and says where a tensor is. A `TorchDispatchMode` sees the operations below, also those of the
backward pass, and lists the storages that they make. Threads of a `ThreadPoolExecutor` get both modes too.

What remains unproven:

- the kernels themselves: their values, their rounding, and which of them deterministic mode refuses;
- the dispatcher's autocast: `torch.autocast("cuda")` is the CPU's here, which casts other operations;
- the generator of a GPU: its numbers are those of the CPU's generator here, and the default ones of both are one;
- streams and races: pinned memory that is written again while it is being copied, results that are read before they are
  there;
- memory: how much is needed, what its end looks like, and fragments;
- CUDA graphs, compiled models, NCCL and more than one GPU;
- operations that wait on a GPU inside their kernel though nothing in their name or result tells it;
- calls that do not go through the modes: autograd functions and extensions of others that take tensors in C++.
"""

import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from functools import cache
from pathlib import Path
from types import FrameType, SimpleNamespace
from typing import Any, NamedTuple
from unittest import mock

import torch
from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

ROOT = Path(__file__).resolve().parents[1]
PRODUCT = tuple(str(ROOT / folder) for folder in ("longtail", "workflow"))
CPU, CUDA = torch.device("cpu"), torch.device("cuda", 0)
MEMORY = 8 * 2**30

aten = torch.ops.aten
NUMBERS_FROM_CPU = {aten.fill_.Tensor, aten.masked_fill.Tensor, aten.masked_fill_.Tensor}
"""Operations beside the pointwise ones that take a number from the CPU."""
INDEXING = {aten.index.Tensor, aten.index_put.default, aten.index_put_.default, aten._index_put_impl_.default}
WAITS = (torch.Tag.data_dependent_output, torch.Tag.dynamic_output_shape)
"""PyTorch's marks of operations whose result the host has to wait for."""
CHECKED_ON_CPU_ONLY = {torch.nn.functional.one_hot}
"""Functions that look at their values on the CPU, to check them, and do not on a GPU."""
MAKE_NOTHING = {
    *("__get__", "__set__", "__len__", "untyped_storage", "data_ptr", "detach", "requires_grad_"),
    *("dim", "size", "stride", "numel", "element_size", "is_contiguous", "is_floating_point", "is_complex"),
    *("_has_compatible_shallow_copy_type", "_set_grad_enabled"),
}
"""The names of calls that make no tensor with a storage of its own: nearly half of all calls."""


NUMBERS = {int, float, bool, type(None)}
"""Most of what is given to an operation beside tensors."""


class WrongDevice(RuntimeError):
    """What PyTorch would refuse on a GPU."""


class Event(NamedTuple):
    """Something that the host waits for.

    Attributes:
        kind: `read-back` or `upload`.
        what: the operation.
        where: file and line of the product.
        function: the function of the product.
    """

    kind: str
    what: str
    where: str
    function: str


class Watch:
    """What a pretended GPU has seen: the events, and which storages are its own."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self._storages: dict[int, tuple[StorageWeakRef, str]] = {}
        self._writing = threading.Lock()
        self._of_thread = OfThread()

    def note(self, kind: str, what: object) -> None:
        self.events.append(Event(kind, str(what), *here()))

    def place(self, tensor: Tensor) -> str:
        """`cuda`, `pinned` or `cpu`."""
        # A storage whose weak reference is kept leaves its address to no other.
        found = self._storages.get(tensor.untyped_storage()._cdata)
        return found[1] if found else "cpu"

    def put(self, tensor: Tensor, place: str) -> None:
        """Say where a tensor is from now on."""
        storage = tensor.untyped_storage()
        with self._writing:
            if len(self._storages) % 4096 == 4095:
                self._storages = {key: own for key, own in self._storages.items() if not own[0].expired()}
            self._storages[storage._cdata] = StorageWeakRef(storage), place

    def on_cuda(self, *values: object) -> bool:
        return "cuda" in [self.place(tensor) for tensor in tensors_in(*values)]

    def put_all(self, values: object) -> None:
        for tensor in [values] if isinstance(values, Tensor) else tensors_in(values):
            if self.place(tensor) != "cuda":
                self.put(tensor, "cuda")

    @property
    def calls(self) -> list[tuple[Callable, bool]]:
        """The calls of Python that are under way in this thread, and whether what they make is on the GPU."""
        return self._of_thread.calls


class OfThread(threading.local):
    """What each thread has of its own."""

    def __init__(self) -> None:
        self.calls: list[tuple[Callable, bool]] = []


def tensors_in(*values: object) -> list[Tensor]:
    """The tensors in values, lists, tuples and dictionaries."""
    found: list[Tensor] = []
    _gather(values, found)
    return found


def _gather(values: Iterable[object], found: list[Tensor]) -> None:
    for value in values:
        if type(value) in NUMBERS:
            continue
        if isinstance(value, Tensor):
            found.append(value)
        elif isinstance(value, (list, tuple)):
            _gather(value, found)
        elif isinstance(value, dict) and value:
            _gather(value.values(), found)


@cache
def has_to_wait(func: Any) -> bool:
    """Whether the host has to wait for the result of this operation."""
    return any(tag in func.tags for tag in WAITS)


def here() -> tuple[str, str]:
    """File and line, and the function, of the product or else of whoever called PyTorch."""
    frame: FrameType | None = sys._getframe(1)
    other = None
    while frame:
        file = frame.f_code.co_filename
        if file.startswith(PRODUCT):
            break
        if not other and file != __file__ and "site-packages" not in file and "/unittest/" not in file:
            other = frame
        frame = frame.f_back
    frame = frame or other
    if not frame:
        return "an unknown place", ""
    file = frame.f_code.co_filename.removeprefix(f"{ROOT}/")
    return f"{file}:{frame.f_lineno}", frame.f_code.co_qualname


def refuse(reason: str, kind: type[Exception] = WrongDevice) -> Exception:
    return kind(f"{reason}, at {here()[0]}")


class Calls(TorchFunctionMode):
    """Sees the calls of Python: translates devices, and tells where tensors are."""

    def __init__(self, watch: Watch) -> None:
        super().__init__()
        self.watch = watch
        self.own = {
            Tensor.device.__get__: lambda t: self.device(t),
            Tensor.is_cuda.__get__: lambda t: self.device(t) == CUDA,
            Tensor.is_cpu.__get__: lambda t: self.device(t) == CPU,
            Tensor.is_pinned: lambda t, *_: watch.place(t) == "pinned",
            Tensor.pin_memory: self.pin,
            Tensor.to: self.to,
            Tensor.cpu: lambda t, **options: self.move(t, CPU, **options),
            Tensor.cuda: lambda t, device=CUDA, **options: self.move(t, device, **options),
            Tensor.numpy: self.numpy,
            Tensor.__array__: self.array,
            Tensor.tolist: lambda t: self.read(Tensor.tolist, t),
            Tensor.__repr__: lambda t, **options: self.read(Tensor.__repr__, t),
        }

    def __torch_function__(self, func: Callable, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        own = self.own.get(func)
        if own or func.__name__ in MAKE_NOTHING:
            return (own or func)(*args, **kwargs)
        made_from_tensor = func in (torch.as_tensor, torch.asarray) and isinstance(args[0], Tensor)
        if made_from_tensor and kwargs.get("device") is not None:
            return self.to(args[0], **kwargs)
        on_cuda = self.watch.on_cuda(args, kwargs)
        pinned = kwargs.get("pin_memory")
        if pinned:
            kwargs = kwargs | {"pin_memory": False}
        asked = kwargs.get("device")
        if asked is not None and torch.device(asked).type in ("cpu", "cuda"):
            on_cuda = torch.device(asked).type == "cuda"
            kwargs = kwargs | {"device": CPU}
            if func in (torch.tensor, torch.as_tensor) and on_cuda:
                self.watch.note("upload", func.__name__)
        self.check_generator(kwargs.get("generator"), on_cuda)
        self.watch.calls.append((func, on_cuda))
        try:
            result = func(*args, **kwargs)
        finally:
            self.watch.calls.pop()
        if on_cuda:
            self.watch.put_all(result)
        elif pinned:
            self.watch.put(result, "pinned")
        return result

    def device(self, tensor: Tensor) -> torch.device:
        return CUDA if self.watch.place(tensor) == "cuda" else tensor.device

    def check_generator(self, generator: torch.Generator | None, on_cuda: bool) -> None:
        wanted = "cuda" if on_cuda else "cpu"
        if generator is not None and generator.device.type != wanted:
            raise refuse(f"expected a {wanted} generator, found one of {generator.device.type}")

    def pin(self, tensor: Tensor, *_: object) -> Tensor:
        if self.watch.place(tensor) == "cuda":
            raise refuse("cannot pin a tensor of cuda, only dense CPU tensors can be pinned")
        pinned = tensor.clone()
        self.watch.put(pinned, "pinned")
        return pinned

    def to(self, tensor: Tensor, *args: Any, **options: Any) -> Tensor:
        device, dtype, *flags = [*args, None, None][: max(2, len(args))]
        if isinstance(device, Tensor):
            device, dtype, flags = self.device(device), device.dtype, list(args[1:])
        elif isinstance(device, torch.dtype):
            device, dtype, flags = None, device, list(args[1:])
        named = dict(zip(("non_blocking", "copy"), flags, strict=False))
        return self.move(tensor, **({"device": device, "dtype": dtype} | named | options))

    def move(
        self,
        tensor: Tensor,
        device: Any = None,
        *,
        dtype: torch.dtype | None = None,
        non_blocking: bool = False,
        copy: bool = False,
        memory_format: torch.memory_format = torch.preserve_format,
    ) -> Tensor:
        watch, place = self.watch, self.watch.place(tensor)
        source = self.device(tensor).type
        target = source if device is None else torch.device(device).type
        dtype = dtype or tensor.dtype
        if target not in ("cpu", "cuda"):
            return tensor.to(device, dtype, memory_format=memory_format)
        if target == "cpu" and source == "cuda" and not non_blocking:
            watch.note("read-back", f"to {target}")
        if target == "cuda" and source == "cpu" and not (non_blocking and place == "pinned"):
            watch.note("upload", f"to {target}")
        copied = tensor.to(dtype, copy=copy or target != source, memory_format=memory_format)
        if target != source:
            watch.put(copied, target)
        return copied

    def numpy(self, tensor: Tensor, *, force: bool = False) -> Any:
        return self.array(self.move(tensor, CPU) if force else tensor)

    def array(self, tensor: Tensor, **options: Any) -> Any:
        if self.watch.place(tensor) == "cuda":
            raise refuse("cannot convert a tensor of cuda to numpy, use Tensor.cpu()", TypeError)
        return tensor.__array__(**options) if options else tensor.numpy()

    def read(self, func: Callable, tensor: Tensor) -> Any:
        if self.watch.place(tensor) == "cuda":
            self.watch.note("read-back", func.__name__)
        return func(tensor)


class Operations(TorchDispatchMode):
    """Sees the operations: refuses what mixes devices, notes what waits, and says where the results are."""

    def __init__(self, watch: Watch) -> None:
        super().__init__()
        self.watch = watch

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # nothing is compiled here, and hiding from the compiler takes a tenth of a run

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        with torch._C.DisableTorchFunction():
            given = tensors_in(args, kwargs)
            places = [self.watch.place(tensor) for tensor in given]
            calls = self.watch.calls
            if "cuda" in places:
                on_cuda = self.look(func, args, kwargs, given, places)
            else:
                on_cuda = not given and bool(calls) and calls[-1][1]
            result = func(*args, **kwargs)
            if on_cuda:
                self.watch.put_all(result)
            return result

    def look(self, func: Any, args: Any, kwargs: Any, given: list[Tensor], places: list[str]) -> bool:
        """Refuse or note an operation with a tensor on the GPU; whether its result is there."""
        watch = self.watch
        mixed = any(place != "cuda" for place in places)
        if func is aten.copy_.default:
            if mixed:
                waits = not ((len(args) > 2 and args[2]) or kwargs.get("non_blocking"))
                if places[0] == "cuda" and (waits or places[1] != "pinned"):
                    watch.note("upload", func)
                if places[0] != "cuda" and waits:
                    watch.note("read-back", func)
            return places[0] == "cuda"
        if func in INDEXING:
            indices = tensors_in(args[1])
            if any(index.dtype in (torch.bool, torch.uint8) for index in indices):
                watch.note("read-back", f"{func} with a mask")
            if places[0] == "cuda" and any(watch.place(index) != "cuda" for index in indices):
                watch.note("upload", f"an index of {func}")
            given = [tensor for tensor in given if not any(tensor is index for index in indices)]
            if places[0] != "cuda":
                raise refuse(f"{func} has an index of cuda for a tensor of cpu")
        elif has_to_wait(func) and not (watch.calls and watch.calls[-1][0] in CHECKED_ON_CPU_ONLY):
            watch.note("read-back", func)
        if mixed:
            self.check_devices(func, args, kwargs, given)
        return True

    def check_devices(self, func: Any, args: Any, kwargs: Any, given: list[Tensor]) -> None:
        schema = func._schema.arguments
        written = [
            kwargs.get(argument.name, args[number] if number < len(args) else None)
            for number, argument in enumerate(schema)
            if argument.alias_info and argument.alias_info.is_write
        ]
        takes_numbers = (
            torch.Tag.pointwise in func.tags or func in NUMBERS_FROM_CPU or func in INDEXING
            or func.__name__.startswith("_foreach_")
        )  # fmt: skip
        for tensor in given:
            if self.watch.place(tensor) == "cuda":
                continue
            is_written = any(tensor is own for own in tensors_in(*written))
            if tensor.ndim or is_written or not takes_numbers:
                shape = tuple(tensor.shape)
                raise refuse(
                    f"expected all tensors to be on one device, found cuda and cpu ({func}, cpu: {shape})"
                )


class PretendedGenerator(torch._C.Generator):
    """A generator of the CPU that says where it was asked to be."""

    def __new__(cls, device: Any = "cpu") -> "PretendedGenerator":
        self = super().__new__(cls, "cpu")
        self.named = torch.device(device)
        return self

    @property
    def device(self) -> torch.device:
        return self.named


@contextmanager
def pretended_cuda() -> Iterator[Watch]:
    """Have a GPU until the block ends; see the beginning of this file."""
    watch = Watch()
    autocast, submit = torch.autocast, ThreadPoolExecutor.submit
    group, reduce = torch._C._group_tensors_by_device_and_dtype, Tensor._reduce_ex_internal

    def on_cpu(function: Callable) -> Callable:
        return lambda kind, *args, **kwargs: function("cpu" if kind == "cuda" else kind, *args, **kwargs)

    def watched_submit(self: ThreadPoolExecutor, function: Callable, /, *args: Any, **kwargs: Any) -> Any:
        def work() -> Any:
            with Calls(watch), Operations(watch):
                return function(*args, **kwargs)

        return submit(self, work)

    def grouped(lists: Any, with_indices: bool = False) -> dict:
        found = group(lists, with_indices)
        with torch._C.DisableTorchFunction():
            return {
                (CUDA if watch.on_cuda(own[0]) else kind, dtype): own for (kind, dtype), own in found.items()
            }

    def pickled(tensor: Tensor, protocol: int) -> Any:
        if tensor.device == CUDA:
            watch.note("read-back", "pickle")
        with torch._C.DisableTorchFunction():
            return reduce(tensor, protocol)

    properties = SimpleNamespace(
        name="a pretended GPU", uuid="pretended", total_memory=MEMORY, major=9, minor=0
    )
    cuda: dict[str, Any] = {
        "is_available": lambda: True,
        "device_count": lambda: 1,
        "current_device": lambda: 0,
        "set_device": lambda device: None,
        "get_device_name": lambda device=None: properties.name,
        "get_device_properties": lambda device=None: properties,
        "get_device_capability": lambda device=None: (9, 0),
        "is_current_stream_capturing": lambda: False,
        "mem_get_info": lambda device=None: (MEMORY, MEMORY),
        "max_memory_allocated": lambda device=None: 0,
        "get_rng_state": lambda device="cuda": torch.get_rng_state(),
        "set_rng_state": lambda state, device="cuda": torch.set_rng_state(state),
    }
    with ExitStack() as stack:
        for name, value in cuda.items():
            stack.enter_context(mock.patch.object(torch.cuda, name, value))
        stream = SimpleNamespace(is_capturing=lambda: False)
        stack.enter_context(
            mock.patch.object(torch.accelerator, "current_stream", lambda device=None: stream)
        )
        stack.enter_context(mock.patch.object(Tensor, "_reduce_ex_internal", pickled))
        stack.enter_context(mock.patch.object(torch._C, "_group_tensors_by_device_and_dtype", grouped))
        stack.enter_context(mock.patch.object(torch, "Generator", PretendedGenerator))
        stack.enter_context(mock.patch.object(torch, "autocast", on_cpu(autocast)))
        for name in ("is_autocast_enabled", "get_autocast_dtype"):
            stack.enter_context(mock.patch.object(torch, name, on_cpu(getattr(torch, name))))
        stack.enter_context(mock.patch.object(ThreadPoolExecutor, "submit", watched_submit))
        stack.enter_context(Operations(watch))
        stack.enter_context(Calls(watch))
        yield watch
