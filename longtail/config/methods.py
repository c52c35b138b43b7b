"""The sections `losses` and `variants`: what a model is trained with, and how its classifier is changed afterwards.

Which losses there are, and what each takes, stands in the files of `longtail.losses`; likewise the variants in
`longtail.models.variants`.
"""

from collections.abc import Mapping
from functools import cache, cached_property
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, ValidatorFunctionWrapHandler, create_model, field_validator

from longtail.data.split.frequencies import DISTRIBUTIONS
from longtail.losses import known_losses
from longtail.losses.declarations import Declaration, declaration, own_declaration
from longtail.models import MOST_EXPERTS
from longtail.models.variants import known_variants
from longtail.settings import (
    Fraction,
    LocalPath,
    Name,
    NonNegative,
    Positive,
    Section,
    constant,
    local_path,
    one_of,
    problems,
    unknown,
)
from longtail.training.recipe import Where

Head = Literal["linear", "cosine"]
Adjustment = Annotated[str, one_of(known_variants())]


class CustomLoss(Section):
    """A loss of your own."""

    path: LocalPath
    """A Python file. Its runs go stale when it changes."""
    name: str
    """The class in that file."""


class Retrain(Section):
    """Decoupled training: only the classifier is trained, on the frozen backbone of another run (Kang et al., 2020)."""

    start: Name = "softmax"
    """The loss whose run, with the same model, training set and seed, gives the backbone."""
    classifier: Literal["new", "keep", "scale", "keep_and_scale"] = "new"
    """`new`: a new classifier (cRT); `keep`: the classifier of that run, trained on; `scale`: the same, frozen, with
    one factor for each class that is trained (LWS); `keep_and_scale`: both are trained (LWS-plus, Zhong et al.,
    2021)."""
    classifier_rate: Annotated[Fraction, Where("classifier", ("keep_and_scale",))] = 1.0
    """The learning rate of the classifier that `keep_and_scale` trains on, as a share of that of the factors."""
    shift_norms: bool = False
    """Let the means and variances of the backbone's batch norms follow the images of this stage (shifted batch norm,
    Zhong et al., 2021), while all of its weights stay."""

    @property
    def scales(self) -> bool:
        """Whether the classifier gets a factor for each class."""
        return self.classifier in ("scale", "keep_and_scale")

    @property
    def keeps(self) -> bool:
        """Whether the weights of the classifier of that run are trained on."""
        return self.classifier in ("keep", "keep_and_scale")

    def settings(self) -> dict[str, Any]:
        """The settings that act, as the program of training takes them."""
        acting: dict[str, Any] = {"retrain": self.classifier}
        if self.classifier == "keep_and_scale":
            acting["classifier_rate"] = self.classifier_rate
        return acting | ({"shift_norms": True} if self.shift_norms else {})


class Distill(Section):
    """Knowledge distillation: the model also learns the softened answers of a trained one to the same images (Hinton et
    al., 2015)."""

    teacher: str
    """The loss or variant whose run, with the same model, training set and seed, is the teacher and is trained first;
    or the path of a `model.safetensors` of any architecture with the same classes and preprocessing."""
    temperature: Positive = 1.5
    """What the logits of both are divided by before the softmax; the larger, the softer the answers. RIDE's teachers
    have 1.5 (Wang et al., 2021)."""
    weight: Positive = 1.0
    """The factor of the divergence, which is multiplied with the square of the temperature and added to the loss."""

    @field_validator("teacher")
    @classmethod
    def _loss_or_path(cls, found: str) -> str:
        return local_path(found) if _is_path(found) else found

    @property
    def path(self) -> str | None:
        """The file of the teacher; None where it is a run of the same grid."""
        return self.teacher if _is_path(self.teacher) else None

    def settings(self) -> dict[str, Any]:
        """What the program of training takes beside the file of the teacher."""
        return self.model_dump(include={"temperature", "weight"})


def _is_path(teacher: str) -> bool:
    return "/" in teacher or teacher.endswith(".safetensors")


