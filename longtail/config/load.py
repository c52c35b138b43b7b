"""The experiment's configuration: every setting, its type, its range and its default, in one place.

`load_config` turns the mapping that Snakemake read from YAML and the command line into a `Config`, or reports
every problem at once. Library functions never see these classes; they get the plain values.
"""

import difflib
import json
import re
from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, Field, ValidationError, field_validator, model_validator

from longtail.models import known_models, model_module, pretrained_source
from longtail.settings import (
    Count,
    Fraction,
    HalfOpenUnit,
    Name,
    NonNegative,
    Positive,
    Reduction,
    Section,
    Seed,
    Unit,
)
from longtail.training.recipe import Recipe

TrainSet = Literal["balanced", "longtailed"]

OFFICIAL_CIFAR100 = (
    "https://www.cs.toronto.edu/~kriz/cifar-100-python.tar.gz",
    "https://cave.cs.toronto.edu/kriz/cifar-100-python.tar.gz",
)


LIBRARY_MODELS = ("timm/NAME", "torchvision/NAME")


class Cifar100(Section):
    """Where the CIFAR-100 archive comes from."""

    url: str | tuple[str, ...] = OFFICIAL_CIFAR100
    """Address, `file:` address or path of `cifar-100-python.tar.gz`; several are tried in turn."""
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")] = (
        "85cd44d02ba6437773c5bbd22e183051d648de2e7d6b014e1ef29b855ba677a7"
    )
    """Checked before anything in the archive is opened."""

    @property
    def urls(self) -> tuple[str, ...]:
        return (self.url,) if isinstance(self.url, str) else self.url


class ImageFolder(Section):
    """A collection of your own, whose class counts are kept: they are its long-tailed training set.

    The balanced training set is cut from it, to the smallest class; the balanced test set likewise. The settings
    of `data` about the size and imbalance of classes mean nothing here.
    """

    path: str | None = None
    """A folder of class folders, or a csv: path (relative to it), label, and optionally split and group."""
    group_column: str = "group"
    """Column of the csv whose equal values (an individual, a trap, a night) stay on one side of the split."""
    size: Annotated[int, Field(ge=8, le=1024)] | None = None
    """Pixels, both ways, that images are stored with; null: the largest `image_size` that is trained with."""
    test_fraction: HalfOpenUnit = 0.2
    """Of the images of each class, to test on."""
    val_fraction: HalfOpenUnit = 0.1
    """Of the images of each class, to select the epoch by; one at least where one can be spared."""
    min_test_per_class: Count = 3
    """Test images of each class at least. A class that has no more images than this is too small."""
    small_classes: Literal["error", "train_only", "merge"] = "error"
    """Classes that are too small: refused, trained on but not tested, or made one class."""
    merged_name: Annotated[str, Field(min_length=1)] = "other"
    """Name of the class that `merge` makes."""
    groups: Literal["thirds", "counts"] = "thirds"
    """Head, middle and tail: thirds of the classes by their training images, or by `group_limits`."""
    group_limits: tuple[Count, Count] = (100, 20)
    """Of `counts`: with more training images than the first a class is head, with fewer than the second tail."""
    max_side: Count = 30_000
    """Images with a longer side, in pixels, are left out."""
    min_side: Count = 2
    """Images with a shorter side, in pixels, are left out."""
    near_duplicates: bool = True
    """Keep pictures that look the same on one side of the split, as equal files always are."""
    strict: bool = False
    """Refuse a collection of which anything would be left out, replaced or merged."""
    threads: Count | None = None
    """Images decoded at a time; null: one per core. Changes no result."""

    @field_validator("group_limits")
    @classmethod
    def _falling(cls, limits: tuple[int, int]) -> tuple[int, int]:
        if limits[0] < limits[1]:
            raise ValueError(f"{list(limits)} must not rise: first the head's, then the tail's")
        return limits


