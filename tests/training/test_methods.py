"""Samplers, mixtures, decoupled training and changed classifiers: the published formulas, and how they combine."""

import json
import re
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
import yaml
from forked import be_script
from safetensors.torch import save_file
from torch import nn
from torch.nn import functional as F
from torchvision.models import VisionTransformer
from torchvision.transforms import v2
from workspace import DIGITS, Workspace

from longtail.batches.mixup import Mixer, Second, Targets, remixed
from longtail.batches.sampling import SAMPLERS, class_probabilities, sample
from longtail.config.load import Config, load_config
from longtail.data.split.imbalance import longtailed_counts
from longtail.data.tensors.files import load_tensors
from longtail.experiment.jobs import Experiment, RunId
from longtail.files.parquet import read_parquet
from longtail.inference.logits import crop_views, logits_of
from longtail.losses import build_loss
from longtail.machine.randomness import derive_seed, generator
from longtail.models import build_model, from_torchvision
from longtail.models.file import ModelCard, load_model, save_model
from longtail.models.heads import CosineLinear, class_means
from longtail.models.variants import adjust
from longtail.report.labels import label
from longtail.training.checkpoint import StateFolder
from longtail.training.optimization import build_optimizer
from longtail.training.recipe import Recipe
from longtail.training.run import Stopped, Trainer
from longtail.training.settings import RunSettings
from longtail.training.tuning import freeze, merge, merged_weights

ROOT = Path(__file__).parents[2]
GOLDEN = json.loads((ROOT / "tests" / "golden" / "losses.json").read_text())["cases"]
COUNTS = torch.tensor([9, 4, 1, 0])


# Changed classifiers ------------------------------------------------------------------------------------------


def head(weight, bias=None) -> nn.Linear:
    weight = torch.tensor(weight)
    linear = nn.Linear(weight.shape[1], len(weight))
    with torch.no_grad():
        linear.weight.copy_(weight)
        linear.bias.copy_(torch.zeros(len(weight)) if bias is None else torch.tensor(bias))
    return linear


@pytest.mark.parametrize("tau", [0.5, 1.0, 2.0])
def test_post_hoc_adjustment_undoes_what_the_logit_adjusted_loss_adds(tau):
    # The published loss of raw logits is softmax cross-entropy of the adjusted ones, so the loss of a classifier
    # whose biases were adjusted is that of the classifier as it was.
    case = next(case for case in GOLDEN if "logits" in case and len(case["class_counts"]) == 10)
    counts, labels = torch.tensor(case["class_counts"]), torch.tensor(case["labels"])
    logits = torch.tensor(case["logits"], dtype=torch.float64)
    linear = head(torch.eye(10).tolist()).double()
    adjust("la", linear, counts, tau=tau)
    value = build_loss("logit_adjusted", counts, tau=tau)(linear(logits), labels)
    assert value.item() == pytest.approx(F.cross_entropy(logits, labels).item(), abs=1e-9)


def test_post_hoc_adjustment_moves_predictions_to_rarer_classes_only_and_knows_the_scale():
    linear = head([[1.0], [1.0]])
    adjust("la", linear, torch.tensor([90, 10]), tau=1.0, logit_scale=10.0)
    difference = linear.bias[1] - linear.bias[0]
    assert 10 * difference.item() == pytest.approx(2.1972246, abs=1e-5)  # ln 9
    balanced = head([[1.0], [1.0]])
    adjust("la", balanced, torch.tensor([5, 5]), tau=1.0)
    assert balanced.bias[0] == balanced.bias[1]


@pytest.mark.parametrize(
    ("tau", "expected"),
    [(0.0, [[3.0, 4.0], [0.0, 2.0]]), (1.0, [[0.6, 0.8], [0.0, 1.0]]), (2.0, [[0.12, 0.16], [0.0, 0.5]])],
)
def test_tau_normalisation_by_hand(tau, expected):
    linear = head([[3.0, 4.0], [0.0, 2.0]], bias=[5.0, 7.0])
    adjust("taunorm", linear, torch.tensor([9, 1]), tau=tau)
    torch.testing.assert_close(linear.weight.detach(), torch.tensor(expected))
    assert linear.bias.tolist() == [0, 0]


def test_only_a_linear_classifier_is_adjusted():
    with pytest.raises(ValueError, match="only a linear one"):
        adjust("la", nn.Identity(), COUNTS, tau=1.0)


