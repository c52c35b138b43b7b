"""The workflow's prediction refuses a model that was trained with other settings than the run that it lies in."""

import dataclasses
import json

import pytest
from programs import run_program

from longtail.config.load import load_config
from longtail.data.split.sets import longtailed_counts
from longtail.experiment.jobs import Experiment
from longtail.experiment.runs import Run
from longtail.models.card import check_run, read_card


def facts(base) -> dict:
    card = dataclasses.asdict(read_card(base))
    names = ("architecture", "head", "loss", "loss_parameters", "recipe", "seed", "variant")
    return json.loads(json.dumps({name: card[name] for name in names}))


def test_prediction_takes_the_model_of_its_run(base, digits, tmp_path):
    out = tmp_path / "predictions.parquet"
    run_program("predict", model=base, tensors=digits / "test.pth", run=facts(base), output=out)
    assert out.is_file()


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"loss": "focal"}, "loss is 'softmax' instead of 'focal'"),
        ({"loss": {"path": "mine.py", "name": "Mine"}}, "loss is 'softmax' instead of {"),
        ({"loss_parameters": {"s": 9.0}}, "loss_parameters is .* instead of {'s': 9.0}"),
        ({"architecture": "resnet32"}, "architecture is 'resnet8' instead of 'resnet32'"),
        ({"head": "cosine"}, "head is 'linear' instead of 'cosine'"),
        ({"resize": "pad"}, "resize is 'stretch' instead of 'pad'"),
        ({"seed": 7}, "seed is 1 instead of 7"),
        ({"variant": {"adjust": "la", "tau": 1.0}}, "variant is None instead of"),
        ({"class_counts": [60] * 10}, r"class_counts is \[.*\] instead of \[60, 60, "),
        ({"recipe": {"learning_rate": 0.5}}, "learning_rate is .* instead of 0.5"),
    ],
)
def test_prediction_refuses_the_model_of_another_run(base, digits, tmp_path, change, told):
    out = tmp_path / "predictions.parquet"
    with pytest.raises(SystemExit, match=rf"is the model of another run: {told}.*Delete it"):
        run_program("predict", model=base, tensors=digits / "test.pth", run=facts(base) | change, output=out)
    assert not out.exists()


def test_a_loss_of_ones_own_may_have_been_moved_since_and_no_other_is_taken_for_it(base):
    card = dataclasses.replace(read_card(base), loss={"path": "before.py", "name": "Mine"})
    check_run(card, {"loss": {"path": "now/mine.py", "name": "Mine"}}, base)
    with pytest.raises(ValueError, match=r"loss is {'name': 'Mine'} instead of {'name': 'Other'}"):
        check_run(card, {"loss": {"path": "before.py", "name": "Other"}}, base)


def test_a_recipe_of_an_earlier_version_may_lack_settings(base):
    check_run(read_card(base), {"recipe": {"a_setting_of_tomorrow": 1}}, base)


def test_what_a_card_has_to_say_of_variants_and_of_decoupled_training():
    config = load_config(
        {
            "grid": {"train_sets": ["longtailed"], "models": ["resnet8"], "losses": ["softmax", "rescaled"]},
            "models": {"resnet8": {"pretrained": False}},
            "losses": {
                "rescaled": {"loss": "softmax", "retrain": {"start": "softmax", "classifier": "scale"}}
            },
            "variants": {"tau": {"of": "softmax", "adjust": "taunorm", "tau": 1}},
        }
    )
    told = Experiment(config).card_settings
    plain, rescaled, tau = (
        told(Run("resnet8", loss, "longtailed", 3)) for loss in ("softmax", "rescaled", "tau")
    )
    assert (plain["head"], plain["variant"], plain["seed"]) == ("linear", None, 3)
    assert (rescaled["head"], rescaled["variant"]) == ("scaled", None)
    assert plain["class_counts"] == longtailed_counts(450, 100, 0.01)
    assert told(Run("resnet8", "softmax", "balanced", 3)) == plain | {"class_counts": [450] * 100}
    assert tau == plain | {"variant": {"adjust": "taunorm", "tau": 1.0}}
