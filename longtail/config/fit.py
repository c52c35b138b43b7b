"""Rules about settings that contradict each other, although each is valid by itself.

A rule looks at one contradiction and yields a sentence for everything that is wrong: the key, why, and what to set.
"""

import os
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from typing import Any, NamedTuple

from longtail.config.data import Data
from longtail.config.methods import METHODS, CustomLoss, Loss, ResolvedVariant
from longtail.config.own_loss import derives_from_module
from longtail.files.sealed_json import REMEDY
from longtail.losses.declarations import declaration, declarations
from longtail.models import DIVISIBLE, model_module, pretrained_source, unfilled_patches
from longtail.models.variants import known_variants
from longtail.settings import constant
from longtail.training.recipe import Recipe


class Training(NamedTuple):
    """One model of the grid with one loss that is trained."""

    model: str
    architecture: str
    loss: str
    entry: Loss
    recipe: Recipe
    pretrained: bool
    crops: str | None
    """How test images are cropped (`predict.crops`)."""
    start: tuple[Loss, Recipe] | None
    """The run that decoupled training takes its backbone from."""
    teacher: Recipe | None = None
    """The recipe of the run that teaches this one; None: there is none, or it is a file."""
    classes: int = 0
    """How many classes the data has; 0 where only its images tell."""

    @property
    def scale(self) -> float | None:
        """The factor by which the loss multiplies the logits; None if it has no such parameter."""
        return getattr(self.entry, "s", None)

    @property
    def usual_head(self) -> str | None:
        """The head that the loss is made for; None if the loss is your own, since its head is not known."""
        return self.entry.declared.default_head if self.entry.declared else None


def cosines_are_scaled(run: Training) -> Iterator[str]:
    """The logits of a cosine head need a loss that scales them."""
    if run.entry.head == "cosine" and run.usual_head == "linear" and run.scale in (None, 1.0):
        scaling = [name for name, own in declarations().items() if "s" in own.parameters and not own.needs]
        remedy = "set s: 25" if run.scale else f"use the loss {', '.join(scaling[:-1])} or {scaling[-1]}"
        yield (
            f"losses.{run.loss}.head: the logits of a cosine head lie in [-1, 1], and {run.entry.loss} does not scale "
            f"them, so its softmax would be nearly flat; {remedy}, or head: linear"
        )


def linear_logits_are_not_scaled(run: Training) -> Iterator[str]:
    """The logits of a linear head have a scale already."""
    if run.entry.head == "linear" and run.usual_head == "linear" and run.scale not in (None, 1.0):
        yield (
            f"losses.{run.loss}.s: {run.scale:g} scales the logits of a cosine head, and those of a linear one have a "
            "length of their own; set head: cosine, or leave s out"
        )


def class_means_start_a_cosine_head(run: Training) -> Iterator[str]:
    """Only a cosine head can start from the class means."""
    if run.entry.head == "linear" and run.entry.head_init == "class_means":
        yield (
            f"losses.{run.loss}.head_init: class_means are directions, for the normalised weights of a cosine head; "
            "set head: cosine, or head_init: random"
        )


def loss_allows_mixtures(run: Training) -> Iterator[str]:
    """Some losses cannot be trained on mixtures of two images."""
    mixup, recipe = run.recipe.mixup, run.recipe
    if mixup and mixup.kind == "manifold":
        for setting, acts, none in (
            ("micro_batch", recipe.micro_batch, "null"),
            ("gpus_per_job", recipe.gpus_per_job > 1, "1"),
        ):
            if acts:
                yield (
                    f"losses.{run.loss}: mixup.kind: manifold mixes the features of a whole batch, which {setting} "
                    f"divides; set {setting}: {none}, or kind: input"
                )
    if mixup and (facts := run.entry.facts) and facts.no_mixup:
        yield (
            f"losses.{run.loss}: mixup with {run.entry.called}; {facts.no_mixup}. "
            "Set mixup: null for this loss, or use another loss"
        )


