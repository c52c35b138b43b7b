"""Methods and variants, and what goes with what."""

import pytest

from longtail.config.load import ConfigError, load_config
from longtail.config.methods import METHODS
from longtail.losses import known_losses


def test_methods_are_losses_with_settings_that_an_entry_can_change():
    config = load_config(
        {
            "grid": {"losses": ["softmax", "ldam_drw", "crt", "lws", "late"]},
            "train": {"warmup_epochs": 20},
            "losses": {
                "ldam_drw": {"max_m": 0.4, "train": {"drw": {"beta": 0.99}}},
                "crt": {"retrain": {"start": "focal"}},
                "late": {"loss": "lws", "train": {"epochs": 3}},
            },
        }
    )
    assert (config.loss("ldam_drw").loss, config.loss("ldam_drw").max_m) == ("ldam", 0.4)
    drw = config.recipe("resnet50", "ldam_drw").drw
    assert (drw.start, drw.beta) == (0.8, 0.99)
    assert config.recipe("resnet50", "crt").sampler == "class_balanced"
    assert (config.loss("crt").retrain.start, config.loss("crt").retrain.classifier) == ("focal", "new")
    assert config.loss("late").retrain.classifier == "scale"
    assert config.recipe("resnet50", "late").epochs == 3
    assert config.trained == ("softmax", "ldam_drw", "crt", "lws", "late", "focal")
    assert METHODS.keys().isdisjoint(known_losses())


@pytest.mark.parametrize(
    ("mapping", "message"),
    [
        (
            {"losses": {"softmax": {"head": "cosine"}}},
            "losses.softmax.head: the logits of a cosine head lie in [-1, 1], and softmax does not scale them, so its "
            "softmax would be nearly flat; set s: 25, or head: linear",
        ),
        (
            {"losses": {"focal": {"head": "cosine"}}},
            "nearly flat; use the loss balanced_softmax, gcl, ldam, logit_adjusted or softmax, or head: linear",
        ),
        (
            {"losses": {"softmax": {"s": 25}}},
            "losses.softmax.s: 25 scales the logits of a cosine head, and those of a linear one have a length",
        ),
        (
            {"losses": {"softmax": {"head_init": "class_means"}}},
            "losses.softmax.head_init: class_means are directions, for the normalised weights of a cosine head",
        ),
        (
            {"grid": {"losses": ["ldam"]}, "train": {"mixup": {}}},
            "losses.ldam: mixup with ldam; its margin is that of one class",
        ),
        (
            {"grid": {"losses": ["lade"]}, "train": {"micro_batch": 4}},
            "losses.lade: micro_batch with lade; its regulariser takes means over the whole batch",
        ),
        (
            {"grid": {"losses": ["crt"]}, "losses": {"crt": {"train": {"mixup": {}}}}},
            "losses.crt.retrain: mixup shapes the backbone, and this one is frozen",
        ),
        (
            {"grid": {"losses": ["crt"]}, "losses": {"crt": {"train": {"image_size": 32}}}},
            "losses.crt.train.image_size: 32, but the backbone of softmax was trained with 224",
        ),
        (
            {"grid": {"losses": ["crt"]}, "losses": {"crt": {"retrain": {"start": "lws"}}}},
            "losses.crt.retrain.start: lws is itself retrained; start from softmax",
        ),
        (
            {"grid": {"losses": ["crt"]}, "losses": {"crt": {"retrain": {"start": "focl"}}}},
            "losses.crt.retrain.start: 'focl' is not known; did you mean 'focal'",
        ),
        (
            {"grid": {"losses": ["lws"]}, "losses": {"lws": {"retrain": {"start": "ldam"}}}},
            "losses.lws.retrain.classifier: scale rescales the logits of a linear classifier",
        ),
        ({"variants": {"ldam+la": {}}}, "variants.ldam+la: the cosine head of ldam has no biases to adjust"),
        ({"variants": {"ldam+taunorm": {}}}, "the cosine head of ldam normalises its weights already"),
        ({"variants": {"balanced_softmax+la": {}}}, "adjusting its logits again would correct twice"),
        ({"variants": {"crt+la": {}}}, "crt shows the classes to the model by the sampler class_balanced"),
        ({"variants": {"lws+taunorm": {}}}, "variants.lws+taunorm: lws rescales its classifier itself"),
        ({"variants": {"softmax+lo": {}}}, "call it LOSS+la or LOSS+taunorm"),
        (
            {"variants": {"softmx+la": {}}},
            "variants.softmx+la: 'softmx' is not known; did you mean 'softmax'",
        ),
        (
            {"variants": {"softmax": {"of": "focal", "adjust": "la"}}},
            "variants.softmax: there is a loss of that",
        ),
        ({"variants": {"softmax+la": {"tau": -1}}}, "variants.softmax+la.tau: found -1"),
        ({"data": {"test_per_class": None}}, "would choose the epoch by the test images"),
        (
            {"data": {"test_per_class": None}, "train": {"select": "last"}},
            "train.calibrate: true would fit the temperature to the test images",
        ),
        (
            {"data": {"test_per_class": None, "source": "digits"}, "train": {"select": "last"}},
            "data.test_per_class: null is the original test set, and digits has none",
        ),
        (
            {"grid": {"losses": ["crt"], "models": ["vit_b16"]}, "train": {"tune": "lora"}},
            "losses.crt.retrain: tune: lora chooses weights of the backbone, and all of this one is frozen",
        ),
        (
            {"models": {"vit_b16": {"pretrained": False, "train": {"tune": "bias"}}}},
            "models.vit_b16.pretrained: false with tune: bias would freeze random weights",
        ),
        (
            {"predict": {"crops": "ten"}, "train": {"flip": False}},
            "predict.crops: ten adds mirror images, and mobilenetv2 with softmax is trained without any",
        ),
        (
            {"train": {"flip": False, "flips": "d4"}},
            "flip: false that they are not; set flip: true, or leave",
        ),
        (
            {"train": {"flips": "both"}, "losses": {"softmax": {"train": {"flip": False}}}},
            "losses.softmax.train: flips: both says how images are flipped",
        ),
        ({"train": {"flips": "vertical"}}, "train.flips: found 'vertical'"),
        ({"train": {"augment": "auto"}}, "train.augment: found 'auto'"),
        ({"train": {"mixup": {"alpha": 0}}}, "train.mixup.alpha: found 0"),
        ({"train": {"sampler": "balanced"}}, "train.sampler: found 'balanced'"),
    ],
)
def test_what_does_not_fit_together_is_refused_with_the_reason(mapping, message):
    with pytest.raises(ConfigError) as caught:
        load_config(mapping)
    assert message in "\n".join(caught.value.problems)
