"""Scikit-learn's handwritten digits: 1,797 real images of 10 classes that need no network."""

import torch

from longtail.data.sources.table import Source
from longtail.data.tensors.files import LabelledImages

SOURCE = Source(classes=10, images=1797, title="scikit-learn's digits", paper="alpaydin1998")


def load_images() -> LabelledImages:
    """All digits as RGB images of 8 x 8 pixels.

    The grey values 0 to 16 are stretched to 0 to 255 and repeated for the three channels. There is no official
    test set, and the classes have 174 to 183 images. The image ids are scikit-learn's row numbers.

    Source: E. Alpaydin and C. Kaynak, "Optical Recognition of Handwritten Digits", UCI repository, 1998 (its
    test set), as `sklearn.datasets.load_digits` ships it.
    """
    from sklearn.datasets import load_digits

    digits = load_digits()
    grey = torch.from_numpy(digits.images).mul(255 / 16).round().to(torch.uint8)
    return LabelledImages(
        images=grey[:, None].repeat(1, 3, 1, 1),
        labels=torch.from_numpy(digits.target).to(torch.int64),
        image_ids=torch.arange(len(grey)),
        class_names=[str(name) for name in digits.target_names],
    )
