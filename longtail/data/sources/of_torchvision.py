"""Labelled data sets of torchvision by name, such as `torchvision/SVHN`; torchvision fetches and checks them."""

from itertools import chain
from pathlib import Path
from typing import Any
from urllib.error import URLError

import numpy as np
import torch

from longtail.data.collection.shape import STRETCHED
from longtail.data.sources.table import Source
from longtail.data.tensors.files import LabelledImages

SOURCES = {
    "torchvision/Country211": Source(classes=211, images=42_200, test_images=21_100, title="Country211"),
    "torchvision/DTD": Source(classes=47, images=3_760, test_images=1_880, title="DTD"),
    "torchvision/EMNIST": Source(
        classes=47, images=112_800, test_images=18_800, title="EMNIST, balanced", size=28
    ),
    "torchvision/EuroSAT": Source(classes=10, images=27_000, title="EuroSAT", size=64),
    "torchvision/FGVCAircraft": Source(classes=100, images=6_667, test_images=3_333, title="FGVC-Aircraft"),
    "torchvision/FashionMNIST": Source(
        classes=10, images=60_000, test_images=10_000, title="Fashion-MNIST", size=28
    ),
    "torchvision/Flowers102": Source(classes=102, images=2_040, test_images=6_149, title="Flowers-102"),
    "torchvision/Food101": Source(classes=101, images=75_750, test_images=25_250, title="Food-101"),
    "torchvision/GTSRB": Source(classes=43, images=26_640, test_images=12_630, title="GTSRB"),
    "torchvision/Imagenette": Source(classes=10, images=9_469, test_images=3_925, title="Imagenette"),
    "torchvision/KMNIST": Source(classes=10, images=60_000, test_images=10_000, title="KMNIST", size=28),
    "torchvision/MNIST": Source(classes=10, images=60_000, test_images=10_000, title="MNIST", size=28),
    "torchvision/OxfordIIITPet": Source(classes=37, images=3_680, test_images=3_669, title="Oxford-IIIT Pet"),
    "torchvision/STL10": Source(classes=10, images=5_000, test_images=8_000, title="STL-10", size=96),
    "torchvision/SUN397": Source(classes=397, images=108_754, title="SUN397"),
    "torchvision/SVHN": Source(classes=10, images=73_257, test_images=26_032, title="SVHN", size=32),
    "torchvision/USPS": Source(classes=10, images=7_291, test_images=2_007, title="USPS", size=16),
}
_BY_TRAIN = ([{"train": True}], {"train": False})
_BY_SPLIT = ([{"split": "train"}], {"split": "test"})
_SPLITS: dict[str, tuple[list[dict[str, Any]], dict[str, Any] | None]] = {
    **dict.fromkeys(("FashionMNIST", "KMNIST", "MNIST", "USPS"), _BY_TRAIN),
    **dict.fromkeys(("Food101", "GTSRB", "STL10", "SVHN"), _BY_SPLIT),
    **dict.fromkeys(("FGVCAircraft", "OxfordIIITPet"), ([{"split": "trainval"}], {"split": "test"})),
    **dict.fromkeys(("DTD", "Flowers102"), ([{"split": "train"}, {"split": "val"}], {"split": "test"})),
    "Country211": ([{"split": "train"}, {"split": "valid"}], {"split": "test"}),
    "EMNIST": ([{"split": "balanced", "train": True}], {"split": "balanced", "train": False}),
    "Imagenette": ([{"split": "train"}], {"split": "val"}),
    **dict.fromkeys(("EuroSAT", "SUN397"), ([{}], None)),
}
"""What torchvision calls the images to train on, and the test images, where there are any.

Not here are the sets that torchvision cannot fetch alone (ImageNet, Caltech), or not with the packages of this project
(PCAM); those without one class an image; and CIFAR, whose archives hold pickles and which this project reads safely."""


def load_images(name: str, folder: str | Path, size: int | None = None) -> LabelledImages:
    """All images of a data set as RGB, those to train on first; torchvision's own test images are the official ones.

    Image ids are the positions in torchvision's order. The classes are called as torchvision calls them, and by their
    numbers where it does not.

    Args:
        name: one of SOURCES after the slash.
        folder: where the files of the set are, or are fetched into.
        size: height and width that images are stretched to, in pixels, unless the source has one.

    Raises:
        ValueError: an unknown name, or the set is not there and cannot be fetched.
    """
    if name not in _SPLITS:
        raise ValueError(f"torchvision/{name} is not known; choose one of {', '.join(SOURCES)}")
    train, test = _SPLITS[name]
    parts = [_opened(name, Path(folder), each) for each in train]
    tested = [_opened(name, Path(folder), test)] if test else []
    side = SOURCES[f"torchvision/{name}"].size or size
    if not side:
        raise ValueError(
            f"the images of torchvision/{name} differ in size; give the size that they are to have"
        )
    counts = [sum(map(len, parts)), sum(map(len, tested))]
    print(
        f"{sum(counts):,} images of {side} x {side} pixels, {3 * side**2 * sum(counts) / 1e9:.2f} GB",
        flush=True,
    )
    images, labels = np.empty((sum(counts), 3, side, side), dtype=np.uint8), []
    pairs = chain.from_iterable((own[place] for place in range(len(own))) for own in (*parts, *tested))
    for place, (picture, label) in enumerate(pairs):
        picture = picture.convert("RGB")
        if picture.size != (side, side):
            picture = STRETCHED.square(picture, side)
        images[place] = np.asarray(picture).transpose(2, 0, 1)
        labels.append(int(label))
    return LabelledImages(
        images=torch.from_numpy(images),
        labels=torch.tensor(labels),
        image_ids=torch.arange(len(labels)),
        class_names=_names(parts[0], max(labels) + 1),
        official_subset=["train"] * counts[0] + ["test"] * counts[1] if test else None,
    )


def _opened(name: str, folder: Path, own: dict[str, Any]) -> Any:
    from torchvision import datasets

    folder.mkdir(parents=True, exist_ok=True)
    try:
        return getattr(datasets, name)(str(folder), download=True, **own)
    except (RuntimeError, URLError, OSError) as error:
        raise ValueError(
            f"torchvision/{name} could not be fetched ({error}). Connect this machine to the network, or copy the "
            f"files that torchvision.datasets.{name}({str(folder)!r}, download=True) fetches elsewhere into {folder}"
        ) from error


def _names(data: Any, classes: int) -> list[str]:
    names = getattr(data, "classes", None) or range(classes)
    return [", ".join(name) if isinstance(name, tuple) else str(name) for name in names]
