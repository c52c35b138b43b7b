"""Settings that somebody wrote and that change nothing, since another one keeps them from acting."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING, Any

from longtail.data.sources.table import known_sources
from longtail.settings import Section
from longtail.training.recipe import Recipe, Where

if TYPE_CHECKING:
    from longtail.config.load import Config

OF_EQUAL_CLASSES = (
    "train_per_class",
    "test_per_class",
    "imbalance",
    "imbalance_factor",
    "test_imbalance_factor",
)
"""Settings of `data` that cut a long tail, which images with natural class sizes have already."""

OF_TESTS = ("test_per_class", "imbalance")
"""Those of them that `imbalance: natural` leaves something to say."""


def without_effect(config: Config) -> Iterator[str]:
    """A sentence for each setting that is written, differs from its default, and acts in no run.

    A setting with its default counts as not written: configurations stand on one another, and the lowest of them spells
    defaults out.
    """
    data, source = config.data, config.data.facts
    yield from _idle("data", data)
    yield from _idle("data.image_folder", data.image_folder)
    yield from _idle("predict", config.predict)
    for name, variant in config.variants.items():
        yield from _idle(f"variants.{name}", variant)
    for name in config.trained:
        if retrain := config.loss(name).retrain:
            yield from _idle(f"losses.{name}.retrain", retrain)
    for name in _written(data):
        if name in known_sources() and name != data.source:
            yield f"data.{name} has no effect, since data.source is {data.source}; name that source, or remove it"
        elif name in OF_EQUAL_CLASSES and (not source.images or (source.natural and name not in OF_TESTS)):
            yield f"data.{name} has no effect, since the classes of {data.source} keep their sizes; remove it"
    yield from _without_effect_in_training(config)
    for section, entries, used in (
        ("models", config.models, config.grid.models),
        ("losses", config.losses, config.trained),
    ):
        if unused := [f"{section}.{name}" for name in entries if name not in used]:
            yield f"{', '.join(unused)} {_have(unused)} no effect, since grid.{section} names {_other(unused)}"
    if isinstance(minutes := config.job.minutes, dict) and "minutes" in _written(config.job):
        for name in sorted(minutes.keys() - {*config.grid.models}):
            yield f"job.minutes.{name} has no effect, since grid.models names another"
    for name, model in config.models.items():
        if model.weights and not model.pretrained and name in config.grid.models:
            yield f"models.{name}.weights has no effect, since models.{name}.pretrained is false; remove one of them"
    shown, reference = (*config.grid.losses, *config.variants), config.statistics.reference
    if _written(config.statistics) and reference not in shown:
        yield (
            f"statistics.reference has no effect, since neither grid.losses nor variants name {reference}; losses are "
            f"compared with {shown[0]}"
        )


def _without_effect_in_training(config: Config) -> Iterator[str]:
    runs = {
        (model, loss): config.recipe(model, loss) for model in config.grid.models for loss in config.trained
    }
    written: list[tuple[str, Collection[str], list[Recipe]]] = [
        ("train", _written(config.train), list(runs.values()))
    ]
    for model in config.grid.models:
        own = [recipe for (name, _), recipe in runs.items() if name == model]
        written.append((f"models.{model}.train", config.model(model).train, own))
    for loss in config.trained:
        own = [recipe for (_, name), recipe in runs.items() if name == loss]
        written.append((f"losses.{loss}.train", config.loss(loss).train, own))
    for key, names, recipes in written:
        for name in names:
            if all(getattr(recipe, name) != Recipe.model_fields[name].default for recipe in recipes):
                reasons = [_reason(recipe, name) for recipe in recipes]
                if all(reasons):
                    yield f"{key}.{name} {reasons[0]}"


def _idle(key: str, section: Section) -> Iterator[str]:
    for name in _written(section):
        if reason := _reason(section, name):
            yield f"{key}.{name} {reason}"


def _written(section: Section) -> list[str]:
    """The settings of a section that are written and differ from their defaults, in the order of the section."""
    fields = type(section).model_fields
    return [
        name
        for name in fields
        if name in section.model_fields_set
        and getattr(section, name) != fields[name].get_default(call_default_factory=True)
    ]


def _reason(section: Section, name: str) -> str:
    """Why a setting of a section does nothing; empty where it acts."""
    for need in type(section).model_fields[name].metadata:
        if isinstance(need, Where) and (found := getattr(section, need.name)) not in need.values:
            needed = " or ".join(map(_yaml, need.values))
            return f"has no effect, since {need.name} is {_yaml(found)}; it acts with {need.name}: {needed}"
    return ""


def _yaml(value: Any) -> str:
    return "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def _have(names: Collection[str]) -> str:
    return "have" if len(names) > 1 else "has"


def _other(names: Collection[str]) -> str:
    return "others" if len(names) > 1 else "another"
