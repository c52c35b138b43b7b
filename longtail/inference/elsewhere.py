"""A trained model in the form of timm or torchvision, which build the same network under other names.

Weights are matched by their order, which is that of the network's layers in both. Before anything is kept, the model is
loaded the way its users will load it, and its logits are compared with ours: a wrong match cannot pass.
"""

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import timm
import torch
from safetensors.torch import load_file, save
from torch import nn

from longtail.inference.onnx import IN_RGB
from longtail.models import from_timm, from_torchvision, model_module
from longtail.models.card import ModelCard
from longtail.models.classifier import ImageClassifier, WithoutMemory
from longtail.models.heads import ScaledLinear

TOLERANCE = 1e-5
"""What a logit may differ by from ours, as a share of the largest one."""
WEIGHTS, CONFIG = "model.safetensors", "config.json"
LIBRARIES = ("timm", "torchvision")
_SAME = (
    *("resnet18", "resnet34", "resnet50", "resnet101", "resnet152", "wide_resnet50_2", "wide_resnet101_2"),
    *("resnext50_32x4d", "resnext101_32x8d", "resnext101_64x4d"),
    *("convnext_tiny", "convnext_small", "convnext_base", "convnext_large"),
    *("densenet121", "densenet161", "densenet169", "densenet201"),
)
IN_TIMM = {
    **{name: name for name in _SAME},
    "mobilenet_v2": "mobilenetv2_100",
    "vit_b_16": "vit_base_patch16_224",
    "vit_b_32": "vit_base_patch32_224",
    "vit_l_16": "vit_large_patch16_224",
    "vit_l_32": "vit_large_patch32_224",
}
"""The networks that both libraries have: what timm calls those of torchvision."""


class Elsewhere(NamedTuple):
    """A network of a library, and what builds it there with this model's classes and image size.

    Attributes:
        arguments: of timm's `create_model` or torchvision's `get_model`, beside the name and the number of classes.
    """

    library: str
    name: str
    arguments: Mapping[str, Any]

    def build(self, num_classes: int) -> nn.Module:
        """The network with random weights."""
        if self.library == "timm":
            return timm.create_model(self.name, num_classes=num_classes, **self.arguments)
        return from_torchvision.models.get_model(
            self.name, weights=None, num_classes=num_classes, **self.arguments
        )


def place_of(card: ModelCard, library: str) -> Elsewhere:
    """The network of `library` that this model is.

    Raises:
        ValueError: there is none; says why, and what works instead.
    """
    instead = "`--onnx FILE` writes a file that runs everywhere"
    own = model_module(card.architecture).rpartition(".")[2].removeprefix("from_")
    if own not in LIBRARIES:
        raise ValueError(
            f"{card.architecture} is a network of this project, which {library} does not have; {instead}"
        )
    if card.experts > 1:
        raise ValueError(
            f"the model has {card.experts} experts, and no network of {library} has any; {instead}"
        )
    if card.head not in ("linear", "scaled"):
        raise ValueError(
            f"the model has a {card.head.replace('_', ' ')} head, which no network of {library} ends in; {instead}, "
            "and a model that is trained with `head: linear` can be exported"
        )
    family = {"timm": from_timm, "torchvision": from_torchvision}[own]
    name = family.MODELS.get(card.architecture, card.architecture).partition("/")[2].partition(".")[0]
    if own != library:
        table = IN_TIMM if library == "timm" else {theirs: name for name, theirs in IN_TIMM.items()}
        if name not in table:
            raise ValueError(
                f"{card.architecture} is a network of {own}, and none of {library} is known to be the same; "
                f"`--to {own}` works, and {instead}"
            )
        name = table[name]
    return Elsewhere(library, name, _sizes(library, name, card.image_size))


def _sizes(library: str, name: str, image_size: int) -> dict[str, int]:
    """What a network that is built for one image size is told of ours."""
    if library == "torchvision":
        return {"image_size": image_size} if name.startswith("vit_") else {}
    config = timm.get_pretrained_cfg(name)
    fixed = config is not None and config.fixed_input_size and config.input_size[-1] != image_size
    return {"img_size": image_size} if fixed else {}


