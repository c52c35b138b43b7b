"""Choosing a loss by name: what its file declares, losses of one's own, and what is refused."""

import inspect
import math
from pathlib import Path

import pytest
import torch
from test_losses import EXACT, LONG_TAIL, LOSSES, batch
from torch.nn import functional as F

from longtail import losses
from longtail.config.load import ConfigError, load_config
from longtail.config.methods import loss_section
from longtail.experiment.fingerprint import closure
from longtail.losses import build_loss, known_losses
from longtail.losses.weights import effective_number, inverse_frequency


def test_every_loss_documents_its_parameters():
    for name in LOSSES:
        cls = type(build_loss(name, LONG_TAIL))
        parameters = list(inspect.signature(cls).parameters)
        assert all(f"\n        {parameter}: " in cls.__doc__ for parameter in parameters), name
        assert "Source:" in cls.__doc__ or name == "softmax"


def test_a_loss_depends_on_no_other_loss():
    files = {path.name for path in closure("longtail/losses/__init__.py", "longtail.losses.focal")}
    assert "focal.py" in files
    assert not files & {f"{name}.py" for name in LOSSES if name != "focal"}


SCALED = """
from longtail.losses.base import Loss
from longtail.losses.softmax import Softmax
from longtail.settings import Positive

class Scaled(Loss):
    \"\"\"Softmax times a number.

    Args:
        class_counts: training images per class.
        times: the number,
            whatever it is.
    \"\"\"

    default_head = "cosine"

    def __init__(self, class_counts, *, times: Positive = 2.0):
        super().__init__(class_counts)
        self.times = times

    def per_sample(self, logits, labels):
        return self.times * Softmax(self.class_counts).per_sample(logits, labels)
"""


@pytest.fixture
def new_file(tmp_path, monkeypatch):
    """Writes a file among the losses."""
    monkeypatch.setattr(losses, "__path__", [*losses.__path__, str(tmp_path)])
    return lambda name, text: (tmp_path / f"{name}.py").write_text(text)


def test_a_new_file_is_a_new_loss_to_code_configuration_and_schema(new_file):
    new_file("scaled", SCALED)
    assert "scaled" in known_losses()
    logits, labels = batch(len(LONG_TAIL))
    value = build_loss("scaled", LONG_TAIL)(logits, labels)
    torch.testing.assert_close(value, 2 * F.cross_entropy(logits, labels), **EXACT)
    config = load_config(
        {"grid": {"losses": ["scaled", "more"]}, "losses": {"more": {"loss": "scaled", "times": 3}}}
    )
    assert [config.loss(name).times for name in config.grid.losses] == [2, 3]
    assert config.loss("scaled").head == "cosine"
    schema = loss_section("scaled").model_json_schema()
    assert schema["description"] == "Softmax times a number."
    assert schema["properties"]["times"]["description"] == "The number, whatever it is."
    with pytest.raises(ValueError, match="times: found 0; input should be greater than 0"):
        build_loss("scaled", LONG_TAIL, times=0)
    with pytest.raises(ConfigError, match=r"losses\.scaled\.times: found 0; input should be greater than 0"):
        load_config({"losses": {"scaled": {"times": 0}}})


def test_a_file_that_does_not_say_what_its_loss_takes_is_refused(new_file):
    new_file("bare", SCALED.replace(": Positive", ""))
    with pytest.raises(
        ValueError, match=r"bare\.py, line \d+: annotate times with a type of longtail\.settings"
    ):
        build_loss("bare", LONG_TAIL)
    new_file("twice", SCALED + SCALED.replace("class Scaled", "class Other"))
    with pytest.raises(ValueError, match=r"twice\.py defines Scaled, Other; one loss per file"):
        build_loss("twice", LONG_TAIL)


OWN_LOSS = """
import torch
from torch import nn
from torch.nn import functional as F

class MyLoss(nn.Module):
    def __init__(self, class_counts, *, strength, offset=0.0):
        super().__init__()
        self.strength, self.offset = strength, offset

    def forward(self, logits, labels):
        return self.strength * F.cross_entropy(logits, labels) + self.offset
"""


def own_loss(tmp_path: Path, name: str = "MyLoss") -> dict[str, str]:
    (tmp_path / "my_loss.py").write_text(OWN_LOSS)
    return {"path": str(tmp_path / "my_loss.py"), "name": name}


def test_builds_a_loss_of_ones_own(tmp_path):
    logits, labels = batch(len(LONG_TAIL))
    loss = build_loss(own_loss(tmp_path), LONG_TAIL, strength=3.0)
    torch.testing.assert_close(loss(logits, labels), 3 * F.cross_entropy(logits, labels), **EXACT)


