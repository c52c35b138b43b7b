"""The optimisers of the training recipe."""

from collections.abc import Iterator, Mapping, Sequence
from types import SimpleNamespace
from typing import Any

import torch
from torch import nn

from longtail.models.classifier import ImageClassifier


def build_optimizer(
    model: ImageClassifier,
    name: str,
    *,
    learning_rate: float,
    weight_decay: float,
    momentum: float,
    nesterov: bool = False,
    layer_decay: float | None = None,
    beside: Sequence[nn.Parameter] = (),
    rates: Mapping[nn.Parameter, float] | None = None,
    rho: float | None = None,
) -> torch.optim.Optimizer:
    """`adam`, `adamw` or `sgd` over all parameters that are trained, in its fused form.

    With `layer_decay` or `rates`, the groups of parameters have an `lr_scale`, with which the caller multiplies the
    group's rate.

    Adam's `weight_decay` is L2 regularisation added to the gradient; AdamW's is decoupled (Loshchilov and
    Hutter, 2019).

    Args:
        beside: parameters to train that are not the model's; they learn at the whole rate.
        rates: parameters that learn at a share of the rate, and that share.
        rho: the radius of `SharpnessAware`, which is then the optimiser around the one that is named; None: the latter.

    Raises:
        ValueError: an unknown name, or `layer_decay` for an architecture whose layers are not known.
    """
    parameters: list[Any] = [parameter for parameter in model.parameters() if parameter.requires_grad]
    if layer_decay is not None:
        parameters = _layer_groups(model, weight_decay, layer_decay)
    if layer_decay is None:
        parameters.extend(beside)
    elif beside:
        parameters.append({"params": list(beside)})
    if rates:
        groups = parameters if layer_decay is not None else [{"params": parameters}]
        parameters = [part for group in groups for part in _slowed(group, rates)]
    built = _built(parameters, name, learning_rate, weight_decay, momentum, nesterov)
    return built if rho is None else SharpnessAware(built, rho=rho)


class SharpnessAware(torch.optim.Optimizer):
    """Sharpness-aware minimisation (SAM) around another optimiser: two passes a step, each followed by `step()`.

    After the gradient at the weights w, `step()` moves them to w + rho g / ||g||, the norm being that of all gradients
    together; after the gradient there, it puts them back and lets the other optimiser take its step with that gradient.
    A state is that of the other optimiser, and belongs between two steps.

    pytorch_optimizer has SAM too, in a package with parts that are not free for every use; this is a few lines.

    Source: Foret et al., Sharpness-Aware Minimization for Efficiently Improving Generalization, ICLR 2021, equation 2
    and algorithm 1, with p = 2. Their 1e-12 keeps the division finite.

    Args:
        base: the optimiser that takes the step.
        rho: the radius, above 0.
    """

    passes = 2

    def __init__(self, base: torch.optim.Optimizer, *, rho: float) -> None:
        super().__init__(base.param_groups, {})
        self.base, self.rho = base, rho
        self.param_groups = base.param_groups  # whose rates the schedule sets
        self.moved: list[tuple[torch.Tensor, torch.Tensor]] = []

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """The first half of a step, or the second after the first."""
        if self.moved:
            for weight, before in self.moved:
                weight.copy_(before)
            self.moved = []
            self.base.step()
            return
        weights = [own for group in self.param_groups for own in group["params"] if own.grad is not None]
        gradients = [own.grad for own in weights]
        norm = torch.linalg.vector_norm(torch.stack([each.norm() for each in gradients]))
        self.moved = [(own, own.clone()) for own in weights]
        for own, gradient in zip(weights, gradients, strict=True):
            own.add_(gradient * (self.rho / (norm + 1e-12)))

    def state_dict(self) -> dict[str, Any]:
        return self.base.state_dict()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.base.load_state_dict(state_dict)
        self.param_groups = self.base.param_groups


def _built(
    parameters: list[Any],
    name: str,
    learning_rate: float,
    weight_decay: float,
    momentum: float,
    nesterov: bool,
) -> torch.optim.Optimizer:
    match name:
        case "adam":
            return torch.optim.Adam(parameters, learning_rate, weight_decay=weight_decay, fused=True)
        case "adamw":
            return torch.optim.AdamW(parameters, learning_rate, weight_decay=weight_decay, fused=True)
        case "sgd":
            return torch.optim.SGD(
                parameters,
                learning_rate,
                momentum=momentum,
                nesterov=nesterov,
                weight_decay=weight_decay,
                fused=True,
            )
    raise ValueError(f"optimizer '{name}' is not known; allowed: adam, adamw, sgd")


def _slowed(group: Mapping[str, Any], rates: Mapping[nn.Parameter, float]) -> Iterator[dict]:
    """A group of parameters as several: those at its own rate, and each that learns at a share of it."""
    if others := [own for own in group["params"] if own not in rates]:
        yield {**group, "params": others}
    for own in group["params"]:
        if own in rates:
            yield {**group, "params": [own], "lr_scale": rates[own] * group.get("lr_scale", 1.0)}


def _layer_groups(model: ImageClassifier, weight_decay: float, layer_decay: float) -> list[dict]:
    """timm's groups of the layers of the whole model, in which the head is the last (Bao et al., BEiT, ICLR 2022)."""
    from timm.optim import param_groups_layer_decay  # takes a second, and few recipes need it

    backbone: Any = model.backbone
    if not hasattr(backbone, "group_matcher"):
        raise ValueError(
            f"layer_decay needs to know the layers of {type(backbone).__name__}, which only architectures of timm "
            "tell; set architecture: timm/NAME for this model, or layer_decay: null"
        )
    # timm counts the layers from the names of the parameters. Without the head's, most backbones have one too few, so
    # our head stands where timm's was.
    classifier = backbone.pretrained_cfg.get("classifier") or "head"
    classifier = classifier if isinstance(classifier, str) else classifier[0]  # several, in distilled models
    head = [(f"{classifier}.{name}", parameter) for name, parameter in model.head.named_parameters()]
    whole: Any = SimpleNamespace(
        group_matcher=backbone.group_matcher, named_parameters=lambda: [*backbone.named_parameters(), *head]
    )
    return param_groups_layer_decay(
        whole,
        weight_decay,
        no_weight_decay_list=getattr(backbone, "no_weight_decay", set)(),
        layer_decay=layer_decay,
    )