def write_elsewhere(
    folder: Path, model: ImageClassifier, card: ModelCard, library: str
) -> tuple[Elsewhere, float]:
    """Write `model.safetensors` and `config.json` into a new folder, after the logits were found to be ours.

    The folder of timm is what `timm.create_model("local-dir:FOLDER", pretrained=True)` loads and what hubs take; its
    configuration holds the class names and the preprocessing, by which timm's own transform is made.

    Args:
        model, card: as `longtail.models.file.load_model` gives them, on the CPU.

    Returns:
        The network, and the largest difference of a logit, as a share of the largest logit.

    Raises:
        ValueError: the library does not have this network, or its logits differ by more than 1e-5 of the largest one.
    """
    there = place_of(card, library)
    with WithoutMemory():  # only the names and shapes of its weights are used
        target = there.build(len(card.class_names))
    renamed = _renamed(_plain_weights(model), target.state_dict(), there)
    (folder / WEIGHTS).write_bytes(save(renamed, {"format": "pt"}))
    (folder / CONFIG).write_text(
        json.dumps(_config(card, there, target), indent=2, ensure_ascii=False) + "\n", encoding="utf-8"
    )
    return there, _difference(folder, model, card, there)


def _plain_weights(model: ImageClassifier) -> dict[str, torch.Tensor]:
    """The weights of the model in the order of its layers, the classifier last, with a plain linear one."""
    head: Any = model.head  # one of three modules that torch's types do not tell apart
    if isinstance(head, ScaledLinear):
        last = {
            "weight": head.linear.weight * head.scale[:, None],
            "bias": head.linear.bias * head.scale,
        }
    else:
        last = {"weight": head.weight, "bias": head.bias}
    return {
        **model.backbone.state_dict(),
        **{f"classifier.{name}": own.detach() for name, own in last.items()},
    }


def _renamed(
    weights: Mapping[str, torch.Tensor], target: Mapping[str, torch.Tensor], there: Elsewhere
) -> dict[str, torch.Tensor]:
    """The weights under the names of the target, whose entries are of the same layers in the same order."""
    ours, theirs = _in_order(weights), _in_order(target)
    fits = len(ours) == len(theirs) and all(
        math.prod(weights[own].shape) == math.prod(target[other].shape)
        for own, other in zip(ours, theirs, strict=True)
    )
    if not fits:
        raise ValueError(
            f"{there.library}'s {there.name} has other layers than this model; `--onnx FILE` writes a file that runs "
            "everywhere"
        )
    return {
        other: weights[own].reshape(target[other].shape).clone().contiguous()
        for own, other in zip(ours, theirs, strict=True)
    }


def _in_order(state: Mapping[str, torch.Tensor]) -> list[str]:
    """The names of a state. Position embeddings, which one library has at the top and one within, come first."""
    return sorted(state, key=lambda name: "pos_embed" not in name)


def _config(card: ModelCard, there: Elsewhere, target: Any) -> dict[str, Any]:
    """What the library has to know beside the weights; in the form of timm, where it reads it itself."""
    names: Sequence[str] = card.class_names
    form = {
        "input_size": [3, card.image_size, card.image_size],
        "interpolation": "bilinear",
        "crop_pct": 1.0,
        "crop_mode": {"stretch": "squash", "pad": "border", "crop": "center"}[card.resize],
        "mean": list(card.mean),
        "std": list(card.std),
    }
    common = {"architecture": there.name, "num_classes": len(names), "label_names": list(names)}
    own = {"model_args": dict(there.arguments)} if there.arguments else {}
    told = {"logit_scale": card.sharpness}
    if there.library == "torchvision":
        return {**common, **own, "preprocessing": form, **told}
    known = target.pretrained_cfg
    of_layers = {
        name: known[name] for name in ("first_conv", "classifier", "fixed_input_size") if name in known
    }
    pool = {"pool_size": None} if tuple(known["input_size"][1:]) != (card.image_size,) * 2 else {}
    pretrained = {**form, **of_layers, **pool, "num_classes": len(names), "custom_load": False}
    return {**common, "num_features": target.num_features, **own, "pretrained_cfg": pretrained, **told}


