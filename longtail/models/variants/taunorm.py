"""Tau-normalisation, which gives the classifier's weight vectors more equal lengths."""

from torch import Tensor

NO_COSINE = "normalises its weights already"
CORRECTS_LOGITS = False
SETTINGS = ("tau",)
IMAGES = None
EXPERTS = False


def change(
    weight: Tensor, bias: Tensor, class_counts: Tensor, tau: float, logit_scale: float
) -> tuple[Tensor, Tensor]:
    """Divide each class's weight vector by its length to the power of tau, and drop the biases.

    After a long training, the vectors of classes with many images are longer, so equal lengths lift rare classes.
    tau = 1 makes all lengths one, and tau = 0 leaves them as they are. The authors choose tau on validation images, as
    `tau: validation` does. A weight vector of length zero stays. `class_counts` and `logit_scale` are not needed.

    Source: Kang et al., Decoupling Representation and Classifier for Long-Tailed Recognition, ICLR 2020, equation 3;
    they drop the biases too.

    Shapes: weight (C, F) and bias (C,) float64; returns weight and bias.
    """
    lengths = weight.norm(dim=1, keepdim=True)
    lengths = lengths.where(lengths > 0, 1.0)
    return weight / lengths**tau, bias * 0