# Samplers -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "epoch", "expected"),
    [
        ("instance", 0, [9 / 14, 4 / 14, 1 / 14, 0]),
        ("class_balanced", 0, [1 / 3, 1 / 3, 1 / 3, 0]),
        ("square_root", 0, [3 / 6, 2 / 6, 1 / 6, 0]),
        ("progressive", 0, [9 / 14, 4 / 14, 1 / 14, 0]),
        ("progressive", 5, [(9 / 14 + 1 / 3) / 2, (4 / 14 + 1 / 3) / 2, (1 / 14 + 1 / 3) / 2, 0]),
    ],
)
def test_class_probabilities_by_hand(name, epoch, expected):
    assert class_probabilities(name, COUNTS, epoch=epoch, epochs=10).tolist() == pytest.approx(expected)


@pytest.mark.parametrize("name", SAMPLERS[1:])
def test_an_epoch_has_its_classes_in_these_shares_and_each_image_of_a_class_as_often(name):
    counts = torch.tensor([3000, 900, 100])
    labels = torch.repeat_interleave(torch.arange(3), counts)
    drawn = torch.cat(
        [
            sample(name, labels, counts, epoch=3, epochs=10, generator=generator(seed, "sampler"))
            for seed in range(5)
        ]
    )
    assert len(drawn) == 5 * len(labels)
    found = torch.bincount(labels[drawn]) / len(drawn)
    torch.testing.assert_close(
        found.double(), class_probabilities(name, counts, epoch=3, epochs=10), atol=0.02, rtol=0
    )
    rarest = torch.bincount(drawn[labels[drawn] == 2] - 3900, minlength=100).double()
    # Poisson counts: the variance over the images is about their mean.
    assert 0.5 < rarest.var() / rarest.mean() < 1.7


def test_the_plain_sampler_leaves_the_order_to_the_feed():
    assert sample("instance", COUNTS, COUNTS, epoch=0, epochs=1, generator=torch.Generator()) is None


# Mixtures -----------------------------------------------------------------------------------------------------


def mixer(alpha=1.0, remix=None, steps=3, seed=1, epoch=0, counts=COUNTS):
    return Mixer(alpha, remix, counts, steps, 64, seed, epoch, torch.device("cpu"))


def test_images_and_labels_are_mixed_in_the_same_shares():
    labels = torch.arange(64) % 4
    images = F.one_hot(labels, 4).float()[:, :, None, None]  # the share of a class can be read off the pixels
    mixtures, targets = mixer()(2, images, labels)
    others, share = targets.second
    expected = share[:, None] * F.one_hot(targets.labels, 4) + (1 - share[:, None]) * F.one_hot(others, 4)
    torch.testing.assert_close(mixtures[:, :, 0, 0], expected)
    assert sorted(others.tolist()) == sorted(labels.tolist()), "every image is a partner once"
    assert 0 < share[0] < 1


def test_mixtures_are_a_function_of_seed_epoch_and_step_also_in_a_short_last_batch():
    images, labels = torch.rand(5, 3, 2, 2), torch.tensor([0, 1, 2, 3, 0])
    first, again = mixer()(2, images, labels), mixer()(2, images, labels)
    assert torch.equal(first[0], again[0])
    assert torch.equal(first[1].second.first_share, again[1].second.first_share)
    others = [mixer()(1, images, labels), mixer(seed=2)(2, images, labels), mixer(epoch=1)(2, images, labels)]
    assert all(not torch.equal(first[0], other[0]) for other in others)


@pytest.mark.parametrize("alpha", [0.2, 1.0, 4.0])
def test_shares_are_of_the_beta_distribution(alpha):
    shares = torch.tensor(mixer(alpha, steps=4000).lambdas)
    assert shares.mean() == pytest.approx(0.5, abs=0.02)
    assert shares.var() == pytest.approx(1 / (4 * (2 * alpha + 1)), rel=0.08)


def test_remix_by_hand():
    # share, images of the first class, of the second; expected share of the first label.
    table = [
        (0.3, 30, 10, 0.0),  # three times as frequent, and below tau
        (0.3, 29, 10, 0.3),
        (0.6, 30, 10, 0.6),
        (0.7, 10, 30, 1.0),  # the rarer one, and the other's share is 0.3
        (0.4, 10, 30, 0.4),
        (0.5, 5, 5, 0.5),
    ]
    share, first, second, expected = map(torch.tensor, zip(*table, strict=True))
    torch.testing.assert_close(remixed(share, first, second, kappa=3.0, tau=0.5), expected)


