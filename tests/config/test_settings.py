"""What all settings share: names that are read from the code, and arguments that are checked when they are used."""

from typing import Literal

import numpy as np
import pytest

from longtail.batches.policies import POLICIES
from longtail.batches.sampling import SAMPLERS
from longtail.models.variants import known_variants
from longtail.settings import Count, HalfOpenUnit, checked, constant
from longtail.training.recipe import Recipe
from longtail.training.tuning import TUNES


def test_names_are_read_from_the_code_that_implements_them():
    assert constant("batches/policies.py", "POLICIES") == POLICIES
    assert constant("batches/sampling.py", "SAMPLERS") == SAMPLERS
    assert constant("training/tuning.py", "TUNES") == TUNES
    corrects = [
        name for name in known_variants() if constant(f"models/variants/{name}.py", "CORRECTS_LOGITS")
    ]
    assert corrects == ["la"]
    with pytest.raises(ValueError, match=r"sampling\.py assigns nothing to SAMPLER"):
        constant("batches/sampling.py", "SAMPLER")


@checked
def function(
    first, *, share: HalfOpenUnit = 0.5, count: Count = 1, kind: Literal["a", "b"] = "a", rest: float = 0
):
    return first, share, count, kind, rest


def test_arguments_are_checked_where_their_annotation_states_a_range_or_a_choice():
    assert function("x", share=0, count=2, kind="b", rest="any") == ("x", 0.0, 2, "b", "any")
    assert type(function(1, share=np.float32(0.25))[1]) is float
    for wrong in ({"share": 1}, {"share": True}, {"share": "0"}, {"count": 0}, {"count": 1.5}, {"kind": "c"}):
        with pytest.raises(ValueError, match=rf"{next(iter(wrong))}: found .*; input should be"):
            function(1, **wrong)


def test_a_recipe_keeps_every_setting_but_those_that_change_no_result():
    recipe = Recipe.from_settings({"mixup": {"remix": {}}, "gpus_per_job": 2})
    kept = recipe.settings()
    assert list(kept) == [name for name in Recipe.model_fields if name != "gpus_per_job"]
    mixed = {"kind": "input", "alpha": 1.0, "probability": 1.0}
    assert kept["mixup"] == {**mixed, "remix": {"kappa": 3.0, "tau": 0.5}}
    assert Recipe.from_settings(kept).settings() == kept
