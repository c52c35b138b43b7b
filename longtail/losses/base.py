"""The base class of all losses: it checks class counts, holds class weights, and reduces over the batch."""

from abc import ABC, abstractmethod
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from longtail.settings import Reduction, checked, unknown

BESIDE = {
    "features": ("what the classifier made the logits of", "N", "F"),
    "experts": ("the logits of each expert", "N", "E", "C"),
    "view_features": ("the features of each view of an image", "N", "V", "F"),
    "view_logits": ("the logits of each view of an image", "N", "V", "C"),
    "classifier": ("the weight vectors of the classifier", "C", "F"),
}
"""What a loss may be computed from besides logits: its meaning, and the axes of its shape."""


class Loss(nn.Module, ABC):
    """A classification loss for long-tailed training sets; subclasses give one value per image.

    A class with no training images counts as one with a single image wherever a formula would divide by zero
    or take its logarithm, so value and gradient stay finite and its images can still be scored. With class
    weights, `weighted_mean` makes a batch's value depend on which classes are in it, so the mean over batches is
    not the value of the whole set.

    Tables per class are float64 buffers that `.to(device)` moves. On devices without float64, such as Apple's, use
    `.to(device, torch.float32)`. The tables are used in the dtype of the logits. Logits of lower precision than
    float32 are converted to float32 first, under autocast too. Nothing is read back to the host and no shape depends
    on data, so a loss works inside CUDA graphs and `torch.compile`.

    Args:
        class_counts: training images per class, integers of shape (C,).
        reduction: with w the class weights and l the losses per image, `weighted_mean` is
            sum(w_y l) / sum(w_y), what torch calls `mean`; `batch_mean` is sum(w_y l) / N.

    A subclass annotates its parameters with types of `longtail.settings`, so they are checked when it is built. The
    configuration reads them from the subclass's file, and with them the first three attributes.

    Attributes:
        default_head: the head that a model gets under this loss where the configuration names none.
        corrects: what the loss does about the imbalance, if that leaves nothing for post-hoc logit adjustment to do.
        no_mixup: why the loss cannot be trained on mixtures of images; None: it can.
        no_parts: why parts of a batch do not add up to its loss; None: they do.
        whole_batch: whether only the whole batch at once gives the value of an image, which depends on the others in
            another way than `of_batch` says. Random numbers, drawn for one image after the other, do not.
        default_experts: the experts that a model gets under this loss where the configuration names no number.
        exact_experts: whether it is for exactly so many.
        views: how each view of an image is made, of which the first gives the logits: names of `VIEWS` of
            `longtail.training.input`.
        mixtures: how the images of each view are mixed with others, kinds of `longtail.batches.mixup.KINDS`: the same
            two images in the same shares in each view. Empty: they are not.
        needs: what it is computed from besides the logits: names of `BESIDE`. `per_sample` gets them as keyword
            arguments of these names, which are None in evaluation mode, where only logits are kept.
        class_counts: int64 buffer of shape (C,).
        class_weight: float64 buffer of shape (C,), ones unless the loss or `set_class_weight` sets it.
        logit_scale: what the logits are multiplied with before a softmax turns them into probabilities.
        generator: where a loss that draws random numbers draws them, on the device of the logits; None is
            torch's default generator.

    Raises:
        ValueError: counts that are no counts, an unknown reduction, or `needs` what nobody gives.
    """

    default_head: ClassVar[Literal["linear", "cosine"]] = "linear"
    corrects: ClassVar[str | None] = None
    no_mixup: ClassVar[str | None] = None
    no_parts: ClassVar[str | None] = None
    whole_batch: ClassVar[bool] = False
    default_experts: ClassVar[int] = 1
    exact_experts: ClassVar[bool] = False
    views: ClassVar[tuple[str, ...]] = ("train",)
    mixtures: ClassVar[tuple[str, ...]] = ()
    needs: ClassVar[
        tuple[Literal["features", "experts", "view_features", "view_logits", "classifier"], ...]
    ] = ()

    class_counts: Tensor
    class_weight: Tensor

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if "__init__" in vars(cls):
            type.__setattr__(cls, "__init__", checked(vars(cls)["__init__"]))

    @checked
    def __init__(self, class_counts: Tensor, *, reduction: Reduction = "weighted_mean"):
        super().__init__()
        for name in self.needs:
            if name not in BESIDE:
                raise ValueError(unknown(f"{type(self).__name__}.needs: {name!r}", name, BESIDE))
        class_counts = check_class_counts(class_counts)
        self.reduction = reduction
        self.logit_scale = 1.0
        self.generator: torch.Generator | None = None
        self.register_buffer("class_counts", class_counts)
        self.register_buffer("class_weight", torch.ones_like(class_counts, dtype=torch.float64))

    @abstractmethod
    def per_sample(self, logits: Tensor, labels: Tensor) -> Tensor:
        """The unweighted loss of each image, shape (N,), in the dtype of the logits (float32 or float64)."""

    def of_batch(self, logits: Tensor, labels: Tensor, dtype: torch.dtype) -> Tensor | None:
        """What the loss of each image has beside `per_sample`, by all images of the batch: a scalar; None: nothing.

        Args:
            logits, labels: as for `forward`.
            dtype: what it is computed in, whatever the logits are, so that they need not all be converted at once.
        """
        return None

    def attach(self, num_features: int) -> None:
        """Called before a training, for a loss with weights of its own that depend on the number of features.

        They are drawn from PyTorch's global generator, trained with those of the model, and kept with the state of the
        run, but not in the model file.
        """

    def begin_epoch(self, epoch: int, epochs: int) -> None:
        """Called before each epoch of a training, for a loss that changes on the way; epochs count from 0."""

    def forward(
        self,
        logits: Tensor,
        labels: Tensor,
        *,
        features: Tensor | None = None,
        experts: Tensor | None = None,
        view_features: Tensor | None = None,
        view_logits: Tensor | None = None,
        classifier: Tensor | None = None,
    ) -> Tensor:
        """The loss of a batch, a scalar in float64 for float64 logits, else in float32.

        Args:
            logits: floating point, shape (N, C).
            labels: class indices, int64, shape (N,); one outside 0 … C-1 raises on the CPU and stops a GPU.
            features: what the classifier made the logits of, shape (N, F), where the loss needs it.
            experts: the logits of each of E experts, shape (N, E, C), where the loss needs them.
            view_features, view_logits: the features and the logits of each of V views of an image, shapes (N, V, F)
                and (N, V, C), where the loss needs them.
            classifier: the weight vectors of the classifier, shape (C, F), where the loss needs them.

        Raises:
            ValueError: shapes that do not fit each other or the number of classes; what the loss needs is missing in
                training mode.
        """
        total = self.total(
            logits,
            labels,
            features=features,
            experts=experts,
            view_features=view_features,
            view_logits=view_logits,
            classifier=classifier,
        )
        return total / self.normalizer(labels).to(total.dtype)

    def total(
        self,
        logits: Tensor,
        labels: Tensor,
        share: Tensor | None = None,
        **beside: Tensor | None,
    ) -> Tensor:
        """The sum of the weighted losses, a scalar: what `forward` divides by `normalizer`.

        A batch may be computed in parts: its loss is the sum of their totals, divided by the normalizer of all its
        labels. This also serves images with two labels each. One part is then the images with their first labels, the
        other the same images with their second labels.

        Args:
            share: how much of its image each label is, shape (N,); None: all.
            beside: the keyword arguments of `forward`.
        """
        losses = self.weighted(logits, labels, **beside)
        return losses.sum() if share is None else (share.to(losses.dtype) * losses).sum()

    def weighted(
        self,
        logits: Tensor,
        labels: Tensor,
        *,
        of_batch: Tensor | None = None,
        **beside: Tensor | None,
    ) -> Tensor:
        """The weighted loss of each image, shape (N,): what `total` sums. Arguments as for `forward`.

        Args:
            of_batch: what the method `of_batch` gives for the batch of which these images are a part; None: they are
                all of it.
            beside: the keyword arguments of `forward`.
        """
        self._check_shapes(logits, labels)
        needed = {name: self._checked(name, beside.get(name), labels) for name in self.needs}
        # A copy, since a loss may work in place, and the caller counts with its own which images were recognised.
        logits = logits.to(torch.promote_types(logits.dtype, torch.float32), copy=True)
        losses = self.per_sample(logits, labels, **needed)
        if of_batch is None:
            of_batch = self.of_batch(logits, labels, logits.dtype)
        return self.class_weight.to(logits.dtype)[labels] * (
            losses if of_batch is None else losses + of_batch
        )

    def normalizer(self, labels: Tensor, share: Tensor | None = None) -> Tensor:
        """The number that divides the total of a batch with these labels: a float64 scalar on their device."""
        weighted = self.reduction == "weighted_mean"
        weight = (self.class_weight if weighted else torch.ones_like(self.class_weight))[labels]
        return (weight if share is None else share.double() * weight).sum()

    def set_class_weight(self, weight: Tensor) -> None:
        """Replace the class weights from here on, as deferred re-weighting does at its epoch.

        The buffer is overwritten in place, so a CUDA graph captured earlier uses the new weights as well. The new
        weights replace the loss's own weights; they are not multiplied with them.

        Args:
            weight: positive numbers, shape (C,), any device; see `longtail.losses.weights`.
        """
        if weight.shape != self.class_weight.shape:
            raise ValueError(
                f"class weights have shape {tuple(weight.shape)}; this loss needs one for each of its "
                f"{len(self.class_weight)} classes"
            )
        if not bool((weight > 0).all() and weight.isfinite().all()):
            raise ValueError(f"class weights must be positive and finite; found {weight.tolist()}")
        self.class_weight.copy_(weight)

    def _checked(self, name: str, given: Tensor | None, labels: Tensor) -> Tensor | None:
        meaning, *axes = BESIDE[name]
        if given is None and self.training:
            raise ValueError(
                f"{type(self).__name__} is computed from {name} besides logits; give {name}=..., {meaning}, shape "
                f"({', '.join(axes)}), or call eval() to score logits alone"
            )
        sizes = {"N": len(labels), "C": len(self.class_counts), "V": len(self.views)}
        if given is not None and (
            given.ndim != len(axes)
            or any(sizes.get(axis, size) != size for axis, size in zip(axes, given.shape, strict=True))
        ):
            raise ValueError(
                f"{name} have shape {tuple(given.shape)} and labels {tuple(labels.shape)}; this loss needs "
                f"({', '.join(axes)}) and (N,), with {sizes['C']} classes"
                + (f" and {sizes['V']} views" if "V" in axes else "")
            )
        return given

    def _check_shapes(self, logits: Tensor, labels: Tensor) -> None:
        classes = len(self.class_counts)
        if logits.ndim != 2 or logits.shape[1] != classes or labels.shape != logits.shape[:1]:
            raise ValueError(
                f"logits have shape {tuple(logits.shape)} and labels {tuple(labels.shape)}; this loss needs "
                f"(N, {classes}) and (N,), one logit for each of its {classes} classes"
            )