class Lists(Section):
    """Lists of a data set without its images, such as ImageNet-LT's: text files of lines `path label`."""

    train: str | None = None
    """List of the training images."""
    val: str | None = None
    test: str | None = None
    class_names: str | None = None
    """File with the name of each class in a line, in label order; null: classes are called by their labels."""
    groups: Literal["thirds", "counts"] = "counts"
    """As `data.image_folder.groups`."""
    group_limits: tuple[Count, Count] = (100, 20)
    """As `data.image_folder.group_limits`."""


class Data(Section):
    """Images, their split and their imbalance."""

    source: Literal["cifar100", "digits", "image_folder", "lists"] = "cifar100"
    """`cifar100`; `digits`, scikit-learn's 1,797 images of handwritten digits; `image_folder`, a collection of
    your own; or `lists`, which have no images: class counts and their figures alone."""
    seed: Seed = 42
    """Of the split and the imbalance; training has seeds of its own."""
    train_per_class: Count = 450
    """Training images of each class; of `cifar100` and `digits`."""
    test_per_class: Count | None = 50
    """Test images of each class, cut from the training images as the thesis did; of `cifar100` and `digits`. null: the
    original test set, which then validates too, so that `train.select` must be `last`
    and `train.calibrate` false."""
    imbalance_factor: Fraction = 0.01
    """Images of the rarest class over those of the most frequent one, in the long-tailed training set."""
    test_imbalance_factor: Fraction | None = None
    """The same for the long-tailed test set; null: as `imbalance_factor`."""
    cifar100: Cifar100 = Cifar100()
    image_folder: ImageFolder = ImageFolder()
    lists: Lists = Lists()

    @model_validator(mode="after")
    def _source_is_there(self) -> Self:
        if self.source == "image_folder" and not self.image_folder.path:
            raise ValueError(
                "data.image_folder.path is not set, but data.source is image_folder; "
                "give a folder of class folders, or a csv with the columns path and label"
            )
        if self.source == "lists" and not self.lists.train:
            raise ValueError(
                "data.lists.train is not set, but data.source is lists; give a text file of lines `path label`"
            )
        return self


class Model(Section):
    """One model of the grid; the entry's name is its label in all results."""

    architecture: str | None = None
    """A known architecture (`mobilenetv2`, …), `torchvision/NAME` or `timm/NAME`; null: the entry's name."""
    pretrained: bool = True
    """Start from published ImageNet weights; false: from random ones."""
    weights: str | None = None
    """A file or address of weights to use instead of the published ones."""
    train: dict[str, Any] = {}
    """Settings of `train` that differ for this model."""


class CustomLoss(Section):
    """A loss of your own."""

    path: str
    """Python file; its runs go stale when it changes."""
    name: str
    """Class in that file."""


class Retrain(Section):
    """Decoupled training: only the classifier is trained, on the frozen backbone of another run (Kang et al., 2020)."""

    start: Name = "softmax"
    """The loss whose run, with the same model, training set and seed, gives the backbone."""
    classifier: Literal["new", "scale"] = "new"
    """`new`: a new classifier (cRT); `scale`: that run's, of which one factor for each class is trained (LWS)."""


class Loss(Section):
    """What every loss entry has; the entry's name is its label in all results."""

    head: Literal["linear", "cosine"] = "linear"
    """The classifier: linear, or linear on normalised features and weights."""
    head_init: Literal["random", "class_means"] = "random"
    """Of a cosine head, what its weights start from: random directions, or those of each class's mean feature under the
    backbone before training (Shi et al., 2024). A class without training images keeps its random direction."""
    retrain: Retrain | None = None
    """Decoupled training; null: backbone and classifier are trained together."""
    train: dict[str, Any] = {}
    """Settings of `train` that differ for this loss."""


class Softmax(Loss):
    loss: Literal["softmax"] = "softmax"
    smoothing: HalfOpenUnit = 0.0
    """Label smoothing: the share of each label that goes to all classes alike."""
    s: Positive = 1.0
    """Scale of the logits; for `head: cosine`, whose logits lie in [-1, 1], such as 25."""