def loss_allows_parts(run: Training) -> Iterator[str]:
    """Some losses belong to a whole batch, which parts of it do not add up to."""
    if run.recipe.micro_batch and (facts := run.entry.facts) and facts.no_parts:
        yield (
            f"losses.{run.loss}: micro_batch with {run.entry.called}; {facts.no_parts}. "
            "Set micro_batch: null and a smaller batch_size for this loss, or use another loss"
        )


def views_belong_to_one_step(run: Training) -> Iterator[str]:
    """A loss that compares views of an image trains the backbone, on one device and with weights of its own."""
    facts, recipe, where = run.entry.facts, run.recipe, f"losses.{run.loss}"
    if facts is None or len(facts.views) == 1:
        return
    views = f"{run.entry.called} compares {len(facts.views)} views of an image"
    for setting, reason in (("mixup", facts.no_mixup), ("micro_batch", facts.no_parts)):
        if getattr(recipe, setting) and not reason:
            yield f"{where}: {views}, which {setting} would tear apart; set {setting}: null for this loss"
    if recipe.gpus_per_job > 1:
        yield f"{where}: {views}, which several GPUs cannot share; set gpus_per_job: 1 for this loss"
    if recipe.drw:
        yield (
            f"{where}: {views}, which drw cannot weigh by the class of one, and re-balances its classes itself; set "
            "drw: null for this loss"
        )
    if recipe.tune == "head":
        yield f"{where}: {views} to train the backbone, which tune: head freezes; set tune: all for this loss"
    if run.entry.retrain:
        yield f"{where}.retrain: {views} to train the backbone, which is frozen here; use another loss"
    if run.entry.experts > 1:
        yield f"{where}.experts: {views} by one classifier, and {run.entry.experts} experts have several; leave it out"


def mirrored_crops_were_trained(run: Training) -> Iterator[str]:
    """Ten crops show mirror images, which a model without flips has never seen."""
    if run.crops == "ten" and not run.recipe.flip:
        yield (
            f"predict.crops: ten adds mirror images, and {run.model} with {run.loss} is trained without any "
            "(flip: false); set predict.crops: five, or flip: true"
        )


def frozen_weights_are_pretrained(run: Training) -> Iterator[str]:
    """A backbone of which only few weights are trained has to start from pretrained ones."""
    if run.recipe.tune != "all" and not run.entry.retrain and not run.pretrained:
        yield (
            f"models.{run.model}.pretrained: false with tune: {run.recipe.tune} would freeze random weights; set "
            "pretrained: true, or tune: all"
        )


def retraining_starts_from_a_whole_run(run: Training) -> Iterator[str]:
    """Decoupled training starts from a run that trained its own backbone."""
    if run.start and run.entry.retrain and (earlier := run.start[0].retrain):
        yield (
            f"losses.{run.loss}.retrain.start: {run.entry.retrain.start} is itself retrained; start from "
            f"{earlier.start}"
        )


def a_kept_classifier_is_of_the_same_kind(run: Training) -> Iterator[str]:
    """A classifier that is trained on is the one that its run had; lengths are limited from those that it had."""
    retrain = run.entry.retrain
    if run.start and retrain and retrain.classifier == "keep" and run.start[0].head != run.entry.head:
        yield (
            f"losses.{run.loss}.retrain.classifier: keep trains the {run.start[0].head} head of "
            f"{retrain.start} on, and {run.loss} needs a {run.entry.head} one; use classifier: new"
        )
    if run.recipe.max_norm and not (retrain and retrain.classifier == "keep"):
        yield (
            f"losses.{run.loss}: max_norm takes its limit from a trained classifier, and this one starts from random "
            "weights; set max_norm under losses.NAME.train of a loss with retrain: {classifier: keep}"
        )


