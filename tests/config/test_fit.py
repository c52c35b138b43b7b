"""Methods and variants, and what goes with what."""

import pytest
import torch
from cards import card
from safetensors.torch import save_file

from longtail.config.load import ConfigError, load_config
from longtail.config.methods import METHODS, parse_loss
from longtail.experiment.jobs import Experiment
from longtail.experiment.runs import Run
from longtail.losses import known_losses
from longtail.models.file import save_model
from longtail.training.recipe import Recipe


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
        *(
            ({"grid": {"losses": [loss]}, "losses": {loss: {"train": setting}}}, f"losses.{loss}: {message}")
            for loss, setting, message in (
                ("bcl", {"mixup": {}}, "mixup with bcl; images of a class are compared"),
                ("glmc", {"mixup": {}}, "mixup with glmc; it mixes the images itself"),
                ("bcl", {"micro_batch": 4}, "micro_batch with bcl; each image is compared with all others"),
                (
                    "bcl",
                    {"gpus_per_job": 2},
                    "bcl compares 3 views of an image, which several GPUs cannot share",
                ),
                (
                    "glmc",
                    {"tune": "head"},
                    "glmc compares 2 views of an image to train the backbone, which tune: head",
                ),
            )
        ),
        (
            {"grid": {"losses": ["own"]}, "losses": {"own": {"loss": "bcl", "train": {"drw": {}}}}},
            "losses.own: bcl compares 3 views of an image, which drw cannot weigh by the class of one",
        ),
        (
            {"grid": {"losses": ["own"]}, "losses": {"own": {"loss": "bcl", "retrain": {}}}},
            "losses.own.retrain: bcl compares 3 views of an image to train the backbone, which is frozen here",
        ),
        (
            {"grid": {"losses": ["crt"]}, "train": {"mixup": {}}},
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
        ({"variants": {"softmax+lo": {}}}, "call it LOSS+aggregation, LOSS+la, LOSS+ncm or LOSS+taunorm"),
        (
            {"variants": {"softmx+la": {}}},
            "variants.softmx+la: 'softmx' is not known; did you mean 'softmax'",
        ),
        (
            {"variants": {"softmax": {"of": "focal", "adjust": "la"}}},
            "variants.softmax: there is a loss of that",
        ),
        (
            {"variants": {"softmax+la": {"tau": -1}}},
            "variants.softmax+la.tau: found -1; expected a number of 0 or more",
        ),
        (
            {"variants": {"softmax+la": {"tau": "validate"}}},
            "variants.softmax+la.tau: found 'validate'; expected a number of 0 or more, or validation",
        ),
        (
            {"variants": {"softmax+la": {"tau": "validation", "taus": [1]}}},
            "variants.softmax+la.taus: found [1.0]; expected two different numbers or more",
        ),
        (
            {"variants": {"softmax+ncm": {"tau": 1}}},
            "variants.softmax+ncm.tau: ncm has no tau, it takes features and distance; leave it out",
        ),
        ({"variants": {"softmax+la": {"features": "un"}}}, "la has no features, it takes tau; leave it out"),
        ({"variants": {"crt+ncm": {}}}, "crt has the backbone of softmax and so the same class means"),
        (
            {
                "data": {"test_per_class": None},
                "train": {"select": "last", "calibrate": False},
                "variants": {"softmax+taunorm": {"tau": "validation"}},
            },
            "variants.softmax+taunorm.tau: validation would choose it by the test images",
        ),
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
        ({"train": {"mixup": {"kind": "fmix"}}}, "train.mixup.kind: found 'fmix'"),
        (
            {"train": {"mixup": {"kind": "manifold"}, "micro_batch": 4}},
            "mixup.kind: manifold mixes the features of a whole batch, which micro_batch divides; set micro_batch: "
            "null, or kind: input",
        ),
        (
            {"train": {"mixup": {"kind": "manifold"}, "gpus_per_job": 2}},
            "a whole batch, which gpus_per_job divides; set gpus_per_job: 1",
        ),
        (
            {"train": {"sampler_start": 0.5}},
            "train: sampler_start (0.5) says when the sampler begins, and sampler: instance draws nothing",
        ),
        (
            {"train": {"optimizer": "sgd", "momentum": 0, "nesterov": True}},
            "train: nesterov is a kind of momentum, and momentum is 0",
        ),
        (
            {"train": {"sampler": "square_root", "sampler_start": 0.9, "patience": 10}},
            "could end training after epoch 11, and sampler: square_root draws the images from epoch 82 on; set "
            "patience to 81",
        ),
        (
            {"train": {"max_norm": {}}},
            "losses.softmax: max_norm takes its limit from a trained classifier, and this one starts from random",
        ),
        (
            {
                "grid": {"losses": ["x"]},
                "losses": {"x": {"loss": "softmax", "retrain": {"start": "ldam", "classifier": "keep"}}},
            },
            "losses.x.retrain.classifier: keep trains the cosine head of ldam on, and x needs a linear one",
        ),
        (
            {
                "grid": {"losses": ["cutmix"]},
                "losses": {"cutmix": {"loss": "softmax", "train": {"mixup": {}}}},
            },
            "losses.cutmix: under this name, tables show softmax with train.mixup.kind: cutmix, and this is something",
        ),
        (
            {
                "grid": {"losses": ["drs"]},
                "losses": {"drs": {"loss": "softmax", "train": {"sampler": "class_balanced"}}},
            },
            "losses.drs: under this name, tables show softmax with train.sampler: class_balanced and train.sampler_",
        ),
        ({"train": {"sampler": "balanced"}}, "train.sampler: found 'balanced'"),
        (
            {
                "grid": {"losses": ["x"], "models": ["vit_b16"]},
                "losses": {"x": {"loss": "softmax", "retrain": {"shift_norms": True}}},
            },
            "losses.x.retrain.shift_norms: vit_b16 has no batch norms whose statistics could follow",
        ),
        (
            {
                "grid": {"losses": ["x"]},
                "losses": {
                    "x": {"loss": "softmax", "retrain": {"start": "ldam", "classifier": "keep_and_scale"}}
                },
            },
            "losses.x.retrain.classifier: keep_and_scale rescales the logits of a linear classifier",
        ),
        (
            {
                "grid": {"losses": ["x"]},
                "losses": {"x": {"loss": "focal", "distill": {"teacher": "softmex"}}},
            },
            "losses.x.distill.teacher: 'softmex' is not known; did you mean 'softmax'? allowed:",
        ),
        (
            {
                "grid": {"losses": ["x"]},
                "losses": {"x": {"loss": "focal", "distill": {"teacher": "a/b.safetensors"}}},
            },
            "losses.x.distill.teacher: a/b.safetensors does not exist (looked for /",
        ),
        (
            {"grid": {"losses": ["focal"]}, "losses": {"focal": {"distill": {"teacher": "softmax"}}}},
            "losses.focal.distill: makes another method of focal, which tables and published numbers know",
        ),
        (
            {
                "grid": {"losses": ["x"]},
                "losses": {
                    "x": {"loss": "focal", "distill": {"teacher": "y+la"}},
                    "y": {"loss": "softmax", "distill": {"teacher": "x"}},
                },
                "variants": {"y+la": {}},
            },
            "losses.x: its run would need the model of x itself, by retrain.start or distill.teacher, before it is",
        ),
        (
            {
                "grid": {"losses": ["x"]},
                "losses": {
                    "x": {"loss": "focal", "distill": {"teacher": "softmax"}},
                    "softmax": {"train": {"image_size": 64}},
                },
            },
            "losses.x.distill.teacher: softmax was trained with image_size 64, and mobilenetv2 with x gives it images "
            "of 224; use the same train.image_size",
        ),
    ],
)
def test_what_does_not_fit_together_is_refused_with_the_reason(mapping, message):
    with pytest.raises(ConfigError) as caught:
        load_config(mapping)
    assert message in "\n".join(caught.value.problems)


