"""Models, chosen by name: an architecture's backbone, a head of ours, and the files that keep them.

    model = build_model("mobilenetv2", num_classes=100, image_size=224, weights="mobilenetv2.safetensors")
    logits = model(images)

    cifar_resnet  a family of our own
    from_timm, from_torchvision   the models of these libraries, by names of ours or as timm/NAME or torchvision/NAME
    classifier    what every model is: a backbone, then a head
    heads         the last layer: linear, cosine or scaled, and that of experts
    experts, resnet_experts   several networks that share their first stages
    pretrained    what libraries publish of their weights, and how a file of them is fetched
    weights       the file of pretrained weights that a job starts from
    card, file    what a trained model says of itself (without PyTorch), and the file that it is kept in
    variants/     changes of a trained classifier that need no training

It uses `longtail.files` alone. `training` builds and saves models here, `inference` loads them, and the configuration
asks it which names there are.

A new family is a new file beside this one: a literal dictionary MODELS of its names, each with the source of its
pretrained weights (see `longtail.models.pretrained`) or None, and

    build_backbone(name, *, image_size, weights) -> (module, number of features)

where the module turns images (N, 3, H, W) into features (N, number of features). Nothing else changes. If it can be
divided among experts, the file also has

    side_by_side(modules, *, narrow) -> (module, number of features of all experts)

Importing this package imports no family and no PyTorch, so names can be checked at once.
"""

from __future__ import annotations

import importlib
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from longtail.settings import constant, unknown

if TYPE_CHECKING:
    from longtail.models.classifier import ImageClassifier

LIBRARIES = ("timm", "torchvision")
MOST_EXPERTS = 16
DIVISIBLE = (
    "resnet10, resnet20, resnet32 and the like, and torchvision's ResNets and ResNeXts, such as resnet50"
)
"""The models of which several experts can be made, in words."""


def build_model(
    name: str,
    *,
    num_classes: int,
    image_size: int,
    head: str = "linear",
    weights: str | Path | None = None,
    experts: int = 1,
    narrow_experts: bool = False,
) -> ImageClassifier:
    """The model of that name, with a new head of `num_classes` logits.

    What is random is drawn from PyTorch's global generator, so seed it first. The head is always random.

    Args:
        name: one of `known_models()`, or `torchvision/NAME`, or `timm/NAME`, where NAME may end in `.TAG`.
        image_size: height and width of the images in pixels. Transformers are built for exactly that size
            (position embeddings of other sizes are interpolated); convolutional networks take any.
        head: `linear` or `cosine`, see `longtail.models.heads`.
        weights: file made by `workflow/scripts/fetch_weights.py` for this model, or None for random weights.
        experts: how many networks share their first stages and have later stages and a head of their own, which start
            from the same `weights`. The logits are the mean of theirs.
        narrow_experts: whether these stages have three quarters of the channels, and random weights.

    Raises:
        ValueError: an unknown name or head; an image size that the model cannot take; weights of another model; a model
            that cannot be divided among experts.
        FileNotFoundError: there is no file `weights`.
    """
    from longtail.models.classifier import ImageClassifier
    from longtail.models.heads import build_head

    family = importlib.import_module(model_module(name))
    if experts == 1:
        backbone, num_features = family.build_backbone(name, image_size=image_size, weights=weights)
    elif hasattr(family, "side_by_side"):
        networks = [
            family.build_backbone(name, image_size=image_size, weights=weights)[0] for _ in range(experts)
        ]
        backbone, num_features = family.side_by_side(networks, narrow=narrow_experts)
    else:
        raise ValueError(f"{name} cannot be divided among experts; {DIVISIBLE} can")
    return ImageClassifier(backbone, build_head(head, num_features, num_classes, experts))


def model_module(name: str) -> str:
    """The module that builds the model of that name, found without importing it.

    Names with a slash are not looked up in their library, which takes seconds; building the model does that.

    Raises:
        ValueError: an unknown name, with the nearest known one.
    """
    library, slash, _ = name.partition("/")
    if slash and library in LIBRARIES:
        return f"{__name__}.from_{library}"
    return _entry(name)[0]


def pretrained_source(name: str) -> str | None:
    """Which published weights the model of that name has, as `LIBRARY/ARCHITECTURE.TAG`; None: none.

    Without a tag it is the library's choice. Whether the library knows a name with a slash is not checked.

    Raises:
        ValueError: an unknown name, with the nearest known one.
    """
    return name if name.partition("/")[0] in LIBRARIES else _entry(name)[1]


def known_models() -> list[str]:
    """The names that stand for a model without a slash, in alphabetical order."""
    return sorted(_entries())


def unfilled_patches(name: str, patch: int, image_size: int) -> str:
    """Why a transformer cannot take images of this size, both in pixels."""
    return (
        f"{name} cuts images into patches of {patch} px, which do not fill an image size of {image_size} px; choose a "
        f"multiple of {patch} as its image_size"
    )


def _entry(name: str) -> tuple[str, str | None]:
    if name not in _entries():
        known = [*known_models(), *(f"{library}/NAME" for library in LIBRARIES)]
        raise ValueError(unknown(f"the model {name!r}", name, known))
    return _entries()[name]


@cache
def _entries() -> dict[str, tuple[str, str | None]]:
    """Module and source of the pretrained weights by name: each file's MODELS, read without running the file.

    A table in this file would be shorter, but then a new name would change the code that every model runs.
    """
    entries: dict[str, tuple[str, str | None]] = {}
    for path in sorted(Path(__file__).parent.glob("*.py")):
        for name, source in constant(f"models/{path.name}", "MODELS", {}).items():
            if name in entries:
                raise ValueError(f"{path} and {entries[name][0]} both define the model {name!r}")
            entries[name] = (f"{__name__}.{path.stem}", source)
    return entries
