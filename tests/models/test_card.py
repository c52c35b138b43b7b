"""The card of a model file that somebody else wrote: its checksum is right, and what it says cannot be true."""

import dataclasses
import json
import re
import time
from pathlib import Path

import pytest
import torch
import warm
from cards import card

from longtail.files.safetensors import write_safetensors
from longtail.models import build_model
from longtail.models.card import KEY, read_card
from longtail.models.file import load_model, save_model

CARD = card(
    class_names=["ape", "bee", "cat"],
    class_counts=[40, 10, 2],
    stored_size=12,
    image_size=20,
    logit_scale=3.0,
    temperature=1.5,
    loss_parameters={"s": 1.0},
    recipe={"precision": "fp32", "deterministic": True, "eval_batch_size": 4, "epochs": 2},
)
ROOT = Path(__file__).parents[2]
NAN, INF = float("nan"), float("inf")
RECIPE = dict(CARD.recipe)
DEEP = json.loads("[" * 500 + "]" * 500)

MILLIONS = range(2_000_000)  # of classes, which get their names where a test writes them
HOSTILE = [
    ("temperature", -1.0),
    ("temperature", 0),
    ("temperature", NAN),
    ("temperature", INF),
    ("temperature", "1.5"),
    ("temperature", True),
    ("temperature", 1e-300),
    ("known_from", NAN),
    ("known_from", "0"),
    ("resize", "squash"),
    ("resize", None),
    ("pad_with", "mirror"),
    ("pad_with", [0, 0]),
    ("pad_with", [0, 0, 256]),
    ("pad_with", [0.5, 0, 0]),
    ("logit_scale", NAN),
    ("logit_scale", -INF),
    ("logit_scale", 0.0),
    ("logit_scale", None),
    ("logit_scale", 1e300),
    ("image_size", 10**9),
    ("image_size", -8),
    ("image_size", 0),
    ("image_size", 20.0),
    ("image_size", True),
    ("stored_size", 200_000),
    ("stored_size", "12"),
    ("class_names", 5),
    ("class_names", "abc"),
    ("class_names", []),
    ("class_names", ["ape", "bee", 3]),
    ("class_names", ["ape", "bee", None]),
    ("class_names", ["ape", "ape", "cat"]),
    ("class_names", ["ape", "bee"]),
    ("class_names", ["ape", "bee", "c" * 10**6]),
    ("class_names", {"ape": 0, "bee": 1, "cat": 2}),
    ("class_names", MILLIONS[:200_000]),
    ("class_counts", [40, 10]),
    ("class_counts", [40, 10, -1]),
    ("class_counts", [40, 10, 2.5]),
    ("class_counts", [40, 10, 10**30]),
    ("class_counts", {}),
    ("architecture", 8),
    ("architecture", "resnet8\x1b[31m"),
    ("architecture", "resnet32"),
    ("architecture", "vit_b16"),
    ("architecture", "timm/no_such_model"),
    ("architecture", "timm/hf-hub:somebody/model"),
    ("architecture", "../../etc/passwd"),
    ("architecture", "r" * 10**6),
    ("head", ["linear"]),
    ("head", "quadratic"),
    ("head", "cosine"),
    ("mean", [0.4, 0.5]),
    ("mean", [NAN, 0.5, 0.6]),
    ("mean", 0.5),
    ("std", [0.0, 0.3, 0.4]),
    ("std", [-0.2, 0.3, 0.4]),
    ("std", [0.2, INF, 0.4]),
    ("std", None),
    ("loss", 3),
    ("loss", {"path": "/tmp/a.py"}),
    ("loss", "s" * 10**6),
    ("loss_parameters", []),
    ("loss_parameters", {"weights": list(range(10**6))}),
    ("recipe", {}),
    ("recipe", None),
    ("recipe", {name: RECIPE[name] for name in RECIPE if name != "precision"}),
    ("recipe", RECIPE | {"precision": "fp8"}),
    ("recipe", RECIPE | {"deterministic": "no"}),
    ("recipe", RECIPE | {"eval_batch_size": 0}),
    ("recipe", RECIPE | {"eval_batch_size": NAN}),
    ("seed", -1),
    ("seed", 10**400),
    ("seed", "1"),
    ("best_epoch", -1),
    ("best_epoch", NAN),
    ("variant", "la"),
    ("variant", {"adjust": "a" * 2_000_000}),
    ("variant", DEEP * 10),
    ("surprise\x1b[31m", 1),
    ("format", "longtail model 9\x1b[31m"),
    ("format", ["f" * 10**6]),
]


