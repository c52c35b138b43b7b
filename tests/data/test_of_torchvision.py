"""Data sets of torchvision, made small and without the network."""

import struct
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from programs import run_program
from torchvision import datasets

from longtail.config.load import ConfigError, load_config
from longtail.data.sources import of_torchvision
from longtail.data.sources.of_torchvision import SOURCES, load_images
from longtail.data.sources.table import known_sources
from longtail.data.split.official import official_split
from longtail.data.tensors.files import LabelledImages, load_tensors, save_tensors
from longtail.data.tensors.selection import select_set
from longtail.experiment.jobs import Experiment
from longtail.experiment.keys import Keys

DRAWN = np.random.default_rng(1)


@pytest.fixture
def fashion(tmp_path):
    """The files of Fashion-MNIST with 30 images to train on and 20 to test, and their pixels and labels."""
    raw = tmp_path / "FashionMNIST/raw"
    raw.mkdir(parents=True)
    found = {}
    for part, count in (("train", 30), ("t10k", 20)):
        images = DRAWN.integers(0, 256, (count, 28, 28), dtype=np.uint8)
        labels = (np.arange(count) % 10).astype(np.uint8)
        head = struct.pack(">4B3I", 0, 0, 8, 3, count, 28, 28)
        (raw / f"{part}-images-idx3-ubyte").write_bytes(head + images.tobytes())
        (raw / f"{part}-labels-idx1-ubyte").write_bytes(
            struct.pack(">4BI", 0, 0, 8, 1, count) + labels.tobytes()
        )
        found[part] = images, labels
    return tmp_path, found


def test_images_of_one_size_stay_as_they_are_and_the_test_images_are_the_official_ones(fashion, tmp_path):
    folder, found = fashion
    out = tmp_path / "images.pth"
    run_program("images", "--folder", folder, settings={"source": "torchvision/FashionMNIST"}, output=out)
    data = load_tensors(out)
    expected = np.concatenate([found[part][0] for part in ("train", "t10k")])
    assert torch.equal(data.images, torch.from_numpy(expected)[:, None].expand(-1, 3, -1, -1))
    assert data.labels.tolist() == [*(np.arange(30) % 10), *(np.arange(20) % 10)]
    assert data.official_subset == ["train"] * 30 + ["test"] * 20
    assert data.class_names[:2] == ["T-shirt/top", "Trouser"] and data.image_ids.tolist() == list(range(50))


def test_images_of_several_sizes_are_stretched(tmp_path):
    for name in ("AnnualCrop", "Forest"):
        (tmp_path / f"eurosat/2750/{name}").mkdir(parents=True)
        for side in (40, 64):
            Image.new("RGB", (side, 30), "red").save(tmp_path / f"eurosat/2750/{name}/{side}.jpg")
    data = load_images("EuroSAT", tmp_path)
    assert data.images.shape == (4, 3, 64, 64) and data.official_subset is None
    assert data.class_names == ["AnnualCrop", "Forest"] and data.labels.tolist() == [0, 0, 1, 1]
    assert data.images[:, 0].float().mean() > 250