def of_model(architecture, loss="softmax", **train):
    models = {"m": {"architecture": architecture, "pretrained": False}}
    if architecture.isidentifier():
        models, name = {architecture: {"pretrained": False}}, architecture
    else:
        name = "m"
    return {"grid": {"models": [name], "losses": [loss]}, "models": models, "train": train}


NO_TIMM = "layer_decay needs to know the layers of"
NO_ATTENTION = "tune: lora needs attention layers, and"


@pytest.mark.parametrize(
    ("mapping", "message"),
    [
        (of_model("vit_b16", image_size=100), "vit_b16 cuts images into patches of 16 px, which do not fill"),
        (of_model("vit_b16_in1k", image_size=40), "an image size of 40 px; choose a multiple of 16"),
        (of_model("torchvision/vit_l_32", image_size=48), "patches of 32 px"),
        (of_model("torchvision/vit_h_14.IMAGENET1K_SWAG_E2E_V1", image_size=224 + 16), "patches of 14 px"),
        (of_model("timm/vit_tiny_patch16_224", image_size=100), "patches of 16 px"),
        (of_model("timm/deit3_small_patch16_384.fb_in22k_ft_in1k", image_size=100), "patches of 16 px"),
        (of_model("timm/vit_base_patch32_clip_224.openai", image_size=112), "patches of 32 px"),
        (of_model("timm/eva02_base_patch14_448", image_size=224 + 8), "patches of 14 px"),
        (of_model("timm/swin_tiny_patch4_window7_224", image_size=102), "patches of 4 px"),
        (of_model("convnext_base", image_size=31), "convnext_base cannot take images of 31 px"),
        *((of_model(name, layer_decay=0.75), NO_TIMM) for name in ("resnet8", "mobilenetv2", "vit_b16_in1k")),
        (of_model("torchvision/swin_t", layer_decay=0.75), f"models.m: {NO_TIMM} torchvision/swin_t"),
    ],
)
def test_what_a_model_cannot_take_is_refused_without_its_library(mapping, message):
    with pytest.raises(ConfigError) as caught:
        load_config(mapping)
    assert len(caught.value.problems) == 1
    assert message in caught.value.problems[0]


