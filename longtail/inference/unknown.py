"""Whether a picture shows a known class at all: the energy of its logits, and the threshold of a trained model."""

import math

import numpy as np
import torch

from longtail.models.card import ModelCard


def known_scores(logits: torch.Tensor, card: ModelCard) -> np.ndarray:
    """How much each picture looks like those of the known classes: float64, N; more is more known.

    It is log(sum(exp(z_c))) over the calibrated logits z, the negative energy. It differs from the probability of the
    best class in that it also sees how large the logits are. Source: Liu et al., Energy-based Out-of-distribution
    Detection, NeurIPS 2020, equation 4, with the temperature 1 on calibrated logits.

    Args:
        logits: float, N x C, as `logits_of` gives them.
    """
    return (logits.double() * card.sharpness).logsumexp(dim=1).numpy()


def known_threshold(scores: np.ndarray, false_rejection: float) -> float:
    """The score below which a picture counts as unknown.

    It is the k-th smallest of n scores, k being the whole part of false_rejection (n + 1). So a picture that is drawn
    like these n is called unknown with a probability of at most `false_rejection`, whatever their distribution. Source:
    Bates et al., Testing for outliers with conformal p-values, Annals of Statistics 2023, equation 2.

    Args:
        scores: `known_scores` of pictures of known classes that the model was not trained on.
        false_rejection: above 0 and below 1.

    Raises:
        ValueError: there are too few scores for so small a share.
    """
    rank = math.floor(false_rejection * (len(scores) + 1) + 1e-9)
    if rank < 1:
        needed = math.ceil(1 / false_rejection - 1e-9) - 1
        raise ValueError(
            f"{len(scores)} validation images cannot show a false rejection of {false_rejection:g}; {needed} can"
        )
    return float(np.sort(scores)[rank - 1])
