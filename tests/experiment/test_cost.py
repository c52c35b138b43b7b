"""What training is said to cost."""

import json
from pathlib import Path

import pytest

from longtail.config.load import load_config
from longtail.experiment.cost import (
    MULTIPLY_ADDS,
    Speed,
    assumed_speed,
    images_of,
    images_to_test,
    measured_speeds,
    training,
)
from longtail.experiment.jobs import Experiment
from longtail.experiment.keys import Keys
from longtail.files.sealed_json import seal


def test_images_are_those_of_the_experiment():
    """The facts of the thesis: 450 images a class, 9,754 long-tailed ones, the 10,000 test images for validation."""
    assert images_of(load_config({})) == {"balanced": 45_000, "longtailed": 9_754, "val": 10_000}


def test_the_original_test_set_validates_where_it_is_what_tests():
    config = load_config({"data": {"test_per_class": None}, "train": {"select": "last", "calibrate": False}})
    assert images_of(config)["val"] == 10_000


def test_tested_images_are_those_of_the_thesis():
    expected = {"balanced": 5000, "longtailed": 1051, "head": 844, "middle": 169, "tail": 38}
    assert images_to_test(load_config({})) == expected
    # More than 100 of 450 * 0.01 ** (i / 99) images have the 33 head classes, and fewer than 20 the tail but for its
    # first class, which has two test images.
    by_counts = {"balanced": 5000, "longtailed": 1051, "many": 844, "medium": 169 + 2, "few": 38 - 2}
    assert images_to_test(load_config({"data": {"groups": "counts"}})) == by_counts
    config = load_config({"data": {"source": "lists", "lists": {"train": "train.txt"}}})
    assert images_to_test(config) is None


def test_a_collection_is_counted_by_its_files_until_it_is_divided(tmp_path):
    for name, count in (("ape", 40), ("bee", 10)):
        (tmp_path / "c" / name).mkdir(parents=True)
        for number in range(count):
            (tmp_path / "c" / name / f"{number}.jpg").write_bytes(b"")
    data = {"source": "image_folder", "image_folder": {"path": str(tmp_path / "c"), "size": 8}}
    config = load_config({"data": data, "paths": {"results": str(tmp_path / "results")}})
    # A fifth is tested on and a tenth validates; the balanced set has as many of each class as the smallest.
    assert images_of(config) == {"balanced": 14, "longtailed": 35, "val": 5}


def test_the_full_experiment_trains_on_138_million_images():
    experiment = Experiment(load_config({}))
    works = training(experiment.runs, Keys(experiment), images_of(experiment.config), {})
    assert sum(work.runs for work in works.values()) == 56
    assert round(sum(work.images for work in works.values()) / 1e6) == 138
    assert all(work.seconds is None for work in works.values())


@pytest.mark.parametrize(("loss", "views"), [("softmax", 1), ("bcl", 3)])
def test_seconds_are_epochs_of_training_images_and_a_third_of_the_validation_images(loss, views):
    config = load_config({"seeds": [1], "grid": {"models": ["mobilenetv2"], "losses": [loss]}})
    experiment = Experiment(config)
    speeds = {("mobilenetv2", 224): Speed(100.0, "measured")}
    (work,) = training(
        experiment.runs, Keys(experiment), {"balanced": 300, "longtailed": 60, "val": 30}, speeds
    ).values()
    assert work.seconds == pytest.approx(90 * (views * 300 + 10 + views * 60 + 10) / 100)
    assert work.longest == pytest.approx(90 * (views * 300 + 10) / 100)


def test_only_epochs_with_a_validation_cost_one():
    changes = {
        "seeds": [1],
        "grid": {"train_sets": ["longtailed"], "models": ["mobilenetv2"], "losses": ["softmax"]},
    }
    experiment = Experiment(
        load_config(changes | {"train": {"epochs": 10, "validate_every": 4, "step_size": 4}})
    )
    images, speeds = {"longtailed": 60, "val": 30}, {("mobilenetv2", 224): Speed(100.0, "measured")}
    (work,) = training(experiment.runs, Keys(experiment), images, speeds).values()
    assert work.seconds == pytest.approx((10 * 60 + 3 * 10) / 100)  # after epochs 4, 8 and 10


