"""The form of every model: a backbone turns images into features, and a head turns features into logits."""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from longtail.models.heads import ExpertHeads


class ImageClassifier(nn.Module):
    """A model whose two parts have the same names in every architecture.

    `backbone` maps images (N, 3, H, W) to features (N, F), `head` features to logits (N, C). All that an
    architecture has before its last linear layer, dropout and norms included, is in the backbone. Methods that
    retrain, rescale or replace the classifier work on `head` alone.

    Under autocast the backbone computes in half precision, but the head in the precision of its weights. The reason:
    bfloat16 has eight bits, so logits between 8 and 16 would be multiples of 1/16, and the best two would often be
    equal. Then the first class would win, which in long-tailed sets is the larger one.
    """

    def __init__(self, backbone: nn.Module, head: nn.Module) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = head

    @property
    def num_features(self) -> int:
        """How many features the head gets, of all experts together."""
        return cast(int, self.head.in_features)

    def forward(self, images: Tensor) -> Tensor:
        return self.classify(self.backbone(images))

    def classify(self, features: Tensor) -> Tensor:
        """The logits (N, C) of features (N, F), in the precision of the head's weights."""
        return self._in_full_precision(self.head, features)

    def classify_each(self, features: Tensor) -> Tensor:
        """The logits of each expert, (N, E, C), in that precision; the head has to be one of experts."""
        return self._in_full_precision(cast(ExpertHeads, self.head).each, features)

    def _in_full_precision(self, head: Callable[[Tensor], Tensor], features: Tensor) -> Tensor:
        kind = features.device.type
        # Some devices, such as `meta`, have no autocast and raise when asked.
        if not (torch.amp.is_autocast_available(kind) and torch.is_autocast_enabled(kind)):
            return head(features)
        with torch.autocast(kind, enabled=False):
            return head(features.float())


class ForLoss(nn.Module):
    """A model that gives what its loss needs beside the logits, with the same weights, and mixes features if told to.

    A mixed feature is `blend` of an image's own and for the rest that of its partner; all that is given is then of the
    mixtures.

    Args:
        needs: what is given, as `longtail.losses.base.Loss.needs` says it.
        views: how many views of each image there are; the first one gives the logits.

    Shapes: images (V B, 3, H, W), those of one view after those of the other, partners int64 (V B,), blend (V B,); to
    logits (B, C) and, by name, what is needed.
    """

    def __init__(self, model: ImageClassifier, needs: Collection[str] = (), views: int = 1) -> None:
        super().__init__()
        self.model, self.needs, self.views = model, needs, views

    def forward(
        self, images: Tensor, partners: Tensor | None = None, blend: Tensor | None = None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        features = self.model.backbone(images)
        if partners is not None and blend is not None:
            others = features.index_select(0, partners)
            features = torch.lerp(others, features, blend[:, None].to(features.dtype))
        images_of_a_view = len(features) // self.views
        beside = {"features": features[:images_of_a_view]} if "features" in self.needs else {}
        if "classifier" in self.needs:
            beside["classifier"] = cast(Tensor, self.model.head.weight)
        if "view_features" in self.needs:
            beside["view_features"] = features.unflatten(0, (self.views, -1)).transpose(0, 1)
        if "experts" not in self.needs:
            logits = self.model.classify(features)
            if "view_logits" in self.needs:
                beside["view_logits"] = logits.unflatten(0, (self.views, -1)).transpose(0, 1)
            return logits[:images_of_a_view], beside
        each = self.model.classify_each(features)
        return cast(ExpertHeads, self.model.head).combined(each), {**beside, "experts": each}


class WithoutMemory(TorchFunctionMode):
    """A context in which the weights of a new model are on the meta device, where they take no memory and no time.

    Numbers that a model computes with while it is built, as RegNets compute their widths, stay on the CPU. That is the
    difference to `torch.device("meta")`.
    """

    MAKE_WEIGHTS = frozenset((torch.empty, torch.zeros, torch.ones, torch.rand, torch.randn, torch.full))
    # What draws or sets the first values of weights. There are none here, and PyTorch takes longer to do nothing on the
    # meta device than to fill small weights in memory.
    FILL_WEIGHTS = frozenset(("zero_", "fill_", "normal_", "uniform_", "erfinv_", "mul_", "add_", "clamp_"))

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        filled = next(iter((*args, *(kwargs or {}).values())), None)
        fills = getattr(func, "__module__", "") == "torch.nn.init" or func.__name__ in self.FILL_WEIGHTS
        if fills and isinstance(filled, Tensor) and filled.is_meta:
            return filled
        place = {"device": "meta"} if func in self.MAKE_WEIGHTS else {}
        return func(*args, **{**(kwargs or {}), **place})


def check_size(model: ImageClassifier, name: str, image_size: int) -> None:
    """Try one image, since many architectures learn only then that they cannot take its size.

    Nothing that a later result depends on changes: no random number is drawn, and no mean of a norm moves.

    Args:
        model: on the CPU or on the meta device, in any mode, which it keeps.
        name: its name, for the error.
        image_size: height and width of the images, in pixels.

    Raises:
        ValueError: the model cannot take images of that size.
    """
    modes = [(module, module.training) for module in model.modules()]
    device = next((parameter.device for parameter in model.parameters()), None)
    try:
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            model.eval()(torch.zeros(1, 3, image_size, image_size, device=device))
    except NotImplementedError:
        # PyTorch raises this where a model computes with values, since tensors on the meta device have none. The job
        # tries such a model with memory, and tells whether it takes the size.
        if device != torch.device("meta"):
            raise
    except (RuntimeError, AssertionError, ValueError, IndexError, ZeroDivisionError, TypeError) as error:
        facts = getattr(model.backbone, "pretrained_cfg", None) or {}
        made_for = f" It is made for {facts['input_size'][-1]} px." if "input_size" in facts else ""
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise ValueError(
            f"{name} cannot take images of {image_size} x {image_size} px ({reason}).{made_for} "
            "Set another image_size in train, or in models.NAME.train for this model alone"
        ) from error
    finally:
        for module, training in modes:
            module.training = training
