"""Parameter-efficient fine-tuning trains only a few weights of the backbone; the others stay as pretrained.

Shi et al., Long-Tail Learning with Foundation Model: Heavy Fine-Tuning Hurts, ICML 2024 (LIFT), find that training
all weights harms the tail classes, and that training few weights does not. The head is always trained.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from longtail.models.classifier import ImageClassifier

TUNES = ("all", "lora", "bias", "norm", "head")
NORMS = (nn.modules.batchnorm._NormBase, nn.LayerNorm, nn.GroupNorm, nn.RMSNorm)
STATISTICS = nn.modules.batchnorm._NormBase


class LowRankUpdate(nn.Module):
    """Adds B A / rank to the query's and to the value's part of an attention layer's weight, at first zero.

    Source: Hu et al., LoRA: Low-Rank Adaptation of Large Language Models, ICLR 2022, section 4.1, on the query and
    value weights (section 4.2, table 5); the scale 1 / rank is that of LIFT's authors. A starts as PyTorch's linear
    layers do, from the global generator.

    PEFT would do the same, but it imports transformers, which no model here needs, and it does not look into a weight
    that holds query, key and value together.

    Shapes: a weight (3 W, F), in which query, key and value lie below each other, to a weight of the same shape.
    """

    def __init__(self, weight: Tensor, rank: int) -> None:
        super().__init__()
        self.width, features = len(weight) // 3, weight.shape[1]
        if not 1 <= rank <= min(self.width, features):
            raise ValueError(
                f"lora_rank is {rank}; allowed: 1 to {min(self.width, features)}, the width of the attention layers"
            )
        self.a = nn.Parameter(torch.empty(2, rank, features, device=weight.device))
        self.b = nn.Parameter(torch.zeros(2, self.width, rank, device=weight.device))
        for factor in self.a:
            nn.init.kaiming_uniform_(factor, a=math.sqrt(5))

    def forward(self, weight: Tensor) -> Tensor:
        # Autocast is off here: in half precision, the trained update would differ from the merged one.
        with torch.autocast(weight.device.type, enabled=False):
            of_query, of_value = (self.b @ self.a / self.a.shape[1]).unbind()
            query, key, value = weight.split(self.width)
            return torch.cat([query + of_query, key, value + of_value])


def freeze(model: ImageClassifier, tune: str, lora_rank: int) -> None:
    """Leave only some weights of the backbone to be trained, and the whole head.

    Args:
        tune: `all`; `lora`, low-rank updates of the attention; `bias`, the biases (BitFit: Ben Zaken et al., ACL
            2022); `norm`, scales and biases of the normalisations; `head`, none (linear probing).
        lora_rank: the rank of the updates of `lora`.

    Raises:
        ValueError: another name; the backbone has no such weights; a rank out of range.
    """
    if tune not in TUNES:
        raise ValueError(f"tune is {tune!r}; choose one of {', '.join(TUNES)}")
    if tune == "all":
        return
    backbone = model.backbone
    backbone.requires_grad_(False)
    if tune == "head":
        return
    needed, choose = _CHOICES[tune]
    tuned = choose(backbone, lora_rank)
    for weight in tuned:
        weight.requires_grad_(True)
    if not tuned:
        raise ValueError(
            f"tune: {tune} needs {needed}, and {type(backbone).__name__} has none; choose another model, or one "
            "of tune: bias, norm, head"
        )


def _low_rank_updates(backbone: nn.Module, rank: int) -> list[nn.Parameter]:
    """Give every attention layer an update, and return the weights of the updates."""
    updates = []
    for module, name in _attention_weights(backbone):
        update = LowRankUpdate(getattr(module, name), rank)
        parametrize.register_parametrization(module, name, update)
        updates += [update.a, update.b]
    return updates


def _biases(backbone: nn.Module, _: int) -> list[nn.Parameter]:
    return [weight for name, weight in backbone.named_parameters() if name.endswith("bias")]


def _norm_weights(backbone: nn.Module, _: int) -> list[nn.Parameter]:
    norms = [module for module in backbone.modules() if isinstance(module, NORMS)]
    return [weight for norm in norms for weight in norm.parameters(recurse=False)]


_CHOICES: dict[str, tuple[str, Callable[[nn.Module, int], list[nn.Parameter]]]] = {
    "lora": (
        "attention layers with query, key and value in one weight, as vision transformers of timm and torchvision "
        "have them",
        _low_rank_updates,
    ),
    "bias": ("biases", _biases),
    "norm": ("normalisations with weights", _norm_weights),
}
"""What each way of tuning needs the backbone to have, and the weights of the backbone that it trains."""


def train_mode(model: ImageClassifier, tune: str, *, shift_norms: bool = False) -> None:
    """Set the model to training mode, in which batch norms of a frozen backbone keep their statistics.

    A backbone of which nothing is trained is in evaluation mode as a whole, and so without dropout.

    Args:
        tune: as of `freeze`.
        shift_norms: with `tune: head`, batch norms compute with the means and variances of each batch, which their
            running statistics follow, while their scales and biases stay: shifted batch norm (Zhong et al., Improving
            Calibration for Long-Tailed Recognition, CVPR 2021, section 3.3).
    """
    model.train()
    if tune == "head":
        model.backbone.eval()
        if shift_norms:
            for norm in batch_norms(model):
                norm.train()
    elif tune != "all":
        for module in model.backbone.modules():
            if isinstance(module, STATISTICS):
                module.eval()


def batch_norms(model: ImageClassifier) -> list[nn.Module]:
    """The normalisations of the backbone that keep a running mean and variance."""
    return [
        module
        for module in model.backbone.modules()
        if isinstance(module, STATISTICS) and module.running_mean is not None
    ]


def merged_weights(model: nn.Module) -> dict[str, Tensor]:
    """The state of the model with its low-rank updates added to the weights, named as without any updates."""
    state = model.state_dict()
    for prefix, module, name in _updated(model):
        own = f"{prefix}.parametrizations.{name}."
        state = {key: tensor for key, tensor in state.items() if not key.startswith(own)}
        state[f"{prefix}.{name}"] = getattr(module, name).detach()
    return state


def merge(model: nn.Module) -> None:
    """Add the low-rank updates to the weights, in place; the model is then as if it had never had any."""
    for _, module, name in _updated(model):
        parametrize.remove_parametrizations(module, name, leave_parametrized=True)


def _updated(model: nn.Module) -> list[tuple[str, nn.Module, str]]:
    return [
        (prefix, module, name)
        for prefix, module in model.named_modules()
        if parametrize.is_parametrized(module)
        for name, changes in module.parametrizations.items()
        if isinstance(changes[0], LowRankUpdate)
    ]


def _attention_weights(backbone: nn.Module) -> list[tuple[nn.Module, str]]:
    """The modules that hold query, key and value of an attention layer in one parameter, and its name in each."""
    found: list[tuple[nn.Module, str]] = []
    for name, module in backbone.named_modules():
        if isinstance(module, nn.MultiheadAttention) and module.in_proj_weight is not None:
            found.append((module, "in_proj_weight"))
        elif (
            name.rpartition(".")[2] == "qkv"
            and isinstance(module, nn.Linear)
            and len(module.weight) == 3 * module.in_features
        ):
            found.append((module, "weight"))
    return found
