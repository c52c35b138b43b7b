"""The card in a model file, which describes the model. It needs no PyTorch, so that figures read it quickly."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    FailFast,
    Field,
    GetPydanticSchema,
    Strict,
    TypeAdapter,
    ValidationError,
)

from longtail.files.safetensors import MODEL, read_content, read_digest, read_shapes
from longtail.files.text import printable
from longtail.models import MOST_EXPERTS
from longtail.settings import constant, one_of, problems

KEY = MODEL
FORMAT = "longtail model 1"
MOST_CLASSES = 100_000
MOST_PIXELS = 4096
"""The largest height and width of an image, in pixels."""
MOST_LETTERS = 1_000_000
"""The longest that loss, parameters, recipe and variant may be together, as JSON."""

# JSON says which values are numbers, so text and truth values are not taken for them.
Whole = Annotated[int, Strict()]
Real = Annotated[float, Strict(), Field(allow_inf_nan=False)]
Pixels = Annotated[Whole, Field(ge=1, le=MOST_PIXELS)]
Factor = Annotated[Real, Field(ge=1e-6, le=1e6)]
Word = Annotated[str, Strict(), Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_./+-]*$", max_length=200)]
ClassName = Annotated[str, Strict(), Field(max_length=1000)]
Classes = Field(min_length=1, max_length=MOST_CLASSES)
Resize = Annotated[str, one_of(constant("data/collection/shape.py", "RESIZES"))]
Byte = Annotated[Whole, Field(ge=0, le=255)]
Three = Field(min_length=3, max_length=3)
Text = Annotated[str, Strict(), Field(max_length=1000)]


class NeededRecipe(BaseModel):
    """The settings of the recipe that a prediction needs. The others are only shown."""

    precision: Literal["auto", "fp32", "tf32", "bf16", "fp16"]
    deterministic: Annotated[bool, Strict()]
    eval_batch_size: Annotated[Whole, Field(ge=1)]


class OwnLoss(BaseModel):
    """Where a loss of the user's own stands."""

    path: Text
    name: Text


class Start(BaseModel):
    """What training started from: `source` is None for random weights, and not there where nobody knows."""

    source: Text | None = None
    url: Text | None = None
    license: Text | None = None
    file: Text | None = None
    sha256: Text | None = None
    as_published: Annotated[bool, Strict()] | None = None
    retrain: Text | None = None


class Teacher(BaseModel):
    """The model whose answers were learnt, and how: see `longtail.training.terms`.

    Of earlier versions, the file does not say how its classifier was changed, its seed, or which file it was: `model`
    is what `digest_of` gives.
    """

    architecture: Word
    loss: Text
    adjust: Text | None = None
    seed: Annotated[Whole, Field(ge=0, lt=2**63)] | None = None
    model: Text | None = None
    temperature: Annotated[Real, Field(gt=0)]
    weight: Annotated[Real, Field(gt=0)]


def _is(checked: type[BaseModel]) -> Any:
    """Annotates a mapping that is checked as this model and stays a mapping."""
    return GetPydanticSchema(lambda _, handler: handler.generate_schema(checked))


@dataclass(frozen=True, kw_only=True)
class ModelCard:
    """All that is needed to use a model, apart from its weights.

    The types are checked when a card is read: a model file comes from anywhere, and its checksum only says that it is
    as somebody wrote it.

    Attributes:
        class_counts: training images per class, in label order.
        logit_scale: what logits are multiplied with before a softmax makes probabilities of them: the scale s of
            LDAM's cosine logits, else 1.
        stored_size: height and width of the training images, in pixels, before they were resized to `image_size`;
            None, not known, in files of an earlier version.
        resize, pad_with: how pictures become squares, as `longtail.data.collection.shape.Shape` takes them.
        known_from: the score, as `longtail.inference.unknown.known_scores` gives it, from which on a picture shows a
            known class; None, not told.
        temperature: what logits are then divided by, fitted on the validation set; None, not calibrated.
        variant: how the classifier was changed after training; None, it was not.
        started_from: the facts of `Start` about the weights that training began with, and which classifier decoupled
            training gave to a backbone that had them; None, not known, in files of an earlier version.
        distilled_from: the facts of `Teacher`; None, there was none.
        experts, narrow_experts: as `longtail.models.build_model` takes them.
    """

    __pydantic_config__ = ConfigDict(extra="forbid")

    architecture: Word
    head: Word
    class_names: Annotated[list[ClassName], Strict(), FailFast(), Classes]
    class_counts: Annotated[list[Annotated[Whole, Field(ge=0, le=2**40)]], Strict(), FailFast(), Classes]
    image_size: Pixels
    mean: Annotated[list[Annotated[Real, Field(ge=0, le=1e6)]], Strict(), Three]
    std: Annotated[list[Factor], Strict(), Three]
    logit_scale: Factor
    loss: Text | Annotated[Mapping[str, str], _is(OwnLoss)]
    loss_parameters: Mapping[str, Any]
    recipe: Annotated[Mapping[str, Any], _is(NeededRecipe)]
    seed: Annotated[Whole, Field(ge=0, lt=2**63)]
    best_epoch: Annotated[Whole, Field(ge=0, lt=2**31)]
    stored_size: Pixels | None = None
    resize: Resize = "stretch"
    pad_with: Literal["reflect"] | Annotated[list[Byte], Strict(), Three] | None = None
    temperature: Factor | None = None
    known_from: Real | None = None
    variant: Mapping[str, Any] | None = None
    started_from: Annotated[Mapping[str, Any], _is(Start)] | None = None
    distilled_from: Annotated[Mapping[str, Any], _is(Teacher)] | None = None
    experts: Annotated[Whole, Field(ge=1, le=MOST_EXPERTS)] = 1
    narrow_experts: Annotated[bool, Strict()] = False

    @property
    def picture_size(self) -> int:
        """Height and width of the square that pictures become before all else, so that they look as in training."""
        return self.stored_size or self.image_size

    @property
    def squared(self) -> str:
        """How that is done, as a clause: "stretched to 64 x 64 pixels"."""
        size = f"{self.picture_size} x {self.picture_size} pixels"
        if self.resize == "stretch":
            return f"stretched to {size}"
        if self.resize == "crop":
            return f"cut to the largest square in the middle and resized to {size}"
        border = "the picture mirrored at its edges" if self.pad_with == "reflect" else "black"
        if isinstance(self.pad_with, Sequence) and not isinstance(self.pad_with, str):
            border = f"the colour {', '.join(map(str, self.pad_with))}"
        return f"resized to {self.picture_size} pixels on the longer side and completed to {size} by {border}"

    @property
    def sharpness(self) -> float:
        """The factor between logits and the softmax that gives probabilities, calibrated where the model is."""
        return self.logit_scale / (self.temperature or 1.0)

    def content(self) -> dict[str, Any]:
        """What stands under `KEY` in the metadata of the model file."""
        return {"format": FORMAT, **asdict(self)}