def test_epochs_that_an_unfinished_run_has_behind_it_count_only_where_it_is_forced(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config = load_config(
        {"grid": {"train_sets": ["balanced"], "models": ["mobilenetv2"], "losses": ["softmax"]}}
    )
    experiment = Experiment(config)
    state = Path(Keys(experiment).state_folder(experiment.runs[0]))
    state.mkdir(parents=True)
    (state / "progress.json").write_text(json.dumps({"epoch": 80}))
    for anew, epochs in (((), 10), (experiment.runs, 90)):
        images = {"balanced": 7, "val": 0}
        (work,) = training(experiment.runs, Keys(experiment), images, {}, anew=anew).values()
        assert work.images == epochs * 7


@pytest.mark.parametrize(
    "odd", ['{"epoch": "80"}', '{"epoch": -1}', '{"epoch": 10000}', "{}", "[]", "", "[" * 100_000, "9" * 5000]
)
def test_an_odd_note_of_the_progress_is_named_and_does_not_count(tmp_path, monkeypatch, capsys, odd):
    monkeypatch.chdir(tmp_path)
    config = load_config(
        {"grid": {"train_sets": ["balanced"], "models": ["mobilenetv2"], "losses": ["softmax"]}}
    )
    experiment = Experiment(config)
    state = Path(Keys(experiment).state_folder(experiment.runs[0]))
    state.mkdir(parents=True)
    (state / "progress.json").write_text(odd)
    (work,) = training(experiment.runs, Keys(experiment), {"balanced": 7, "val": 0}, {}).values()
    assert work.images == 90 * 7
    assert f"{experiment.runs[0]} counts from its first epoch" in capsys.readouterr().err


def test_speeds_are_the_medians_of_the_runs_of_a_model_and_size_on_that_kind_of_device(tmp_path):
    def record(seed, speeds, **changes):
        path = tmp_path / f"balanced/m/softmax/seed{seed}/run.json"
        path.parent.mkdir(parents=True)
        settings = {"architecture": "resnet8", "recipe": {"image_size": changes.pop("size", 32)}}
        settings["loss"] = changes.pop("loss", "softmax")
        epochs = [{"train_images_per_second": speed} for speed in speeds]
        content = {
            **MEASURED,
            "settings": settings,
            "epochs": epochs,
            "device": "A GPU",
            "device_type": "cuda",
        }
        content |= changes
        path.write_text(seal(content))

    record(1, [1.0, 100.0, 110.0])
    record(2, [300.0])
    record(3, [3.0], size=64, loss="bcl")  # three views of each image
    record(4, [5.0], device_type="cpu", device="A CPU")
    speeds = measured_speeds(tmp_path, "cuda")
    assert speeds[("resnet8", 32)] == (200.0, "measured: 2 runs on A GPU")
    assert speeds[("resnet8", 64)] == (9.0, "measured: 1 run on A GPU")
    assert set(speeds) == {("resnet8", 32), ("resnet8", 64)}


MEASURED = {"seconds": 9.0, "peak_memory_mb": 5.0}
ODD_RECORDS = [
    "{}",
    "[]",
    "not JSON",
    "[" * 100_000,
    seal({"device_type": "cuda"}),
    seal({"device_type": "cuda", "settings": 3}),
    seal({"device_type": "cuda", "settings": {"architecture": [], "recipe": {"image_size": 32}}}),
    *(
        seal(
            {
                **MEASURED,
                "device_type": "cuda",
                "device": "A GPU",
                "settings": {"architecture": "resnet8", "recipe": {"image_size": 32}},
                "epochs": epochs,
            }
        )
        for epochs in (
            [],
            5,
            "abc",
            [{}],
            *([{"train_images_per_second": odd}] for odd in (0, -1, "9", None)),
        )
    ),
]


@pytest.mark.parametrize("odd", ODD_RECORDS, ids=range(len(ODD_RECORDS)))
def test_an_odd_record_is_named_and_the_other_runs_still_count(tmp_path, capsys, odd):
    good = {
        **MEASURED,
        "device_type": "cuda",
        "device": "A GPU",
        "settings": {"architecture": "resnet20", "recipe": {"image_size": 32}},
        "epochs": [{"train_images_per_second": 7.0}],
    }
    for seed, text in ((1, odd), (2, seal(good))):
        path = tmp_path / f"balanced/m/softmax/seed{seed}/run.json"
        path.parent.mkdir(parents=True)
        path.write_text(text)
    assert measured_speeds(tmp_path, "cuda") == {("resnet20", 32): (7.0, "measured: 1 run on A GPU")}
    told = capsys.readouterr().err
    assert "seed1/run.json is no record of a run" in told
    assert "seed2" not in told


@pytest.mark.parametrize("architecture", ["resnet8", "resnet20", "resnet32", "resnet32x4", "resnet110"])
def test_multiply_adds_are_those_that_pytorch_counts(architecture):
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    from longtail.models import build_model

    listed, size = MULTIPLY_ADDS[architecture]
    model = build_model(architecture, num_classes=10, image_size=size).eval()
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(torch.zeros(1, 3, size, size))
    assert counter.get_total_flops() / 2 == pytest.approx(listed, rel=0.02)


def test_an_assumed_speed_falls_with_the_pixels_and_is_not_made_up_for_unlisted_models():
    large, small = (assumed_speed("vit_b16", size, "cuda").images_per_second for size in (224, 112))
    assert small == pytest.approx(4 * large)
    assert (
        assumed_speed("resnet8", 32, "cuda").images_per_second
        == assumed_speed("resnet8", 16, "cuda")[0]
        == 2500
    )
    assert assumed_speed("timm/resnet18", 224, "cuda") is None


def test_every_listed_model_has_a_speed_on_a_cpu_that_grows_with_its_cores():
    for name, (_, size) in MULTIPLY_ADDS.items():
        one, four = (assumed_speed(name, size, "cpu", cores).images_per_second for cores in (1, 4))
        assert 0 < one < four == 4 * one
    # As docs/own-images.md tells of 8,730 images of 96 x 96 pixels: six minutes of the processor, with all figures.
    assert 2 < 8730 / assumed_speed("mobilenetv2", 96, "cpu").images_per_second / 60 < 6
