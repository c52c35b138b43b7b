"""Losses for long-tailed training sets, one per file, chosen by the name of the file.

    loss = build_loss("focal", class_counts=counts, gamma=2.0)
    value = loss(logits, labels)

A new loss is a new file beside these, and nothing else changes. It holds one subclass of `longtail.losses.base.Loss`
with the formula `per_sample(logits, labels)`, and alone says what the loss takes:

    def __init__(self, class_counts: Tensor, *, gamma: NonNegative = 2.0):

The annotation, a type of `longtail.settings`, is the allowed range; what follows is the default; and the section
`Args` of the class's docstring explains the parameter. The configuration, the schema for editors and the check when
the loss is built all use these.

Files that are no loss:

- `base.py`: the base class, with the reduction over the batch, and the wrapper of losses that are not derived from it
- `weights.py`: class weights from class counts
- `declarations.py`: what the files declare, read from their source
- `own.py`: a loss of one's own, in a file elsewhere

The losses use PyTorch and `longtail.settings`. The configuration reads their declarations, training and evaluation
build them. Importing this package imports no loss and no PyTorch, so that a plan is quick.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Mapping
from typing import TYPE_CHECKING

from longtail.losses.declarations import declaration, declarations
from longtail.losses.own import own_class
from longtail.settings import unknown

if TYPE_CHECKING:
    from torch import Tensor, nn

    from longtail.losses.base import Loss


def build_loss(name: str | Mapping[str, str], /, class_counts: Tensor, **params: object) -> Loss:
    """The loss of that name for these class counts, on their device.

    Tables made from the counts stay where the counts are until `.to(device)` moves them.

    Args:
        name: a file of this package, such as "balanced_softmax", or a class of your own as
            {"path": "my_loss.py", "name": "MyLoss"}: any `nn.Module` built from (class_counts, **params) with
            forward(logits, labels) -> scalar, the mean over the batch. Check it with
            `longtail.testing.check_loss`. The file is executed; a relative path starts at the working directory. It
            may import what lies beside it.
        class_counts: training images per class, int64, shape (C,).
        params: keyword arguments of the loss; its signature states ranges and defaults.

    Raises:
        ValueError: an unknown name or parameter, with the nearest known one and what is allowed; a parameter
            out of range.
        FileNotFoundError: the file of a loss of your own does not exist.
    """
    from longtail.losses.base import Loss, ModuleLoss

    if isinstance(name, Mapping):
        cls = own_class(name)
        name = f"{name['name']} of {name['path']}"
    else:
        if not (found := declaration(name)):
            raise ValueError(unknown(f"the loss {name!r}", name, known_losses()))
        cls = getattr(importlib.import_module(f"{__name__}.{name}"), found.class_name)
    _check_params(name, cls, params)
    loss = cls(class_counts, **params)
    return loss if isinstance(loss, Loss) else ModuleLoss(class_counts, loss)


def known_losses() -> list[str]:
    """The names `build_loss` knows, in alphabetical order; imports none of their files."""
    return list(declarations())


def _check_params(loss: str, cls: type[nn.Module], params: Mapping[str, object]) -> None:
    """A ValueError unless the class takes exactly these keyword arguments after its class counts."""
    accepted = dict(list(inspect.signature(cls).parameters.items())[1:])
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in accepted.values()):
        return
    for name in params:
        if name not in accepted:
            raise ValueError(unknown(f"the parameter {name!r} of the loss {loss}", name, accepted))
    for name, parameter in accepted.items():
        required = parameter.default is parameter.empty and parameter.kind is not parameter.VAR_POSITIONAL
        if required and name not in params:
            raise ValueError(f"the loss {loss} needs the parameter {name!r}; it takes: {', '.join(accepted)}")