def card_from(content: Mapping[str, Any], shapes: Mapping[str, Sequence[int]], path: str | Path) -> ModelCard:
    """The card in the metadata of a model file, checked.

    Args:
        content: what stands under `KEY`, empty where nothing does.
        shapes: those of the weights in the file, by name.

    Raises:
        ValueError: this is no model of this project, or what it says of itself cannot be true; names `path`.
    """
    facts = {name: value for name, value in content.items() if name != "format"}
    if content.get("format") != FORMAT:
        raise ValueError(
            f"{path} is no model of this project: its format is {_shown(content.get('format'))}, expected {FORMAT!r}; "
            "train it again"
        )
    if wrong := _type_faults(facts) or list(_contradictions(ModelCard(**facts), shapes)):
        more = f"; and {len(wrong) - 3} more" if len(wrong) > 3 else ""
        raise ValueError(
            f"{path} does not say what is needed to use it: {'; '.join(wrong[:3])}{more}; train it again"
        )
    return ModelCard(**facts)


def read_card(path: str | Path) -> ModelCard:
    """The card of a model file, without reading the weights.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is damaged, or is no model of this project.
    """
    return card_from(read_content(path, KEY), read_shapes(path), path)


def digest_of(path: str | Path) -> str:
    """A hash of the weights and the card of a model file, by which its predictions know it; no weights are read.

    Raises:
        As `read_card`, though the card is not checked.
    """
    return read_digest(path, KEY)


def check_run(card: ModelCard, run: Mapping[str, Any], path: str | Path) -> None:
    """Refuse the model of another run, which somebody copied or moved here.

    Args:
        run: what the card of the run's own model says, as far as the run's settings tell it. A recipe of an earlier
            version may lack settings; those that both have are compared.

    Raises:
        ValueError: names `path`, and the first facts that differ.
    """
    found, expected = ({**facts, **facts.get("recipe", {})} for facts in (asdict(card), run))
    for facts in (found, expected):
        facts.pop("recipe", None)
        if isinstance(facts.get("variant"), Mapping):  # a chosen strength is no setting
            names = run.get("variant") or facts["variant"]
            facts["variant"] = {name: value for name, value in facts["variant"].items() if name in names}
        if isinstance(facts.get("loss"), Mapping):  # one's own, whose file may have been moved since
            facts["loss"] = {"name": facts["loss"].get("name")}
    differing = [
        f"{name} is {_shown(found[name])} instead of {_shown(expected[name])}"
        for name in expected
        if name in found and found[name] != expected[name]
    ]
    if differing:
        raise ValueError(
            f"{path} is the model of another run: {'; '.join(differing[:3])}. Delete it and run the same command "
            "again: the workflow trains it anew"
        )


@cache
def _types() -> TypeAdapter[ModelCard]:
    return TypeAdapter(ModelCard)


def _type_faults(facts: Mapping[str, Any]) -> list[str]:
    try:
        _types().validate_python(facts)
    except ValidationError as error:
        return [printable(line) for line in problems(BaseModel, error)]
    return []


def _contradictions(card: ModelCard, shapes: Mapping[str, Sequence[int]]) -> Iterator[str]:
    names = len(card.class_names)
    if len(card.class_counts) != names:
        yield f"class_counts: found {len(card.class_counts)} numbers for {names} classes"
    if len(set(card.class_names)) < names:
        yield "class_names: one of them is there twice"
    heads = ("head.weight", "head.linear.weight", "head.heads.0.weight")
    rows = [shapes[name][0] for name in heads if shapes.get(name)]
    if rows and rows[0] != names:
        yield f"class_names: found {names} for weights of {rows[0]} classes"
    free = [card.loss, card.loss_parameters, card.recipe, card.variant, card.started_from]
    if (letters := len(json.dumps(free))) > MOST_LETTERS:
        yield (
            f"loss, loss_parameters, recipe, variant and started_from: found {letters:,} characters, allowed are "
            f"{MOST_LETTERS:,}"
        )


def _shown(value: Any) -> str:
    text = printable(repr(value))
    return text if len(text) <= 60 else f"{text[:57]}…"
