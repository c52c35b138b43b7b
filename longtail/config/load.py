"""The whole configuration: its sections, the names in it resolved, and everything that is wrong with it at once.

`load_config` turns the mapping that Snakemake read from YAML and the command line into a `Config`. Functions of the
library never see these classes, they get the plain values.
"""

import itertools
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from copy import deepcopy
from functools import cache, cached_property
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import ValidationError, field_validator, model_validator

from longtail.config.data import Data
from longtail.config.effect import without_effect
from longtail.config.files import Unreadable, number, read_file
from longtail.config.fit import (
    Training,
    corrected_twice,
    enough_images,
    misfits,
    misfits_of_validating_tests,
    misfits_of_variant,
    worst_group_is_there,
)
from longtail.config.grid import Distinct, Grid, Model, ResolvedModel, wrong_weights
from longtail.config.job import Job
from longtail.config.methods import METHODS, Custom, Loss, ResolvedVariant, Variant, merged, parse_loss
from longtail.config.own_loss import wrong_with_own_loss
from longtail.config.paths import Paths, relations
from longtail.config.predict import Predict
from longtail.config.statistics import Statistics
from longtail.losses import known_losses
from longtail.models import known_models, model_module, pretrained_source
from longtail.models.variants import known_variants
from longtail.settings import Name, Section, Seed, problem, unknown
from longtail.training.recipe import Recipe

MOST_TOLD = 200
"""The most problems that are told. A file that is no configuration at all may have thousands, which take minutes to put
into words and which nobody reads."""
LIBRARY_MODELS = ("timm/NAME", "torchvision/NAME")


class ConfigError(ValueError):
    """The configuration is wrong; `problems` holds one sentence for each thing to mend."""

    def __init__(self, problems: Iterable[str]):
        self.problems = list(dict.fromkeys(problems))
        count = f"{len(self.problems)} problems" if len(self.problems) > 1 else "a problem"
        super().__init__(f"The configuration has {count}:\n" + "\n".join(f"  - {p}" for p in self.problems))


def _same_model(name: str, architecture: str) -> bool:
    """Whether an architecture is the known model of that name, maybe as a library of models has it."""
    known = architecture, pretrained_source(name) or name
    own, published = (each.rpartition("/")[2].partition(".")[0] for each in known)
    return own in (name, published)


def _resolved(name: str, entry: Model) -> ResolvedModel:
    return ResolvedModel.model_validate({**dict(entry), "architecture": entry.architecture or name})


# A plan asks for them several times for each run.
_plain_model = cache(lambda name: _resolved(name, Model()))
_plain_loss = cache(lambda name: parse_loss(name, {}))