class Loss(Section):
    """What every loss entry has; the entry's name is its label in all results."""

    loss: str | CustomLoss
    """The name of a loss, where the entry's own name is none."""
    head: Head = "linear"
    """The classifier: linear, or linear on normalised features and weights."""
    head_init: Literal["random", "class_means"] = "random"
    """What the weights of a cosine head start from: random directions, or those of each class's mean feature under the
    backbone before training (Shi et al., 2024). A class without training images keeps its random direction."""
    retrain: Retrain | None = None
    """Decoupled training; null: backbone and classifier are trained together."""
    distill: Distill | None = None
    """Knowledge distillation from a trained model; null: none."""
    experts: Annotated[int, Field(ge=1, le=MOST_EXPERTS)] = 1
    """How many networks a model consists of that share its first stages and have a classifier each, whose logits are
    averaged (Wang et al., 2021). Above 1, the models have to be ResNets or ResNeXts."""
    narrow_experts: bool | None = None
    """Whether the stages of each expert have three quarters of the channels, and random weights at first; null: unless
    the model is pretrained."""
    train: dict[str, Any] = {}
    """Settings of `train` that differ for this loss."""

    @cached_property  # which the rules about a training ask for again and again
    def declared(self) -> Declaration | None:
        """The declaration in the file of the loss; None for a loss of your own."""
        return declaration(self.loss) if isinstance(self.loss, str) else None

    @cached_property
    def facts(self) -> Declaration | None:
        """What its loss declares, also one of your own; None where the file of that does not tell."""
        own = self.loss
        return declaration(own) if isinstance(own, str) else own_declaration(own.path, own.name)

    @property
    def called(self) -> str:
        """The name of its loss, for people."""
        return self.loss if isinstance(self.loss, str) else self.loss.name


class Custom(Loss):
    """An entry with a loss of your own."""

    loss: CustomLoss
    parameters: dict[str, Any] = {}
    """The keyword arguments of your class."""


_SECOND_STAGE = {
    "epochs": 10,
    "schedule": "cosine",
    "warmup_epochs": 0,
    "sampler": "class_balanced",
    "sampler_start": 0.0,
    "drw": None,
}
METHODS: dict[str, dict[str, Any]] = {
    "ldam_drw": {"loss": "ldam", "train": {"drw": {}}},
    "crt": {"loss": "softmax", "retrain": {"classifier": "new"}, "train": _SECOND_STAGE},
    "lws": {"loss": "softmax", "retrain": {"classifier": "scale"}, "train": _SECOND_STAGE},
    "mixup": {"loss": "softmax", "train": {"mixup": {}}},
    "mislas": {
        "loss": "label_aware_smoothing",
        "retrain": {
            "start": "mixup",
            "classifier": "keep_and_scale",
            "classifier_rate": 0.2,
            "shift_norms": True,
        },
        "train": _SECOND_STAGE,
    },
    "gcl_stage2": {
        **{"loss": "gcl", "m": 0.1, "s": 20.0, "gamma": 1.0},
        "retrain": {"start": "gcl", "classifier": "keep"},
        "train": {**_SECOND_STAGE, "epochs": 30},
    },
    "weight_balancing": {
        "loss": "class_balanced_binary",
        "retrain": {"classifier": "keep"},
        "train": {**_SECOND_STAGE, "sampler": "instance", "weight_decay": 0.1, "max_norm": {}},
    },
}
"""Names that stand for a loss with other settings; what an entry of that name says comes on top."""


@cache
def loss_section(name: str) -> type[Loss] | None:
    """The section of an entry with the loss of that name; None if there is no such loss."""
    declared = declaration(name)
    if declared is None:
        return None
    fields: dict[str, Any] = {"loss": (Literal[name], name)}
    fields |= {
        parameter: (annotation, Field(default, description=description[:1].upper() + description[1:] or None))
        for parameter, (annotation, default, description) in declared.parameters.items()
    }
    if declared.default_head != "linear":
        described = Loss.model_fields["head"].description
        fields["head"] = (Head, Field(declared.default_head, description=described))
    if declared.default_experts > 1:
        own = Loss.model_fields["experts"]
        field = Field(declared.default_experts, ge=1, le=MOST_EXPERTS, description=own.description)
        fields["experts"] = (int, field)
    return create_model(declared.class_name, __base__=Loss, __doc__=declared.summary, **fields)


def parse_loss(name: str, entry: Any) -> Loss:
    """The checked entry of `losses`.

    Raises:
        ValueError: a line for each thing to mend, with its key.
    """
    where = f"losses.{name}"
    if isinstance(entry, Loss):
        return entry
    if not isinstance(entry, Mapping):
        raise ValueError(f"{where}: found {entry!r}, expected settings such as {{gamma: 2.0}}")
    kind = entry.get("loss", name)
    if kind != name and (name in METHODS or loss_section(name)) and not _restates(name, entry):
        # Tables and published numbers go by names.
        what = kind if isinstance(kind, str) else "a class of your own"
        raise ValueError(f"{where}.loss: {what} under the name of another loss; call the entry otherwise")
    method = name if name in METHODS else kind
    if isinstance(method, str) and method in METHODS:
        entry = merged(METHODS[method], {key: value for key, value in entry.items() if key != "loss"})
        kind = entry["loss"]
    section = Custom if isinstance(kind, Mapping) else loss_section(str(kind))
    if section is None:
        raise ValueError(unknown(f"{where}.loss: '{kind}'", str(kind), [*known_losses(), *METHODS]))
    try:
        return section.model_validate(dict(entry))
    except ValidationError as error:
        raise ValueError("\n".join(problems(section, error, where))) from None