def only_linear_classifiers_are_rescaled(run: Training) -> Iterator[str]:
    """LWS scales the logits of each class, which a cosine head would undo."""
    heads = [entry.head for entry in (run.entry, *(run.start or ())[:1])]
    if run.entry.retrain and run.entry.retrain.scales and "cosine" in heads:
        yield (
            f"losses.{run.loss}.retrain.classifier: {run.entry.retrain.classifier} rescales the logits of a linear "
            "classifier; those of a cosine head have all the same scale. Use classifier: new, or a start with head: "
            "linear"
        )


def frozen_backbone_sees_the_same_images(run: Training) -> Iterator[str]:
    """A backbone that is kept has to be shown images as it was trained with."""
    if run.start and run.entry.retrain:
        for name in ("image_size", "mean", "std"):
            ours, theirs = getattr(run.recipe, name), getattr(run.start[1], name)
            if ours != theirs:
                yield (
                    f"losses.{run.loss}.train.{name}: {ours}, but the backbone of {run.entry.retrain.start} was "
                    f"trained with {theirs} and stays as it is; use the same"
                )


def retraining_tunes_no_backbone(run: Training) -> Iterator[str]:
    """Decoupled training freezes the whole backbone."""
    if run.entry.retrain and run.recipe.tune != "all":
        yield (
            f"losses.{run.loss}.retrain: tune: {run.recipe.tune} chooses weights of the backbone, and all of this one "
            "is frozen; set train.tune: all for this loss"
        )


def retraining_mixes_no_images(run: Training) -> Iterator[str]:
    """Mixtures are for the backbone, which decoupled training freezes; for its classifier, they have to be meant."""
    if run.entry.retrain and run.recipe.mixup and "mixup" not in run.entry.train:
        yield (
            f"losses.{run.loss}.retrain: mixup shapes the backbone, and this one is frozen; set mixup: null for this "
            f"loss, or write it under losses.{run.loss}.train where its classifier is to learn from mixtures"
        )


def shifted_norms_are_there(run: Training) -> Iterator[str]:
    """Only batch norms have running means and variances, which transformers and ConvNeXt lack."""
    name = _built_by(run)[1].rpartition("/")[2] or run.architecture.rpartition("/")[2]
    if run.entry.retrain and run.entry.retrain.shift_norms and name.startswith(("vit_", "swin", "convnext")):
        yield (
            f"losses.{run.loss}.retrain.shift_norms: {run.architecture} has no batch norms whose statistics could "
            "follow; set shift_norms: false, or choose another model"
        )


def teacher_sees_the_same_images(run: Training) -> Iterator[str]:
    """A teacher gets the batch of its student, so both have to prepare images alike."""
    if not (distill := run.entry.distill):
        return
    where = f"losses.{run.loss}.distill.teacher: {distill.teacher}"
    theirs: Mapping[str, Any] = run.teacher.model_dump() if run.teacher else {}
    if distill.path:
        from longtail.models.card import read_card

        try:
            theirs = asdict(read_card(distill.path))
        except FileNotFoundError:
            yield f"{where} does not exist (looked for {os.path.realpath(distill.path)})"
        except (OSError, ValueError) as error:
            why = str(error).removesuffix(REMEDY).removesuffix("train it again").rstrip("; .")
            yield f"losses.{run.loss}.distill.teacher: {why}. Name the model.safetensors of a finished run"
    if run.classes and run.classes != len(found := theirs.get("class_names", range(run.classes))):
        yield (
            f"{where} was trained on {len(found)} classes, and the data has {run.classes}; name a model of the same "
            "classes in the same order"
        )
    for name in ("image_size", "mean", "std"):
        ours = getattr(run.recipe, name)
        ours = list(ours) if isinstance(ours, tuple) else ours
        found = theirs.get(name, ours)
        found = list(found) if isinstance(found, tuple) else found
        if ours != found:
            yield (
                f"{where} was trained with {name} {found}, and {run.model} with {run.loss} gives it images of {ours}; "
                f"use the same train.{name}"
            )