class Config(Section):
    """An experiment."""

    seeds: Distinct[Seed] = (42,)
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
    versions: Literal["note", "stale"] = "note"
    """What becomes of runs that another version of torch, torchvision or timm trained: `note` keeps them and says so,
    `stale` trains them again."""
    partial: bool = False
    """Show the runs that are finished and the others as missing. The workflow sets it after a run failed."""

    @field_validator("models", "losses", "variants", mode="before")
    @classmethod
    def _none(cls, entries: Any) -> Any:
        # `variants: null` removes the variants of an earlier file, which `{}` would keep. Snakemake hands
        # `--config variants=null` on as text.
        return {} if entries in (None, "null") else entries

    @field_validator("losses", mode="after")
    @classmethod
    def _losses(cls, entries: dict[str, Any]) -> dict[str, Loss]:
        parsed, wrong = {}, []
        for name, entry in entries.items():
            try:
                parsed[name] = parse_loss(name, entry)
            except ValueError as error:
                wrong.append(str(error))
        if wrong:
            raise ValueError("\n".join(wrong))
        return parsed

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        wrong = [
            *relations(self.paths, self.data.image_folder.path, self.data.split.file, self._files),
            *enough_images(self.data),
            *self.data.unreachable(self.paths.data),
            *self._misleading_names(),
            *self._wrong_overrides(),
            *self._unknown_reference(),
        ]
        losses, variants = dict(self._unknown_losses()), dict(self._unknown_variants())
        wrong += [*self._unknown_models(), *losses.values(), *variants.values()]
        known = self
        if losses or variants:  # What goes together is checked for all that is known.
            names = tuple(name for name in self.grid.losses if name not in losses)
            entries = {name: entry for name, entry in self.variants.items() if name not in variants}
            grid = self.grid.model_copy(update={"losses": names})
            known = self.model_copy(update={"grid": grid, "variants": entries})
        misfits = list(known._misfits())
        if wrong or misfits:
            raise ValueError("\n".join(dict.fromkeys([*wrong, *misfits])))
        return self

    @property
    def _files(self) -> dict[str, str | None]:
        """The files that are read, by their settings, beside those of a collection and its split."""
        classes, lists = self.data.classes, self.data.lists
        return {
            "data.classes.names": classes.names,
            "data.classes.taxonomy.file": classes.taxonomy.file if classes.taxonomy else None,
            **{f"data.lists.{name}": file for name, file in lists.files.items()},
            **{f"models.{name}.weights": model.weights for name, model in self.models.items()},
        }

    def _misleading_names(self) -> Iterator[str]:
        """A name of this project means what it always means, since tables and published numbers go by names."""
        known = self._known_losses
        for section, names, own in (
            ("losses", (*self.losses, *self.grid.losses, *self.variants), [*known_losses(), *METHODS]),
            ("models", (*self.models, *self.grid.models), known_models()),
        ):
            by_letters: dict[str, str] = {name.casefold(): name for name in own}
            for name in dict.fromkeys(names):
                other = by_letters.setdefault(name.casefold(), name)
                if other != name:
                    yield f"{section}.{name}: differs from {other} in capitals alone; choose another name"
        for name, model in self.models.items():
            if name in known_models() and model.architecture and not _same_model(name, model.architecture):
                yield (
                    f"models.{name}.architecture: {model.architecture} under the name of another model; call the entry "
                    "otherwise"
                )
        for name, variant in self.variants.items():
            before, _, after = name.rpartition("+")
            if before in known and after in known_variants():
                for key, said, given in (("of", before, variant.of), ("adjust", after, variant.adjust)):
                    if given not in (None, said):
                        yield f"variants.{name}.{key}: {given}, but the name says {said}; call the entry otherwise"

    def _wrong_overrides(self) -> Iterator[str]:
        """What is wrong with the training settings of entries that the grid does not use, one by one."""
        models = {f"models.{name}": own for name, own in self.models.items() if name not in self.grid.models}
        losses = {f"losses.{name}": own for name, own in self.losses.items() if name not in self.grid.losses}
        for where, entry in {**models, **losses}.items():
            try:
                Recipe.model_validate(merged(self.train.model_dump(), entry.train))
            except ValidationError as error:
                # Whether settings go together shows only with the model or loss that they are used with.
                wrong = [detail for detail in error.errors() if detail["loc"]]
                yield from (problem(Recipe, detail, f"{where}.train") for detail in wrong)

    def _unknown_reference(self) -> Iterator[str]:
        """A reference that is no loss at all; one that the grid lacks gives way to the grid's first."""
        name, known = self.statistics.reference, [*self._known_losses, *self.variants]
        if name not in known:
            yield unknown(f"statistics.reference: '{name}'", name, known)

    def _unknown_models(self) -> Iterator[str]:
        for name in dict.fromkeys([*self.grid.models, *self.models]):
            entry, used = self.model(name), name in self.grid.models
            where = f"models.{name}" if entry.architecture == name else f"models.{name}.architecture"
            known = [*known_models(), *LIBRARY_MODELS]
            if used and entry.architecture == name:
                where, known = "grid.models", [*known, *(own for own in self.models if own != name)]
            try:
                model_module(entry.architecture)
            except ValueError:
                yield unknown(f"{where}: '{entry.architecture}'", entry.architecture, known)
                continue
            if entry.pretrained and (used or entry.weights) and (wrong := wrong_weights(name, entry)):
                yield wrong

    def _unknown_losses(self) -> Iterator[tuple[str, str]]:
        known = self._known_losses
        for name in dict.fromkeys([*self.grid.losses, *self.losses]):
            if name not in known:
                yield name, unknown(f"grid.losses: '{name}'", name, known)
            elif (retrain := self.loss(name).retrain) and retrain.start not in known:
                start = retrain.start
                yield name, unknown(f"losses.{name}.retrain.start: '{start}'", start, known)
            elif (teacher := self.teacher(name)) and teacher not in (*known, *self.variants):
                what = f"losses.{name}.distill.teacher: '{teacher}'"
                yield (
                    name,
                    unknown(what, teacher, [*known, *self.variants, "the path of a model.safetensors"]),
                )
            elif name in self._comes_before(name):
                yield (
                    name,
                    f"losses.{name}: its run would need the model of {name} itself, by retrain.start or "
                    "distill.teacher, before it is trained; name another one",
                )

    def _comes_before(self, loss: str) -> set[str]:
        """The losses whose runs are finished before that of a loss begins, as far as they are known."""
        found: set[str] = set()
        waiting = [loss]
        while waiting:
            known = (own for own in self.needed(waiting.pop()) if own in self._known_losses)
            new = [own for own in known if own not in found]
            found.update(new)
            waiting += new
        return found

    def _unknown_variants(self) -> Iterator[tuple[str, str]]:
        known = self._known_losses
        for name in self.variants:
            where = f"variants.{name}"
            if name in known:
                yield name, f"{where}: there is a loss of that name; choose another"
                continue
            try:
                entry = self.variant(name)
            except ValidationError:
                *first, last = (f"LOSS+{variant}" for variant in known_variants())
                names = f"{', '.join(first)} or {last}"
                yield (
                    name,
                    f"{where}: the name does not say what it is; call it {names}, "
                    f"or set {where}.of and {where}.adjust",
                )
                continue
            if entry.of not in known:
                yield name, unknown(f"{where}: '{entry.of}'", entry.of, known)

    def _misfits(self) -> Iterator[str]:
        """Why settings that are valid each do not go together."""
        fit = []
        for model in self.grid.models:
            for loss in self.trained:
                try:
                    run = self._training(model, loss)
                except ConfigError as error:
                    yield from error.problems
                    continue
                fit.append(run)
                yield from misfits(run)
            for name in self.variants:
                variant = self.variant(name)
                try:
                    recipe = self.recipe(model, variant.of)
                except ConfigError:
                    continue  # the loss above has told it already
                yield from misfits_of_variant(name, variant, self.loss(name), recipe)
        for loss in self.trained:
            if isinstance(own := self.loss(loss), Custom):
                yield from wrong_with_own_loss(f"losses.{loss}", own)
        yield from worst_group_is_there(self.data, fit)
        if self.data.tests_validate:
            yield from misfits_of_validating_tests(self.data, fit)
            for name in self.variants:
                if self.variant(name).images == "val":
                    yield (
                        f"variants.{name}.tau: validation would choose it by the test images, as "
                        f"{self.data.tests_validate} leaves no others to validate with; set a number"
                    )

    @property
    def warnings(self) -> list[str]:
        """What may not be meant, though it can be run."""
        runs = [self._training(model, loss) for model in self.grid.models for loss in self.trained]
        found = (sentence for run in runs for sentence in (*corrected_twice(run), *run.recipe.unreached()))
        return list(dict.fromkeys([*found, *self.data.empty_groups, *without_effect(self)]))

    @cached_property
    def caveats(self) -> dict[str, str]:
        """What captions say of a loss that corrects the imbalance twice, by its name."""
        found: dict[str, str] = {}
        for loss, model in itertools.product(self.trained, self.grid.models):
            for sentence in corrected_twice(self._training(model, loss)):
                found.setdefault(loss, sentence.removeprefix("losses.").partition(";")[0] + ".")
        return found

    def _training(self, model: str, loss: str) -> Training:
        entry, start = self.loss(loss), None
        if entry.retrain:
            start = self.loss(entry.retrain.start), self.recipe(model, entry.retrain.start)
        teacher = self.teacher(loss)
        taught = self.recipe(model, self.needed(loss)[-1]) if teacher else None
        built, crops = self.model(model), self.predict.crops
        recipe = self.recipe(model, loss)
        facts = self.data.facts
        classes = facts.classes if facts.images else 0
        return Training(
            model, built.architecture, loss, entry, recipe, built.pretrained, crops, start, taught, classes
        )

    @property
    def _known_losses(self) -> list[str]:
        return [*known_losses(), *METHODS, *self.losses]

    @cached_property
    def model(self) -> Callable[[str], ResolvedModel]:
        """The entry of one model of the grid, with its architecture filled in, which is done once."""
        return cache(self._model)

    def _model(self, name: str) -> ResolvedModel:
        entry = self.models.get(name)
        return _plain_model(name) if entry is None else _resolved(name, entry)

    def loss(self, name: str) -> Loss:
        """The entry of one loss of the grid; for a variant, the entry of the loss that it was trained with."""
        if name in self.variants:
            name = self.variant(name).of
        return self.losses.get(name) or _plain_loss(name)

    def variant(self, name: str) -> ResolvedVariant:
        """The entry of a variant, completed by the parts of its name (loss + change).

        Raises:
            pydantic.ValidationError: the name does not have these parts.
        """
        entry = self.variants[name]
        before, _, after = name.rpartition("+")
        filled = {"of": entry.of or before, "adjust": entry.adjust or after}
        return ResolvedVariant.model_validate({**entry.model_dump(exclude_unset=True), **filled})

    @property
    def trained(self) -> tuple[str, ...]:
        """The losses that are trained: those of the grid, and those that others or a variant start from."""
        losses = [*self.grid.losses, *(self.variant(name).of for name in self.variants)]
        for loss in losses:  # which grows meanwhile
            losses += [own for own in self.needed(loss) if own not in losses]
        return tuple(dict.fromkeys(losses))

    def teacher(self, loss: str) -> str | None:
        """The loss or variant whose run teaches that of a loss; None: there is none, or it is a file."""
        distill = self.loss(loss).distill
        return distill.teacher if distill and not distill.path else None

    def needed(self, loss: str) -> list[str]:
        """The losses whose runs give that of a loss a model: its start, and its teacher or what that is made of."""
        entry, teacher = self.loss(loss), self.teacher(loss)
        if teacher in self.variants:
            teacher = self.variant(teacher).of
        return [own for own in (entry.retrain and entry.retrain.start, teacher) if own]

    @cached_property
    def recipe(self) -> Callable[[str, str], Recipe]:
        """The training settings of one model with one loss, which are worked out once.

        Raises:
            ConfigError: the overrides of the model or the loss are not settings of `train`, or do not fit.
        """
        return cache(self._recipe)

    def _recipe(self, model: str, loss: str) -> Recipe:
        changes = {
            f"models.{model}.train": self.model(model).train,
            f"losses.{loss}.train": self.loss(loss).train,
        }
        if not any(changes.values()):
            return self.train
        settings = self.train.model_dump()
        wheres: dict[str | int | None, str] = {}
        for where, overrides in changes.items():
            settings = merged(settings, overrides)
            wheres.update(dict.fromkeys(overrides, where))
        try:
            return Recipe.model_validate(settings)
        except ValidationError as error:
            first = next(iter(wheres.values()), "train")
            raise ConfigError(
                problem(Recipe, detail, wheres.get(next(iter(detail["loc"]), None), first))
                for detail in error.errors()
            ) from None