def is_label(logits: Tensor, labels: Tensor) -> Tensor:
    """Whether each class is the label of each image: bool, in the shape of the logits, (N, C)."""
    return torch.arange(logits.shape[1], device=logits.device) == labels[:, None]


def no_scalar(value: object) -> str:
    """What a loss has returned instead of a floating point tensor of shape (); empty if it is one."""
    if not isinstance(value, Tensor):
        return repr(value)
    scalar = value.shape == () and value.is_floating_point()
    return "" if scalar else f"{value.dtype} of shape {tuple(value.shape)}"


class ModuleLoss(Loss):
    """Any module with forward(logits, labels) -> scalar, given the interface of a `Loss`.

    The module gets logits of at least float32. It keeps its own weights, so it cannot be re-weighted, and it cannot
    weigh the labels of each image differently, as Remix does. Derive from `Loss` if you need that, or to draw from
    the seeded `generator` instead of torch's default one. If the module has an attribute `logit_scale`, it is used.

    Args:
        class_counts: training images per class, integers of shape (C,).
        module: its value is taken as the mean over the batch.
    """

    whole_batch = True

    def __init__(self, class_counts: Tensor, module: nn.Module):
        super().__init__(class_counts)
        self.module = module
        self.logit_scale = float(getattr(module, "logit_scale", 1.0))

    def per_sample(self, logits: Tensor, labels: Tensor) -> Tensor:
        """The mean over the batch, repeated for each image, shape (N,): the module gives no value of single images."""
        value = self.module(logits, labels)
        if found := no_scalar(value):
            raise ValueError(
                f"{type(self.module).__name__} has to return the mean over the batch, a floating point scalar; it "
                f"returns {found}"
            )
        return value.expand(len(labels))

    def set_class_weight(self, weight: Tensor) -> None:
        """Refuse with a ValueError, because only the module knows how it weighs its images."""
        raise ValueError(
            f"{type(self.module).__name__} cannot be given class weights, as deferred re-weighting (drw) does; "
            "derive it from longtail.losses.base.Loss and implement per_sample(logits, labels)"
        )


def check_class_counts(class_counts: Tensor) -> Tensor:
    """The counts as int64, or a ValueError that says what is wrong with them."""
    if not isinstance(class_counts, Tensor):
        raise ValueError(
            f"class_counts is a {type(class_counts).__name__}; it must be an integer tensor with the number of "
            "training images of each class, such as torch.bincount(labels, minlength=classes)"
        )
    if class_counts.ndim != 1 or class_counts.dtype.is_floating_point or class_counts.dtype.is_complex:
        raise ValueError(
            f"class_counts has shape {tuple(class_counts.shape)} and dtype {class_counts.dtype}; it must be an "
            "integer tensor of shape (C,) with the number of training images of each class"
        )
    if bool((class_counts < 0).any()) or not bool((class_counts > 0).any()):
        raise ValueError(
            f"class_counts must be 0 or more, and above 0 for at least one class; found {class_counts.tolist()}"
        )
    # A copy: the caller's tensor may change later, the loss must not.
    return class_counts.detach().to(torch.int64, copy=True)
