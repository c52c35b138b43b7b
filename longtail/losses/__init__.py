"""Losses for long-tailed training sets, one per file, chosen by the name of the file.

    loss = build_loss("focal", class_counts=counts, gamma=2.0)
    value = loss(logits, labels)

A new loss is a new file beside this one with one subclass of `longtail.losses.base.Loss`; nothing else changes.
"""

import difflib
import importlib
import importlib.util
import inspect
import pkgutil
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

from torch import Tensor, nn

from longtail.losses.base import Loss


def build_loss(name: str | Mapping[str, str], class_counts: Tensor, **params: object) -> Loss:
    """The loss of that name for these class counts, on their device.

    Tables made from the counts stay where the counts are until `.to(device)` moves them.

    Args:
        name: a file of this package, such as "balanced_softmax", or a class of your own as
            {"path": "my_loss.py", "name": "MyLoss"}: any `nn.Module` built from (class_counts, **params) with
            forward(logits, labels) -> scalar, the mean over the batch. Check it with
            `longtail.testing.check_loss`. The file is executed; a relative path starts at the working directory.
        class_counts: training images per class, int64, shape (C,).
        params: keyword arguments of the loss; its docstring states ranges and defaults.

    Raises:
        ValueError: an unknown name or parameter, with the nearest known one and what is allowed; a parameter
            out of range.
        FileNotFoundError: the file of a loss of your own does not exist.
    """
    if isinstance(name, Mapping):
        cls = _own_class(name)
        name = f"{name['name']} of {name['path']}"
    else:
        cls = _class_of(name)
    _check_params(name, cls, params)
    loss = cls(class_counts, **params)
    return loss if isinstance(loss, Loss) else ModuleLoss(class_counts, loss)


class ModuleLoss(Loss):
    """Any module with forward(logits, labels) -> scalar, given the interface of a `Loss`.

    The module sees logits of at least float32 and keeps its own weights, so it cannot be re-weighted, nor weigh the
    labels of each image differently, as Remix does; derive from `Loss` for that, or to draw from the seeded
    `generator` instead of torch's default one. If it has an attribute `logit_scale`, that is used.

    Args:
        class_counts: training images per class, integers of shape (C,).
        module: its value is taken as the mean over the batch.
    """

    def __init__(self, class_counts: Tensor, module: nn.Module):
        super().__init__(class_counts)
        self.module = module
        self.logit_scale = float(getattr(module, "logit_scale", 1.0))

    def per_sample(self, logits: Tensor, labels: Tensor) -> Tensor:
        """The mean over the batch for each of its images, shape (N,)."""
        return self.module(logits, labels).expand(len(labels))

    def set_class_weight(self, weight: Tensor) -> None:
        """Refused with a ValueError: only the module knows how it weighs its images."""
        raise ValueError(
            f"{type(self.module).__name__} cannot be given class weights, as deferred re-weighting (drw) does; "
            "derive it from longtail.losses.base.Loss and implement per_sample(logits, labels)"
        )


def known_losses() -> list[str]:
    """The names `build_loss` knows, in alphabetical order; imports every file of the package."""
    return [name for name in _files() if _classes(importlib.import_module(f"longtail.losses.{name}"), Loss)]


def _files() -> list[str]:
    return sorted(module.name for module in pkgutil.iter_modules(__path__))


def _classes(module: object, base: type) -> list[type]:
    """The subclasses of `base` that the module defines, not those it imports."""
    return [
        value
        for value in vars(module).values()
        if isinstance(value, type)
        and issubclass(value, base)
        and value is not base
        and value.__module__ == module.__name__
    ]


def _class_of(name: str) -> type[nn.Module]:
    classes = _classes(importlib.import_module(f"longtail.losses.{name}"), Loss) if name in _files() else []
    if not classes:
        known = known_losses()
        raise ValueError(f"unknown loss {name!r}{_nearest(name, known)}; choose one of {', '.join(known)}")
    if len(classes) > 1:
        names = ", ".join(cls.__name__ for cls in classes)
        raise ValueError(
            f"longtail/losses/{name}.py defines {names}; one loss per file, so that its name says which"
        )
    return classes[0]


def _own_class(spec: Mapping[str, str]) -> type[nn.Module]:
    if set(spec) != {"path", "name"}:
        raise ValueError(
            f"a loss of your own is given as path and name; found {', '.join(map(str, spec)) or 'nothing'}"
        )
    path = Path(spec["path"])
    if not path.is_file():
        raise FileNotFoundError(f"loss file {path} does not exist (looked for {path.resolve()})")
    module_spec = importlib.util.spec_from_file_location(f"longtail_own_loss_{path.stem}", path)
    if module_spec is None or module_spec.loader is None:
        raise ValueError(f"loss file {path} is not a Python file; its name must end in .py")
    module = importlib.util.module_from_spec(module_spec)
    sys.modules[module_spec.name] = module  # where dataclasses and torch.compile look a class's module up
    module_spec.loader.exec_module(module)
    known = [cls.__name__ for cls in _classes(module, nn.Module)]
    if spec["name"] not in known:
        raise ValueError(
            f"{path} defines no loss {spec['name']!r}{_nearest(spec['name'], known)}; "
            f"its subclasses of torch.nn.Module: {', '.join(known) or 'none'}"
        )
    cls: type[nn.Module] = getattr(module, spec["name"])
    if inspect.isabstract(cls):
        raise ValueError(
            f"{path}: {spec['name']} derives from Loss and has to define per_sample(logits, labels)"
        )
    return cls


def _check_params(loss: str, cls: type[nn.Module], params: Mapping[str, object]) -> None:
    """A ValueError unless the class takes exactly these keyword arguments after its class counts."""
    accepted = list(inspect.signature(cls).parameters.values())[1:]
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in accepted):
        return
    names = [parameter.name for parameter in accepted]
    allowed = f"its parameters: {', '.join(str(parameter) for parameter in accepted) or 'none'}"
    for name in params:
        if name not in names:
            raise ValueError(f"loss {loss} has no parameter {name!r}{_nearest(name, names)}; {allowed}")
    for parameter in accepted:
        required = parameter.default is parameter.empty and parameter.kind is not parameter.VAR_POSITIONAL
        if required and parameter.name not in params:
            raise ValueError(f"loss {loss} needs the parameter {parameter.name!r}; {allowed}")


def _nearest(name: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f" (did you mean {close[0]!r}?)" if close else ""