def images_fill_the_patches(run: Training) -> Iterator[str]:
    """A transformer cuts images into patches; that a library's model needs it is known from its name alone."""
    size, where = run.recipe.image_size, f"models.{run.model}"
    least = LEAST_PIXELS.get(run.architecture, 1)
    if size < least:
        yield (
            f"{where}: {run.architecture} cannot take images of {size} px, which its strides shrink to nothing; "
            f"choose an image_size of {least} or more for it"
        )
    patch = PATCH.search(_built_by(run)[1])
    if patch and size % (pixels := int(patch["torchvision"] or patch["timm"])):
        yield f"{where}: {unfilled_patches(run.architecture, pixels, size)}"


def layers_are_known(run: Training) -> Iterator[str]:
    """Only timm tells the layers of its architectures, which the decay over the layers needs."""
    if run.recipe.layer_decay and _built_by(run)[0] in ("cifar_resnet", "resnet10", "from_torchvision"):
        yield (
            f"models.{run.model}: layer_decay needs to know the layers of {run.architecture}, which only architectures "
            "of timm tell; set architecture: timm/NAME for this model, or layer_decay: null"
        )


def attention_is_there(run: Training) -> Iterator[str]:
    """Low-rank updates are of attention layers, which networks of convolutions have none of."""
    family, published = _built_by(run)
    attends = published.rpartition("/")[2].startswith(("vit_", "swin"))
    if run.recipe.tune == "lora" and not attends:
        ours = "/" not in run.architecture and family == "from_timm"
        if ours or family in ("cifar_resnet", "resnet10", "from_torchvision"):
            yield (
                f"models.{run.model}: tune: lora needs attention layers, and {run.architecture} has none; choose "
                "another model, or one of tune: bias, norm, head"
            )


def own_loss_can_be_weighed(run: Training) -> Iterator[str]:
    """A loss that is a plain module of PyTorch weighs its images itself."""
    own, mixup = run.entry.loss, run.recipe.mixup
    wanting = ["train.drw"] if run.recipe.drw else []
    if mixup and mixup.remix:
        wanting.append("train.mixup.remix")
    if wanting and isinstance(own, CustomLoss) and derives_from_module(own.path, own.name):
        yield (
            f"losses.{run.loss}: {' and '.join(wanting)} weighs each image, which {own.name}, derived from nn.Module, "
            "does itself; derive it from longtail.losses.base.Loss, or set null"
        )


def _built_by(run: Training) -> tuple[str, str]:
    """The file of `longtail.models` that builds the architecture, and what its library calls it; empty: not known."""
    try:
        family = model_module(run.architecture).rpartition(".")[2]
        return family, pretrained_source(run.architecture) or ""
    except ValueError:  # an unknown one is told elsewhere
        return "", ""


LEAST_PIXELS = {"convnext_base": 32}
PATCH = re.compile(
    r"^torchvision/vit_\w_(?P<torchvision>\d+)|^timm/(?!naflex)\w*patch(?P<timm>\d+)_(?:\w+_)?\d{3}(?!\d)"
)
"""Models that take images of one size, and so name it, are cut into patches of exactly the size that they name."""


class Meaning(NamedTuple):
    """What a loss and its recipe are under a name that tables and published numbers know, though an entry makes it."""

    losses: tuple[str, ...]
    words: str
    holds: Callable[[Loss, Recipe], bool]


