"""Small random images, their split, and what it is compared by, for the tests of the data."""

import hashlib
import json
from pathlib import Path

import torch

from longtail.data.split.balanced import assign_subsets
from longtail.data.split.longtailed import add_longtail
from longtail.data.split.sets import with_groups
from longtail.data.tensors.files import LabelledImages

COUNTS = json.loads((Path(__file__).parents[1] / "golden/imbalance_counts.json").read_text())["cases"]

SPLIT = {
    "test_fraction": 0.2,
    "val_fraction": 0.1,
    "min_test_per_class": 3,
    "small_classes": "error",
    "merged_name": "other",
    "seed": 1,
}
"""Arguments of `natural_split`."""


def labelled(counts, *, ids=None, official_subset=None, seed=0):
    """Random images of 2 x 2 pixels, `counts[c]` of class c."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.repeat_interleave(torch.arange(len(counts)), torch.tensor(counts))
    images = torch.randint(0, 256, (len(labels), 3, 2, 2), dtype=torch.uint8, generator=generator)
    ids = torch.arange(len(labels)) if ids is None else ids
    return LabelledImages(images, labels, ids, [f"class {c}" for c in range(len(counts))], official_subset)


def shuffled(data, seed):
    order = torch.randperm(len(data.labels), generator=torch.Generator().manual_seed(seed))
    subset = data.official_subset and [data.official_subset[i] for i in order]
    return LabelledImages(
        data.images[order], data.labels[order], data.image_ids[order], data.class_names, subset
    )


def assert_same(first, second):
    assert torch.equal(first.images, second.images)
    assert torch.equal(first.labels, second.labels)
    assert torch.equal(first.image_ids, second.image_ids)
    assert first.class_names == second.class_names
    assert first.official_subset == second.official_subset


def split_of(data, seed=0, train=3, test=2, factor=0.3):
    subsets = assign_subsets(data, train_per_class=train, test_per_class=test, seed=seed)
    return with_groups(add_longtail(subsets, imbalance_factor=factor, seed=seed), "thirds")


def digest_of(split):
    rows = split[["image_id", "label", "subset", "longtailed", "group"]].to_csv(
        index=False, lineterminator="\n"
    )
    return hashlib.sha256(rows.encode()).hexdigest()