def listed(value):
    """The value as a card holds it."""
    return list(map(str, value)) if isinstance(value, range) else value


@pytest.fixture(scope="module")
def weights() -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    return build_model("resnet8", num_classes=3, image_size=20).state_dict()


@pytest.mark.parametrize(
    ("name", "value"), HOSTILE, ids=[f"{index}-{name[:12]}" for index, (name, _) in enumerate(HOSTILE)]
)
def test_a_card_that_cannot_be_true_ends_in_one_sentence(name, value, weights, tmp_path):
    path = tmp_path / "model.safetensors"
    write_safetensors(path, weights, KEY, CARD.content() | {name: listed(value)})
    begun = time.process_time()
    with pytest.raises(ValueError, match=re.escape(str(path))) as refused:
        load_model(path)
    assert time.process_time() - begun < 20
    sentence = str(refused.value)
    assert sentence.isprintable()  # in one line, and nothing that a terminal obeys
    assert len(sentence) - len(str(path)) < 1500


def test_what_only_the_weights_contradict_is_refused_by_readers_of_the_card_alone(weights, tmp_path):
    names = {"class_names": ["a", "b", "c", "d"], "class_counts": [4, 3, 2, 1]}
    path = tmp_path / "model.safetensors"
    write_safetensors(path, weights, KEY, CARD.content() | names)
    with pytest.raises(ValueError, match="class_names: found 4 for weights of 3 classes"):
        read_card(path)


def test_values_nested_without_end_are_no_traceback(tmp_path, weights):
    from safetensors.torch import save_file

    path = tmp_path / "model.safetensors"
    save_file(weights, path, {KEY: '{"variant": ' + "[" * 100_000 + "]" * 100_000 + "}"})
    with pytest.raises(ValueError, match="nested too deeply"):
        read_card(path)


def test_a_true_card_comes_back_as_it_was_written(tmp_path, weights):
    own = {"path": "/home/me/loss.py", "name": "Verlust_für_mich"}
    for true in (
        CARD,
        dataclasses.replace(CARD, loss=own, temperature=None, stored_size=None, logit_scale=3),
    ):
        save_model(tmp_path / "model.safetensors", weights, true)
        model, found = load_model(tmp_path / "model.safetensors")
        assert found == true == read_card(tmp_path / "model.safetensors")
        assert type(found.logit_scale) is type(true.logit_scale)  # a copy has the same bytes
        assert all(torch.equal(value, weights[name]) for name, value in model.state_dict().items())


def test_reading_a_model_draws_as_many_random_numbers_as_building_it(tmp_path, weights):
    save_model(tmp_path / "model.safetensors", weights, CARD)
    torch.manual_seed(3)
    build_model("resnet8", num_classes=3, image_size=20)
    expected = torch.rand(4)
    torch.manual_seed(3)
    load_model(tmp_path / "model.safetensors")
    assert torch.equal(torch.rand(4), expected)


@pytest.mark.parametrize(
    "change",
    [
        {"architecture": "timm/eva_giant_patch14_224", "image_size": 224},  # 4 GB of weights
        {"class_names": MILLIONS},
        {"architecture": "vit_b16", "image_size": 4096},
    ],
    ids=["architecture", "classes", "size"],
)
def test_what_a_card_asks_for_is_not_built_before_it_is_believed(change, weights, tmp_path):
    path = tmp_path / "model.safetensors"
    changed = {name: listed(value) for name, value in change.items()}
    write_safetensors(path, weights, KEY, CARD.content() | changed)
    program = (
        "import resource, sys, timm\n"
        "from longtail.models.file import load_model\n"
        "peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024\n"
        "before = peak()\n"
        "try: load_model(sys.argv[1])\n"
        "except ValueError: print(peak() - before)\n"
    )
    done = warm.run(ROOT, "python", "-c", program, str(path))
    assert float(done.stdout) < 400, done.stderr  # MB