def load_config(mapping: Mapping[str, Any]) -> Config:
    """The checked configuration.

    Raises:
        ConfigError: something is wrong. It names every unknown key with the nearest known one, and every wrong value
            with what is allowed.
    """
    try:
        return Config.model_validate(dict(mapping))
    except ValidationError as error:
        raise ConfigError(_all_problems(dict(mapping), error)) from None


def load_files(files: Sequence[str | Path], settings: Mapping[str, Any]) -> Config:
    """The checked configuration of some files, of which later ones win, and the settings after `--config`.

    Raises:
        ConfigError: as `load_config`, with the file and line of each problem; or a file says something else to YAML
            than what was written.
    """
    mapping: dict[str, Any] = {}
    places: dict[str, str] = {}
    misread: list[str] = []
    told: set[str] = set()
    unreadable: list[str] = []
    for file in files:
        try:
            read = read_file(file)
        except Unreadable as error:
            unreadable.append(str(error))
            continue
        mapping = merged(mapping, read.content)
        misread += read.problems
        told |= set(map(_dotted, read.misread))
        places |= {_dotted(keys): f"{file}, line {line}" for keys, line in read.lines.items() if keys}
    if unreadable:  # what is wrong with the others may come from what these hold
        raise ConfigError([*unreadable, *misread])
    mapping = merged(mapping, _with_numbers(settings))
    places |= dict.fromkeys(_keys(settings), "--config")
    try:
        config = load_config(mapping)
    except ConfigError as error:
        rest = [problem for problem in error.problems if problem.partition(": ")[0] not in told]
        raise ConfigError([*misread, *(_placed(problem, places) for problem in rest)]) from None
    if misread:
        raise ConfigError(misread)
    return config