def test_a_mixtures_loss_is_torchs_cross_entropy_with_soft_targets():
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(6, 4, generator=generator, dtype=torch.float64)
    labels, others = torch.tensor([0, 1, 2, 3, 0, 1]), torch.tensor([1, 1, 0, 2, 3, 0])
    share = torch.rand(6, generator=generator, dtype=torch.float64)
    targets = Targets(labels, Second(others, share))
    soft = share[:, None] * F.one_hot(labels, 4) + (1 - share[:, None]) * F.one_hot(others, 4)
    loss = build_loss("softmax", COUNTS)
    value = targets.total(loss, logits) / targets.normalizer(loss)
    assert value.item() == pytest.approx(F.cross_entropy(logits, soft).item(), abs=1e-12)
    parts = sum(part.total(loss, logits[4 * i : 4 * i + 4]) for i, part in enumerate(targets.split(4)))
    assert parts.item() == pytest.approx(targets.total(loss, logits).item(), abs=1e-12)
    # A custom loss that only knows its mean over the batch is right where all shares are alike.
    one_share = Targets(labels, Second(others, torch.full((6,), 0.3, dtype=torch.float64)))
    weighted = build_loss("weighted_softmax", COUNTS)
    found = one_share.total(weighted, logits) / one_share.normalizer(weighted)
    first, second = (weighted.normalizer(y) for y in (labels, others))
    by_hand = 0.3 * weighted(logits, labels) * first + 0.7 * weighted(logits, others) * second
    assert found.item() == pytest.approx((by_hand / (0.3 * first + 0.7 * second)).item(), abs=1e-12)


# Runs ---------------------------------------------------------------------------------------------------------


class StopAfter:
    """A request to stop that arrives after so many steps."""

    def __init__(self, steps: int):
        self.left, self.signal = steps, None

    def __bool__(self) -> bool:
        self.left -= 1
        return self.left < 0


@pytest.fixture
def trained(digits, train_arguments, tmp_path):
    """Train in this process, stopped and resumed after each so many steps; the run's progress and its run."""

    def train(name: str, stop_after: int | None = None, start=None, **changes):
        arguments = train_arguments(digits, tmp_path, **changes)
        settings = json.loads(arguments[arguments.index("--settings") + 1])
        train_set, val_set = (load_tensors(digits / f"{part}.pth") for part in ("train", "val"))
        stops = 0
        while True:
            run = Trainer(
                RunSettings.from_settings(settings, seed=1),
                train_set,
                val_set,
                device=torch.device("cpu"),
                states=StateFolder(tmp_path / name),
                start=start,
                stop=StopAfter(stop_after) if stop_after else None,
            )
            (tmp_path / name).mkdir(exist_ok=True)
            try:
                progress = run.train()
            except Stopped:
                stops += 1
            else:
                assert bool(stops) == bool(stop_after)
                return progress, run

    return train


COMBINED = {
    "loss": "softmax",
    "loss_parameters": {},
    "recipe": {
        "epochs": 2,
        "sampler": "progressive",
        "mixup": {"alpha": 1.0, "remix": {"kappa": 3.0, "tau": 0.5}},
        "drw": {"start": 0.5, "beta": 0.99},
        "select": "last",
    },
}


def same_weights(first, second) -> bool:
    return all(torch.equal(first[name], second[name]) for name in first)


def test_sampler_and_mixtures_resume_exactly_within_an_epoch(trained):
    whole, _ = trained("whole", **COMBINED)
    stopped, _ = trained("stopped", stop_after=3, **COMBINED)
    assert whole.history == stopped.history
    assert same_weights(whole.best_weights, stopped.best_weights)
    plain, _ = trained("plain", **{**COMBINED, "recipe": {**COMBINED["recipe"], "mixup": None}})
    assert not same_weights(whole.best_weights, plain.best_weights)


def test_an_average_of_the_weights_validates_is_kept_and_resumes_exactly(trained):
    recipe = {"epochs": 2, "ema": 0.9, "select": "last"}
    averaged, run = trained("averaged", recipe=recipe)
    resumed, _ = trained("averaged resumed", stop_after=3, recipe=recipe)
    assert resumed.history == averaged.history
    assert same_weights(resumed.best_weights, averaged.best_weights)
    plain, plain_run = trained("plain", recipe={**recipe, "ema": None})
    assert same_weights(run.model.state_dict(), plain.best_weights), "training does not see the average"
    assert not same_weights(averaged.best_weights, plain.best_weights)
    assert [row["train_loss"] for row in averaged.history] == [row["train_loss"] for row in plain.history]
    assert [row["val_loss"] for row in averaged.history] != [row["val_loss"] for row in plain.history]
    # By hand, over one step of one weight.
    before = run.average.module.head.weight.detach().clone()
    images = next(plain_run.val_feed.in_order())[0][:8]
    run.model.train()
    run.train_step(images, Targets(torch.arange(8) % 10))
    expected = 0.9 * before + 0.1 * run.model.head.weight
    torch.testing.assert_close(run.average.module.head.weight, expected)


