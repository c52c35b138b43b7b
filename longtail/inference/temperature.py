"""What the validation images say of a trained model: the temperature, after which its confidence says how often the
model is right, and from which score on a picture shows a known class."""

import math
from dataclasses import replace

import numpy as np
import torch
from scipy.special import softmax

from longtail.data.tensors.shards import ShardedImages
from longtail.inference.logits import logits_of
from longtail.inference.unknown import known_scores, known_threshold
from longtail.models.card import ModelCard
from longtail.models.classifier import ImageClassifier

LEAST, MOST = 0.01, 100.0
"""The temperatures that are tried."""


def fit_temperature(logits: np.ndarray, labels: np.ndarray) -> float:
    """The temperature T at which softmax(logits / T) has the least cross-entropy. It changes no prediction.

    Source: Guo et al., On Calibration of Modern Neural Networks, ICML 2017, section 4.2. The cross-entropy is convex
    in 1 / T, so its minimum is where the derivative is zero: where the mean logit under the softmax is the mean
    logit of the labels.

    Args:
        logits: N x C, for images that the model was not trained on.
        labels: integers, N.

    Raises:
        ValueError: no T from 0.01 to 100 is the best one. Either every image is recognised, so that no confidence would
            be too high, or the logits say so little about the labels that no confidence would be too low.
    """
    from scipy.optimize import brentq  # late, since it takes half a second, and not every run is calibrated

    logits = np.asarray(logits, dtype=np.float64)
    logits = logits - logits.max(axis=1, keepdims=True)
    of_labels = logits[np.arange(len(labels)), labels].mean()

    def slope(log_inverse: float) -> float:
        expected = (softmax(math.exp(log_inverse) * logits, axis=1) * logits).sum(axis=1).mean()
        return float(expected - of_labels)

    low, high = -math.log(MOST), -math.log(LEAST)
    if slope(high) <= 0:
        raise ValueError(
            "every validation image is recognised, or nearly so; more of them are needed to tell how often the "
            "model is wrong"
        )
    if slope(low) >= 0:
        raise ValueError("on the validation images the model is no better than chance")
    return math.exp(-brentq(slope, low, high, xtol=1e-12))


def calibrated(
    card: ModelCard,
    model: ImageClassifier,
    images: torch.Tensor | ShardedImages,
    labels: torch.Tensor,
    device: torch.device,
    *,
    resident: bool = True,
) -> ModelCard:
    """Add to the card a temperature and the threshold of known pictures. Print why, where these images do not tell one.

    Args:
        model: on `device`; it is left in evaluation mode.
        images: as `logits_of` takes them; the model was not trained on them.
        labels: int64, N.
        resident: as `logits_of` takes it.
    """
    logits = logits_of(model.eval(), images, card, device, resident=resident)
    try:
        temperature = fit_temperature(logits.numpy() * card.logit_scale, labels.cpu().numpy())
    except ValueError as error:
        print(f"not calibrated: {error}", flush=True)
    else:
        print(f"calibrated: temperature {temperature:.3f}", flush=True)
        card = replace(card, temperature=temperature)
    if (rate := card.recipe.get("false_rejection")) is None:
        return card
    try:
        threshold = known_threshold(known_scores(logits, card), rate)
    except ValueError as error:
        print(f"unknown pictures are not told: {error}", flush=True)
        return card
    print(f"unknown below {threshold:.3f}, which rejects {rate:.1%} of pictures of known classes", flush=True)
    return replace(card, known_from=threshold)