class WeightedSoftmax(Loss):
    loss: Literal["weighted_softmax"] = "weighted_softmax"
    power: NonNegative = 1.0
    """Class weights are n_c^-power, scaled to sum to the number of classes."""
    reduction: Reduction = "weighted_mean"


class Focal(Loss):
    loss: Literal["focal"] = "focal"
    gamma: NonNegative = 2.0
    """Focusing parameter; 0 is softmax."""


class ClassBalanced(Loss):
    loss: Literal["class_balanced"] = "class_balanced"
    beta: HalfOpenUnit = 0.9999
    """Of the effective number of samples."""
    reduction: Reduction = "weighted_mean"


class BalancedSoftmax(Loss):
    loss: Literal["balanced_softmax"] = "balanced_softmax"
    s: Positive = 1.0
    """Scale of the logits; for `head: cosine`, whose logits lie in [-1, 1], such as 25."""


class Equalization(Loss):
    loss: Literal["equalization"] = "equalization"
    lam: Fraction = 0.005
    """Classes with a smaller share of the training images are protected."""
    gamma: Unit = 0.9
    """Probability that a protected class is left out of the denominator."""


class LDAM(Loss):
    loss: Literal["ldam"] = "ldam"
    head: Literal["linear", "cosine"] = "cosine"
    """`cosine` as published; `linear` reproduces the thesis."""
    max_m: NonNegative = 0.5
    """Margin of the rarest class."""
    s: Positive = 30.0
    """Scale of the cosine logits."""


class LogitAdjusted(Loss):
    loss: Literal["logit_adjusted"] = "logit_adjusted"
    tau: NonNegative = 1.0
    """Strength of the adjustment; 1 is balanced softmax."""
    s: Positive = 1.0
    """Scale of the logits; for `head: cosine`, whose logits lie in [-1, 1], such as 25."""


class LabelAwareSmoothing(Loss):
    loss: Literal["label_aware_smoothing"] = "label_aware_smoothing"
    smooth_head: HalfOpenUnit = 0.4
    """Label smoothing of the most frequent class."""
    smooth_tail: HalfOpenUnit = 0.1
    """Label smoothing of the rarest class."""


class Custom(Loss):
    loss: CustomLoss
    parameters: dict[str, Any] = {}
    """Keyword arguments of your class."""


LOSSES: dict[str, type[Loss]] = {
    cls.model_fields["loss"].default: cls
    for cls in (
        Softmax,
        WeightedSoftmax,
        Focal,
        ClassBalanced,
        BalancedSoftmax,
        Equalization,
        LDAM,
        LogitAdjusted,
        LabelAwareSmoothing,
    )
}

_SECOND_STAGE = {
    "epochs": 10,
    "schedule": "cosine",
    "warmup_epochs": 0,
    "sampler": "class_balanced",
    "drw": None,
}
METHODS: dict[str, dict[str, Any]] = {
    "ldam_drw": {"loss": "ldam", "train": {"drw": {}}},
    "crt": {"loss": "softmax", "retrain": {"classifier": "new"}, "train": _SECOND_STAGE},
    "lws": {"loss": "softmax", "retrain": {"classifier": "scale"}, "train": _SECOND_STAGE},
}
"""Names that stand for a loss with other settings; what an entry of that name says comes on top."""


class Variant(Section):
    """A trained model whose classifier is changed afterwards; the entry's name is its label in all results."""

    of: Name | None = None
    """The loss of the runs that are changed; null: what stands before the + in the entry's name."""
    adjust: Literal["la", "taunorm"] | None = None
    """`la`: post-hoc logit adjustment (Menon et al., 2021); `taunorm`: tau-normalisation (Kang et al., 2020); null:
    what stands after the + in the entry's name."""
    tau: NonNegative = 1.0
    """Strength of the change; 0 changes nothing (but that `taunorm` also drops the biases)."""