@pytest.mark.parametrize(
    "name", ["resnet32", "mobilenetv2", "resnet50", "resnetv2_50", "convnext_base", "torchvision/maxvit_t"]
)
def test_low_rank_updates_of_convolutions_are_refused(name):
    mapping = of_model(name, tune="lora", image_size=64)
    next(iter(mapping["models"].values()))["pretrained"] = True
    with pytest.raises(ConfigError, match=NO_ATTENTION):
        load_config(mapping)


@pytest.mark.parametrize(
    "mapping",
    [
        *(of_model(name, image_size=96) for name in ("vit_b16", "resnet8", "mobilenetv2", "convnext_base")),
        *(
            of_model(name, image_size=33)
            for name in ("resnet8", "mobilenetv2", "convnext_base", "resnetv2_50")
        ),
        of_model("timm/naflexvit_base_patch16_gap", image_size=100),
        of_model("timm/vit_base_patch16_sapiens2", image_size=100),
        of_model("timm/vit_small_patch14_dinov2", image_size=518),
        *(
            of_model(name, layer_decay=0.75)
            for name in ("vit_b16", "resnetv2_50", "timm/swin_tiny_patch4_window7_224")
        ),
    ],
)
def test_what_only_the_library_knows_is_left_to_it(mapping):
    load_config(mapping)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (
            {"image_folder": {"min_side": 50, "max_side": 49}},
            "data.image_folder.min_side: 50 is above max_side, 49",
        ),
        (
            {"image_folder": {"min_side": 30_001}},
            "data.image_folder.min_side: 30001 is above max_side, 30000",
        ),
        (
            {"image_folder": {"test_fraction": 0.9}},
            "data.image_folder.test_fraction: 0.9, with val_fraction 0.1, leaves",
        ),
        (
            {"image_folder": {"val_fraction": 0.8}},
            "data.image_folder.test_fraction: 0.2, with val_fraction 0.8, leaves",
        ),
        ({"group_limits": [20, 100]}, "data.group_limits: [20, 100] must not rise"),
        (
            {"train_per_class": 451},
            "data.train_per_class: 451, with test_per_class 50, takes 501 images of each class",
        ),
        ({"train_per_class": 501, "test_per_class": None}, "data.train_per_class: 501, takes 501 images"),
        (
            {"source": "digits", "train_per_class": 139, "test_per_class": 40},
            "data.train_per_class: 139, with test_per_class 40 and one image to validate, takes 180 images of each "
            "class, and digits has 179; lower them",
        ),
    ],
)
def test_relations_between_settings_of_the_data_are_refused_with_the_others(data, message):
    with pytest.raises(ConfigError) as caught:
        load_config({"data": data, "train": {"epochs": 0}})
    problems = caught.value.problems
    assert len([problem for problem in problems if message in problem]) == 1
    assert any(problem.startswith("train.epochs: found 0") for problem in problems)