def test_layers_learn_at_decaying_rates_and_vectors_do_not_decay():
    model = build_model("timm/test_vit", num_classes=10, image_size=32)
    settings = {"learning_rate": 1.0, "weight_decay": 0.1, "momentum": 0.9}
    optimizer = build_optimizer(model, "adamw", layer_decay=0.5, **settings)
    group_of = {id(p): group for group in optimizer.param_groups for p in group["params"]}
    assert len(group_of) == len(list(model.parameters()))
    rates = {name: group_of[id(p)]["lr_scale"] for name, p in model.named_parameters()}
    assert rates["head.weight"] == 1.0
    blocks = [rates[f"backbone.blocks.{i}.mlp.fc1.weight"] for i in range(len(model.backbone.blocks))]
    assert [later / earlier for earlier, later in pairwise(blocks)] == [2.0] * (len(blocks) - 1)
    assert rates["backbone.patch_embed.proj.weight"] <= blocks[0] / 2
    for name, parameter in model.named_parameters():
        decays = parameter.ndim > 1 and not name.endswith(("pos_embed", "cls_token", "reg_token"))
        assert group_of[id(parameter)]["weight_decay"] == (0.1 if decays else 0.0), name
    small = build_model("resnet8", num_classes=10, image_size=32)
    with pytest.raises(ValueError, match="layer_decay needs to know the layers of CifarResNet"):
        build_optimizer(small, "adamw", layer_decay=0.5, **settings)


def test_micro_batches_of_mixtures_give_the_whole_batchs_loss(trained):
    vit = {**COMBINED, "architecture": "timm/test_vit"}
    recipe = {**COMBINED["recipe"], "image_size": 32, "optimizer": "sgd", "epochs": 1, "warmup_epochs": 0}
    whole, _ = trained("whole", **{**vit, "recipe": recipe})
    parts, _ = trained("parts", **{**vit, "recipe": {**recipe, "micro_batch": 8}})
    assert parts.history[0] == pytest.approx(whole.history[0], rel=1e-4)


@pytest.fixture
def base(trained, digits, tmp_path):
    """The model file of a short run to start from."""
    progress, run = trained("base", loss="softmax", loss_parameters={}, recipe={"epochs": 2})
    return save(progress, run, digits, tmp_path / "base.safetensors")


def save(progress, run, digits, path, head="linear"):
    recipe = run.recipe
    card = ModelCard(
        architecture=run.settings.architecture,
        head=head,
        class_names=load_tensors(digits / "train.pth").class_names,
        class_counts=run.class_counts.tolist(),
        image_size=recipe.image_size,
        mean=list(recipe.mean),
        std=list(recipe.std),
        logit_scale=1.0,
        loss="softmax",
        loss_parameters={},
        recipe=recipe.settings(),
        seed=1,
        best_epoch=progress.best_epoch,
    )
    save_model(path, progress.best_weights, card)
    return path


SECOND_STAGE = {
    "loss": "softmax",
    "loss_parameters": {},
    "recipe": {"epochs": 2, "sampler": "class_balanced", "warmup_epochs": 0},
}


@pytest.mark.parametrize("classifier", ["new", "scale"])
def test_decoupled_training_leaves_the_backbone_bit_for_bit(trained, base, digits, tmp_path, classifier):
    progress, run = trained("second", start=base, retrain=classifier, **SECOND_STAGE)
    first, _ = load_model(base)
    kind = "scaled" if classifier == "scale" else "linear"
    second, _ = load_model(save(progress, run, digits, tmp_path / "second.safetensors", kind))
    assert same_weights(first.backbone.state_dict(), second.backbone.state_dict()), "batch statistics, too"
    images = torch.rand(4, 3, 8, 8)
    assert not torch.equal(first(images), second(images))
    if classifier == "scale":
        assert same_weights(first.head.state_dict(), second.head.linear.state_dict())
        torch.testing.assert_close(second(images), first(images) * second.head.scale)
    resumed, _ = trained("resumed", stop_after=3, start=base, retrain=classifier, **SECOND_STAGE)
    assert resumed.history == progress.history
    assert same_weights(resumed.best_weights, progress.best_weights)


