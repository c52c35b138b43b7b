"""What is done to the weights after a step of the optimiser. A new one is a class here, and a line in `after_step`."""

from collections.abc import Callable

import torch

from longtail.models.classifier import ImageClassifier
from longtail.training.recipe import Recipe

Change = Callable[[int, int], None]
"""It is called with the number of steps taken in this epoch, from 1 on, and that of all its steps."""


class LimitLengths:
    """Shortens the classifier's weight vectors to a fixed length where they are longer; biases stay.

    The limit lies between the shortest and the longest of the vectors that the model has when this is made, at `share`
    of the way. Frequent classes have the longer ones, so it is theirs that are held back.

    Source: Alshammari et al., Long-Tailed Recognition via Weight Balancing, CVPR 2022. The paper projects
    after every step, and the authors' code after every epoch.

    Args:
        model: whose head has a `weight` (C, F), before its first step.
        share: from 0 to 1.
        every: `step` or `epoch`.
    """

    def __init__(self, model: ImageClassifier, *, share: float, every: str) -> None:
        self.weight, self.every = model.head.get_parameter("weight"), every
        lengths = self.weight.detach().norm(dim=1)
        self.limit = torch.lerp(lengths.min(), lengths.max(), share)

    @torch.no_grad()
    def __call__(self, step: int, steps: int) -> None:
        if self.every == "step" or step == steps:
            lengths = self.weight.norm(dim=1, keepdim=True)
            self.weight.mul_(torch.where(lengths > self.limit, self.limit / lengths, 1.0))


def after_step(model: ImageClassifier, recipe: Recipe) -> list[Change]:
    """What a recipe has done to the weights of a model after each step, in this order.

    Args:
        model: as the run starts it.
    """
    return [LimitLengths(model, **recipe.max_norm.model_dump())] if recipe.max_norm else []
