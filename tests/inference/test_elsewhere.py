"""`longtail export --to`: a model that timm or torchvision loads, with the same logits; or a sentence why it cannot."""

import contextlib
import json
import re
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import timm
import torch
import yaml
from cards import card
from PIL import Image
from safetensors.torch import load_file
from torchvision.models import get_model

from longtail.export import main
from longtail.inference.elsewhere import unlike
from longtail.inference.pictures import classify, find_pictures
from longtail.models import build_model
from longtail.models.file import load_model, save_model
from longtail.models.heads import ScaledLinear

NAMES = ["ape", "bee", "cow: a big one"]


def written(path, architecture, size=32, head="linear", **facts):
    """A model file and its model, whose weights are random, those of norms too, so that no two layers are alike."""
    draw = torch.Generator().manual_seed(1)
    model = build_model(
        architecture, num_classes=3, image_size=size, head="linear" if head == "scaled" else head
    )
    if head == "scaled":
        model.head, linear = ScaledLinear(model.head.in_features, 3), model.head
        model.head.linear = linear
    for name, value in model.state_dict().items():
        if value.dtype == torch.float32:
            noise = torch.rand(value.shape, generator=draw)
            value.copy_(
                0.75 + noise / 2 if "var" in name or value.dim() < 2 else value + 0.02 * (noise - 0.5)
            )
    known = {"class_names": NAMES, "class_counts": [5, 2, 1], "image_size": size, "stored_size": size}
    save_model(path, model.state_dict(), card(architecture=architecture, head=head, **{**known, **facts}))
    return path, model.eval()


def write(*arguments, **facts):
    return written(*arguments, **facts)[0]


def pictures(size):
    return torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(5))


def logits_there(folder, library, size):
    """The logits of the model for the pictures, as users of the library load it."""
    if library == "timm":
        model = timm.create_model(f"local-dir:{folder}", pretrained=True)
    else:
        config = json.loads((folder / "config.json").read_text())
        arguments = config.get("model_args", {})
        model = get_model(
            config["architecture"], weights=None, num_classes=config["num_classes"], **arguments
        )
        model.load_state_dict(load_file(folder / "model.safetensors"))
    with torch.no_grad():
        return model.eval()(pictures(size))


def long(*values):
    return pytest.param(*values, marks=pytest.mark.long)


@pytest.fixture(scope="module")
def once(tmp_path_factory):
    """The model file of an architecture, which is written once, and what the model says of images."""
    folder = tmp_path_factory.mktemp("written")

    @cache
    def once(architecture, size):
        path, network = written(folder / architecture / "model.safetensors", architecture, size)
        with torch.no_grad():
            return path, network(pictures(size))

    return once


@pytest.mark.parametrize("library", ["timm", "torchvision"])
@pytest.mark.parametrize(
    ("architecture", "size"),
    [
        ("torchvision/resnet18", 32),
        ("mobilenetv2", 32),
        long("resnet50", 64),
        long("convnext_base", 64),
        long("vit_b16", 32),
        long("vit_b16_in1k", 64),
        long("torchvision/densenet121", 64),
    ],
)
def test_the_model_loads_there_with_the_same_logits(tmp_path, once, architecture, size, library):
    path, expected = once(architecture, size)
    assert main([str(path), "--to", library, str(tmp_path / "there")]) == 0
    found = logits_there(tmp_path / "there", library, size)
    assert expected.abs().max() > 0.1
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5 * float(expected.abs().max()))


@pytest.mark.parametrize("architecture", ["timm/test_vit", "timm/test_resnet", "timm/test_convnext"])
@pytest.mark.parametrize("head", ["linear", "scaled"])
def test_every_model_of_a_library_loads_there(tmp_path, architecture, head):
    path, network = written(tmp_path / "model.safetensors", architecture, 64, head)
    assert main([str(path), "--to", "timm", str(tmp_path / "there")]) == 0
    found = logits_there(tmp_path / "there", "timm", 64)
    with torch.no_grad():
        torch.testing.assert_close(found, network(pictures(64)), rtol=0, atol=1e-5)