def test_a_loss_of_ones_own_has_what_training_uses(tmp_path):
    logits, labels = batch(len(LONG_TAIL), torch.bfloat16)
    loss = build_loss(own_loss(tmp_path), LONG_TAIL, strength=3.0)
    total = loss.total(logits[:3], labels[:3]) + loss.total(logits[3:], labels[3:])
    expected = 3 * F.cross_entropy(logits.float(), labels)
    torch.testing.assert_close(total / loss.normalizer(labels).float(), expected)
    assert loss.logit_scale == 1.0
    with pytest.raises(
        ValueError, match=r"MyLoss cannot be given class weights.*derive it from longtail\.losses"
    ):
        loss.set_class_weight(inverse_frequency(LONG_TAIL))


@pytest.mark.parametrize(
    ("name", "params", "message"),
    [
        (
            "MyLos",
            {"strength": 1.0},
            r"my_loss.py: the loss 'MyLos', a .* did you mean 'MyLoss'\?",
        ),
        (
            "MyLoss",
            {"strenght": 1.0},
            r"parameter 'strenght' of the loss MyLoss .* did you mean 'strength'\?",
        ),
        ("MyLoss", {}, "needs the parameter 'strength'; it takes: strength, offset"),
    ],
)
def test_refuses_a_loss_of_ones_own_that_does_not_fit(tmp_path, name, params, message):
    with pytest.raises(ValueError, match=message):
        build_loss(own_loss(tmp_path, name), LONG_TAIL, **params)


def test_names_the_missing_file_of_a_loss_of_ones_own(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"absent\.py does not exist"):
        build_loss({"path": str(tmp_path / "absent.py"), "name": "MyLoss"}, LONG_TAIL)
    with pytest.raises(ValueError, match="given as path and name; found path, class"):
        build_loss({"path": "my_loss.py", "class": "MyLoss"}, LONG_TAIL)


@pytest.mark.parametrize(
    ("name", "params", "message"),
    [
        ("focl", {}, r"the loss 'focl' is not known; did you mean 'focal'\? allowed: balanced_softmax, "),
        ("base", {}, "the loss 'base' is not known"),
        ("os.path", {}, "the loss 'os.path' is not known"),
        (
            "focal",
            {"gama": 1},
            r"the parameter 'gama' of the loss focal is not known; did you mean 'gamma'\? allowed: gamma",
        ),
        (
            "balanced_softmax",
            {"gamma": 1},
            "'gamma' of the loss balanced_softmax is not known; allowed: s",
        ),
        ("focal", {"gamma": -1}, "gamma: found -1; input should be greater than or equal to 0"),
        ("focal", {"gamma": "2"}, "gamma: found '2'; input should be a valid number"),
        ("focal", {"gamma": math.nan}, "gamma: found nan"),
        ("focal", {"gamma": math.inf}, "gamma: found inf"),
        ("weighted_softmax", {"power": -0.5}, "power: found -0.5"),
        (
            "weighted_softmax",
            {"reduction": "mean"},
            "reduction: found 'mean'; input should be 'weighted_mean' or 'batch_mean'",
        ),
        ("class_balanced", {"beta": 1.0}, "beta: found 1.0; input should be less than 1"),
        ("equalization", {"lam": 1.5}, "lam: found 1.5"),
        ("equalization", {"gamma": 1.1}, "gamma: found 1.1; input should be less than or equal to 1"),
        ("ldam", {"max_m": -0.1}, "max_m: found -0.1"),
        ("ldam", {"s": 0}, "s: found 0; input should be greater than 0"),
        ("logit_adjusted", {"tau": -1.0}, "tau: found -1.0"),
        ("label_aware_smoothing", {"smooth_head": 1.0}, "smooth_head: found 1.0"),
    ],
)
def test_refuses_unknown_names_and_values(name, params, message):
    with pytest.raises(ValueError, match=message):
        build_loss(name, LONG_TAIL, **params)


@pytest.mark.parametrize(
    ("counts", "message"),
    [
        ([450, 4], "class_counts is a list; it must be an integer tensor"),
        (torch.tensor([450.0, 4.0]), "dtype torch.float32"),
        (torch.tensor([[450, 4]]), r"shape \(1, 2\)"),
        (torch.tensor([450, -4]), r"found \[450, -4\]"),
        (torch.tensor([0, 0]), "above 0 for at least one class"),
        (torch.tensor([], dtype=torch.int64), "above 0 for at least one class"),
    ],
)
def test_refuses_what_are_no_counts(counts, message):
    with pytest.raises(ValueError, match=message):
        build_loss("softmax", counts)
    with pytest.raises(ValueError, match=message):
        effective_number(counts)


