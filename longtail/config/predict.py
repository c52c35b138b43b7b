"""The section `predict`: how test images are shown to the trained models."""

from typing import Annotated, Literal

from pydantic import Field

from longtail.settings import Section
from longtail.training.recipe import Where


class Predict(Section):
    """How test images are shown to trained models and variants. A change predicts anew, but trains nothing."""

    crops: Literal["five", "ten"] | None = None
    """Test-time ensembling (Shi et al., 2024): the logits are the mean over the corners and the centre of the enlarged
    image, or over those and their mirror images; null: they are those of the image as it is. Validation and
    `longtail predict` always show images as they are."""
    expand: Annotated[int, Field(ge=1, le=256), Where("crops", ("five", "ten"))] = 24
    """The pixels by which images are enlarged, both ways, before they are cropped for `crops`."""