def test_a_set_that_is_not_there_and_cannot_be_fetched_says_what_to_do(tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise RuntimeError("Error downloading x.gz")

    monkeypatch.setattr(datasets.MNIST, "download", refuse)
    with pytest.raises(
        ValueError, match=r"torchvision/MNIST could not be fetched \(Error downloading x.gz\). Connect"
    ):
        load_images("MNIST", tmp_path / "new")
    with pytest.raises(
        ValueError, match="torchvision/ImageNet is not known; choose one of torchvision/Country211"
    ):
        load_images("ImageNet", tmp_path)


@pytest.mark.parametrize("name", SOURCES)
def test_each_set_is_one_that_torchvision_has_and_can_be_told_to_fetch(name, tmp_path, monkeypatch):
    told = []
    own = name.partition("/")[2]

    def noted(folder, **words):
        told.append(words)
        raise RuntimeError("no network")

    real = getattr(datasets, own)
    train, test = of_torchvision._SPLITS[own]
    monkeypatch.setattr(datasets, own, noted)
    with pytest.raises(ValueError, match="could not be fetched"):
        load_images(own, tmp_path)
    assert told == [{"download": True, **train[0]}]
    for words in (*train, *([test] if test else [])):
        if "train" in words:
            continue  # Python itself would refuse the word
        allowed = getattr(real, "_split_folder_from_arg", None) or real.__init__.__doc__ or real.__doc__
        assert not words or str(words["split"]) in str(allowed) + str(real.__doc__)
    assert known_sources()[name].test_images > 0 or test is None


def test_a_configuration_plans_without_the_files():
    large = {"train_per_class": 400, "test_per_class": 50}
    config = load_config({"data": {"source": "torchvision/Food101", **large}})
    experiment = Experiment(config)
    assert experiment.images_settings() == {"source": "torchvision/Food101", "size": 224}
    assert sum(config.data.training_counts()) > 101 and len(Keys(experiment).images()) == 20
    small = Experiment(load_config({"data": {"source": "torchvision/SVHN", **large}}))
    assert small.images_settings() == {"source": "torchvision/SVHN"}
    assert known_sources()["torchvision/SVHN"].size == 32
    with pytest.raises(ConfigError, match="torchvision/Flowers102 has 20"):
        load_config({"data": {"source": "torchvision/Flowers102", **large}})
    with pytest.raises(ConfigError, match=r"data\.source: found 'torchvision/CIFAR10'"):
        load_config({"data": {"source": "torchvision/CIFAR10"}})


def test_natural_counts_are_those_of_the_set_as_it_is(tmp_path):
    labels = torch.tensor([0] * 9 + [1] * 5 + [0] * 3 + [1] * 2)
    data = LabelledImages(
        torch.zeros(19, 3, 8, 8, dtype=torch.uint8),
        labels,
        torch.arange(19),
        ["a", "b"],
        ["train"] * 14 + ["test"] * 5,
    )
    save_tensors(data, tmp_path / "images.pth")
    run_program(
        "natural_split",
        images=tmp_path / "images.pth",
        settings={"seed": 1, "test_per_class": None},
        output=tmp_path / "sets.parquet",
    )
    sets = pd.read_parquet(tmp_path / "sets.parquet")
    for name, counts in {
        "train_longtailed": [9, 5],
        "test_longtailed": [3, 2],
        "train_balanced": [5, 5],
        "test_balanced": [2, 2],
        "val": [3, 2],
    }.items():
        assert torch.bincount(select_set(data, sets, name).labels).tolist() == counts
    drawn = official_split(data, test_per_class=2, seed=1)
    counted = pd.crosstab(drawn["subset"], drawn["label"])
    assert counted.loc[["train", "test", "val"]].to_numpy().tolist() == [[7, 3], [2, 2], [3, 2]]
    alone = official_split(replace(data, official_subset=None), test_per_class=2, seed=1)
    counted = pd.crosstab(alone["subset"], alone["label"])
    assert counted.loc[["train", "test", "val"]].to_numpy().tolist() == [[8, 3], [2, 2], [2, 2]]
    with pytest.raises(ValueError, match=r"class 'b' has 5 images to draw from, but .* 5 needs 6"):
        official_split(data, test_per_class=5, seed=1)
    with pytest.raises(ValueError, match="no test set of its own"):
        official_split(replace(data, official_subset=None), test_per_class=None, seed=1)


def test_a_configuration_with_natural_counts_plans():
    own = {"source": "torchvision/SVHN", "imbalance": "natural", "test_per_class": None}
    config = load_config({"data": own, "train": {"select": "last", "calibrate": False}})
    experiment = Experiment(config)
    assert (experiment.source.split, experiment.test_tensors) == ("natural_split", "test_longtailed")
    assert config.data.training_counts() == [] and len(Keys(experiment).sets()) == 20
    assert not config.warnings
    last = {"select": "last", "calibrate": False}
    (warning,) = load_config({"data": {**own, "train_per_class": 7}, "train": last}).warnings
    assert "data.train_per_class has no effect" in warning
