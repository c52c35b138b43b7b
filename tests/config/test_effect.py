"""Settings that are written and do nothing are told, and no others."""

from pathlib import Path

import pytest

from longtail.config.load import load_config, load_files

CONFIGURATIONS = sorted((Path(__file__).parents[2] / "config").glob("*.yaml"))
GRID = {"models": ["resnet8", "resnet20"], "losses": ["softmax", "focal"]}
UNTRAINED = {"resnet8": {"pretrained": False}, "resnet20": {"pretrained": False}}


def told(mapping):
    return load_config({"grid": GRID, "models": UNTRAINED, **mapping}).warnings


@pytest.mark.parametrize(
    ("mapping", "sentence"),
    [
        ({"train": {"augment_magnitude": 5}}, "augment_magnitude has no effect, since augment is null"),
        (
            {"train": {"augment": "trivial", "augment_operations": 3}},
            "since augment is trivial; it acts with augment: rand",
        ),
        (
            {"train": {"momentum": 0.5}},
            "train.momentum has no effect, since optimizer is adam; it acts with optimizer: sgd",
        ),
        ({"train": {"milestones": [10]}}, "train.milestones has no effect, since schedule is step"),
        ({"train": {"schedule": "cosine", "gamma": 0.5}}, "acts with schedule: step or multistep"),
        ({"train": {"schedule": "cosine", "step_size": 5}}, "train.step_size has no effect"),
        ({"train": {"lora_rank": 8}}, "train.lora_rank has no effect, since tune is all"),
        ({"train": {"calibrate": False, "false_rejection": 0.1}}, "since calibrate is false"),
        ({"losses": {"focal": {"train": {"momentum": 0.5}}}}, "losses.focal.train.momentum has no effect"),
        (
            {"models": {**UNTRAINED, "resnet8": {"pretrained": False, "train": {"lora_rank": 2}}}},
            "models.resnet8.train.lora_rank has no effect",
        ),
        (
            {"predict": {"expand": 8}},
            "predict.expand has no effect, since crops is null; it acts with crops: five or ten",
        ),
        ({"data": {"group_limits": [50, 10]}}, "data.group_limits has no effect, since groups is thirds"),
        (
            {"data": {"image_folder": {"path": "photos"}}},
            "data.image_folder has no effect, since data.source is cifar100",
        ),
        ({"data": {"cifar10": {"url": "https://host/a"}}}, "data.cifar10 has no effect"),
        (
            {"data": {"source": "image_folder", "image_folder": {"path": "photos", "merged_name": "rest"}}},
            "data.image_folder.merged_name has no effect, since small_classes is error",
        ),
        (
            {"data": {"source": "image_folder", "image_folder": {"path": "photos"}, "imbalance_factor": 0.1}},
            "data.imbalance_factor has no effect, since the classes of image_folder keep their sizes",
        ),
        ({"losses": {"ldam": {"s": 20}}}, "losses.ldam has no effect, since grid.losses names another"),
        (
            {"losses": {"ldam": {"s": 20}, "cdt": {}}},
            "losses.ldam, losses.cdt have no effect, since grid.losses names others",
        ),
        ({"models": {**UNTRAINED, "resnet32": {"pretrained": False}}}, "models.resnet32 has no effect"),
        (
            {"models": {**UNTRAINED, "resnet8": {"pretrained": False, "weights": "https://host/a"}}},
            "models.resnet8.weights has no effect, since models.resnet8.pretrained is false",
        ),
        ({"statistics": {"reference": "ldam"}}, "losses are compared with softmax"),
    ],
)
def test_a_setting_that_does_nothing_is_told_once(mapping, sentence):
    assert sum(sentence in warning for warning in told(mapping)) == 1, told(mapping)
    assert len(told(mapping)) == 1


@pytest.mark.parametrize(
    "mapping",
    [
        {},
        {
            "train": {"augment_magnitude": 9, "momentum": 0.9, "step_size": 30, "schedule": "cosine"}
        },  # its defaults
        {"train": {"augment": "rand", "augment_magnitude": 5}},
        {
            "train": {"momentum": 0.5},
            "losses": {"focal": {"train": {"optimizer": "sgd"}}},
        },  # one of the losses uses it
        {
            "grid": {"models": ["vit_b16", "resnet8"]},
            "train": {"lora_rank": 2},
            "models": {"vit_b16": {"train": {"tune": "lora"}}, "resnet8": {"pretrained": False}},
        },
        {"train": {"optimizer": "sgd"}, "losses": {"focal": {"train": {"momentum": 0.5}}}},
        {"losses": {"focal": {"gamma": 3}}, "variants": {"softmax+la": {}, "focal+taunorm": {}}}
        | {"grid": {**GRID, "losses": ["softmax"]}},
        {"grid": {**GRID, "losses": ["crt"]}, "losses": {"softmax": {}}},  # it starts from there
        {"predict": {"crops": "five", "expand": 8}},
        {"data": {"groups": "counts", "group_limits": [50, 10]}},
        {"data": {"source": "image_folder", "image_folder": {"path": "photos"}}},
        {"statistics": {"reference": "focal"}},
    ],
)
def test_a_setting_that_acts_in_one_run_or_is_not_written_is_not_told(mapping):
    assert not [warning for warning in told(mapping) if "no effect" in warning]


@pytest.mark.parametrize("file", CONFIGURATIONS, ids=lambda file: file.name)
def test_no_shipped_configuration_has_a_setting_that_does_nothing(file):
    for files in ([file], [file.with_name("config.yaml"), file]):
        assert not [warning for warning in load_files(files, {}).warnings if "no effect" in warning]