def loading(there: Elsewhere, folder: str | Path, num_classes: int) -> str:
    """The lines of Python that load the model."""
    if there.library == "timm":
        return (
            f"import timm\n\nmodel = timm.create_model({f'local-dir:{folder}'!r}, pretrained=True).eval()\n"
        )
    sizes = "".join(f", {name}={value}" for name, value in there.arguments.items())
    return (
        "from safetensors.torch import load_file\nfrom torchvision.models import get_model\n\n"
        f"model = get_model({there.name!r}, weights=None, num_classes={num_classes}{sizes}).eval()\n"
        f"model.load_state_dict(load_file({f'{folder}/{WEIGHTS}'!r}))\n"
    )


def told(there: Elsewhere, folder: str | Path, card: ModelCard) -> str:
    """How the model is used with timm, in Markdown, and how its transform differs from `longtail predict`."""
    code = _USE.replace("IN_RGB\n", IN_RGB.replace("PICTURE", '"photos/one.jpg"'))
    code = code.replace("SCALE", repr(card.sharpness)).replace("FOLDER", repr(f"local-dir:{folder}"))
    sentence = unlike(card)
    lead = "With timm; on a hub, `hf-hub:` and its name there stand for `local-dir:` and the folder:"
    return f"{lead}\n\n```python\n{code}```" + (f"\n\n{sentence}" if sentence else "")


_USE = """\
import io

import numpy as np
import timm
import torch
from PIL import Image, ImageOps

model = timm.create_model(FOLDER, pretrained=True).eval()
transform = timm.data.create_transform(**timm.data.resolve_model_data_config(model), is_training=False)
IN_RGB
with torch.no_grad():
    logits = model(transform(picture)[None])
probabilities = (SCALE * logits).softmax(dim=1)[0]
print(model.pretrained_cfg["label_names"][probabilities.argmax()], float(probabilities.max()))
"""


@torch.no_grad()
def _difference(folder: Path, model: ImageClassifier, card: ModelCard, there: Elsewhere) -> float:
    """The largest difference of a logit between the model as it is loaded from the folder and ours.

    Raises:
        ValueError: it is above the tolerance.
    """
    if there.library == "timm":
        loaded = timm.create_model(f"local-dir:{folder}", pretrained=True).eval()
    else:
        loaded = there.build(len(card.class_names)).eval()
        loaded.load_state_dict(load_file(folder / WEIGHTS))
    images = torch.randn(2, 3, card.image_size, card.image_size, generator=torch.Generator().manual_seed(0))
    expected, found = model(images), loaded(images)
    share = float((found - expected).abs().max() / expected.abs().max().clamp(min=1e-6))
    if not share <= TOLERANCE:  # also where it is NaN
        raise ValueError(
            f"the logits of {there.library}'s {there.name} differ from this model's by {share:.1e} of the largest one, "
            "so it computes something else; `--onnx FILE` writes a file that runs everywhere"
        )
    return share


def unlike(card: ModelCard) -> str:
    """How the preprocessing of timm's transform differs from ours, as a sentence; empty where it does not."""
    faults = []
    if card.picture_size != card.image_size:
        faults.append(
            f"pictures are first made {card.picture_size} x {card.picture_size} pixels here, as in training, and then "
            f"{card.image_size} x {card.image_size}"
        )
    if card.resize == "crop":
        faults.append("the square is cut before it is resized here, and after it there")
    if card.resize == "pad":
        border = "mirrored" if card.pad_with == "reflect" else str(tuple(card.pad_with or (0, 0, 0)))
        mean = tuple(round(255 * value) for value in card.mean)
        if border != str(mean):
            faults.append(f"the border is {border} here, and of the mean colour {mean} there")
    return f"timm's transform prepares pictures a little differently: {'; '.join(faults)}." if faults else ""