def _restates(name: str, entry: Mapping[str, Any]) -> bool:
    """Whether an entry says all that the method of its name says, perhaps with other values."""
    own = METHODS.get(name)
    return own is not None and entry.get("loss") == own["loss"] and merged(own, entry) == dict(entry)


def merged(base: Mapping[str, Any], overrides: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of `base`, replaced by those of `overrides` where both have them; nested sections are merged too."""
    result = dict(base)
    for key, value in overrides.items():
        nested = isinstance(value, Mapping) and isinstance(result.get(key), Mapping)
        result[key] = merged(result[key], value) if nested else value
    return result


VALIDATION = "validation"


class Variant(Section):
    """A trained model whose classifier is changed afterwards; the entry's name is its label in all results."""

    of: Name | None = None
    """The loss of the runs that are changed; null: what stands before the + in the entry's name."""
    adjust: Adjustment | None = None
    """`la`: post-hoc logit adjustment (Menon et al., 2021); `taunorm`: tau-normalisation, and `ncm`: the nearest class
    mean (both Kang et al., 2020); `aggregation`: weights for several experts, learnt from the test images without their
    labels (Zhang et al., 2022); null: what stands after the + in the entry's name."""
    tau: NonNegative | Literal["validation"] = 1.0
    """The strength of `la` and `taunorm`; 0 changes nothing, except that `taunorm` still drops the biases.
    `validation`: the one of `taus` that is best on the validation images, chosen for each run."""
    taus: Annotated[tuple[NonNegative, ...], Where("tau", ("validation",))] = tuple(i / 10 for i in range(21))
    """The strengths that `tau: validation` tries; of equally good ones, it takes the smallest."""
    score: Annotated[Literal["mean_class_acc", "macro_f1", "acc1"], Where("tau", ("validation",))] = (
        "mean_class_acc"
    )
    """What they are compared by: the mean of the accuracies of the classes or of their F1, or top-1 accuracy."""
    features: Literal["cl2n", "l2n", "un"] = "cl2n"
    """The features of `ncm`: centred on the mean of all training images and then of length one, of length one, or as
    they are."""
    distance: Literal["euclidean", "cosine"] = "euclidean"
    """How `ncm` compares: `euclidean` with the class means as they are, `cosine` with their directions."""

    distribution: Annotated[str, one_of(DISTRIBUTIONS)] | None = None
    """The class frequencies of the test images that `aggregation` learns its weights from, which are drawn from all of
    them; null: all, as they are. The table `test_distributions` has a column for each."""

    @field_validator("tau", mode="wrap")
    @classmethod
    def _number_or_validation(cls, found: Any, check: ValidatorFunctionWrapHandler) -> Any:
        try:
            return check(found)
        except ValidationError:  # one for each of the types
            raise ValueError(f"found {found!r}; expected a number of 0 or more, or {VALIDATION}") from None

    @field_validator("taus")
    @classmethod
    def _distinct(cls, found: tuple[float, ...]) -> tuple[float, ...]:
        if len(set(found)) < max(2, len(found)):
            raise ValueError(f"found {list(found)}; expected two different numbers or more, each once")
        return tuple(sorted(found))


class ResolvedVariant(Variant):
    """A variant's entry, with what its name says filled in."""

    of: Name
    adjust: Adjustment

    @property
    def images(self) -> Literal["train", "test", "val"] | None:
        """The set of images that the change needs."""
        return constant(f"models/variants/{self.adjust}.py", "IMAGES") or (
            "val" if self.tau == VALIDATION else None
        )

    def settings(self) -> dict[str, Any]:
        """The settings that act, as JSON knows them: what the program takes, and what a model file keeps."""
        names = list(constant(f"models/variants/{self.adjust}.py", "SETTINGS"))
        if "tau" in names and self.tau == VALIDATION:
            names += ["taus", "score"]
        return {"adjust": self.adjust, **self.model_dump(mode="json", include=set(names))}