def test_a_hub_folder_gives_the_answer_of_predict_by_the_code_of_its_card(tmp_path, capsys):
    path = write(tmp_path / "model.safetensors", "timm/test_resnet", 64, temperature=1.5)
    (tmp_path / "photos").mkdir()
    noise = np.random.default_rng(0).integers(0, 256, (9, 14, 4), dtype=np.uint8)  # with transparent parts
    Image.fromarray(noise).resize((300, 190)).save(tmp_path / "photos/one.jpg", format="PNG")
    with contextlib.chdir(tmp_path):
        assert main([str(path), "--to", "hub", "hub", "--license", "mit"]) == 0
        page = (tmp_path / "hub/README.md").read_text()
        head = yaml.safe_load(page.split("---")[1])
        assert (head["library_name"], head["license"]) == ("timm", "mit")
        capsys.readouterr()
        exec(re.search(r"```python\n(.*?)```", page, re.DOTALL)[1], {})  # noqa: S102 (our own page)
        name, share = capsys.readouterr().out.strip().rsplit(" ", 1)
        row = classify(*load_model(path), find_pictures(["photos/one.jpg"]).pictures, top=1).iloc[0]
    assert name == row["class_1"]
    assert float(share) == pytest.approx(row["probability_1"], abs=1e-5)
    assert "a little differently" not in page
    assert "longtail predict" not in page


@pytest.mark.parametrize(
    ("facts", "told"),
    [
        ({}, ""),
        ({"resize": "crop"}, "the square is cut before it is resized here"),
        (
            {"resize": "pad"},
            r"the border is \(0, 0, 0\) here, and of the mean colour \(102, 128, 153\) there",
        ),
        ({"resize": "pad", "pad_with": "reflect"}, "the border is mirrored here"),
        ({"resize": "pad", "pad_with": [102, 128, 153]}, ""),
        ({"stored_size": 64}, "pictures are first made 64 x 64 pixels here"),
    ],
)
def test_a_preparation_that_timm_lacks_is_told(facts, told):
    found = unlike(replace(card(stored_size=8), **facts))
    assert bool(found) == bool(told)
    assert re.search(told, found)


@pytest.mark.parametrize(
    ("architecture", "head", "library", "told"),
    [
        ("resnet8", "linear", "timm", "resnet8 is a network of this project, which timm does not have"),
        ("resnet8", "linear", "hub", "resnet8 is a network of this project"),
        ("timm/test_resnet", "cosine", "timm", "the model has a cosine head"),
        (
            "timm/test_resnet",
            "linear",
            "torchvision",
            "none of torchvision is known to be the same; `--to timm` works",
        ),
    ],
)
def test_a_model_that_is_none_of_the_library_is_refused_with_what_works(
    tmp_path, capsys, architecture, head, library, told
):
    path = write(tmp_path / "model.safetensors", architecture, head=head)
    assert main([str(path), "--to", library, str(tmp_path / "there")]) == 1
    error = capsys.readouterr().err
    assert told in error
    assert "--onnx FILE" in error
    assert [entry.name for entry in tmp_path.iterdir()] == ["model.safetensors"]


def test_a_folder_with_something_in_it_is_kept(tmp_path, capsys):
    path = write(tmp_path / "model.safetensors", "timm/test_resnet")
    assert main([str(path), "--to", "timm", str(tmp_path)]) == 1
    assert "is there already; name a new folder" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--to", "tim", "x"], "did you mean"),
        (["--opset", "20"], "give --onnx FILE, or --card FILE, or --to LIBRARY DIR"),
        (["--card", "x.md", "--opset", "20"], "--opset is of the ONNX file"),
    ],
)
def test_options_that_make_no_sense_are_refused(tmp_path, capsys, words, told):
    with pytest.raises(SystemExit):
        main([str(tmp_path / "model.safetensors"), *words])
    assert told in capsys.readouterr().err


@pytest.mark.parametrize("opset", [0, 17, 99])
def test_an_opset_that_nobody_writes_is_refused(tmp_path, capsys, opset):
    path = write(tmp_path / "model.safetensors", "resnet8")
    assert main([str(path), "--onnx", str(tmp_path / "m.onnx"), "--opset", str(opset)]) == 1
    assert f"--opset {opset}: allowed are 18 to " in capsys.readouterr().err
    assert not (tmp_path / "m.onnx").exists()
