"""Which labels are probably wrong, by confident learning.

Source: Northcutt, Jiang & Chuang, Confident Learning: Estimating Uncertainty in Dataset Labels, Journal of Artificial
Intelligence Research 70, 2021, section 3. A class that a model is seldom sure of has a low threshold of its own, so
rare classes are not taken for mistakes only because a model prefers frequent ones.

The probabilities have to be of images that the model was not trained on, or it repeats the labels that it learned.
"""

import numpy as np
import pandas as pd


def thresholds(probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """The mean probability of each class over the images with its label (equation 2); infinite without any.

    Args:
        probabilities: N x C, each row adds up to 1.
        labels: integers, N.
    """
    own = probabilities[np.arange(len(labels)), labels]
    counts = np.bincount(labels, minlength=probabilities.shape[1])
    sums = np.bincount(labels, own, minlength=probabilities.shape[1])
    return np.divide(sums, counts, out=np.full(len(counts), np.inf), where=counts > 0)


def confident_classes(probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """The most probable of the classes whose threshold an image reaches (equation 1), int64, N; -1 without any."""
    # The mean of one number may differ from it in its last digit, and a single image reaches its own threshold.
    reached = probabilities >= thresholds(probabilities, labels) - 1e-12
    best = np.where(reached, probabilities, -1.0).argmax(axis=1)
    return np.where(reached.any(axis=1), best, -1)


def joint_counts(probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """How many images of each label (row) are of each class (column), estimated; each row adds up to its images.

    The confident joint, calibrated (equation 3). A label none of whose images is confident is taken to be right.
    """
    classes = probabilities.shape[1]
    found = confident_classes(probabilities, labels)
    joint = np.zeros((classes, classes))
    np.add.at(joint, (labels[found >= 0], found[found >= 0]), 1)
    images, rows = np.bincount(labels, minlength=classes), joint.sum(axis=1)
    joint[rows == 0] = np.eye(classes)[rows == 0]
    return joint / np.maximum(rows, 1)[:, None] * images[:, None]


def suspected(probabilities: np.ndarray, labels: np.ndarray) -> pd.DataFrame:
    """The images off the diagonal of the confident joint, the most probable mistakes first.

    Returns:
        Columns place (in the arrays), suggested (label), probability_given, probability_suggested; ordered by the
        difference of the two (the normalized margin of section 3.2), then by place.
    """
    found = confident_classes(probabilities, labels)
    places = np.flatnonzero((found >= 0) & (found != labels))
    table = pd.DataFrame(
        {
            "place": places,
            "suggested": found[places],
            "probability_given": probabilities[places, labels[places]],
            "probability_suggested": probabilities[places, found[places]],
        }
    )
    margin = table["probability_given"] - table["probability_suggested"]
    order = np.argsort(margin.to_numpy(), kind="stable")
    return table.iloc[order].reset_index(drop=True)