def test_the_script_writes_a_model_with_adjusted_logits(base, tmp_path):
    out = tmp_path / "adjusted.safetensors"
    be_script(
        "adjust", ["--model", str(base), "--settings", '{"adjust": "la", "tau": 2}', "--output", str(out)]
    )
    (first, card), (second, changed) = load_model(base), load_model(out)
    assert changed.variant == {"adjust": "la", "tau": 2.0}
    assert changed.temperature is None
    prior = torch.tensor(card.class_counts) / sum(card.class_counts)
    images = torch.rand(4, 3, 8, 8)
    torch.testing.assert_close(second(images), first(images) - 2 * prior.log())


def test_decoupled_training_needs_a_run_of_the_same_model(trained, base):
    with pytest.raises(
        ValueError, match="is a resnet8 for 10 classes; a resnet20 for 10 cannot start from it"
    ):
        trained("other", start=base, retrain="new", architecture="resnet20", **SECOND_STAGE)
    with pytest.raises(ValueError, match="needs the model file of the run"):
        trained("none", retrain="new", **SECOND_STAGE)


# Fine-tuning few weights --------------------------------------------------------------------------------------

TRANSFORMER = {
    "architecture": "timm/test_vit",
    "loss": "softmax",
    "loss_parameters": {},
}
SHORT = {"image_size": 32, "epochs": 2, "select": "last", "optimizer": "adamw", "weight_decay": 0.1}


def initial(run) -> dict[str, torch.Tensor]:
    torch.manual_seed(derive_seed(1, "initial weights"))
    architecture, size = run.settings.architecture, run.recipe.image_size
    return build_model(architecture, num_classes=10, image_size=size).state_dict()


def changed(run, progress) -> set[str]:
    before = initial(run)
    assert before.keys() == progress.best_weights.keys(), "those of the plain architecture"
    return {name for name, weight in progress.best_weights.items() if not torch.equal(weight, before[name])}


@pytest.mark.parametrize(
    ("tune", "pattern"),
    [
        ("lora", r"backbone\.blocks\.\d+\.attn\.qkv\.weight"),
        ("bias", r"backbone\..*bias"),
        ("norm", r"backbone\..*norm\d?\.(weight|bias)"),
        ("head", r"nothing of the backbone"),
    ],
)
def test_only_the_chosen_weights_of_a_transformer_are_trained(trained, tune, pattern):
    progress, run = trained(tune, **TRANSFORMER, recipe={**SHORT, "tune": tune})
    names = initial(run)
    expected = {name for name in names if re.fullmatch(pattern, name)} | {"head.weight", "head.bias"}
    assert changed(run, progress) == expected
    updates = sum(p.numel() for p in run.model.parameters() if p.requires_grad)
    assert updates < sum(p.numel() for p in run.model.parameters())


@pytest.mark.parametrize("tune", ["lora", "bias"])
@pytest.mark.parametrize("ema", [None, 0.5])
def test_fine_tuning_resumes_exactly(trained, tune, ema):
    recipe = {**SHORT, "tune": tune, "ema": ema}
    whole, _ = trained("whole", **TRANSFORMER, recipe=recipe)
    stopped, _ = trained("stopped", stop_after=3, **TRANSFORMER, recipe=recipe)
    assert whole.history == stopped.history
    assert same_weights(whole.best_weights, stopped.best_weights)


def test_a_finished_run_with_low_rank_updates_is_taken_up_as_it_is(trained):
    recipe = {**SHORT, "tune": "lora"}
    first, _ = trained("lora", **TRANSFORMER, recipe=recipe)
    again, run = trained("lora", **TRANSFORMER, recipe=recipe)
    assert same_weights(first.best_weights, again.best_weights)
    run.model.load_state_dict(again.best_weights)  # as calibration does


@pytest.mark.parametrize("architecture", ["timm/test_vit", "torchvision/vit_b_16"])
def test_low_rank_updates_are_merged_into_the_weights_of_query_and_value(architecture, monkeypatch):
    def small(name, weights, image_size):
        return VisionTransformer(image_size, 16, num_layers=2, num_heads=2, hidden_dim=16, mlp_dim=8)

    monkeypatch.setattr(from_torchvision.models, "get_model", small)
    torch.manual_seed(0)
    model = build_model(architecture, num_classes=3, image_size=32).eval()
    plain = build_model(architecture, num_classes=3, image_size=32).eval()
    for module in (model, plain):
        nn.init.normal_(module.head.weight)
    plain.load_state_dict(model.state_dict())
    images = torch.randn(2, 3, 32, 32)
    freeze(model, "lora", 2)
    torch.testing.assert_close(model(images), plain(images), msg="at first the updates are zero")
    loss = model(images).square().sum()
    loss.backward()
    with torch.no_grad():
        for weight in model.backbone.parameters():
            if weight.requires_grad:
                weight += torch.randn_like(weight)
    merged = merged_weights(model)
    tuned = [name for name in merged if not torch.equal(merged[name], plain.state_dict()[name])]
    assert tuned and all(name.endswith(("qkv.weight", "in_proj_weight")) for name in tuned)
    for name in tuned:
        update = merged[name] - plain.state_dict()[name]
        of_query, of_key, of_value = update.chunk(3)
        assert not of_key.any()
        ranks = [int(torch.linalg.matrix_rank(part, rtol=1e-4)) for part in (of_query, of_value)]
        assert ranks == [2, 2]
    plain.load_state_dict(merged)
    torch.testing.assert_close(plain(images), model(images))
    merge(model)
    assert same_weights(model.state_dict(), merged) and model.state_dict().keys() == merged.keys()
    torch.testing.assert_close(plain(images), model(images))


