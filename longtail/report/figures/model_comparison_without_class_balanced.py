"""The comparison of models without the class-balanced loss, whose collapse in the thesis hides the rest."""

import pandas as pd

from longtail.report.figures import model_comparison
from longtail.report.figures.style import Drawn

NEEDS = {"models": 2, "loss": "class_balanced"}
"""Without that loss it would be the other figure again."""


def draw(evaluation: pd.DataFrame, train_set: str | None = None) -> Drawn:
    """As `model_comparison.draw`, over the other losses."""
    return model_comparison.draw(evaluation, train_set, excluded_losses=("class_balanced",))
