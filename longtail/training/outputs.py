"""The outputs that describe a finished run: the card of its model, and its record."""

from collections.abc import Mapping
from typing import Any

from longtail.files.safetensors import WEIGHTS, read_content
from longtail.machine.environment import environment, peak_memory_mb
from longtail.models.card import ModelCard, Start, digest_of, read_card
from longtail.training.run import Trainer
from longtail.training.settings import RunSettings


def model_card(
    trainer: Trainer,
    class_names: list[str],
    weights: str | None = None,
    start: str | None = None,
    teacher: str | None = None,
) -> ModelCard:
    """The card of the model that a finished run keeps, not calibrated.

    Args:
        class_names: one for each label.
        weights, start, teacher: the files that the trainer started and learnt from.
    """
    settings, recipe = trainer.settings, trainer.recipe
    return ModelCard(
        architecture=settings.architecture,
        head=settings.built_head,
        class_names=class_names,
        class_counts=trainer.class_counts.tolist(),
        stored_size=max(trainer.val_feed.images.shape[-2:]),
        resize=settings.resize,
        pad_with=settings.pad_with,
        image_size=recipe.image_size,
        mean=list(recipe.mean),
        std=list(recipe.std),
        logit_scale=trainer.loss.logit_scale,
        loss=settings.loss,
        loss_parameters=settings.loss_parameters,
        recipe=recipe.settings(),
        seed=settings.seed,
        experts=settings.experts,
        narrow_experts=settings.narrow_experts,
        best_epoch=trainer.progress.best_epoch,
        started_from=_started_from(weights, start, settings.retrain),
        distilled_from=_distilled_from(teacher, settings),
    )


def _started_from(weights: str | None, start: str | None, retrain: str | None) -> dict[str, Any]:
    if start:
        return {**(read_card(start).started_from or {}), "retrain": retrain}
    facts = read_content(weights, WEIGHTS) if weights else {}
    return {"source": None} | {name: facts[name] for name in Start.model_fields if name in facts}


def _distilled_from(teacher: str | None, settings: RunSettings) -> dict[str, Any] | None:
    if teacher is None or settings.distill is None:
        return None
    card = read_card(teacher)
    loss = card.loss if isinstance(card.loss, str) else card.loss["name"]
    changed = {"adjust": card.variant["adjust"]} if card.variant else {}
    return {
        "architecture": card.architecture,
        "loss": loss,
        **changed,
        "seed": card.seed,
        "model": digest_of(teacher),
        **settings.distill,
    }


def run_record(trainer: Trainer, settings: Mapping[str, Any], card: ModelCard) -> dict[str, Any]:
    """How a finished run was made: settings, teacher, versions, machine, seconds and memory.

    Args:
        settings: those that the program of training got, whose recipe may be partial.
        card: of the model that it keeps.
    """
    timing = trainer.progress.timing
    return {
        "settings": {**settings, "recipe": trainer.recipe.settings()},
        **({"distilled_from": card.distilled_from} if card.distilled_from else {}),
        "seed": trainer.settings.seed,
        "best_epoch": trainer.progress.best_epoch,
        "ended_early": trainer.progress.ended_early,
        "precision": trainer.precision,
        "deterministic": trainer.recipe.deterministic,
        "gpus": trainer.ranks.count,
        "seconds": sum(row["train_seconds"] + row["val_seconds"] for row in timing),
        "peak_memory_mb": peak_memory_mb(trainer.device),
        "epochs": timing,
        **environment(trainer.device),
    }
