"""The programs of the data from source to tensor files, and the real archive of CIFAR-100."""

import os

import pytest
import torch
from programs import run_program
from small_images import COUNTS, assert_same, digest_of, split_of

from longtail.data.sources import cifar100, digits
from longtail.data.split.sets import SUBSETS
from longtail.data.tensors.files import load_tensors
from longtail.data.tensors.selection import select_set
from longtail.files.parquet import read_parquet


def test_programs_carry_the_digits_to_tensor_files(tmp_path):
    images, subsets, split = tmp_path / "images.pth", tmp_path / "subsets.parquet", tmp_path / "split.parquet"
    run_program("images", settings={"source": "digits"}, output=images)
    settings = {"train_per_class": 120, "test_per_class": 30, "seed": 42}
    run_program("subsets", images=images, settings=settings, output=subsets)
    settings = {"imbalance_factor": 0.02, "test_imbalance_factor": None, "seed": 42}
    run_program("split", subsets=subsets, settings=settings, output=tmp_path / "sets.parquet")
    settings = {"groups": "thirds", "group_limits": [100, 20]}
    run_program("groups", sets=tmp_path / "sets.parquet", settings=settings, output=split)
    names = SUBSETS[: SUBSETS.index("test_tail") + 1]
    for name in names:
        run_program("tensors", images=images, split=split, subset=name, output=tmp_path / f"{name}.pth")
    loaded = {name: load_tensors(tmp_path / f"{name}.pth") for name in names}
    # 120 * 0.02 ** (i / 9) and 30 * 0.02 ** (i / 9), worked out by hand and truncated.
    assert torch.bincount(loaded["train_longtailed"].labels).tolist() == [120, 77, 50, 32, 21, 13, 8, 5, 3, 2]
    assert torch.bincount(loaded["test_longtailed"].labels).tolist() == [30, 19, 12, 8, 5, 3, 2, 1, 1, 1]
    assert [len(loaded[name].labels) for name in names] == [1200, 331, 297, 300, 82, 61, 16, 5]
    assert read_parquet(split).columns.tolist() == [
        "image_id",
        "label",
        "class_name",
        "subset",
        "longtailed",
        "group",
    ]
    assert_same(loaded["val"], select_set(digits.load_images(), read_parquet(subsets), "val"))
    settings = {"groups": "counts", "group_limits": [100, 20]}
    run_program("groups", sets=tmp_path / "sets.parquet", settings=settings, output=split)
    groups = read_parquet(split).drop_duplicates("label").sort_values("label")["group"].tolist()
    assert groups == ["many"] + ["medium"] * 4 + ["few"] * 5


def test_programs_end_with_one_message(tmp_path):
    missing = tmp_path / "missing"
    for name, options in {
        "images": {"archive": missing, "settings": {"source": "cifar100", "sha256": "0" * 64}},
        "subsets": {
            "images": missing,
            "settings": {"train_per_class": 1, "test_per_class": 1, "seed": 0},
        },
        "split": {"subsets": missing, "settings": {"imbalance_factor": 0.5, "seed": 0}},
        "tensors": {"images": missing, "split": missing, "subset": "val"},
    }.items():
        output = tmp_path / f"output.{'pth' if name in ('images', 'tensors') else 'parquet'}"
        with pytest.raises(SystemExit) as end:
            run_program(name, **options, output=output)
        assert end.value.code.startswith("error: ")
        assert str(missing) in end.value.code
        assert not output.exists()


# -- the real archive


@pytest.fixture(scope="module")
def real():
    archive, sha256 = (os.environ.get(f"LONGTAIL_CIFAR100_{name}") for name in ("ARCHIVE", "SHA256"))
    if not archive or not sha256:
        pytest.skip(
            "LONGTAIL_CIFAR100_ARCHIVE and LONGTAIL_CIFAR100_SHA256 do not name the archive of CIFAR-100"
        )
    data = cifar100.load_images(archive, sha256)
    return data, split_of(data, seed=42, train=450, test=50, factor=0.01)


def test_real_images_are_cifar100s(real):
    data, _ = real
    assert data.images.shape == (60_000, 3, 32, 32)
    assert torch.bincount(data.labels[:50_000]).tolist() == [500] * 100
    assert torch.bincount(data.labels[50_000:]).tolist() == [100] * 100
    assert data.official_subset == ["train"] * 50_000 + ["test"] * 10_000
    assert data.image_ids.tolist() == list(range(60_000))
    assert (data.class_names[0], data.class_names[33], data.class_names[99]) == ("apple", "forest", "worm")
    # Widely published statistics of the training set, here from how often each of the 256 values is there.
    counts = torch.stack(
        [data.images[:50_000, channel].flatten().bincount(minlength=256) for channel in range(3)]
    )
    shares, values = counts / counts.sum(dim=1, keepdim=True), torch.arange(256) / 255
    means = shares @ values
    assert means.tolist() == pytest.approx([0.5071, 0.4865, 0.4409], abs=1e-4)
    spread = (shares @ values**2 - means**2).sqrt()
    assert spread.tolist() == pytest.approx([0.2673, 0.2564, 0.2762], abs=1e-4)


def test_real_split_has_the_published_counts(real):
    _, split = real
    published = {
        "train": next(c for c in COUNTS if (c["largest"], c["imbalance_factor"]) == (450, 0.01)),
        "test": next(c for c in COUNTS if (c["largest"], c["imbalance_factor"]) == (50, 0.01)),
    }
    for subset, largest, total in (("train", 450, 9754), ("test", 50, 1051)):
        rows = split[split["subset"] == subset]
        assert rows["label"].value_counts().sort_index().tolist() == [largest] * 100
        kept = rows[rows["longtailed"]]
        assert kept["label"].value_counts().sort_index().tolist() == published[subset]["counts"]
        assert len(kept) == total
        if subset == "test":
            assert kept["group"].value_counts().to_dict() == {"head": 844, "middle": 169, "tail": 38}
    assert (split["subset"] == "val").sum() == 10_000
    assert split.groupby("group")["label"].agg(["min", "max"]).to_numpy().tolist() == [
        [0, 32],
        [33, 65],
        [66, 99],
    ]


def test_real_subsets_are_disjoint_and_official_test_images_validate(real):
    data, split = real
    assert split["image_id"].is_unique
    assert split["image_id"].tolist() == list(range(60_000))
    assert split.loc[split["subset"] == "val", "image_id"].tolist() == list(range(50_000, 60_000))
    assert not split.loc[split["subset"] == "val", "longtailed"].any()
    pixels = {
        name: {image.tobytes() for image in select_set(data, split, name).images.numpy()}
        for name in ("train_longtailed", "train_balanced", "test_longtailed", "test_balanced")
    }
    assert pixels["train_longtailed"] <= pixels["train_balanced"]
    assert pixels["test_longtailed"] <= pixels["test_balanced"]


def test_real_split_is_pinned(real):
    """Not a truth from outside: a regression pin, of the archive with this hash and the data seed 42."""
    rebuilt = "2d554e9e83c7548394eab9666cd247194aceaa3966fd06af8f86490711046a16"
    if os.environ["LONGTAIL_CIFAR100_SHA256"] != rebuilt:
        pytest.skip(
            "pinned for the rebuilt archive, whose images are in another order than the official ones"
        )
    assert digest_of(real[1]) == "ddcf985de925f3b2d558e1e912a3c8f54fa80efec16cd4eab60ab5624650a117"