@pytest.mark.parametrize(
    ("shape", "labels"), [((4, 7), (4,)), ((4, 5), (3,)), ((4, 5), (4, 5)), ((5,), (5,))]
)
def test_refuses_logits_and_labels_that_do_not_fit(shape, labels):
    with pytest.raises(ValueError, match=r"needs \(N, 5\) and \(N,\)"):
        build_loss("softmax", LONG_TAIL)(torch.zeros(shape), torch.zeros(labels, dtype=torch.int64))


@pytest.mark.parametrize(
    ("weight", "message"),
    [
        (torch.ones(4), r"shape \(4,\); this loss needs one for each of its 5 classes"),
        (torch.tensor([1.0, 1, 1, 1, 0]), "positive and finite"),
        (torch.tensor([1.0, 1, 1, 1, math.nan]), "positive and finite"),
        (torch.tensor([1.0, 1, 1, 1, math.inf]), "positive and finite"),
    ],
)
def test_refuses_bad_class_weights(weight, message):
    with pytest.raises(ValueError, match=message):
        build_loss("softmax", LONG_TAIL).set_class_weight(weight)


def test_a_loss_of_ones_own_without_its_formula_is_refused(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text("from longtail.losses.base import Loss\n\n\nclass Mine(Loss):\n    pass\n")
    with pytest.raises(
        ValueError, match=r"mine\.py: Mine derives from Loss and has to define per_sample\(logits"
    ):
        build_loss({"path": str(path), "name": "Mine"}, torch.tensor([2, 1]))


USES = """
from torch import nn
{imports}

class Mine(nn.Module):
    def __init__(self, class_counts):
        super().__init__()
        self.value = value

    def late(self):
        import late
        return late.value
"""


def loss_in(folder: Path, imports: str, **values: int) -> dict[str, str]:
    """A loss of one's own in a folder, with modules beside it that each hold a value."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "mine.py").write_text(USES.format(imports=imports))
    for name, value in values.items():
        (folder / f"{name}.py").write_text(f"value = {value}\n")
    return {"path": str(folder / "mine.py"), "name": "Mine"}


@pytest.mark.parametrize(
    ("imports", "package"),
    [
        ("from beside import value", False),
        ("from .beside import value", False),
        ("from . import beside\nvalue = beside.value", False),
        ("from .beside import value", True),
        ("from ..above import value", True),
        ("from inner.beside import value", True),
        ("from above import value", True),
    ],
)
@pytest.mark.parametrize("relative", [False, True])
def test_a_loss_of_ones_own_imports_what_lies_beside_it_from_everywhere(
    tmp_path, monkeypatch, imports, package, relative
):
    (tmp_path / "cwd").mkdir()
    monkeypatch.chdir(tmp_path / "cwd")
    spec = loss_in(tmp_path / "inner", imports, beside=3)
    if package:
        (tmp_path / "inner/__init__.py").touch()
        # Relative imports end at the nearest folder that is no package, whose modules they reach too.
        (tmp_path / "above.py").write_text("value = 3\n")
    if relative:
        spec["path"] = "../inner/mine.py"
    assert build_loss(spec, LONG_TAIL).module.value == 3


def test_losses_of_ones_own_bring_their_own_modules_of_one_name(tmp_path):
    built = {}
    for folder, value in (("a", 1), ("b", 2), ("a", 1)):
        spec = loss_in(tmp_path / folder, "from beside import value", beside=value, late=10 * value)
        built[folder] = build_loss(spec, LONG_TAIL).module
        assert (built[folder].value, built[folder].late()) == (value, 10 * value)
    loss_in(tmp_path / "a", "from beside import value", beside=5)
    assert build_loss(spec, LONG_TAIL).module.value == 5  # rewritten within the second, with the same size
    assert not list(tmp_path.rglob("__pycache__"))
    assert (built["a"].value, built["b"].value) == (1, 2)


def test_a_loss_of_ones_own_is_found_through_a_link(tmp_path):
    spec = loss_in(tmp_path / "real", "from beside import value", beside=4)
    (tmp_path / "link.py").symlink_to(spec["path"])
    assert build_loss({"path": str(tmp_path / "link.py"), "name": "Mine"}, LONG_TAIL).module.value == 4


def test_a_loss_of_ones_own_that_ends_the_program_is_named(tmp_path):
    spec = loss_in(tmp_path, "import sys; sys.exit(0)")
    with pytest.raises(ValueError, match=r"mine\.py calls sys\.exit"):
        build_loss(spec, LONG_TAIL)
