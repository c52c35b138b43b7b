"""The whole configuration: its sections, the names in it resolved, and everything that is wrong with it at once.

`load_config` turns the mapping that Snakemake read from YAML and the command line into a `Config`. Functions of the
library never see these classes, they get the plain values.
"""

from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from typing import Any, Self

from pydantic import ValidationError, field_validator, model_validator

from longtail.config.data import Data
from longtail.config.fit import Training, misfits, misfits_of_the_original_test_set, misfits_of_variant
from longtail.config.grid import Distinct, Grid, Model, ResolvedModel
from longtail.config.job import Job
from longtail.config.methods import METHODS, Loss, ResolvedVariant, Variant, merged, parse_loss
from longtail.config.paths import Paths
from longtail.config.predict import Predict
from longtail.config.statistics import Statistics
from longtail.losses import known_losses
from longtail.models import known_models, model_module, pretrained_source
from longtail.models.variants import known_variants
from longtail.settings import Name, Section, Seed, problem, problems, unknown
from longtail.training.recipe import Recipe

LIBRARY_MODELS = ("timm/NAME", "torchvision/NAME")


class ConfigError(ValueError):
    """The configuration is wrong; `problems` holds one sentence for each thing to mend."""

    def __init__(self, problems: Iterable[str]):
        self.problems = list(dict.fromkeys(problems))
        count = f"{len(self.problems)} problems" if len(self.problems) > 1 else "a problem"
        super().__init__(f"The configuration has {count}:\n" + "\n".join(f"  - {p}" for p in self.problems))


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
        wrong = [*self._unknown_models(), *self._unknown_losses(), *self._unknown_variants()]
        if not wrong:
            wrong = list(dict.fromkeys(self._misfits()))
        if not wrong and self.data.test_per_class is None:
            runs = [self._training(model, loss) for model in self.grid.models for loss in self.trained]
            wrong = list(misfits_of_the_original_test_set(self.data.source, runs))
        if wrong:
            raise ValueError("\n".join(wrong))
        return self

    def _unknown_models(self) -> Iterator[str]:
        for name in self.grid.models:
            entry = self.model(name)
            try:
                model_module(entry.architecture)
            except ValueError:
                named = entry.architecture == name
                what = f"grid.models: '{name}'" if named else f"models.{name}.architecture"
                yield unknown(what, entry.architecture, [*known_models(), *self.models, *LIBRARY_MODELS])
                continue
            if entry.pretrained and not entry.weights and pretrained_source(entry.architecture) is None:
                yield (
                    f"models.{name}: {entry.architecture} has no published weights; "
                    f"set models.{name}.pretrained: false"
                )

    def _unknown_losses(self) -> Iterator[str]:
        known = self._known_losses
        for name in self.grid.losses:
            if name not in known:
                yield unknown(f"grid.losses: '{name}'", name, known)
            elif (retrain := self.loss(name).retrain) and retrain.start not in known:
                yield unknown(f"losses.{name}.retrain.start: '{retrain.start}'", retrain.start, known)

    def _unknown_variants(self) -> Iterator[str]:
        known = self._known_losses
        for name in self.variants:
            where = f"variants.{name}"
            if name in known:
                yield f"{where}: there is a loss of that name; choose another"
                continue
            try:
                entry = self.variant(name)
            except ValidationError:
                names = " or ".join(f"LOSS+{variant}" for variant in known_variants())
                yield (
                    f"{where}: the name does not say what it is; call it {names}, "
                    f"or set {where}.of and {where}.adjust"
                )
                continue
            if entry.of not in known:
                yield unknown(f"{where}: '{entry.of}'", entry.of, known)

    def _misfits(self) -> Iterator[str]:
        """Why settings that are valid each do not go together."""
        for model in self.grid.models:
            for loss in self.trained:
                try:
                    yield from misfits(self._training(model, loss))
                except ConfigError as error:
                    yield from error.problems
            for name in self.variants:
                variant = self.variant(name)
                try:
                    recipe = self.recipe(model, variant.of)
                except ConfigError:
                    continue  # the loss above has told it already
                yield from misfits_of_variant(name, variant, self.loss(name), recipe)

    def _training(self, model: str, loss: str) -> Training:
        entry, start = self.loss(loss), None
        if entry.retrain:
            start = self.loss(entry.retrain.start), self.recipe(model, entry.retrain.start)
        pretrained, crops = self.model(model).pretrained, self.predict.crops
        return Training(model, loss, entry, self.recipe(model, loss), pretrained, crops, start)

    @property
    def _known_losses(self) -> list[str]:
        return [*known_losses(), *METHODS, *self.losses]

    def model(self, name: str) -> ResolvedModel:
        """The entry of one model of the grid, with its architecture filled in."""
        entry = self.models.get(name, Model())
        return ResolvedModel.model_validate({**dict(entry), "architecture": entry.architecture or name})

    def loss(self, name: str) -> Loss:
        """The entry of one loss of the grid; for a variant, the entry of the loss that it was trained with."""
        if name in self.variants:
            name = self.variant(name).of
        return self.losses.get(name) or parse_loss(name, {})

    def variant(self, name: str) -> ResolvedVariant:
        """The entry of a variant, completed by the parts of its name (loss + change).

        Raises:
            pydantic.ValidationError: the name does not have these parts.
        """
        entry = self.variants[name]
        before, _, after = name.rpartition("+")
        filled = {"of": entry.of or before, "adjust": entry.adjust or after, "tau": entry.tau}
        return ResolvedVariant.model_validate(filled)

    @property
    def trained(self) -> tuple[str, ...]:
        """The losses that are trained: those of the grid, and those that others or a variant start from."""
        losses = [*self.grid.losses, *(self.variant(name).of for name in self.variants)]
        starts = [retrain.start for loss in losses if (retrain := self.loss(loss).retrain)]
        return tuple(dict.fromkeys([*losses, *starts]))

    def recipe(self, model: str, loss: str) -> Recipe:
        """The training settings of one model with one loss.

        Raises:
            ConfigError: the overrides of the model or the loss are not settings of `train`, or do not fit.
        """
        if (model, loss) not in self._recipes:
            self._recipes[model, loss] = self._recipe(model, loss)
        return self._recipes[model, loss]

    @cached_property
    def _recipes(self) -> dict[tuple[str, str], Recipe]:
        return {}

    def _recipe(self, model: str, loss: str) -> Recipe:
        settings = self.train.model_dump()
        wheres: dict[str | int | None, str] = {}
        for where, overrides in (
            (f"models.{model}.train", self.model(model).train),
            (f"losses.{loss}.train", self.loss(loss).train),
        ):
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
        raise ConfigError(problems(Config, error)) from None