def test_the_most_that_the_settings_of_the_data_allow_are_allowed():
    for data in (
        {"image_folder": {"min_side": 30, "max_side": 30, "test_fraction": 0.5, "val_fraction": 0.49}},
        {"train_per_class": 450, "test_per_class": 50},
        {"source": "digits", "train_per_class": 138, "test_per_class": 40},
    ):
        load_config({"data": data})


@pytest.mark.parametrize(
    ("bases", "refused"),
    [
        ("nn.Module", True),
        ("torch.nn.Module", True),
        ("Loss", False),
        ("Base", False),
        ("nn.Module, Base", False),
    ],
)
@pytest.mark.parametrize(
    "train", [{"drw": {}}, {"mixup": {"remix": {}}}, {"drw": {}, "mixup": {"remix": {}}}]
)
def test_a_loss_that_is_a_plain_module_is_not_weighed(tmp_path, bases, refused, train):
    (tmp_path / "mine.py").write_text(
        "import torch\nfrom torch import nn\nfrom longtail.losses.base import Loss\n\nclass Base(Loss):\n    pass\n\n"
        f"class Mine({bases}):\n    pass\n"
    )
    mapping = of_model("resnet8", "mine") | {
        "losses": {"mine": {"loss": {"path": str(tmp_path / "mine.py"), "name": "Mine"}, "train": train}}
    }
    if not refused:
        load_config(mapping)
        return
    with pytest.raises(ConfigError, match="weighs each image, which Mine, derived from nn"):
        load_config(mapping)


def with_experts(name="ride", model="resnet32", *, pretrained=False, variants=(), **entry):
    return {
        "grid": {"models": [model], "losses": [name]},
        "models": {model: {"pretrained": pretrained}},
        "losses": {name: entry},
        "variants": {key: {} for key in variants},
    }


@pytest.mark.parametrize(
    ("mapping", "message"),
    [
        (
            with_experts(model="convnext_base"),
            "losses.ride: convnext_base cannot be divided among 3 experts; resnet10, resnet20",
        ),
        (
            of_model("timm/resnet18", "sade"),
            "losses.sade: timm/resnet18 cannot be divided among 3 experts",
        ),
        (with_experts(experts=1), "losses.ride.experts: found 1, and ride trains several, such as 3 experts"),
        (with_experts("sade", experts=2), "losses.sade.experts: found 2, and sade trains 3 experts"),
        (with_experts("softmax", experts=3), "losses.softmax.experts: makes another method of softmax"),
        (
            with_experts("softmax", narrow_experts=True),
            "losses.softmax.narrow_experts: is for several experts; set experts: 3",
        ),
        (with_experts(head_init="class_means"), "class_means would start all 3 experts alike"),
        (
            with_experts(model="resnet50", pretrained=True, train={"tune": "head"}),
            "losses.ride: tune: head freezes the stages of all 3 experts",
        ),
        (
            with_experts("crt", retrain={"start": "ride"}),
            "losses.crt.retrain: ride has 3 experts with a classifier each",
        ),
        (
            with_experts("late", loss="ride", retrain={}),
            "losses.late.retrain: late has 3 experts",
        ),
        (with_experts(train={"micro_batch": 64}), "micro_batch with ride; the classes' weights and"),
        (with_experts(train={"mixup": {}}), "mixup with ride; its margin is that of one class"),
        (with_experts(variants=["ride+la"]), "ride has 3 experts with a classifier each, and la changes one"),
        (with_experts(variants=["ride+ncm"]), "and ncm changes one; use a loss without experts"),
        (with_experts("sade", variants=["sade+taunorm"]), "and taunorm changes one"),
        (
            with_experts("softmax", variants=["softmax+aggregation"]),
            "variants.softmax+aggregation: aggregation weighs several experts, and softmax has none",
        ),
    ],
)
def test_what_makes_no_sense_with_experts_is_refused_with_the_reason(mapping, message):
    with pytest.raises(ConfigError) as error:
        load_config(mapping)
    assert message in str(error.value)