_DRW = "re-weighted in its last epochs (train.drw)"
MEANINGS = {
    "square_root_weights": Meaning(
        ("weighted_softmax",), "with power: 0.5", lambda entry, recipe: getattr(entry, "power", None) == 0.5
    ),
    **{
        f"{sampler}_sampler": Meaning(
            ("softmax",),
            f"with train.sampler: {sampler}",
            lambda entry, recipe, sampler=sampler: (  # type: ignore[misc]
                recipe.sampler == sampler and not recipe.sampler_start
            ),
        )
        for sampler in ("class_balanced", "square_root", "progressive")
    },
    **{
        name: Meaning(
            ("softmax",),
            f"with train.sampler: {sampler} and train.sampler_start",
            lambda entry, recipe, sampler=sampler: (  # type: ignore[misc]
                recipe.sampler == sampler and recipe.sampler_start > 0
            ),
        )
        for name, sampler in (
            ("drs", "class_balanced"),
            ("drs_square_root", "square_root"),
            ("drs_progressive", "progressive"),
        )
    },
    "label_smoothing": Meaning(
        ("softmax",), "with smoothing", lambda entry, recipe: getattr(entry, "smoothing", 0) > 0
    ),
    **{
        name: Meaning(
            ("softmax",),
            f"with train.mixup{words}",
            lambda entry, recipe, kind=kind, remix=remix: (  # type: ignore[misc]
                recipe.mixup is not None
                and (recipe.mixup.kind, recipe.mixup.remix is not None) == (kind, remix)
            ),
        )
        for name, words, kind, remix in (
            ("mixup", "", "input", False),
            ("remix", ".remix", "input", True),
            ("cutmix", ".kind: cutmix", "cutmix", False),
            ("manifold_mixup", ".kind: manifold", "manifold", False),
        )
    },
    **{
        f"{name}_drw": Meaning(losses, _DRW, lambda entry, recipe: recipe.drw is not None)
        for name, losses in {
            "weighted_softmax": ("softmax", "weighted_softmax"),
            "focal": ("focal", "sigmoid_focal"),
            "class_balanced": ("softmax", "class_balanced"),
            "balanced_softmax": ("balanced_softmax",),
        }.items()
    },
}


def names_mean_what_tables_print(run: Training) -> Iterator[str]:
    """A name that tables and published numbers know is that method, and nothing else."""
    if (known := MEANINGS.get(run.loss)) and not (
        run.entry.loss in known.losses and known.holds(run.entry, run.recipe)
    ):
        yield (
            f"losses.{run.loss}: under this name, tables show {' or '.join(known.losses)} {known.words}, and this is "
            "something else; call the entry otherwise"
        )
    own = METHODS.get(run.loss, {})
    if run.loss not in METHODS and not declaration(run.loss):
        return
    given, usual = run.entry.train, own.get("train", {})
    for setting, none in (("drw", None), ("mixup", None), ("sampler", "instance")):
        found, known_as = given.get(setting, none), usual.get(setting, none)
        if (found == none) != (known_as == none):
            what = f"{setting}: {'null' if found is None else found if isinstance(found, str) else '{…}'}"
            yield (
                f"losses.{run.loss}.train: {what} makes another method of {run.loss}, which tables and published "
                "numbers know by that name; call the entry otherwise"
            )
    if declared := run.entry.declared:
        usual_experts = declared.default_experts
        if usual_experts == 1 < run.entry.experts:
            yield (
                f"losses.{run.loss}.experts: makes another method of {run.loss}, which tables and published numbers "
                "know by that name; call the entry otherwise"
            )
    for section in ("retrain", "distill"):
        if getattr(run.entry, section) and section not in own:
            yield (
                f"losses.{run.loss}.{section}: makes another method of {run.loss}, which tables and published numbers "
                "know by that name; call the entry otherwise"
            )