def test_statistics_of_batch_norms_stay_where_the_backbone_is_frozen(trained):
    recipe = {"epochs": 1, "warmup_epochs": 0, "select": "last"}
    for tune, expected in (("norm", r"backbone\..*norm\d?\.(weight|bias)"), ("head", "none")):
        progress, run = trained(tune, recipe={**recipe, "tune": tune})
        weights = {name for name in changed(run, progress) if name.startswith("backbone")}
        assert weights == {name for name in initial(run) if re.fullmatch(expected, name)}
    _, run = trained("all", recipe=recipe)
    assert any(name.endswith("running_mean") for name in changed(run, run.progress))


@pytest.mark.parametrize(
    ("architecture", "tune", "rank", "message"),
    [
        ("resnet8", "lora", 4, "tune: lora needs attention layers .* CifarResNet has none"),
        ("timm/test_vit", "lora", 1000, "lora_rank is 1000; allowed: 1 to "),
        ("timm/test_vit", "lore", 4, "tune is 'lore'; choose one of all, lora"),
    ],
)
def test_a_backbone_without_what_is_to_be_tuned_is_refused(architecture, tune, rank, message):
    model = build_model(architecture, num_classes=3, image_size=32)
    with pytest.raises(ValueError, match=message):
        freeze(model, tune, rank)


# A head that starts from class means ----------------------------------------------------------------------------

COSINE = {
    "loss": "logit_adjusted",
    "loss_parameters": {"s": 25.0},
    "head": "cosine",
    "head_init": "class_means",
    "recipe": {"epochs": 2, "padding": 1, "augment": "trivial", "select": "last", "ema": 0.5},
}


def test_a_cosine_head_starts_from_the_mean_features_of_images_as_they_are(trained, digits):
    _, run = trained("run", **COSINE)
    run = Trainer(
        run.settings,
        load_tensors(digits / "train.pth"),
        load_tensors(digits / "val.pth"),
        device=torch.device("cpu"),
        states=StateFolder(digits / "no state"),
    )
    random = run.model.head.weight.detach().clone()
    assert run.resume() is None
    backbone = run.model.backbone.eval()
    train_set = load_tensors(digits / "train.pth")
    images = (train_set.images / 255 - 0.3) / 0.4
    with torch.no_grad():
        for label in range(10):
            mean = torch.stack(
                [backbone(image[None])[0] for image in images[train_set.labels == label]]
            ).mean(0)
            torch.testing.assert_close(run.model.head.weight[label], mean / mean.norm(), rtol=0, atol=1e-5)
    assert torch.equal(run.average.module.head.weight, run.model.head.weight)
    assert not torch.equal(run.model.head.weight, random)
    fresh = build_model("resnet8", num_classes=10, image_size=8).backbone.state_dict()
    counters = [name for name in fresh if name.endswith(("running_mean", "num_batches_tracked"))]
    assert all(torch.equal(backbone.state_dict()[name], fresh[name]) for name in counters)


def test_a_class_without_images_keeps_its_random_direction():
    head = CosineLinear(2, 3)
    before = head.weight.detach().clone()
    images = torch.tensor([[3.0, 4.0], [9.0, 12.0], [0.0, -2.0]])
    batches = [(images[:2], torch.tensor([2, 2])), (images[2:], torch.tensor([0]))]
    means = class_means(nn.Identity(), batches, 3)
    assert means.tolist() == [[0, -2], [0, 0], [6, 8]]
    head.point_to(means)
    torch.testing.assert_close(head.weight, torch.tensor([[0, -1], before[1].tolist(), [0.6, 0.8]]))


