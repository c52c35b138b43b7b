"""The bootstrap of mean differences, over images and over training seeds."""

from collections.abc import Iterator

import numpy as np

_WEIGHTS = 4_000_000  # resampling weights held at a time: 16 MB


def bootstrap_means(differences: np.ndarray, resamples: int) -> np.ndarray:
    """Means of the differences over resampled seeds and images. The random numbers are always the same.

    Args:
        differences: P x S x N: P comparisons, each of S seeds by N images. All comparisons share the resampled
            images, and each has its own resampled seeds.

    Returns:
        Float, P x resamples.
    """
    comparisons, seeds, images = differences.shape
    rng = np.random.default_rng(0)
    flat = differences.reshape(-1, images).T.astype(np.float32)
    means = np.concatenate([weights @ flat for weights in _image_weights(images, resamples, rng)]) / images
    means = means.reshape(resamples, comparisons, seeds)
    if seeds > 1:
        chosen = rng.integers(seeds, size=means.shape)
        means = np.take_along_axis(means, chosen, axis=2)
    return means.mean(axis=2).T


def _image_weights(images: int, resamples: int, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """How often each image is drawn in each resample: float32, in parts of some resamples x all images."""
    batch = max(1, _WEIGHTS // images)
    for start in range(0, resamples, batch):
        rows = min(batch, resamples - start)
        drawn = rng.integers(images, size=(rows, images)) + images * np.arange(rows)[:, None]
        yield np.bincount(drawn.ravel(), minlength=rows * images).reshape(rows, images).astype(np.float32)
