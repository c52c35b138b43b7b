"""Nearest class mean: an image is of the class whose training images have the nearest mean feature."""

from torch import Tensor, nn
from torch.nn import functional as F

from longtail.models.heads import NearestMean

NO_COSINE = None
CORRECTS_LOGITS = False
SETTINGS = ("features", "distance")
IMAGES = "train"
EXPERTS = False
NEVER = 1e30
"""What is taken off the score of a class without training images, which has no mean; finite, as logits have to be."""


def head(features: Tensor, labels: Tensor, num_classes: int, *, of: str, distance: str) -> nn.Module:
    """A classifier whose logits are minus the squared distances to the class means of these features.

    `cl2n` subtracts the mean of all training images, in which frequent classes weigh more, from every feature, and
    brings it to length one; `l2n` only does the latter; `un` takes features as they are. Means of normalised features
    are shorter than one, the more so the more a class spreads; `euclidean` leaves them so, as the authors' code does,
    and `cosine` normalises them too, as the paper says (distances to vectors of length one rank as their cosines do).
    The code's own option `cos`, a dot product with means of any length, is not here.

    Source: Kang et al., Decoupling Representation and Classifier for Long-Tailed Recognition, ICLR 2020;
    their code's default is `cl2n` with `euclidean`.

    Args:
        features: of all training images, shape (N, F).
        labels: int64, shape (N,).
        of: `cl2n`, `l2n` or `un`.
        distance: `euclidean` or `cosine`.

    Returns:
        The classifier, in float64.

    Raises:
        ValueError: another name.
    """
    if of not in ("cl2n", "l2n", "un") or distance not in ("euclidean", "cosine"):
        raise ValueError(
            f"features are {of!r} and distance {distance!r}; allowed: cl2n, l2n or un, and euclidean or cosine"
        )
    features = features.double()
    centre = features.mean(dim=0) if of == "cl2n" else features.new_zeros(features.shape[1])
    if of != "un":
        features = F.normalize(features - centre, dim=1)
    of_class = F.one_hot(labels, num_classes).double().T
    counts = of_class.sum(dim=1)
    means = of_class @ features / counts.clamp(min=1)[:, None]
    never = NEVER * (counts == 0)
    if distance == "cosine":
        means = F.normalize(means, dim=1)
    if (of, distance) == ("un", "euclidean"):  # without a norm, the distances are linear but for a constant
        built: nn.Module = nn.Linear(features.shape[1], num_classes)
        found = {"weight": 2 * means, "bias": -means.square().sum(dim=1) - never}
    else:
        built = NearestMean(features.shape[1], num_classes)
        found = {"weight": means, "centre": centre, "never": never}
    built.double().load_state_dict(found)
    return built