def experts_have_stages_of_their_own(run: Training) -> Iterator[str]:
    """Some architectures can be divided among experts, and what belongs to one classifier cannot be done to several."""
    entry, where, facts = run.entry, f"losses.{run.loss}", run.entry.facts
    if facts and "experts" in facts.needs:
        usual, exact = max(facts.default_experts, 2), facts.exact_experts
        if entry.experts == 1 or (exact and entry.experts != usual):
            number = usual if exact else f"several, such as {usual}"
            yield (
                f"{where}.experts: found {entry.experts}, and {entry.called} trains {number} experts, each in its own "
                f"way; set experts: {usual}"
            )
    if entry.experts == 1:
        if entry.narrow_experts is not None:
            yield f"{where}.narrow_experts: is for several experts; set experts: 3, or leave it out"
        return
    family, published = _built_by(run)
    name = published.rpartition("/")[2]
    if family not in ("cifar_resnet", "resnet10") and not (
        family == "from_torchvision" and name.startswith(("resnet", "resnext", "wide_resnet"))
    ):
        yield (
            f"{where}: {run.architecture} cannot be divided among {entry.experts} experts; {DIVISIBLE} can. Use one of "
            "them, or a loss without experts"
        )
    if entry.head_init == "class_means":
        yield (
            f"{where}.head_init: class_means would start all {entry.experts} experts alike; set head_init: random"
        )
    if run.recipe.tune == "head":
        yield (
            f"{where}: tune: head freezes the stages of all {entry.experts} experts, which are copies of the same "
            "pretrained ones; set tune: all, or one of bias, norm"
        )


def decoupled_training_has_one_classifier(run: Training) -> Iterator[str]:
    """The second stage trains one classifier on the backbone of a run that has one."""
    if run.start and run.entry.retrain:
        for name, entry in ((run.loss, run.entry), (run.entry.retrain.start, run.start[0])):
            if entry.experts > 1:
                yield (
                    f"losses.{run.loss}.retrain: {name} has {entry.experts} experts with a classifier each, and "
                    "decoupled training is for models with one; use a loss without experts"
                )
                return


RULES = (
    experts_have_stages_of_their_own,
    decoupled_training_has_one_classifier,
    names_mean_what_tables_print,
    cosines_are_scaled,
    linear_logits_are_not_scaled,
    class_means_start_a_cosine_head,
    loss_allows_mixtures,
    loss_allows_parts,
    views_belong_to_one_step,
    mirrored_crops_were_trained,
    frozen_weights_are_pretrained,
    retraining_starts_from_a_whole_run,
    only_linear_classifiers_are_rescaled,
    a_kept_classifier_is_of_the_same_kind,
    frozen_backbone_sees_the_same_images,
    retraining_tunes_no_backbone,
    retraining_mixes_no_images,
    shifted_norms_are_there,
    teacher_sees_the_same_images,
    images_fill_the_patches,
    layers_are_known,
    attention_is_there,
    own_loss_can_be_weighed,
)


def misfits(run: Training) -> Iterator[str]:
    """A sentence for each thing that is wrong with one model under one loss."""
    for rule in RULES:
        yield from rule(run)


def misfits_of_variant(name: str, variant: ResolvedVariant, entry: Loss, recipe: Recipe) -> Iterator[str]:
    """Why this variant cannot change the classifier of a model with this training; at most one reason."""
    where, file = f"variants.{name}", f"models/variants/{variant.adjust}.py"
    taken = constant(file, "SETTINGS")
    of_others = {
        own for other in known_variants() for own in constant(f"models/variants/{other}.py", "SETTINGS")
    }
    foreign = sorted(of_others & variant.model_fields_set - set(taken))
    if foreign:
        yield (
            f"{where}.{foreign[0]}: {variant.adjust} has no {foreign[0]}, it takes {' and '.join(taken) or 'nothing'}; "
            "leave it out"
        )
    elif variant.images == "train" and entry.retrain and not entry.retrain.shift_norms:
        yield (
            f"{where}: {variant.of} has the backbone of {entry.retrain.start} and so the same class means; use "
            f"{entry.retrain.start}"
        )
    elif entry.experts > 1 and not constant(file, "EXPERTS"):
        yield (
            f"{where}: {variant.of} has {entry.experts} experts with a classifier each, and {variant.adjust} changes "
            "one; use a loss without experts"
        )
    elif entry.experts == 1 and constant(file, "EXPERTS"):
        yield (
            f"{where}: {variant.adjust} weighs several experts, and {variant.of} has none; use a loss with experts, "
            "such as sade"
        )
    elif entry.head == "cosine" and (why := constant(file, "NO_COSINE")):
        yield f"{where}: the cosine head of {variant.of} {why}; use a loss with head: linear"
    elif entry.retrain and entry.retrain.scales:
        yield f"{where}: {variant.of} rescales its classifier itself; use the loss it starts from"
    elif constant(file, "CORRECTS_LOGITS") and (reason := _corrected(entry, recipe)):
        yield f"{where}: {variant.of} {reason}; adjusting its logits again would correct twice"


