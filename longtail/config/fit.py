"""Rules about settings that contradict each other, although each is valid by itself.

A rule looks at one contradiction and yields a sentence for everything that is wrong: the key, why, and what to set.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple

from longtail.config.methods import Loss, ResolvedVariant
from longtail.data.sources.table import known_sources
from longtail.losses.declarations import declarations
from longtail.settings import constant
from longtail.training.recipe import Recipe


class Training(NamedTuple):
    """One model of the grid with one loss that is trained."""

    model: str
    loss: str
    entry: Loss
    recipe: Recipe
    pretrained: bool
    crops: str | None
    """How test images are cropped (`predict.crops`)."""
    start: tuple[Loss, Recipe] | None
    """The run that decoupled training takes its backbone from."""

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
        scaling = [name for name, declared in declarations().items() if "s" in declared.parameters]
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
    if run.recipe.mixup and run.entry.declared and run.entry.declared.no_mixup:
        yield (
            f"losses.{run.loss}: mixup with {run.entry.loss}; {run.entry.declared.no_mixup}. "
            "Set mixup: null for this loss, or use another loss"
        )


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


def only_linear_classifiers_are_rescaled(run: Training) -> Iterator[str]:
    """LWS scales the logits of each class, which a cosine head would undo."""
    heads = [entry.head for entry in (run.entry, *(run.start or ())[:1])]
    if run.entry.retrain and run.entry.retrain.classifier == "scale" and "cosine" in heads:
        yield (
            f"losses.{run.loss}.retrain.classifier: scale rescales the logits of a linear classifier; those of a "
            "cosine head have all the same scale. Use classifier: new, or a start with head: linear"
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
    """Mixtures are for the backbone, which decoupled training freezes."""
    if run.entry.retrain and run.recipe.mixup:
        yield (
            f"losses.{run.loss}.retrain: mixup shapes the backbone, and this one is frozen; set mixup: null for this "
            "loss"
        )


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
            lambda entry, recipe, sampler=sampler: recipe.sampler == sampler,  # type: ignore[misc]
        )
        for sampler in ("class_balanced", "square_root", "progressive")
    },
    "mixup": Meaning(
        ("softmax",), "with train.mixup", lambda entry, recipe: bool(recipe.mixup and not recipe.mixup.remix)
    ),
    "remix": Meaning(
        ("softmax",),
        "with train.mixup.remix",
        lambda entry, recipe: bool(recipe.mixup and recipe.mixup.remix),
    ),
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


RULES = (
    names_mean_what_tables_print,
    cosines_are_scaled,
    linear_logits_are_not_scaled,
    class_means_start_a_cosine_head,
    loss_allows_mixtures,
    mirrored_crops_were_trained,
    frozen_weights_are_pretrained,
    retraining_starts_from_a_whole_run,
    only_linear_classifiers_are_rescaled,
    frozen_backbone_sees_the_same_images,
    retraining_tunes_no_backbone,
    retraining_mixes_no_images,
)


def misfits(run: Training) -> Iterator[str]:
    """A sentence for each thing that is wrong with one model under one loss."""
    for rule in RULES:
        yield from rule(run)


def misfits_of_variant(name: str, variant: ResolvedVariant, entry: Loss, recipe: Recipe) -> Iterator[str]:
    """Why this variant cannot change the classifier of a model with this training; at most one reason."""
    where, file = f"variants.{name}", f"models/variants/{variant.adjust}.py"
    if entry.head == "cosine":
        why = constant(file, "NO_COSINE")
        yield f"{where}: the cosine head of {variant.of} {why}; use a loss with head: linear"
    elif entry.retrain and entry.retrain.classifier == "scale":
        yield f"{where}: {variant.of} rescales its classifier itself; use the loss it starts from"
    elif constant(file, "CORRECTS_LOGITS") and (reason := _corrected(entry, recipe)):
        yield f"{where}: {variant.of} {reason}; adjusting its logits again would correct twice"


def corrected_twice(run: Training) -> Iterator[str]:
    """A sentence on a training that corrects the imbalance in more than one way, which sometimes helps."""
    recipe, declared = run.recipe, run.entry.declared
    ways = [
        declared.corrects if declared else None,
        "re-weighs its classes in its last epochs (drw)" if recipe.drw else None,
        f"draws them by the sampler {recipe.sampler}" if recipe.sampler != "instance" else None,
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
    return entry.declared.corrects if entry.declared else None


def misfits_of_the_original_test_set(source: str, runs: list[Training]) -> Iterator[str]:
    """`data.test_per_class: null` tests on the original test set, which leaves no images to validate with."""
    if not known_sources()[source].test_images:
        yield f"data.test_per_class: null is the original test set, and {source} has none; set a number"
    for run in [run for run in runs if run.recipe.select != "last"][:1]:
        yield (
            f"train.select: {run.recipe.select}, for {run.model} with {run.loss}, would choose the epoch by the test "
            "images, as data.test_per_class: null leaves no others to validate with; set train.select: last"
        )
    if any(run.recipe.calibrate for run in runs):
        yield (
            "train.calibrate: true would fit the temperature to the test images, as data.test_per_class: null "
            "leaves no others to validate with; set train.calibrate: false"
        )
