"""How models, losses and sets are printed in tables, figures and captions, whose names are in the configuration.

The labels of the metrics are in `longtail.analysis.metrics`.
"""

from longtail.data.split.sets import CUTS, TEST_SETS

MODELS = {
    "mobilenetv2": "MobileNetV2",
    "resnet50": "ResNet-50",
    "resnetv2_50": "ResNet-50 V2",
    **{f"resnet{depth}": f"ResNet-{depth}" for depth in (110, 56, 44)},
    "resnet10": "ResNet-10",
    "resnext50": "ResNeXt-50",
    "resnet32": "ResNet-32",
    "resnet32x4": "ResNet-32, four times as wide",
    "resnet20": "ResNet-20",
    "resnet8": "ResNet-8",
    "vit_b16": "ViT-B/16",
    "vit_b16_in1k": "ViT-B/16 (IN-1k)",
    "convnext_base": "ConvNeXt-B",
    "all models": "All models",
}
LOSSES = {
    "softmax": "Softmax",
    "weighted_softmax": "Weighted softmax",
    "focal": "Focal",
    "sigmoid_focal": "Focal, sigmoid",
    "class_balanced": "Class-balanced",
    "cb_focal": "Class-balanced focal",
    "class_balanced_binary": "Class-balanced binary",
    "balanced_softmax": "Balanced softmax",
    "equalization": "Equalization",
    "ldam": "LDAM",
    "ldam_drw": "LDAM-DRW",
    "logit_adjusted": "Logit-adjusted",
    "cdt": "CDT",
    "vs": "VS",
    "lade": "LADE",
    "gcl": "GCL",
    "label_aware_smoothing": "Label-aware smoothing",
    "ride": "RIDE",
    "sade": "SADE",
    "bcl": "BCL",
    "glmc": "GLMC",
    "square_root_weights": "Square-root weights",
    "class_balanced_sampler": "Class-balanced sampler",
    "square_root_sampler": "Square-root sampler",
    "progressive_sampler": "Progressive sampler",
    "drs": "DRS",
    "drs_square_root": "Square-root DRS",
    "drs_progressive": "Progressive DRS",
    "label_smoothing": "Label smoothing",
    "influence_balanced": "Influence-balanced",
    "mixup": "Mixup",
    "cutmix": "CutMix",
    "manifold_mixup": "Manifold mixup",
    "remix": "Remix",
    "weighted_softmax_drw": "Weighted softmax-DRW",
    "focal_drw": "Focal-DRW",
    "class_balanced_drw": "Class-balanced-DRW",
    "balanced_softmax_drw": "Balanced softmax-DRW",
    "crt": "cRT",
    "lws": "LWS",
    "mislas": "MiSLAS",
    "mislas_stage1": "MiSLAS, first stage",
    "gcl_stage2": "GCL, second stage",
    "weight_balancing": "Weight balancing",
}
VARIANTS = {
    "aggregation": "aggregation",
    "la": "LA",
    "ncm": "NCM",
    "taunorm": "τ-norm",
}
SETS = {name: name.capitalize() for name in TEST_SETS} | {"longtailed": "Long-tailed"}
LABELS = MODELS | LOSSES | SETS
CLASSES = {name: f"the {name}" for name in CUTS["thirds"]}
CLASSES |= {name: f"the {name}-shot classes" for name in CUTS["counts"]}
"""The classes of a group in a sentence."""


def label(name: str) -> str:
    """The printed form of a model, loss, training set or test set.

    A name that is not listed (a user's own loss, say) is printed as it is, with spaces for underscores; of a variant
    such as `softmax+la`, both parts are looked up.
    """
    base, plus, variant = name.rpartition("+")
    if plus and variant in VARIANTS:
        return f"{label(base)} + {VARIANTS[variant]}"
    return LABELS.get(name, name.replace("_", " "))


def trained(model: str, train_set: str, loss: str | None = None) -> str:
    """The printed form of what was trained, such as `ViT-B/16 with LDAM, trained on long-tailed`."""
    with_loss = f" with {label(loss)}" if loss else ""
    return f"{label(model)}{with_loss}, trained on {label(train_set).lower()}"


def shortened(name: str, longest: int) -> str:
    """A name, cut where it has more characters than fit."""
    return name if len(name) <= longest else f"{name[: longest - 1]}…"
