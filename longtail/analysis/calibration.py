"""The calibration of a model: how far its confidence lies from its accuracy."""

import numpy as np
import pandas as pd

BLOCK = 1 << 16
"""How many logits are converted to float64 at once: few, so that they stay in the cache of the processor."""
EXACT = 200


def confidences(logits: np.ndarray, scale: float) -> np.ndarray:
    """The probability of the predicted class, of softmax(scale * logits): float64, N, from logits of shape N x C."""
    found = np.empty(len(logits))
    images = max(BLOCK // logits.shape[1], 1)
    for first in range(0, len(logits), images):
        part = logits[first : first + images].astype(np.float64)
        below = scale * (part - part.max(axis=1, keepdims=True))
        found[first : first + images] = 1 / np.exp(below).sum(axis=1)
    return found


def reliability(confidence: np.ndarray, correct: np.ndarray, bins: int = 15) -> pd.DataFrame:
    """Confidence and accuracy of the images in each of `bins` equally wide bins of confidence.

    A bin includes its upper edge, not its lower one. A bin without images has no row.

    Source: Guo et al., On Calibration of Modern Neural Networks, ICML 2017, section 2.

    Args:
        confidence: probability of the predicted class, in (0, 1], shape (N,).
        correct: whether the prediction is right, bool, shape (N,).

    Returns:
        One row per bin, ascending: confidence and accuracy (means, fractions), n (images).
    """
    _, places, images = np.unique(np.ceil(confidence * bins), return_inverse=True, return_counts=True)
    means = pd.Series(confidence).groupby(places).mean().to_numpy()
    right = np.bincount(places, weights=correct, minlength=len(images))
    return pd.DataFrame({"confidence": means, "accuracy": right / images, "n": images})


def expected_calibration_error(confidence: np.ndarray, correct: np.ndarray, bins: int = 15) -> float:
    """Mean over the images of the gap between accuracy and confidence in their bin; NaN without images.

    Few images make it large by chance alone: `calibration_error_by_chance` says how large.
    Arguments and source as for `reliability`.
    """
    means, accuracies, images = reliability(confidence, correct, bins).to_numpy(float).T
    gaps = np.abs(accuracies - means)
    return float((gaps * images).sum() / images.sum()) if len(images) else float("nan")


def calibration_error_by_chance(confidence: np.ndarray, bins: int = 15) -> float:
    """The expected calibration error that a perfectly calibrated model with this confidence has on average.

    Each prediction is then right with its own confidence. The number of right ones in a bin is a sum of such chances;
    its mean distance from its mean is computed exactly, and for more than `EXACT` images from the normal distribution.
    NaN without images.
    """
    edges = np.ceil(confidence * bins)
    gaps = [_mean_distance(confidence[edges == edge]) for edge in np.unique(edges)]
    return float(sum(gaps) / len(confidence)) if len(confidence) else float("nan")


def _mean_distance(chances: np.ndarray) -> float:
    """How far the number of successes lies from its mean on average, with a chance of its own for each trial."""
    if len(chances) > EXACT:
        return float(np.sqrt(2 / np.pi * np.sum(chances * (1 - chances))))
    distribution = np.ones(1)
    for chance in chances:
        distribution = np.convolve(distribution, [1 - chance, chance])
    return float(np.abs(np.arange(len(distribution)) - chances.sum()) @ distribution)
