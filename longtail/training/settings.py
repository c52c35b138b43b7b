"""The settings of one run."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Self

from longtail.training.recipe import Recipe


@dataclass(frozen=True, kw_only=True)
class RunSettings:
    """What one run trains: an architecture with a head, under a loss, by a recipe, from a seed.

    Attributes:
        loss: a name of `longtail.losses`, or the `path` of a file and the `name` of the loss in it.
        seed: everything random in the run follows from it.
        head_init: `random`, or `class_means` for a cosine head.
        resize, pad_with: how the images were made square, as `longtail.data.collection.shape.Shape` takes them. The
            model's card keeps it.
        retrain: None, or which classifier is trained on the backbone of another run; see
            `longtail.training.retraining`.
        classifier_rate: the share of the learning rate with which `retrain: keep_and_scale` trains its classifier on.
        shift_norms: whether the batch norms of the frozen backbone of `retrain` follow the images.
        distill: None, or `temperature` and `weight` of the distillation; see `longtail.training.terms`.
        experts, narrow_experts: as `longtail.models.build_model` takes them.
    """

    architecture: str
    head: str
    loss: str | Mapping[str, str]
    loss_parameters: Mapping[str, Any]
    recipe: Recipe
    seed: int
    head_init: str = "random"
    retrain: str | None = None
    classifier_rate: float = 1.0
    shift_norms: bool = False
    distill: Mapping[str, float] | None = None
    resize: str = "stretch"
    pad_with: Literal["reflect"] | list[int] | None = None
    experts: int = 1
    narrow_experts: bool = False

    @classmethod
    def from_settings(cls, settings: Mapping[str, Any], seed: int) -> Self:
        """The settings that the workflow hands to the program of training: every attribute but the seed.

        Raises:
            ValueError: a setting of the recipe is unknown or out of range.
        """
        return cls(**{**settings, "recipe": Recipe.from_settings(settings["recipe"])}, seed=seed)

    @property
    def tune(self) -> str:
        """Which weights of the backbone are trained: those that the recipe says, or none in decoupled training."""
        return "head" if self.retrain else self.recipe.tune

    @property
    def built_head(self) -> str:
        """The kind of head that the model has: that of the settings, or one with a factor for each class."""
        return "scaled" if self.retrain in ("scale", "keep_and_scale") else self.head
