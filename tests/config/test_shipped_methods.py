"""The shipped configurations, and the README's, against the papers' protocols."""

import re
from pathlib import Path

import pytest
import yaml

from longtail.config.load import Config, load_config
from longtail.data.split.sets import longtailed_counts
from longtail.experiment.jobs import Experiment
from longtail.training.recipe import Recipe

ROOT = Path(__file__).parents[2]


def test_the_published_protocol_is_that_of_the_papers():
    config = load_config(yaml.safe_load((ROOT / "config/cao2019.yaml").read_text()))
    experiment = Experiment(config)
    assert experiment.published_protocol == "cao2019"
    assert not Experiment(Config()).published_protocol
    assert sum(longtailed_counts(500, 100, config.data.imbalance_factor)) == 10_847
    recipe = Recipe.from_settings(experiment.train_settings("resnet32", "ldam_drw")["recipe"])
    # adjust_learning_rate of the authors' cifar_train.py, whose epochs count from 1 there.
    rates = {1: 0.02, 5: 0.1, 6: 0.1, 160: 0.1, 161: 0.001, 180: 0.001, 181: 0.00001, 200: 0.00001}
    for epoch, rate in rates.items():
        assert recipe.learning_rate_in(epoch - 1) == pytest.approx(rate)
    assert int(recipe.drw.start * recipe.epochs) == 160
    assert (recipe.batch_size, recipe.momentum, recipe.weight_decay) == (128, 0.9, 2e-4)


def test_cifar10_is_the_same_protocol_with_its_own_counts_and_weights():
    same, other = (
        yaml.safe_load((ROOT / f"config/{name}.yaml").read_text()) for name in ("cifar10-lt", "cao2019")
    )
    assert same["train"] == other["train"]
    assert set(same["grid"]["losses"]) < set(other["grid"]["losses"])
    experiment = Experiment(load_config(same))
    assert experiment.published_protocol == "cao2019-cifar10"
    assert sum(experiment.config.data.training_counts()) == 12_406
    assert experiment.train_settings("resnet32", "class_balanced")["loss_parameters"]["beta"] == 0.9999
    steps = experiment.config.data.model_copy(update={"imbalance": "step"})
    stepped = Experiment(experiment.config.model_copy(update={"data": steps}))
    assert not stepped.published_protocol
    assert sum(steps.training_counts()) == 25_250


@pytest.mark.parametrize(
    "change",
    [
        {"imbalance": "step"},
        {"imbalance_factor": 0.1},
        {"test_imbalance_factor": 1},
        {"train_per_class": 400},
        {"test_per_class": None},
    ],
)
def test_the_thesis_stands_beside_its_own_images_alone(change):
    assert Experiment(Config()).thesis_data
    data = Config().data.model_copy(update=change)
    assert not Experiment(Config().model_copy(update={"data": data})).thesis_data


def test_what_changes_every_loss_leaves_the_published_protocol():
    own = {
        "data": yaml.safe_load((ROOT / "config/cao2019.yaml").read_text())["data"],
        "grid": {"models": ["resnet32"], "losses": ["softmax"]},
        "models": {"resnet32": {"pretrained": False}},
    }
    last = {"select": "last", "calibrate": False}
    assert Experiment(load_config({**own, "train": last})).published_protocol
    for train in ({"mixup": {}}, {"sampler": "square_root"}, {"drw": {}}):
        assert not Experiment(load_config({**own, "train": last | train})).published_protocol


def test_the_readmes_methods_load():
    text = (ROOT / "README.md").read_text()
    blocks = [yaml.safe_load(block) for block in re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)]
    (block,) = [block for block in blocks if "variants" in block]
    config = load_config(block)
    assert set(config.trained) == set(block["grid"]["losses"])
    assert config.recipe("resnet50", "remix").mixup.remix.kappa == 3


def test_the_modern_recipe_has_a_model_that_is_tuned_as_its_paper_does():
    experiment = Experiment(load_config(yaml.safe_load((ROOT / "config/modern.yaml").read_text())))
    lift = experiment.train_settings("vit_b16_lora", "lift")
    assert (lift["loss"], lift["loss_parameters"]["s"]) == ("logit_adjusted", 25.0)
    assert (lift["head"], lift["head_init"]) == ("cosine", "class_means")
    assert (lift["recipe"]["tune"], lift["recipe"]["augment"]) == ("lora", "trivial")
    assert experiment.train_settings("vit_b16_lora", "crt")["recipe"]["tune"] == "all"
    trained = [run for run in experiment.runs if not experiment.is_variant(run)]
    images = {"balanced": 45_000, "longtailed": sum(longtailed_counts(450, 100, 0.01))}
    seen = sum(
        images[run.train_set] * experiment.train_settings(run.model, run.loss)["recipe"]["epochs"]
        for run in trained
    )
    header = (ROOT / "config/modern.yaml").read_text()
    assert f"{len(trained)} runs" in header and f"{seen / 1e6:.0f} million training images" in header
