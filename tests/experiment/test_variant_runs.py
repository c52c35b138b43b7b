"""Runs of variants and methods: what they start from, and which keys a change moves."""

from pathlib import Path

import torch
from cards import card

from longtail.config.load import Config, load_config
from longtail.experiment.contents import content_hash
from longtail.experiment.jobs import Experiment
from longtail.experiment.keys import Keys
from longtail.experiment.runs import Run
from longtail.models.file import save_model
from longtail.report.labels import label
from longtail.training.recipe import Recipe

ROOT = Path(__file__).parents[2]


def test_crops_are_an_option_of_the_prediction_and_change_its_key_alone():
    plain, five = Experiment(Config()), Experiment(load_config({"predict": {"crops": "five"}}))
    run = plain.runs[0]
    assert plain.predict_settings() == {}
    assert five.predict_settings() == {"crops": "five", "expand": 24}
    keys, other = Keys(plain), Keys(five)
    assert keys.train(run) == other.train(run)
    assert keys.predict(run) != other.predict(run)


VARIED = {
    "grid": {"losses": ["softmax", "crt"], "train_sets": ["longtailed"], "models": ["resnet50"]},
    "variants": {
        "softmax+la": {},
        "strong": {"of": "softmax", "adjust": "la", "tau": 2},
        "focal+taunorm": {},
    },
}


def varied(**changes) -> Experiment:
    return Experiment(load_config(VARIED | changes))


def test_variants_are_shown_like_losses_and_name_their_start():
    experiment = varied()
    assert [run.loss for run in experiment.runs] == [
        "softmax",
        "crt",
        "softmax+la",
        "strong",
        "focal+taunorm",
    ]
    starts = [start and start.loss for start in map(experiment.start, experiment.runs)]
    assert starts == [None, "softmax", "softmax", "softmax", "focal"]
    assert experiment.adjust_settings("strong") == {"adjust": "la", "tau": 2.0}
    assert experiment.loss_settings("focal+taunorm")["loss"] == "focal"
    assert label("softmax+la") == "Softmax + LA"
    assert label("my_loss+taunorm") == "my loss + τ-norm"
    assert label("a+b") == "a+b"


def test_keys_follow_the_start_and_not_the_other_way_round():
    softmax, crt, la, strong, _ = varied().runs
    before, stronger = varied(), varied(variants={**VARIED["variants"], "softmax+la": {"tau": 1.5}})
    longer = varied(losses={"crt": {"train": {"epochs": 7}}})
    other = varied(losses={"softmax": {"train": {"epochs": 7}}})

    def keys(experiment: Experiment) -> dict[Run, str]:
        return {run: Keys(experiment).predict(run) for run in (softmax, crt, la, strong)}

    def changed(experiment: Experiment) -> set[str]:
        return {run.loss for run, key in keys(experiment).items() if key != keys(before)[run]}

    assert changed(stronger) == {"softmax+la"}
    assert changed(longer) == {"crt"}
    assert changed(other) == {"softmax", "crt", "softmax+la", "strong"}


def test_keys_of_students_follow_their_teachers_and_not_the_other_way_round(tmp_path):
    path = tmp_path / "teacher.safetensors"

    def save(seed: int) -> None:
        names = [str(label) for label in range(100)]
        own = card(
            **{"class_names": names, "class_counts": [1] * 100, "image_size": 224, "seed": seed},
            **{name: list(getattr(Recipe(), name)) for name in ("mean", "std")},
        )
        save_model(path, {"head.weight": torch.zeros(100, 1)}, own)

    save(seed=1)
    taught = {
        "student": {"loss": "focal", "distill": {"teacher": "softmax"}},
        "of_variant": {"loss": "focal", "distill": {"teacher": "crt+taunorm"}},
        "of_file": {"loss": "focal", "distill": {"teacher": str(path)}},
    }
    grid = {**VARIED["grid"], "losses": ["softmax", "crt", *taught]}

    def of(losses=None, variants=None, seeds=(42,)) -> Experiment:
        changed = {"losses": {**taught, **(losses or {})}, "variants": {"crt+taunorm": variants or {}}}
        return Experiment(load_config({"grid": grid, "seeds": list(seeds), **changed}))

    def keys(experiment: Experiment) -> dict[str, str]:
        found = Keys(experiment)
        return {run.loss: found.predict(run) for run in experiment.runs if run.seed == 42}

    before = keys(of())

    def stale(experiment: Experiment) -> set[str]:
        return {loss for loss, key in keys(experiment).items() if key != before[loss]}

    crt_and_what_it_teaches = {"crt", "crt+taunorm", "of_variant"}
    assert stale(of({"softmax": {"train": {"epochs": 7}}})) == {
        "softmax",
        "student",
        *crt_and_what_it_teaches,
    }
    assert stale(of({"crt": {"train": {"epochs": 7}}})) == crt_and_what_it_teaches
    assert stale(of(variants={"tau": 0.5})) == {"crt+taunorm", "of_variant"}
    for distill in ({"teacher": "softmax", "weight": 2.0}, {"teacher": "crt"}):
        assert stale(of({"student": {"loss": "focal", "distill": distill}})) == {"student"}
    assert stale(of(seeds=(42, 43))) == set()
    save(seed=2)
    content_hash.cache_clear()  # which a plan keeps
    assert stale(of()) == {"of_file"}


def test_the_default_experiment_knows_none_of_this():
    assert Config().variants == {}
    assert all(Experiment(Config()).start(run) is None for run in Experiment(Config()).runs)


def test_images_are_stored_as_large_as_any_training_needs_them_also_outside_of_the_grid():
    settings = {
        "data": {"source": "image_folder", "image_folder": {"path": "x"}},
        "grid": {"losses": ["softmax"], "models": ["resnet8"]},
        "models": {"resnet8": {"pretrained": False}},
        "train": {"image_size": 32},
        "losses": {"large": {"loss": "softmax", "train": {"image_size": 64}}},
    }
    assert Experiment(load_config(settings)).folder_images_settings()["size"] == 32
    varied = {**settings, "variants": {"large+la": {}}}
    assert Experiment(load_config(varied)).folder_images_settings()["size"] == 64


def test_every_seed_that_the_configuration_takes_names_a_run():
    for seed in (0, 2**32, 10**18, 2**63 - 1):
        (run,) = varied(seeds=[seed], grid={**VARIED["grid"], "losses": ["softmax"]}, variants={}).runs
        assert Run.of(f"results/runs/{run}") == run