class Grid(Section):
    """Which combinations are run: every training set with every model, loss and seed."""

    train_sets: tuple[TrainSet, ...] = ("balanced", "longtailed")
    models: tuple[Name, ...] = ("mobilenetv2", "resnet50", "vit_b16", "convnext_base")
    """Names of entries under `models`, or of known architectures."""
    losses: tuple[Name, ...] = (
        "softmax",
        "weighted_softmax",
        "focal",
        "class_balanced",
        "balanced_softmax",
        "equalization",
        "ldam",
    )
    """Names of entries under `losses`, or of known losses."""

    @field_validator("train_sets", "models", "losses")
    @classmethod
    def _set(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        return _distinct(names)


class Job(Section):
    """What a training job asks of the machine. None of it changes a result."""

    threads: Count | None = None
    """CPU cores; null: 2 beside a GPU, all of them without one."""
    memory_mb: Count = 16000
    """Host memory; grows with each retry."""
    minutes: Count | Annotated[dict[str, Count], Field(min_length=1)] = {
        "mobilenetv2": 360,
        "resnet50": 480,
        "vit_b16": 960,
        "convnext_base": 1440,
    }
    """Time limit on a cluster, for all models or by model; grows with each retry."""
    max_minutes: Annotated[int, Field(ge=60)] | None = None
    """The longest time limit that the cluster grants; null: it has none."""
    jobs_per_gpu: Count = 1
    """Training jobs that share one GPU."""
    images: Literal["auto", "device", "file"] = "auto"
    """Where a job keeps its images: in the memory of the device, or in their files, from which batches are read ahead;
    `auto`: on the device where they take no more than half of its free memory."""


class Predict(Section):
    """How test images are shown to the trained models, variants too. A change predicts anew and trains nothing."""

    crops: Literal["five", "ten"] | None = None
    """Test-time ensembling (Shi et al., 2024): the logits are the mean over the corners and the centre of the enlarged
    image, or over those and their mirror images; null: of the image as it is. Validation and `longtail.predict` do
    without."""
    expand: Annotated[int, Field(ge=1, le=256)] = 24
    """Of `crops`: pixels by which images are enlarged, both ways, before they are cropped."""


class Statistics(Section):
    """How the runs are compared."""

    reference: Name = "softmax"
    """The loss that the others are compared with; the first of the grid where it is not in it."""
    resamples: Annotated[int, Field(ge=100)] = 2000
    """Of the bootstrap."""


class Paths(Section):
    """Folders, relative to the working directory unless absolute."""

    results: str = "results"
    data: str = "data"
    """Downloads; may be read-only and shared once they are there."""
    work: str = "work"
    """State to resume from; safe to delete when nothing runs."""

    @field_validator("*")
    @classmethod
    def _plain(cls, path: str) -> str:
        if not path or path.endswith("/") or re.search(r"[\n{}]", path):
            raise ValueError("must be a folder without a final slash, braces or line breaks")
        return path


class Config(Section):
    """An experiment."""

    seeds: tuple[Seed, ...] = (42,)
    """Training seeds; each repeats the whole grid."""
    grid: Grid = Grid()
    data: Data = Data()
    train: Recipe = Recipe()
    models: dict[Name, Model] = {}
    losses: dict[Name, Any] = {}
    variants: dict[Name, Variant] = {}
    """Changes of trained models that need no training, such as `softmax+la: {}`; each is shown like a loss."""
    predict: Predict = Predict()
    statistics: Statistics = Statistics()
    job: Job = Job()
    paths: Paths = Paths()
    partial: bool = False
    """Show the runs that are finished and the others as missing. The workflow sets it after a run failed."""

    @field_validator("seeds")
    @classmethod
    def _seeds(cls, seeds: tuple[int, ...]) -> tuple[int, ...]:
        return _distinct(seeds)

    @field_validator("models", "losses", "variants", mode="before")
    @classmethod
    def _none(cls, entries: Any) -> Any:
        # `variants: null` leaves out those of an earlier file, which `{}` adds nothing to. Snakemake hands on that of
        # `--config variants=null` as text.
        return {} if entries in (None, "null") else entries

    @field_validator("losses", mode="after")
    @classmethod
    def _losses(cls, entries: dict[str, Any]) -> dict[str, Loss]:
        parsed, problems = {}, []
        for name, entry in entries.items():
            try:
                parsed[name] = _parse_loss(name, entry)
            except ValueError as error:
                problems.append(str(error))
        if problems:
            raise ValueError("\n".join(problems))
        return parsed

    @model_validator(mode="after")
    def _names_resolve(self) -> Self:
        problems = []
        for model in self.grid.models:
            entry = self.model(model)
            try:
                model_module(entry.architecture)
            except ValueError:
                what = (
                    f"grid.models: '{model}'"
                    if entry.architecture == model
                    else f"models.{model}.architecture"
                )
                problems.append(
                    _unknown(what, entry.architecture, [*known_models(), *self.models, *LIBRARY_MODELS])
                )
                continue
            if entry.pretrained and not entry.weights and pretrained_source(entry.architecture) is None:
                problems.append(
                    f"models.{model}: {entry.architecture} has no published weights; "
                    f"set models.{model}.pretrained: false"
                )
        known = [*LOSSES, *METHODS, *self.losses]
        for loss in self.grid.losses:
            if loss not in known:
                problems.append(_unknown(f"grid.losses: '{loss}'", loss, known))
            elif (retrain := self.loss(loss).retrain) and retrain.start not in known:
                where = f"losses.{loss}.retrain.start: '{retrain.start}'"
                problems.append(_unknown(where, retrain.start, known))
        for name in self.variants:
            problems.extend(self._problems_of_variant(name, known))
        if not problems:
            for model in self.grid.models:
                for loss in dict.fromkeys([*self.trained, *self.variants]):
                    try:
                        problems.extend(self._misfits(model, loss))
                    except ConfigError as error:
                        problems.extend(error.problems)
        if not problems:
            problems.extend(self._misfits_of_data())
        if problems:
            raise ValueError("\n".join(dict.fromkeys(problems)))
        return self

    def model(self, name: str) -> Model:
        """The entry of one model of the grid, with its architecture filled in."""
        entry = self.models.get(name, Model())
        return entry.model_copy(update={"architecture": entry.architecture or name})

    def loss(self, name: str) -> Loss:
        """The entry of one loss of the grid; of a variant, that of the loss it was trained with."""
        if name in self.variants:
            name = self.variant(name).of
        return self.losses.get(name) or _parse_loss(name, {})

    def variant(self, name: str) -> Variant:
        """A variant's entry, with what its name says filled in."""
        entry = self.variants[name]
        before, _, after = name.rpartition("+")
        # Validated again: a name may end in something that is no adjustment.
        return Variant(of=entry.of or before, adjust=entry.adjust or after, tau=entry.tau)

    @property
    def trained(self) -> tuple[str, ...]:
        """The losses that are trained: those of the grid, and those that others or a variant start from."""
        losses = [*self.grid.losses, *(self.variant(name).of for name in self.variants)]
        retrained = filter(None, (self.loss(loss).retrain for loss in losses))
        return tuple(dict.fromkeys([*losses, *(retrain.start for retrain in retrained)]))

    def _problems_of_variant(self, name: str, known: Iterable[str]) -> list[str]:
        where = f"variants.{name}"
        if name in known:
            return [f"{where}: there is a loss of that name; choose another"]
        try:
            entry = self.variant(name)
        except ValidationError:
            return [
                f"{where}: the name does not say what it is; call it LOSS+la or LOSS+taunorm, "
                f"or set {where}.of and {where}.adjust"
            ]
        return [] if entry.of in known else [_unknown(f"{where}: '{entry.of}'", entry.of, known)]

    def _misfits_of_data(self) -> list[str]:
        if self.data.test_per_class is not None:
            return []
        problems = []
        if self.data.source == "digits":
            problems.append(
                "data.test_per_class: null is the original test set, and digits has none; set a number"
            )
        selecting = [
            f"{model} with {loss}"
            for model in self.grid.models
            for loss in self.trained
            if self.recipe(model, loss).select == "best"
        ]
        if selecting:
            problems.append(
                f"train.select: best, for {selecting[0]}, would choose the epoch by the test images, as "
                "data.test_per_class: null leaves no others to validate with; set train.select: last"
            )
        if any(self.recipe(model, loss).calibrate for model in self.grid.models for loss in self.trained):
            problems.append(
                "train.calibrate: true would fit the temperature to the test images, as data.test_per_class: null "
                "leaves no others to validate with; set train.calibrate: false"
            )
        return problems

    def _misfits(self, model: str, loss: str) -> list[str]:
        """Why settings that are valid each do not go together, for one model with one loss or variant."""
        entry = self.loss(loss)
        if loss in self.variants:
            return _misfits_of_variant(
                loss, self.variant(loss), entry, self.recipe(model, self.variant(loss).of)
            )
        where, recipe = f"losses.{loss}", self.recipe(model, loss)
        problems = []
        scale = getattr(entry, "s", None)
        if entry.head == "cosine" and scale in (None, 1.0) and not isinstance(entry, (LDAM, Custom)):
            remedy = (
                "set s: 25" if scale else "use the loss softmax, balanced_softmax, logit_adjusted or ldam"
            )
            problems.append(
                f"{where}.head: the logits of a cosine head lie in [-1, 1], and {entry.loss} does not scale them, so "
                f"its softmax would be nearly flat; {remedy}, or head: linear"
            )
        if entry.head == "linear" and scale not in (None, 1.0) and not isinstance(entry, LDAM):
            problems.append(
                f"{where}.s: {scale:g} scales the logits of a cosine head, and those of a linear one have a length of "
                "their own; set head: cosine, or leave s out"
            )
        if entry.head == "linear" and entry.head_init == "class_means":
            problems.append(
                f"{where}.head_init: class_means are directions, for the normalised weights of a cosine head; set "
                "head: cosine, or head_init: random"
            )
        if recipe.mixup and isinstance(entry, LDAM):
            problems.append(
                f"{where}: mixup with ldam; its margin is that of one class, and a mixed image has two. "
                "Set mixup: null for this loss, or use another loss"
            )
        if self.predict.crops == "ten" and not recipe.flip:
            problems.append(
                f"predict.crops: ten adds mirror images, and {model} with {loss} is trained without any (flip: false); "
                "set predict.crops: five, or flip: true"
            )
        if recipe.tune != "all" and not entry.retrain and not self.model(model).pretrained:
            problems.append(
                f"models.{model}.pretrained: false with tune: {recipe.tune} would freeze random weights; set "
                "pretrained: true, or tune: all"
            )
        if entry.retrain:
            problems.extend(self._misfits_of_retraining(model, loss, entry, recipe))
        return problems

    def _misfits_of_retraining(self, model: str, loss: str, entry: Loss, recipe: Recipe) -> list[str]:
        where, start = f"losses.{loss}.retrain", entry.retrain.start
        problems = []
        first, first_recipe = self.loss(start), self.recipe(model, start)
        if first.retrain:
            problems.append(f"{where}.start: {start} is itself retrained; start from {first.retrain.start}")
        if entry.retrain.classifier == "scale" and "cosine" in (entry.head, first.head):
            problems.append(
                f"{where}.classifier: scale rescales the logits of a linear classifier; those of a cosine head have "
                "all the same scale. Use classifier: new, or a start with head: linear"
            )
        for name in ("image_size", "mean", "std"):
            ours, theirs = getattr(recipe, name), getattr(first_recipe, name)
            if ours != theirs:
                problems.append(
                    f"losses.{loss}.train.{name}: {ours}, but the backbone of {start} was trained with {theirs} and "
                    "stays as it is; use the same"
                )
        if recipe.tune != "all":
            problems.append(
                f"{where}: tune: {recipe.tune} chooses weights of the backbone, and all of this one is frozen; set "
                "train.tune: all for this loss"
            )
        if recipe.mixup:
            problems.append(
                f"{where}: mixup shapes the backbone, and this one is frozen; set mixup: null for this loss"
            )
        return problems

    def recipe(self, model: str, loss: str) -> Recipe:
        """The training settings of one model with one loss.

        Raises:
            ConfigError: the overrides of the model or the loss are not settings of `train`, or do not fit.
        """
        if (model, loss) not in self._recipes:
            merged = self.train.model_dump()
            wheres = {}
            for where, overrides in (
                (f"models.{model}.train", self.model(model).train),
                (f"losses.{loss}.train", self.loss(loss).train),
            ):
                merged = _merge(merged, overrides)
                wheres.update(dict.fromkeys(overrides, where))
            try:
                self._recipes[model, loss] = Recipe.model_validate(merged)
            except ValidationError as error:
                problems = [
                    _describe(
                        Recipe,
                        detail,
                        wheres.get(
                            detail["loc"][0] if detail["loc"] else "", next(iter(wheres.values()), "train")
                        ),
                    )
                    for detail in error.errors()
                ]
                raise ConfigError(problems) from None
        return self._recipes[model, loss]

    @cached_property
    def _recipes(self) -> dict[tuple[str, str], Recipe]:
        return {}


class ConfigError(ValueError):
    """The configuration is wrong; `problems` holds one sentence for each thing to mend."""

    def __init__(self, problems: Iterable[str]):
        self.problems = list(problems)
        count = f"{len(self.problems)} problems" if len(self.problems) > 1 else "a problem"
        super().__init__(f"The configuration has {count}:\n" + "\n".join(f"  - {p}" for p in self.problems))


def load_config(mapping: Mapping[str, Any]) -> Config:
    """The checked configuration.

    Raises:
        ConfigError: names every unknown key with the nearest known one, and every value with what is allowed.
    """
    try:
        return Config.model_validate(dict(mapping))
    except ValidationError as error:
        problems = []
        for detail in error.errors():
            problems.extend(_describe(Config, detail, "").splitlines())
        raise ConfigError(dict.fromkeys(problems)) from None


def schema() -> str:
    """The JSON schema of the configuration, for editors."""
    document = Config.model_json_schema()
    document["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    classes = LOSSES | {name: LOSSES[method["loss"]] for name, method in METHODS.items()}
    entries = {name: {"$ref": f"#/$defs/{cls.__name__}"} for name, cls in classes.items()}
    for cls in (*LOSSES.values(), Custom):
        definition = cls.model_json_schema(ref_template="#/$defs/{model}")
        document["$defs"].update(definition.pop("$defs", {}))
        document["$defs"][cls.__name__] = definition
        kind = definition["properties"]["loss"]
        if name := kind.pop("const", None):  # or a name that stands for this loss with other settings
            kind["enum"] = [name, *(method for method, entry in METHODS.items() if entry["loss"] == name)]
    document["properties"]["losses"] = {
        "type": "object",
        "properties": entries,
        "additionalProperties": {"anyOf": [*entries.values(), {"$ref": "#/$defs/Custom"}]},
    }
    for name in ("models", "losses", "variants"):
        document["properties"][name]["type"] = ["object", "null"]
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def _parse_loss(name: str, entry: Any) -> Loss:
    where = f"losses.{name}"
    if isinstance(entry, Loss):
        return entry
    if not isinstance(entry, Mapping):
        raise ValueError(f"{where}: found {entry!r}, expected settings such as {{gamma: 2.0}}")
    kind = entry.get("loss", name)
    if isinstance(kind, str) and kind in METHODS:
        entry = _merge(METHODS[kind], {key: value for key, value in entry.items() if key != "loss"})
        kind = entry["loss"]
    if isinstance(kind, Mapping):
        cls = Custom
    elif isinstance(kind, str) and kind in LOSSES:
        cls = LOSSES[kind]
    else:
        raise ValueError(_unknown(f"{where}.loss: '{kind}'", str(kind), [*LOSSES, *METHODS]))
    try:
        return cls.model_validate(dict(entry))
    except ValidationError as error:
        raise ValueError("\n".join(_describe(cls, detail, where) for detail in error.errors())) from None


# What a loss does about the imbalance already, where that leaves nothing for post-hoc logit adjustment.
_CORRECTED = {
    "balanced_softmax": "adjusts its logits by the class counts in training",
    "logit_adjusted": "adjusts its logits by the class counts in training",
    "weighted_softmax": "weighs its classes by their counts in training",
    "class_balanced": "weighs its classes by their counts in training",
}


def _misfits_of_variant(name: str, variant: Variant, entry: Loss, recipe: Recipe) -> list[str]:
    where = f"variants.{name}"
    if entry.head == "cosine":
        reason = {
            "la": "has no biases to adjust",
            "taunorm": "normalises its weights already",
        }[variant.adjust]
        return [f"{where}: the cosine head of {variant.of} {reason}; use a loss with head: linear"]
    if entry.retrain and entry.retrain.classifier == "scale":
        return [f"{where}: {variant.of} rescales its classifier itself; use the loss it starts from"]
    if variant.adjust == "la":
        reason = _CORRECTED.get(entry.loss) if isinstance(entry.loss, str) else None
        if recipe.sampler != "instance":
            reason = f"shows the classes to the model by the sampler {recipe.sampler}"
        if recipe.drw:
            reason = "re-weighs its classes in its last epochs (drw)"
        if reason:
            return [f"{where}: {variant.of} {reason}; adjusting its logits again would correct twice"]
    return []


def _merge(base: dict[str, Any], overrides: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in overrides.items():
        nested = isinstance(value, Mapping) and isinstance(merged.get(key), Mapping)
        merged[key] = _merge(merged[key], value) if nested else value
    return merged


def _distinct(values: tuple) -> tuple:
    if not values:
        raise ValueError("is empty; at least one is needed")
    repeated = sorted({str(value) for value in values if values.count(value) > 1})
    if repeated:
        raise ValueError(f"holds {', '.join(repeated)} more than once")
    return values


def _describe(root: type[BaseModel], detail: Mapping[str, Any], where: str) -> str:
    """One sentence for one of pydantic's errors: the key, what was found, what is allowed."""
    path = ".".join([where, *map(str, detail["loc"])]).strip(".")
    message = detail["msg"].removeprefix("Value error, ")
    if detail["type"] == "value_error":
        return message if _names_a_key(message) else f"{path or 'config'}: {message}"
    if detail["type"] == "extra_forbidden":
        return _unknown(path, str(detail["loc"][-1]), _fields_at(root, detail["loc"][:-1]))
    return f"{path}: found {_short(detail['input'])}; {message[0].lower()}{message[1:]}"


def _names_a_key(message: str) -> bool:
    return message.startswith(("grid.", "models.", "losses.", "variants.", "train.", "data.", "predict."))


def _fields_at(root: type[BaseModel], path: Iterable[str | int]) -> list[str]:
    section: Any = root
    for key in path:
        annotation = section.model_fields[key].annotation if key in section.model_fields else Model
        section = next(
            (
                a
                for a in (annotation, *getattr(annotation, "__args__", ()))
                if isinstance(a, type) and issubclass(a, BaseModel)
            ),
            Model,
        )
    return list(section.model_fields)


def _unknown(what: str, name: str, known: Iterable[str]) -> str:
    known = list(dict.fromkeys(known))
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    hint = f"did you mean '{near[0]}'? " if near else ""
    return f"{what} is not known; {hint}allowed: {', '.join(known)}"


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "…"


if __name__ == "__main__":
    import sys
    from pathlib import Path

    path = Path(*sys.argv[1:2] or [Path(__file__).parents[2] / "config" / "schema.json"])
    path.write_text(schema(), encoding="utf-8")
    print(f"{path} is current")
