"""Parameter-efficient fine-tuning: all but a few weights of the backbone stay as they were pretrained.

Shi et al., Long-Tail Learning with Foundation Model: Heavy Fine-Tuning Hurts, ICML 2024 (LIFT), find that training
all weights harms the tail classes, and few weights do not. The head is always trained.
"""

import math

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

    PEFT would do the same, but it imports transformers, which no model here needs, and does not look into a weight
    that holds query, key and value together.

    Shapes: weight (3 W, F), query, key and value below each other, to the same.
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
        # In half precision, what is trained would not be what is merged.
        with torch.autocast(weight.device.type, enabled=False):
            of_query, of_value = (self.b @ self.a / self.a.shape[1]).unbind()
            query, key, value = weight.split(self.width)
            return torch.cat([query + of_query, key, value + of_value])


def freeze(model: ImageClassifier, tune: str, lora_rank: int) -> None:
    """Leave only some weights of the backbone to be trained, and the whole head.

    Args:
        tune: `all`; `lora`, low-rank updates of the attention; `bias`, the biases (BitFit: Ben Zaken et al., ACL
            2022); `norm`, scales and biases of the normalisations; `head`, none (linear probing).
        lora_rank: of `lora`.

    Raises:
        ValueError: another name; the backbone has no such weights; a rank out of range.
    """
    if tune not in TUNES:
        raise ValueError(f"tune is {tune!r}; choose one of {', '.join(TUNES)}")
    if tune == "all":
        return
    backbone = model.backbone
    backbone.requires_grad_(False)
    match tune:
        case "lora":
            tuned = [*_attention_weights(backbone)]
            for module, name in tuned:
                update = LowRankUpdate(getattr(module, name), lora_rank)
                parametrize.register_parametrization(module, name, update)
        case "bias":
            tuned = [weight for name, weight in backbone.named_parameters() if name.endswith("bias")]
            for weight in tuned:
                weight.requires_grad_(True)
        case "norm":
            norms = [module for module in backbone.modules() if isinstance(module, NORMS)]
            tuned = [weight for module in norms for weight in module.parameters(recurse=False)]
            for weight in tuned:
                weight.requires_grad_(True)
        case "head":
            return
    if not tuned:
        needed = {
            "lora": "attention layers with query, key and value in one weight, as vision transformers of timm and "
            "torchvision have them",
            "bias": "biases",
            "norm": "normalisations with weights",
        }
        raise ValueError(
            f"tune: {tune} needs {needed[tune]}, and {type(backbone).__name__} has none; choose another model, or one "
            "of tune: bias, norm, head"
        )


def train_mode(model: ImageClassifier, tune: str) -> None:
    """Set the model to training, but for what is frozen: the statistics of batch norms stay as they are.

    A backbone of which nothing is trained is in evaluation mode as a whole, without dropout.
    """
    model.train()
    if tune == "head":
        model.backbone.eval()
    elif tune != "all":
        for module in model.backbone.modules():
            if isinstance(module, STATISTICS):
                module.eval()


def merged_weights(model: nn.Module) -> dict[str, Tensor]:
    """The state of the model with its low-rank updates added to the weights: that of the architecture without any."""
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
    """The modules, with the names of their parameters, that hold query, key and value of an attention layer."""
    found = []
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
