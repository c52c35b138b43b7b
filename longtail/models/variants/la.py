"""Post-hoc logit adjustment, which takes out of the logits what a model learned about the classes' frequencies."""

from torch import Tensor

NO_COSINE = "has no biases to adjust"
CORRECTS_LOGITS = True
SETTINGS = ("tau",)
IMAGES = None
EXPERTS = False


def change(
    weight: Tensor, bias: Tensor, class_counts: Tensor, tau: float, logit_scale: float
) -> tuple[Tensor, Tensor]:
    """Subtract tau ln(n_c / sum n) from the logits, which for a linear classifier is a change of its biases.

    Predictions become argmax_c of s z_c - tau ln pi_c, with s the `logit_scale` of the loss, which the biases are
    divided by as the logits are multiplied with it later. A class with no training images counts as one with a
    single image. On balanced counts no prediction changes.

    Source: Menon et al., Long-Tail Learning via Logit Adjustment, ICLR 2021, equation 9.

    Shapes: weight (C, F) and bias (C,) float64, class_counts (C,) integers; returns weight and bias.
    """
    return weight, bias - tau * log_priors(class_counts) / logit_scale


def log_priors(class_counts: Tensor) -> Tensor:
    """The logarithm of each class's share of the training images, float64 of shape (C,).

    `logits - tau * log_priors(class_counts)` adjusts logits whose softmax gives probabilities. A class with no training
    images counts as one with a single image.
    """
    counts = class_counts.clamp(min=1).double()
    return (counts / counts.sum()).log()