def test_a_head_from_class_means_is_not_made_again_when_a_run_resumes(trained, monkeypatch):
    whole, _ = trained("whole", **COSINE)
    calls = []

    def counted(*arguments):
        calls.append(arguments)
        return class_means(*arguments)

    monkeypatch.setattr("longtail.training.run.class_means", counted)
    stopped, _ = trained("stopped", stop_after=3, **COSINE)
    assert len(calls) == 1
    assert whole.history == stopped.history
    assert same_weights(whole.best_weights, stopped.best_weights)
    with pytest.raises(ValueError, match="head_init: class_means with head: linear; allowed: random, or"):
        trained("linear", **{**COSINE, "head": "linear"})


@pytest.mark.parametrize("name", ["softmax", "balanced_softmax", "logit_adjusted"])
def test_scaled_cosines_have_the_loss_of_logits_that_are_that_large(name):
    generator = torch.Generator().manual_seed(0)
    cosines = torch.rand(6, 4, generator=generator, dtype=torch.float64) * 2 - 1
    labels = torch.tensor([0, 1, 2, 3, 0, 1])
    scaled = build_loss(name, COUNTS, s=25.0)
    assert scaled(cosines, labels).item() == pytest.approx(
        build_loss(name, COUNTS)(25 * cosines, labels).item()
    )
    assert scaled.logit_scale == 25.0
    with pytest.raises(ValueError, match="s is 0"):
        build_loss(name, COUNTS, s=0)


# Test-time ensembling ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("expand", [4, 3, 1])
@pytest.mark.parametrize(("crops", "theirs"), [("five", v2.FiveCrop), ("ten", v2.TenCrop)])
def test_logits_are_the_mean_over_torchvisions_crops(base, digits, crops, theirs, expand):
    model, card = load_model(base)
    images = load_tensors(digits / "test.pth").images[:9]
    size = card.image_size
    prepare = v2.Compose(
        [
            v2.ToDtype(torch.float32, scale=True),
            v2.Resize((size + expand, size + expand), antialias=True),
            v2.Normalize(card.mean, card.std),
        ]
    )
    with torch.no_grad():
        expected = torch.stack([model(view) for view in theirs(size)(prepare(images))]).mean(0)
    found = logits_of(model, images, card, torch.device("cpu"), 4, crops=crops, expand=expand)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-4)
    whole = logits_of(model, images, card, torch.device("cpu"), 4)
    assert (whole - found).abs().max() > 1e-3


def test_the_script_averages_over_crops_where_it_is_told_to(base, digits, tmp_path):
    def predicted(*words):
        out = tmp_path / "predictions.parquet"
        files = ["--model", base, "--tensors", digits / "test.pth", "--output", out]
        be_script("predict", [*map(str, files), *words])
        return torch.tensor(np.stack(read_parquet(out)["logits"]))

    model, card = load_model(base)
    images = load_tensors(digits / "test.pth").images
    torch.testing.assert_close(predicted(), logits_of(model, images, card, torch.device("cpu")))
    settings = {"crops": "five", "expand": 4}
    expected = logits_of(model, images, card, torch.device("cpu"), **settings)
    torch.testing.assert_close(predicted("--settings", json.dumps(settings)), expected)


@pytest.mark.parametrize(("crops", "expand"), [("five", 0), ("nine", 4)])
def test_crops_that_there_are_not_are_refused(crops, expand):
    with pytest.raises(ValueError, match=f"crops is '{crops}' and expand {expand}; allowed: five or ten"):
        crop_views(crops, expand)


def test_crops_are_an_option_of_the_prediction_and_change_its_key_alone():
    plain, five = Experiment(Config()), Experiment(load_config({"predict": {"crops": "five"}}))
    run = plain.runs[0]
    assert json.loads(plain.predict_json()) == {}
    assert json.loads(five.predict_json()) == {"crops": "five", "expand": 24}
    assert plain.train_key(run) == five.train_key(run)
    assert plain.predict_key(run) != five.predict_key(run)


# All of it, through the workflow ------------------------------------------------------------------------------


