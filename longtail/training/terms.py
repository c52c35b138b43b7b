"""What a step adds to the loss of a batch. A new one is a class here, and a line in `added_terms`."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from longtail.batches.mixup import Targets
from longtail.machine.numerics import autocast
from longtail.models.classifier import ForLoss
from longtail.models.file import load_model
from longtail.training.settings import RunSettings

Term = Callable[[Tensor, Targets, Tensor], Tensor]
"""It is called with the images of a batch or of a part of it (B, 3, H, W; of several views the first), their targets
and the model's logits (B, C), and gives the sum over these images, a scalar. The step divides it by the images of the
whole batch."""


class Distillation:
    """The divergence of the model's softened answers from those of a trained model, the teacher, to the same images.

    The teacher is in evaluation mode and gets the batch as the model gets it, augmented and mixed; in manifold mixup it
    mixes its own features by the same shares. Nothing in it is trained.

    Source: Hinton et al., Distilling the Knowledge in a Neural Network, 2015, section 2; in long-tailed recognition
    among others Wang et al., RIDE, ICLR 2021.

    Args:
        teacher: its model file.
        class_names: those of the training set, which have to be the teacher's.
        image_size, mean, std: how the batches are prepared, which has to be as the teacher's images were.
        logit_scale: what the model's logits are multiplied with before a softmax.
        temperature, weight: above 0; see `distillation`, whose sum is multiplied by the weight.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the teacher knows other classes, or images that were prepared otherwise.
    """

    def __init__(
        self,
        teacher: str,
        class_names: Sequence[str],
        *,
        image_size: int,
        mean: Sequence[float],
        std: Sequence[float],
        logit_scale: float,
        device: torch.device,
        precision: str,
        temperature: float,
        weight: float,
    ) -> None:
        model, card = load_model(teacher, device)
        if list(class_names) != card.class_names:
            raise ValueError(
                f"{teacher} cannot teach: it was trained on other classes ({len(card.class_names)}: "
                f"{', '.join(card.class_names[:3])}, …) than these ({len(class_names)}: "
                f"{', '.join(class_names[:3])}, …); give a model of the same classes in the same order"
            )
        for name, ours, theirs in (
            ("image_size", image_size, card.image_size),
            ("mean", list(mean), card.mean),
            ("std", list(std), card.std),
        ):
            if ours != theirs:
                raise ValueError(
                    f"{teacher} cannot teach: it was trained with {name} {theirs}, and this run has {ours}; use the "
                    f"same train.{name}"
                )
        self.teacher = ForLoss(model.requires_grad_(False)).eval()
        self.scales = logit_scale, card.logit_scale
        self.device, self.precision = device, precision
        self.temperature, self.weight = temperature, weight

    def __call__(self, images: Tensor, targets: Targets, logits: Tensor) -> Tensor:
        with torch.no_grad(), autocast(self.device, self.precision):
            answers, _ = self.teacher(images, *targets.mixing)
        ours, theirs = self.scales
        return self.weight * distillation(ours * logits, theirs * answers, temperature=self.temperature)


def distillation(logits: Tensor, teacher: Tensor, *, temperature: float) -> Tensor:
    """T^2 times the sum over the images of KL(softmax(teacher / T), softmax(logits / T)), at least in float32.

    The factor T^2 keeps the size of the gradient, whatever T is. For large T the gradient approaches the difference of
    the centred logits, divided by the number of classes.

    Source: Hinton et al., 2015, section 2 and equations 2 to 4, in which this is cross-entropy, whose gradient is the
    same.

    Shapes: logits and teacher (N, C), multiplied by their scales; to a scalar.
    """
    kind = torch.promote_types(logits.dtype, torch.float32)
    wanted = (teacher.to(kind) / temperature).log_softmax(dim=1)
    found = (logits.to(kind) / temperature).log_softmax(dim=1)
    return temperature**2 * F.kl_div(found, wanted, reduction="sum", log_target=True)


def added_terms(
    settings: RunSettings,
    class_names: Sequence[str],
    logit_scale: float,
    device: torch.device,
    precision: str,
    *,
    teacher: str | None,
) -> list[Term]:
    """What the settings of a run add to the loss of each batch, in this order.

    Raises:
        FileNotFoundError, ValueError: as of `Distillation`; the settings and the file of a teacher do not go together.
    """
    if (settings.distill is None) != (teacher is None):
        raise ValueError(
            f"{teacher} is given to learn from, but the settings lack distill"
            if teacher
            else "distillation (distill) needs the model file of its teacher"
        )
    if settings.distill is None or teacher is None:
        return []
    recipe = settings.recipe
    return [
        Distillation(
            teacher,
            class_names,
            image_size=recipe.image_size,
            mean=recipe.mean,
            std=recipe.std,
            logit_scale=logit_scale,
            device=device,
            precision=precision,
            **settings.distill,
        )
    ]
