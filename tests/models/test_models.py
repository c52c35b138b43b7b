"""Models: the architectures are the published ones, the head is ours, and weights arrive unchanged or not at all."""

import os
import subprocess
import sys
import urllib.error
from pathlib import Path

import pytest
import torch
from cards import card
from programs import run_program
from safetensors.torch import load_file, save_file
from torch import nn

from longtail.experiment.fingerprint import closure
from longtail.files.safetensors import read_content
from longtail.models import build_model, file, known_models, model_module, pretrained_source
from longtail.models.cifar_resnet import Block
from longtail.models.classifier import ImageClassifier, WithoutMemory, check_size
from longtail.models.file import load_model, save_model
from longtail.models.heads import HEADS, CosineLinear, build_head
from longtail.models.pretrained import describe, fetch
from longtail.models.weights import KEY, write_weights

ROOT = Path(__file__).resolve().parents[2]


def count(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def abstract(name: str, num_classes: int, image_size: int = 224, head: str = "linear") -> nn.Module:
    """The model without memory for its numbers."""
    with WithoutMemory():
        model = build_model(name, num_classes=num_classes, image_size=image_size, head=head)
    return model.to("meta").eval()


@pytest.fixture
def no_network(monkeypatch, tmp_path):
    """No downloads, and empty caches; the folder of torch.hub's files."""

    def refuse(url, *args, **kwargs):
        raise urllib.error.URLError("no network in this test")

    monkeypatch.setattr(torch.hub, "download_url_to_file", refuse)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    folder = tmp_path / "torch" / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    return folder


# Architectures ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "parameters"),
    [  # torchvision's and timm's documentation
        ("mobilenetv2", 3_504_872),
        ("resnet50", 25_557_032),
        ("resnext50", 25_028_904),
        ("resnet10", 5_418_792),  # pytorchcv's
        ("convnext_base", 88_591_464),
        ("vit_b16_in1k", 86_567_656),
        ("vit_b16", 86_567_656),
        ("resnetv2_50", 25_549_352),
    ],
)
def test_parameters_with_the_1000_classes_of_imagenet(name, parameters):
    assert count(abstract(name, 1000)) == parameters


@pytest.mark.parametrize(
    ("name", "millions"),
    [("resnet20", 0.27), ("resnet32", 0.46), ("resnet44", 0.66), ("resnet56", 0.85), ("resnet110", 1.7)],
)
def test_parameters_with_the_10_classes_of_he_et_al_table_6(name, millions):
    assert count(abstract(name, 10, 32)) / 1e6 == pytest.approx(millions, abs=0.03 if millions > 1 else 0.005)


def test_the_wide_network_has_the_channels_of_its_authors():
    """Four times 16, 32 and 64, and so the parameters that their network counts with its classifier for 100 classes."""
    assert count(abstract("resnet32x4", 100, 32)) == 7_409_316
    assert abstract("resnet32x4", 100, 32).head.in_features == 256


@pytest.mark.parametrize(
    ("name", "head"),
    [
        *((name, "linear") for name in (*known_models(), "torchvision/resnet18", "timm/resnet18.tv_in1k")),
        *((name, "cosine") for name in ("resnet8", "vit_b16", "timm/resnet18")),
    ],
)
def test_images_to_features_to_logits(name, head):
    model = abstract(name, 7, image_size=96, head=head)
    shapes = []
    model.head.register_forward_pre_hook(lambda _, features: shapes.append(features[0].shape))
    assert model(torch.empty(2, 3, 96, 96, device="meta")).shape == (2, 7)
    assert shapes == [(2, model.head.in_features)]