def corrected_twice(run: Training) -> Iterator[str]:
    """A sentence on a training that corrects the imbalance in more than one way, which sometimes helps."""
    recipe, facts = run.recipe, run.entry.facts
    ways = [
        facts.corrects if facts else None,
        "re-weighs its classes in its last epochs (drw)" if recipe.drw else None,
        f"draws them by the sampler {recipe.sampler}" if recipe.sampler != "instance" else None,
        "gives mixed images the label of the rarer class (remix)"
        if recipe.mixup and recipe.mixup.remix
        else None,
    ]
    if len(found := [way for way in ways if way]) > 1:
        yield (
            f"losses.{run.loss}: {' and '.join(found)}, which corrects the imbalance twice and may favour rare classes "
            "too much; it runs as it stands"
        )


def _corrected(entry: Loss, recipe: Recipe) -> str | None:
    """A clause on how a training already corrects the imbalance; None if it does not."""
    if recipe.drw:
        return "re-weighs its classes in its last epochs (drw)"
    if recipe.sampler != "instance":
        return f"shows the classes to the model by the sampler {recipe.sampler}"
    return facts.corrects if (facts := entry.facts) else None


def misfits_of_validating_tests(data: Data, runs: list[Training]) -> Iterator[str]:
    """Settings that would choose something by the test images, where no others are left to validate with."""
    because = data.tests_validate
    if data.test_per_class is None and not data.facts.test_images:
        yield f"data.test_per_class: null is the original test set, and {data.source} has none; set a number"
    for run in [run for run in runs if run.recipe.select != "last"][:1]:
        yield (
            f"train.select: {run.recipe.select}, for {run.model} with {run.loss}, would choose the epoch by the test "
            f"images, as {because} leaves no others to validate with; set train.select: last"
        )
    if any(run.recipe.calibrate for run in runs):
        yield (
            f"train.calibrate: true would fit the temperature to the test images, as {because} leaves no others to "
            "validate with; set train.calibrate: false"
        )


def worst_group_is_there(data: Data, runs: list[Training]) -> Iterator[str]:
    """The epoch cannot be chosen by the worst of three groups where one has no class."""
    for empty in data.empty_groups[:1]:
        for run in [run for run in runs if run.recipe.select == "min_group"][:1]:
            yield (
                f"train.select: min_group, for {run.model} with {run.loss}, compares three groups, and {empty}; change "
                "the limits, or select by mean_class_acc"
            )


def enough_images(data: Data) -> Iterator[str]:
    """Why a source with classes of equal size has too few images; its job finds a class that is smaller than others."""
    source = data.facts
    if source.images and not source.natural:
        validating = 0 if source.test_images else 1  # an original test set validates
        needed = data.train_per_class + (data.test_per_class or 0) + validating
        if needed > (there := source.images // source.classes):
            yield (
                f"data.train_per_class: {data.train_per_class}"
                + (f", with test_per_class {data.test_per_class}" if data.test_per_class else "")
                + (" and one image to validate" if validating else "")
                + f", takes {needed} images of each class, and {data.source} has {there:,}; lower them"
            )