def test_a_transformer_is_tuned_by_lora_from_class_means_and_predicted_by_crops(tmp_path):
    workspace = Workspace.create(tmp_path / "workspace")
    pretrained = timm.create_model("test_vit")
    save_file(pretrained.state_dict(), workspace.folder / "pretrained.safetensors")
    config = {
        "grid": {"models": ["vit"], "losses": ["lift"], "train_sets": ["longtailed"]},
        "models": {"vit": {"architecture": "timm/test_vit", "weights": "pretrained.safetensors"}},
        "losses": {
            "lift": {
                "loss": "logit_adjusted",
                "s": 25,
                "head": "cosine",
                "head_init": "class_means",
                "train": {"tune": "lora", "lora_rank": 2},
            }
        },
        "predict": {"crops": "five", "expand": 4},
        "data": DIGITS,
        "train": {"epochs": 2, "image_size": 32, "augment": "trivial", "flip": False, "batch_size": 64},
        "job": {"threads": 1},
    }
    (workspace.folder / "config/config.yaml").write_text(yaml.safe_dump(config))
    run = workspace.folder / "results/runs/longtailed/vit/lift/seed42"
    workspace.snakemake(str((run / "predictions.parquet").relative_to(workspace.folder)))
    model, card = load_model(run / "model.safetensors")
    assert (card.head, card.logit_scale) == ("cosine", 25.0)
    assert (card.recipe["tune"], card.recipe["lora_rank"], card.recipe["augment"]) == ("lora", 2, "trivial")
    before = {
        name: weight for name, weight in pretrained.state_dict().items() if name != "pos_embed"
    }  # resized
    after = model.backbone.state_dict()
    moved = {name for name in after.keys() & before.keys() if not torch.equal(after[name], before[name])}
    assert moved == {f"blocks.{block}.attn.qkv.weight" for block in range(len(pretrained.blocks))}
    images = load_tensors(workspace.folder / "results/data/test_balanced.pth").images
    expected = logits_of(model, images, card, torch.device("cpu"), crops="five", expand=4)
    torch.testing.assert_close(
        torch.tensor(np.stack(read_parquet(run / "predictions.parquet")["logits"])),
        expected,
        rtol=0,
        atol=1e-4,
    )


# Configuration ------------------------------------------------------------------------------------------------


def test_the_published_protocol_is_that_of_the_papers():
    config = load_config(yaml.safe_load((ROOT / "config/cao2019.yaml").read_text()))
    experiment = Experiment(config)
    assert experiment.published_protocol
    assert not Experiment(Config()).published_protocol
    assert sum(longtailed_counts(500, 100, config.data.imbalance_factor)) == 10_847
    recipe = Recipe.from_settings(experiment.train_settings("resnet32", "ldam_drw")["recipe"])
    # adjust_learning_rate of the authors' cifar_train.py, whose epochs count from 1 there.
    rates = {1: 0.02, 5: 0.1, 6: 0.1, 160: 0.1, 161: 0.001, 180: 0.001, 181: 0.00001, 200: 0.00001}
    for epoch, rate in rates.items():
        assert recipe.learning_rate_in(epoch - 1) == pytest.approx(rate)
    assert int(recipe.drw.start * recipe.epochs) == 160
    assert (recipe.batch_size, recipe.momentum, recipe.weight_decay) == (128, 0.9, 2e-4)


def test_the_readmes_methods_load():
    text = (ROOT / "README.md").read_text()
    blocks = [yaml.safe_load(block) for block in re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)]
    (block,) = [block for block in blocks if "variants" in block]
    config = load_config(block)
    assert set(config.trained) == set(block["grid"]["losses"])
    assert config.recipe("resnet50", "remix").mixup.remix.kappa == 3


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
    assert json.loads(experiment.adjust_json("strong")) == {"adjust": "la", "tau": 2.0}
    assert experiment.loss_settings("focal+taunorm")["loss"] == "focal"
    assert label("softmax+la") == "Softmax + LA"
    assert label("my_loss+taunorm") == "my loss + τ-norm"
    assert label("a+b") == "a+b"


def test_keys_follow_the_start_and_not_the_other_way_round():
    softmax, crt, la, strong, _ = varied().runs
    before, stronger = varied(), varied(variants={**VARIED["variants"], "softmax+la": {"tau": 1.5}})
    longer = varied(losses={"crt": {"train": {"epochs": 7}}})
    other = varied(losses={"softmax": {"train": {"epochs": 7}}})

    def keys(experiment: Experiment) -> dict[RunId, str]:
        return {run: experiment.predict_key(run) for run in (softmax, crt, la, strong)}

    def changed(experiment: Experiment) -> set[str]:
        return {run.loss for run, key in keys(experiment).items() if key != keys(before)[run]}

    assert changed(stronger) == {"softmax+la"}
    assert changed(longer) == {"crt"}
    assert changed(other) == {"softmax", "crt", "softmax+la", "strong"}


def test_the_default_experiment_knows_none_of_this():
    assert Config().variants == {}
    assert all(Experiment(Config()).start(run) is None for run in Experiment(Config()).runs)


@pytest.mark.parametrize("name", ["la", "taunorm"])
def test_each_method_names_its_paper(name):
    text = (ROOT / f"longtail/models/variants/{name}.py").read_text()
    assert re.search(r"Source: .*20\d\d", text)


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