@pytest.mark.parametrize("half", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("head", HEADS)
def test_the_head_computes_in_float32_under_autocast(head, half):
    model = build_model("resnet8", num_classes=5, image_size=16, head=head).eval()
    images = torch.randn(3, 3, 16, 16)
    with torch.autocast("cpu", half):
        features, logits = model.backbone(images), model(images)
    assert (features.dtype, logits.dtype) == (half, torch.float32)
    assert torch.equal(logits, model.head(features.float()))
    assert torch.equal(model(images), model.head(model.backbone(images)))


def test_a_class_wins_by_less_than_bfloat16_can_tell():
    model = ImageClassifier(nn.Identity(), build_head("linear", 1, 2))
    with torch.no_grad():
        model.head.weight.copy_(torch.tensor([[10.0], [10.01]]))  # both are 10 in bfloat16
        model.head.bias.zero_()
    with torch.autocast("cpu", torch.bfloat16):
        assert model.head(torch.ones(1, 1)).tolist() == [[10.0, 10.0]]
        assert model(torch.ones(1, 1)).argmax().item() == 1


@pytest.mark.parametrize("size", [16, 17, 32])
def test_cifar_resnet_takes_images_of_any_size(size):
    model = build_model("resnet8", num_classes=5, image_size=size)
    logits = model(torch.randn(2, 3, size, size))
    assert logits.shape == (2, 5)
    logits.sum().backward()
    assert all(parameter.grad.isfinite().all() for parameter in model.parameters())


def test_shortcut_takes_every_second_pixel_and_pads_with_channels_of_zeros():
    block = Block(2, 4).eval()
    nn.init.zeros_(block.norm2.weight)  # nothing but the shortcut is left
    maps = torch.arange(1.0, 33.0).reshape(1, 2, 4, 4)
    expected = torch.zeros(1, 4, 2, 2)
    expected[0, 1] = torch.tensor([[1.0, 3.0], [9.0, 11.0]])
    expected[0, 2] = torch.tensor([[17.0, 19.0], [25.0, 27.0]])
    assert torch.equal(block(maps), expected)


def test_only_the_last_linear_layer_is_replaced():
    import torchvision

    with WithoutMemory():
        mobilenet, convnext = torchvision.models.mobilenet_v2(), torchvision.models.convnext_base()
    for name, own, classifier in (
        ("mobilenetv2", mobilenet, "classifier.1"),
        ("convnext_base", convnext, "classifier.2"),
    ):
        kept = {key for key in own.state_dict() if not key.startswith(classifier)}
        assert set(abstract(name, 3).backbone.state_dict()) == kept
    dropouts = [module.p for module in abstract("mobilenetv2", 3).modules() if isinstance(module, nn.Dropout)]
    assert dropouts == [0.2]


def test_same_seed_same_weights_whether_or_not_the_family_was_imported(monkeypatch):
    def build():
        torch.manual_seed(5)
        return build_model("resnet8", num_classes=4, image_size=16, head="cosine").state_dict()

    first = build()
    monkeypatch.delitem(sys.modules, "longtail.models.cifar_resnet")
    second = build()
    assert all(torch.equal(first[key], second[key]) for key in first)
    torch.manual_seed(6)
    other = build_model("resnet8", num_classes=4, image_size=16, head="cosine").state_dict()
    assert not torch.equal(first["head.weight"], other["head.weight"])


# Heads --------------------------------------------------------------------------------------------------------


def test_cosine_head_by_hand():
    head = CosineLinear(2, 3)
    with torch.no_grad():
        head.weight.copy_(torch.tensor([[2.0, 0.0], [0.0, 0.5], [-3.0, -4.0]]))
    cosines = head(torch.tensor([[3.0, 4.0], [0.0, 0.0]]))
    assert cosines.tolist() == [pytest.approx([0.6, 0.8, -1.0]), [0.0, 0.0, 0.0]]


def test_cosine_head_ignores_lengths_and_stays_within_one():
    torch.manual_seed(0)
    head = build_head("cosine", 16, 10)
    assert torch.allclose(head.weight.norm(dim=1), torch.ones(10))
    features = torch.randn(500, 16)
    cosines = head(features)
    assert cosines.abs().max() <= 1 + 1e-6
    assert torch.allclose(head(features * torch.rand(500, 1).add(0.01) * 1e4), cosines, atol=1e-6)
    assert torch.allclose(head(head.weight).diagonal(), torch.ones(10))


def test_unknown_head():
    with pytest.raises(ValueError, match="unknown head 'cosin'; choose one of linear, cosine"):
        build_model("resnet8", num_classes=2, image_size=16, head="cosin")


# Names --------------------------------------------------------------------------------------------------------


def test_unknown_names_are_refused_with_the_nearest():
    with pytest.raises(ValueError, match="did you mean 'mobilenetv2'"):
        model_module("mobilenet_v2")
    with pytest.raises(ValueError, match="torchvision has no image classifier of that name"):
        build_model("torchvision/fcn_resnet50", num_classes=2, image_size=32)
    with pytest.raises(ValueError, match="no linear classifier"):
        build_model("torchvision/squeezenet1_0", num_classes=2, image_size=32)
    with pytest.raises(ValueError, match=r"timm [\d.]+ has no model of that name"):
        build_model("timm/resnet1", num_classes=2, image_size=32)
    with pytest.raises(ValueError, match=r"tags of resnet18: .*tv_in1k"):
        describe("timm/resnet18.tv")
    with pytest.raises(ValueError, match="tags of resnet18: IMAGENET1K_V1"):
        describe("torchvision/resnet18.V1")


@pytest.mark.parametrize(
    ("name", "image_size", "message"),
    [
        ("torchvision/vit_b_16", 100, "choose a multiple of 16"),
        ("timm/vit_tiny_patch16_224", 100, "choose a multiple of 16"),
        ("timm/convit_tiny", 96, "224 px only; found image_size 96"),
    ],
)
def test_image_sizes_that_do_not_fit_are_refused(name, image_size, message):
    with pytest.raises(ValueError, match=message):
        abstract(name, 2, image_size)


@pytest.mark.parametrize(
    ("name", "image_size", "message"),
    [
        (
            "timm/densenet121",
            8,
            r"\(.*Output size is too small\)\. It is made for 224 px. Set another image_size",
        ),
        ("timm/maxvit_tiny_rw_224", 100, r"must be divisible by window \(3\)\)\. It is made for 224 px"),
        ("torchvision/densenet121", 8, r"Output size is too small\)\. Set another image_size in train"),
    ],
)
def test_a_size_that_shows_only_on_an_image_is_refused(name, image_size, message):
    told = f"^{name} cannot take images of {image_size} x {image_size} px.*{message}"
    model = build_model(name, num_classes=2, image_size=image_size)
    with pytest.raises(ValueError, match=told):
        check_size(model, name, image_size)
    with WithoutMemory():
        model = build_model(name, num_classes=2, image_size=image_size)
    with pytest.raises(ValueError, match=told):
        check_size(model.to("meta"), name, image_size)


@pytest.mark.parametrize(
    "name", ["resnet8", "mobilenetv2", "torchvision/regnet_x_32gf", "torchvision/vit_b_16"]
)
def test_a_model_without_memory_has_the_shapes_of_one_with_it_and_draws_no_number(name):
    torch.manual_seed(3)
    with WithoutMemory():
        model = build_model(name, num_classes=2, image_size=64)
    assert torch.rand(1) == torch.rand(1, generator=torch.Generator().manual_seed(3))
    assert {weight.device.type for weight in model.parameters()} == {"meta"}
    check_size(model.to("meta"), name, 64)
    shapes = {key: weight.shape for key, weight in model.state_dict().items()}
    if "/" not in name:  # those of the libraries have 86 and 145 million weights
        whole = build_model(name, num_classes=2, image_size=64)
        assert shapes == {key: weight.shape for key, weight in whole.state_dict().items()}


def test_a_file_of_other_shapes_is_refused_before_a_model_takes_memory(tmp_path, monkeypatch):
    small, large = ("torchvision/regnet_x_400mf", "torchvision/regnet_x_32gf")
    path, built = tmp_path / "model.safetensors", []
    with WithoutMemory():
        shapes = build_model(small, num_classes=3, image_size=64).state_dict()
    weights = {key: torch.zeros(weight.shape) for key, weight in shapes.items()}
    save_model(path, weights, card(architecture=large, class_names=list("abc"), class_counts=[1, 1, 1]))
    build = file._built
    monkeypatch.setattr(file, "_built", lambda card: built.append(build(card)) or built[-1])
    with pytest.raises(ValueError, match=f"does not hold weights of {large}: size mismatch"):
        load_model(path)
    (model,) = built
    assert {weight.device.type for weight in model.parameters()} == {"meta"}


def test_trying_a_size_changes_nothing():
    model = build_model("resnet8", num_classes=2, image_size=16).train()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    model.backbone.eval()
    torch.manual_seed(3)
    check_size(model, "resnet8", 16)
    assert torch.rand(1) == torch.rand(1, generator=torch.Generator().manual_seed(3))
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
    assert model.training and model.head.training and not model.backbone.training


def test_looking_up_names_imports_no_library():
    program = """
import sys
from longtail.models import known_models, model_module
assert model_module("mobilenetv2") == "longtail.models.from_torchvision"
assert model_module("timm/anything") == "longtail.models.from_timm"
assert known_models()
assert not {"torch", "timm", "torchvision", "numpy"} & set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", program], check=True, cwd=ROOT)


def test_a_model_runs_no_code_of_other_families():
    ours = {
        path.name for path in closure("longtail/models/from_torchvision.py") if path.parent.name == "models"
    }
    assert ours == {
        "__init__.py",
        "from_torchvision.py",
        "weights.py",
        "classifier.py",
        "heads.py",
        "experts.py",
        "resnet_experts.py",
    }


# Pretrained weights: what is published ------------------------------------------------------------------------

IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
HALF = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))


@pytest.mark.parametrize(
    ("name", "url", "normalisation"),
    [
        ("mobilenetv2", "https://download.pytorch.org/models/mobilenet_v2-b0353104.pth", IMAGENET),
        ("resnet50", "https://download.pytorch.org/models/resnet50-11ad3fa6.pth", IMAGENET),
        ("convnext_base", "https://download.pytorch.org/models/convnext_base-6075fbad.pth", IMAGENET),
        ("vit_b16_in1k", "https://download.pytorch.org/models/vit_b_16-c867db91.pth", IMAGENET),
        (
            "vit_b16",
            "https://huggingface.co/timm/vit_base_patch16_224.augreg2_in21k_ft_in1k/resolve/main/model.safetensors",
            HALF,
        ),
        (
            "resnetv2_50",
            "https://huggingface.co/timm/resnetv2_50.a1h_in1k/resolve/main/model.safetensors",
            HALF,
        ),
    ],
)
def test_published_weights_and_what_they_expect_of_images(name, url, normalisation):
    published = describe(name)
    assert published.source == pretrained_source(name)
    assert published.url == url
    assert published.input_size == 224
    assert (published.mean, published.std) == normalisation
    assert published.license == ("apache-2.0" if "/timm/" in url else None)


def test_no_weights_are_published_for_small_resnets(tmp_path):
    with pytest.raises(ValueError, match="resnet32 has no published weights; set pretrained: false"):
        fetch("resnet32")


def test_input_size_of_a_library_name_is_its_own():
    assert describe("torchvision/efficientnet_b4").input_size == 380
    assert describe("timm/vit_base_patch16_384").input_size == 384


# Pretrained weights: round trips --------------------------------------------------------------------------------


def fetched(name: str, origin: Path, folder: Path) -> Path:
    path = folder / "fetched.safetensors"
    write_weights(path, *fetch(name, str(origin)))
    return path


@pytest.mark.parametrize("architecture", ["shufflenet_v2_x0_5", "densenet121"])
def test_torchvision_model_gives_the_logits_of_the_model_whose_weights_it_got(architecture, tmp_path):
    import torchvision

    own = torchvision.models.get_model(architecture).eval()
    published_names = {
        key.replace(".norm1.", ".norm.1.").replace(".conv1.", ".conv.1.")
        if "denselayer" in key
        else key: tensor
        for key, tensor in own.state_dict().items()
    }
    torch.save(published_names, tmp_path / "weights.pth")
    name = f"torchvision/{architecture}"
    weights = fetched(name, tmp_path / "weights.pth", tmp_path)
    model = build_model(name, num_classes=1000, image_size=64, weights=weights).eval()
    model.head.load_state_dict(
        [module for module in own.modules() if isinstance(module, nn.Linear)][-1].state_dict()
    )
    images = torch.randn(2, 3, 64, 64)
    assert torch.equal(model(images), own(images))


def test_timm_transformer_at_another_size_gives_the_features_timm_gives(tmp_path):
    import timm

    torch.manual_seed(0)
    own = timm.create_model("vit_tiny_patch16_224")
    nn.init.normal_(own.pos_embed)  # so that how they are interpolated matters
    save_file(own.state_dict(), tmp_path / "weights.safetensors")
    weights = fetched("timm/vit_tiny_patch16_224", tmp_path / "weights.safetensors", tmp_path)
    overlay = {"file": str(tmp_path / "weights.safetensors")}
    options = {"pretrained": True, "pretrained_cfg_overlay": overlay, "num_classes": 0}
    images = torch.randn(2, 3, 96, 96)
    model = build_model("timm/vit_tiny_patch16_224", num_classes=3, image_size=96, weights=weights).eval()
    theirs = timm.create_model("vit_tiny_patch16_224", img_size=96, **options).eval()
    assert torch.allclose(model.backbone(images), theirs(images), atol=1e-5)


def test_torchvision_transformer_keeps_the_corners_of_its_position_embeddings(monkeypatch, tmp_path):
    from torchvision.models import VisionTransformer

    from longtail.models import from_torchvision

    def small(name, weights, image_size):
        return VisionTransformer(image_size, 16, num_layers=1, num_heads=2, hidden_dim=8, mlp_dim=8)

    monkeypatch.setattr(from_torchvision.models, "get_model", small)
    own = small("", None, 224)
    nn.init.normal_(own.encoder.pos_embedding)
    torch.save(own.state_dict(), tmp_path / "weights.pth")
    weights = fetched("vit_b16_in1k", tmp_path / "weights.pth", tmp_path)
    model = build_model("vit_b16_in1k", num_classes=3, image_size=64, weights=weights)
    before, after = own.encoder.pos_embedding, model.backbone.encoder.pos_embedding
    assert after.shape == (1, 1 + 4 * 4, 8)
    assert torch.equal(after[:, 0], before[:, 0])
    old, new = before[:, 1:].reshape(14, 14, 8), after[:, 1:].reshape(4, 4, 8)
    for corner in ((0, 0), (0, -1), (-1, 0), (-1, -1)):
        assert torch.allclose(new[corner], old[corner], atol=1e-5)


def test_a_weights_file_names_its_origin_and_has_the_same_bytes_each_time(tmp_path):
    import torchvision

    origin = tmp_path / "shufflenet-00000000.pth"
    torch.save(torchvision.models.shufflenet_v2_x0_5().state_dict(), origin)
    path = fetched("torchvision/shufflenet_v2_x0_5", origin, tmp_path)
    first = path.read_bytes()
    assert fetched("torchvision/shufflenet_v2_x0_5", origin, tmp_path).read_bytes() == first
    facts = read_content(path, KEY)
    assert facts["source"] == "torchvision/shufflenet_v2_x0_5.IMAGENET1K_V1"
    assert facts["as_published"] is False
    assert facts["license"] is None, "nobody knows that of a file of one's own"
    assert facts["input_size"] == 224
    assert facts["mean"] == list(IMAGENET[0])


def test_real_weights_of_mobilenetv2_arrive_unchanged(monkeypatch, tmp_path):
    home = os.environ.get("LONGTAIL_TORCH_HOME")
    if not home:
        pytest.skip("LONGTAIL_TORCH_HOME (a TORCH_HOME with the ImageNet weights of MobileNetV2) is not set")
    monkeypatch.setenv("TORCH_HOME", home)
    state, facts = fetch("mobilenetv2")
    write_weights(tmp_path / "mobilenetv2.safetensors", state, facts)
    model = build_model(
        "mobilenetv2", num_classes=100, image_size=96, weights=tmp_path / "mobilenetv2.safetensors"
    )
    file = Path(home, "hub", "checkpoints", "mobilenet_v2-b0353104.pth")
    published = torch.load(file, map_location="cpu", weights_only=True)
    backbone = model.backbone.state_dict()
    assert set(published) - set(backbone) == {"classifier.1.weight", "classifier.1.bias"}
    assert all(torch.equal(backbone[key], published[key]) for key in backbone)
    assert model.head.weight.shape == (100, 1280)


# Pretrained weights: refusals -------------------------------------------------------------------------------------


def test_no_network_names_the_file_its_folder_and_its_address(no_network):
    with pytest.raises(FileNotFoundError) as error:
        fetch("resnet50")
    message = str(error.value)
    assert "download https://download.pytorch.org/models/resnet50-11ad3fa6.pth" in message
    assert f"put it as resnet50-11ad3fa6.pth into {no_network}" in message


def test_a_file_for_timm_may_be_put_by_hand(no_network, monkeypatch, tmp_path):
    import huggingface_hub.constants
    import timm

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    with pytest.raises(FileNotFoundError) as error:
        fetch("timm/vit_tiny_patch16_224")
    message = str(error.value)
    file_name = "vit_tiny_patch16_224.augreg_in21k_ft_in1k.safetensors"
    assert (
        "huggingface.co/timm/vit_tiny_patch16_224.augreg_in21k_ft_in1k/resolve/main/model.safetensors"
        in message
    )
    assert f"put it as {file_name} into {no_network}" in message
    own = timm.create_model("vit_tiny_patch16_224")
    save_file(own.state_dict(), no_network / file_name)
    state, _ = fetch("timm/vit_tiny_patch16_224")
    assert torch.equal(state["pos_embed"], own.pos_embed)
    assert "head.weight" not in state


def test_weights_of_another_shape_or_model_are_refused_with_what_differs(tmp_path):
    import torchvision

    state = torchvision.models.shufflenet_v2_x0_5().state_dict()
    path = tmp_path / "wrong.pth"
    torch.save(state | {"conv1.0.weight": torch.zeros(24, 1, 3, 3)}, path)
    with pytest.raises(ValueError, match=r"wrong\.pth .*conv1\.0\.weight.*\[24, 1, 3, 3\].*\[24, 3, 3, 3\]"):
        fetch("torchvision/shufflenet_v2_x0_5", str(path))
    torch.save(state, path)
    with pytest.raises(ValueError, match=r"wrong\.pth does not hold weights of vit_tiny_patch16_224"):
        fetch("timm/vit_tiny_patch16_224", str(path))
    weights = fetched("torchvision/shufflenet_v2_x0_5", path, tmp_path)
    with pytest.raises(
        ValueError, match=r"fetched\.safetensors does not hold .*\[24, 24, 1, 1\].*\[58, 24, 1, 1\]"
    ):
        build_model("torchvision/shufflenet_v2_x1_0", num_classes=2, image_size=32, weights=weights)
    with pytest.raises(ValueError, match="does not hold weights of resnet8"):
        build_model("resnet8", num_classes=2, image_size=32, weights=weights)


def test_files_that_are_no_weights_are_refused(tmp_path):
    name = "torchvision/shufflenet_v2_x0_5"
    with pytest.raises(FileNotFoundError, match=r"absent\.pth does not exist"):
        fetch(name, str(tmp_path / "absent.pth"))
    with pytest.raises(FileNotFoundError, match=r"absent\.safetensors does not exist; make it with"):
        build_model(name, num_classes=2, image_size=32, weights=tmp_path / "absent.safetensors")
    path = tmp_path / "odd.pth"
    torch.save(nn.Linear(2, 2), path)  # a whole pickled module
    with pytest.raises(ValueError, match=r"odd\.pth cannot be read as weights"):
        fetch(name, str(path))
    torch.save(torch.zeros(2), path)
    with pytest.raises(ValueError, match=r"odd\.pth holds a Tensor"):
        fetch(name, str(path))
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(ValueError, match=r"odd\.pth cannot be read as weights: it is damaged"):
        fetch(name, str(path))
    save_file({"a": torch.zeros(1)}, tmp_path / "plain.safetensors")
    with pytest.raises(ValueError, match=r"plain\.safetensors does not say which weights it holds"):
        build_model(name, num_classes=2, image_size=32, weights=tmp_path / "plain.safetensors")
    assert load_file(tmp_path / "plain.safetensors")["a"].item() == 0


def test_script_ends_with_one_error_and_writes_nothing(tmp_path, capsys):
    output = tmp_path / "weights.safetensors"
    message = "^error: resnet32 has no published weights; set pretrained: false$"
    with pytest.raises(SystemExit, match=message):
        run_program("fetch_weights", settings={"model": "resnet32", "weights": None}, output=output)
    assert capsys.readouterr() == ("", "")
    assert not output.exists()