def test_experts_are_narrow_unless_they_start_from_pretrained_weights():
    mapping = with_experts("sade", variants=["sade+aggregation"])
    mapping["grid"]["models"] += ["resnext50"]
    mapping["losses"]["three"] = {"loss": "softmax", "experts": 3, "narrow_experts": False}
    mapping["grid"]["losses"] += ["three", "softmax"]
    jobs = Experiment(load_config(mapping))
    found = {
        (model, loss): {
            name: value for name, value in jobs.train_settings(model, loss).items() if "experts" in name
        }
        for model in ("resnet32", "resnext50")
        for loss in ("sade", "three", "softmax")
    }
    assert found["resnet32", "sade"] == {"experts": 3, "narrow_experts": True}
    assert found["resnext50", "sade"] == {"experts": 3, "narrow_experts": False}
    assert found["resnet32", "three"] == {"experts": 3, "narrow_experts": False}
    assert found["resnet32", "softmax"] == {}
    run = Run("resnet32", "sade+aggregation", "longtailed", 42)
    assert jobs.adjust_settings(run.loss) == {"adjust": "aggregation", "distribution": None}
    assert jobs.adjust_images(run) == "test_balanced"
    assert jobs.card_settings(run)["experts"] == 3


def test_a_teacher_and_what_it_is_made_of_are_trained_first():
    config = load_config(
        {
            "grid": {"losses": ["student"], "models": ["mobilenetv2"], "train_sets": ["longtailed"]},
            "losses": {"student": {"loss": "balanced_softmax", "distill": {"teacher": "crt+taunorm"}}},
            "variants": {"crt+taunorm": {}},
        }
    )
    assert config.trained == ("student", "crt", "softmax")
    jobs = Experiment(config)
    run = Run("mobilenetv2", "student", "longtailed", 42)
    assert jobs.teacher(run) == run._replace(loss="crt+taunorm")
    assert jobs.start(run) is None
    assert [jobs.stage(run._replace(loss=loss)) for loss in ("softmax", "crt", "crt+taunorm", "student")] == [
        0,
        1,
        2,
        3,
    ]
    assert jobs.train_settings("mobilenetv2", "student")["distill"] == {"temperature": 1.5, "weight": 1.0}


def test_a_file_that_cannot_teach_is_refused_before_anything_runs(tmp_path):
    path, recipe = tmp_path / "teacher.safetensors", Recipe()
    scratch = {"models": {"resnet8": {"pretrained": False}}}
    usual = {"image_size": 224, "mean": list(recipe.mean), "std": list(recipe.std)}

    def wrong() -> str:
        student = {"loss": "focal", "distill": {"teacher": str(path)}}
        with pytest.raises(ConfigError) as caught:
            load_config(
                {"grid": {"losses": ["x"], "models": ["resnet8"]}, "losses": {"x": student}, **scratch}
            )
        return str(caught.value)

    path.write_bytes(b"no model")
    assert (
        "is damaged or no safetensors file" in wrong()
        and "Name the model.safetensors of a finished" in wrong()
    )
    assert "the workflow makes it anew" not in wrong()
    save_file({"head.weight": torch.zeros(2, 1)}, path)
    assert "is no model of this project" in wrong()
    save_model(path, {"head.weight": torch.zeros(2, 1)}, card(**usual))
    assert f"{path} was trained on 2 classes, and the data has 100; name a model of the same" in wrong()
    names = {"class_names": [str(label) for label in range(100)], "class_counts": [1] * 100}
    save_model(path, {"head.weight": torch.zeros(100, 1)}, card(**{**usual, **names, "std": [0.2, 0.2, 0.3]}))
    assert "was trained with std [0.2, 0.2, 0.3], and resnet8 with x gives it" in wrong()


def test_mislas_is_one_name():
    config = load_config({"grid": {"losses": ["mislas"], "models": ["mobilenetv2"]}})
    assert config.trained == ("mislas", "mixup")
    assert config.recipe("mobilenetv2", "mixup").mixup and not config.recipe("mobilenetv2", "mislas").mixup
    settings = Experiment(config).train_settings("mobilenetv2", "mislas")
    assert settings | {"retrain": "keep_and_scale", "classifier_rate": 0.2, "shift_norms": True} == settings
    assert (
        settings["loss_parameters"] | {"smooth_head": 0.4, "smooth_tail": 0.1} == settings["loss_parameters"]
    )


@pytest.mark.parametrize("name", METHODS)
def test_an_entry_may_say_again_what_the_method_of_its_name_says(name):
    assert parse_loss(name, METHODS[name]) == parse_loss(name, {})