def _with_numbers(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings after `--config`, which Snakemake leaves as text; the arguments of a loss get their numbers."""
    losses = settings.get("losses")
    if not isinstance(losses, Mapping):
        return dict(settings)
    entries = dict(losses)
    for name, entry in losses.items():
        if isinstance(entry, Mapping) and "parameters" in entry:
            entries[name] = {**entry, "parameters": _typed(entry["parameters"])}
    return {**settings, "losses": entries}


def _typed(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _typed(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_typed(item) for item in value]
    if not isinstance(value, str):
        return value
    words = {"true": True, "false": False, "null": None}
    return words[value] if value in words else value if (plain := number(value)) is None else plain


def _keys(settings: Any, above: tuple[str, ...] = ()) -> Iterator[str]:
    """Every key of nested settings, with those above it and dots between."""
    items = settings.items() if isinstance(settings, Mapping) else ()
    for key, value in items:
        yield _dotted((*above, key))
        yield from _keys(value, (*above, key))


def _dotted(keys: Iterable[str | int]) -> str:
    return ".".join(map(str, keys))


def _placed(problem: str, places: Mapping[str, str]) -> str:
    """The problem, followed by the place of the setting that it begins with, or of the nearest section around it."""
    key = re.match(r"[^\s:,]*", problem)[0]  # type: ignore[index]
    while key and key not in places:
        key = key.rpartition(".")[0]
    return f"{problem} ({places[key]})" if key else problem


def _all_problems(mapping: dict[str, Any], error: ValidationError) -> Iterator[str]:
    """All that is wrong: pydantic checks what goes together only once each setting is right, so wrong ones are mended.

    What follows from an earlier problem is not told.
    """
    told: list[tuple[str | int, ...]] = []
    mended = deepcopy(mapping)
    for _ in range(5):
        if len(details := error.errors()) > MOST_TOLD:
            yield f"{len(details):,} settings are wrong, of which these are the first {MOST_TOLD}"
        for detail in details[:MOST_TOLD]:
            keys = detail["loc"]
            if not any(earlier[: len(keys)] == keys for earlier in told if keys):
                yield from problem(Config, detail, "").splitlines()
            told.append(keys)
            _mend(mended, keys)
        if len(details) > MOST_TOLD or not any(detail["loc"] for detail in details):
            return  # or each setting was right already
        try:
            Config.model_validate(mended)
        except ValidationError as rest:
            error = rest
            continue
        return


STAND_INS: dict[tuple[str, str], Any] = {
    ("grid", "models"): ["mobilenetv2"],
    ("grid", "losses"): ["softmax"],
    ("models", "architecture"): "mobilenetv2",
}
"""What stands in for a wrong setting whose default could be wrong beside the others."""


def _mend(mapping: dict[str, Any], keys: tuple[str | int, ...]) -> None:
    """Take a wrong setting out, so that the others can be checked together."""
    if keys[:1] == ("losses",) and isinstance(entries := mapping.get("losses"), dict):
        for name, entry in entries.items():
            try:
                parse_loss(str(name), entry)
            except ValueError:
                entries[name] = {} if name in (*known_losses(), *METHODS) else {"loss": "softmax"}
        return
    section: Any = mapping
    for depth, key in enumerate(keys, 1):
        inner = section.get(key) if isinstance(section, dict) else None
        if not isinstance(inner, dict) or depth == len(keys):
            section.pop(key, None)
            if stand_in := STAND_INS.get((str(keys[0]), str(key))):
                section[key] = stand_in
            return
        section = inner
