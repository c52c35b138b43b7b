"""The parameters of a loss of one's own: wrong ones are told when planning, from its source alone."""

import pytest
import torch

from longtail.config.load import ConfigError, load_config
from longtail.losses import build_loss

HEAD = """\
from typing import Any, Literal

from torch import nn

from longtail.losses.base import Loss
from longtail.losses.focal import Focal
from longtail.settings import NonNegative, Unit


class Base(Loss):
    def __init__(self, class_counts, gamma: float = 1.0, *, name: str | None = None, sizes: list = ()):
        super().__init__(class_counts)

    def per_sample(self, logits, labels):
        return nn.functional.cross_entropy(logits, labels, reduction="none")


"""
MODULE = """\
class Mine(nn.Module):
    def __init__(self, class_counts, {}):
        super().__init__()

    def forward(self, logits, labels):
        return nn.functional.cross_entropy(logits, labels)
"""
REQUIRED = MODULE.format("gamma, margin: Unit, n: int = 2")
INHERITED = "class Mine(Base):\n    '''Own.'''\n\n    low, high = 0, 1\n"
OURS = "class Mine(Focal):\n    pass\n"
NOTHING = "class Mine(Loss):\n    def per_sample(self, logits, labels):\n        return logits[:, 0]\n"
ALL = {"gamma": 1.0, "margin": 0.5}


def told(tmp_path, text, parameters):
    path = tmp_path / "mine.py"
    path.write_text(HEAD + text)
    entry = {"loss": {"path": str(path), "name": "Mine"}, "parameters": parameters}
    try:
        load_config({"grid": {"losses": ["mine"]}, "losses": {"mine": entry}})
    except ConfigError as error:
        return "\n".join(error.problems)
    return ""


def build(tmp_path, parameters):
    return build_loss({"path": str(tmp_path / "mine.py"), "name": "Mine"}, torch.tensor([3, 2]), **parameters)


@pytest.mark.parametrize(
    ("text", "parameters", "message"),
    [
        (REQUIRED, {"gamma": 1.0}, "losses.mine.parameters.margin is missing; Mine needs it"),
        (REQUIRED, {}, "losses.mine.parameters.gamma is missing"),
        (REQUIRED, {**ALL, "gama": 1}, "losses.mine.parameters.gama is not known; did you mean 'gamma'?"),
        (REQUIRED, {**ALL, "class_counts": [1]}, "parameters.class_counts is not known"),
        (REQUIRED, {**ALL, "margin": 2.0}, "losses.mine.parameters.margin: found 2.0; input should be less"),
        (REQUIRED, {**ALL, "margin": "big"}, "losses.mine.parameters.margin: found 'big'"),
        (REQUIRED, {**ALL, "margin": None}, "losses.mine.parameters.margin: found None"),
        (REQUIRED, {**ALL, "n": 1.5}, "losses.mine.parameters.n: found 1.5"),
        (REQUIRED, {**ALL, "n": True}, "losses.mine.parameters.n: found True"),
        (INHERITED, {"gamma": "x"}, "losses.mine.parameters.gamma: found 'x'"),
        (INHERITED, {"name": 5}, "losses.mine.parameters.name: found 5"),
        (INHERITED, {"sizes": 5}, "losses.mine.parameters.sizes: found 5"),
        (INHERITED, {"size": [5]}, "did you mean 'sizes'?"),
        (OURS, {"gamma": -1.0}, "losses.mine.parameters.gamma: found -1.0"),
        (OURS, {"alpha": 1.0}, "losses.mine.parameters.alpha is not known"),
        (NOTHING, {"alpha": 1.0}, "losses.mine.parameters.alpha is not known"),
    ],
)
def test_a_wrong_parameter_is_told_and_its_job_would_fail(tmp_path, text, parameters, message):
    assert message in told(tmp_path, text, parameters)


@pytest.mark.parametrize(
    ("text", "parameters"),
    [
        (REQUIRED, {**ALL, "gamma": "anything", "n": 3}),
        (REQUIRED, {**ALL, "margin": 1}),
        (INHERITED, {}),
        (INHERITED, {"gamma": 2, "name": "n", "sizes": [1, 2]}),
        (OURS, {"gamma": 1.5}),
        (MODULE.format("a: float = None"), {"a": None}),
        (MODULE.format("*, a: 'float' = 1.0"), {"a": "text"}),
        (MODULE.format("*, a: Literal['x'] = 'x', b: Any = 1, c: dict | None = None"), {"a": "y", "b": []}),
        (MODULE.format("a=1, **more"), {"whatever": 1}),
        (MODULE.format("*rest, a=1"), {"a": 2}),
        ("def same(own):\n    return own\n\n\n@same\n" + REQUIRED, ALL),
        (
            MODULE.format("a=1").replace("    def __init__", "    @torch.no_grad()\n    def __init__"),
            {"a": 2},
        ),
        (
            "import torch\n\n\nclass Other(nn.Module):\n    pass\n\n\n"
            + MODULE.format("a: nn.Module = None"),
            {},
        ),
    ],
)
def test_what_the_source_allows_or_does_not_tell_is_not_refused(tmp_path, text, parameters):
    text = f"import torch\n{text}" if "torch.no_grad" in text else text
    assert told(tmp_path, text, parameters) == ""
    build(tmp_path, parameters)


@pytest.mark.parametrize(
    "text",
    [
        "from longtail.losses.focal import *\n\n\nclass Mine(Focal, Base):\n    pass\n",
        "class Mine(nn.Module):\n    if True:\n        def __init__(self, class_counts, b):\n            pass\n",
        "class Mine(Loss):\n    __init__ = lambda self, class_counts, b: None\n",
        "class Mine(Loss):\n    def __new__(cls, b):\n        pass\n\n    def __init__(self, c):\n        pass\n",
        "class Mine(Loss, metaclass=type):\n    pass\n",
    ],
)
def test_a_class_whose_source_does_not_say_what_it_takes_is_left_to_its_job(tmp_path, text):
    assert told(tmp_path, text, {"b": 1}) == ""
