"""The calibration of a model: how far its confidence lies from its accuracy."""

import numpy as np
import pandas as pd


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
    frame = pd.DataFrame({"confidence": confidence, "accuracy": np.asarray(correct, dtype=float)})
    grouped = frame.groupby(np.ceil(frame["confidence"] * bins))
    return grouped.mean().assign(n=grouped.size()).reset_index(drop=True)


def expected_calibration_error(confidence: np.ndarray, correct: np.ndarray, bins: int = 15) -> float:
    """Mean over the images of the gap between accuracy and confidence in their bin; NaN without images.

    Few images make it large by chance alone: with 38 images and 15 bins it is far above 0 for a perfect model.
    Arguments and source as for `reliability`.
    """
    table = reliability(confidence, correct, bins)
    images = table["n"].sum()
    gaps = (table["accuracy"] - table["confidence"]).abs()
    return float((gaps * table["n"]).sum() / images) if images else float("nan")
