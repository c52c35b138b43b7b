"""Names, folders, files and entries that are refused, or warned of, when the whole configuration is looked at."""

from pathlib import Path

import pytest
import torch
from cards import card

from longtail.config.load import Config, ConfigError, load_config
from longtail.models import build_model
from longtail.models.file import save_model
from longtail.models.pretrained import fetch
from longtail.models.weights import write_weights


def problems(**mapping) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load_config(mapping)
    return caught.value.problems


def refused(message, **mapping):
    found = problems(**mapping)
    assert any(message in problem for problem in found), found


def test_all_problems_are_told_at_once_whatever_hides_them():
    found = problems(
        sedes=1,
        train={"epochs": -1, "select": "last"},
        data={"seed": "x", "test_per_class": None},
        grid={"models": ["resnet8"], "losses": ["softmx", "focal"], "train_sets": []},
        losses={"focal": {"gama": 1}, "crt": {"retrain": {"start": "focl"}}},
        variants={"ldam+la": {}},
        models={"vit_b16": {"train": {"epocs": 3}}},
        paths={"work": "."},
    )
    for part in (
        "sedes is not known",
        "train.epochs: found -1",
        "data.seed: found 'x'",
        "grid.train_sets: is empty",
        "losses.focal.gama is not known",
        "grid.losses: 'softmx' is not known",
        "models.resnet8: resnet8 has no published weights",
        "losses.crt.retrain.start: 'focl' is not known",
        "variants.ldam+la: the cosine head",
        "models.vit_b16.train.epocs is not known",
        "paths.work: . holds the project itself",
        "train.calibrate: true would fit",
    ):
        assert sum(part in problem for problem in found) == 1, (part, found)
    assert len(found) == 12


@pytest.mark.parametrize(
    ("mapping", "message"),
    [
        (
            {"models": {"vit": {"train": {"epochs": 3}}}},
            "models.vit: 'vit' is not known; did you mean 'vit_b16'",
        ),
        ({"models": {"v": {"architecture": "vit"}}}, "models.v.architecture: 'vit' is not known"),
        (
            {"losses": {"mine": {"loss": "focal", "train": {"epochs": 0}}}},
            "losses.mine.train.epochs: found 0",
        ),
    ],
)
def test_entries_outside_the_grid_are_checked_too(mapping, message):
    refused(message, **mapping)


def test_entries_outside_the_grid_need_not_go_together_with_the_rest():
    load_config({"train": {"epochs": 1}, "models": {"resnet8": {"train": {"warmup_epochs": 1}}}})


@pytest.mark.parametrize(
    ("mapping", "message"),
    [
        (
            {"losses": {"softmax": {"loss": "focal"}}},
            "losses.softmax.loss: focal under the name of another loss",
        ),
        (
            {"losses": {"focal": {"loss": {"path": "a.py", "name": "A"}}}},
            "losses.focal.loss: a class of your own under",
        ),
        ({"losses": {"softmax": {"loss": "crt"}}}, "losses.softmax.loss: crt under"),
        ({"losses": {"ldam_drw": {"loss": "ldam"}}}, "losses.ldam_drw.loss: ldam under"),
        (
            {"losses": {"Softmax": {"loss": "focal"}}},
            "losses.Softmax: differs from softmax in capitals alone",
        ),
        (
            {"losses": {"a": {"loss": "focal"}, "A": {"loss": "focal"}}},
            "losses.A: differs from a in capitals",
        ),
        ({"grid": {"losses": ["Focal"]}, "losses": {"Focal": {"loss": "focal"}}}, "losses.Focal: differs"),
        (
            {"models": {"resnet32": {"architecture": "resnet8"}}},
            "models.resnet32.architecture: resnet8 under",
        ),
        ({"models": {"ResNet8": {"architecture": "resnet8"}}}, "models.ResNet8: differs from resnet8"),
        (
            {"variants": {"softmax+la": {"of": "focal"}}},
            "variants.softmax+la.of: focal, but the name says softmax",
        ),
        ({"variants": {"softmax+la": {"adjust": "taunorm"}}}, "adjust: taunorm, but the name says la"),
        (
            {"grid": {"losses": ["mixup"]}, "losses": {"mixup": {"loss": "focal", "train": {"mixup": {}}}}},
            "losses.mixup.loss: focal under the name of another loss",
        ),
        (
            {"grid": {"losses": ["mixup"]}, "losses": {"mixup": {"train": {"mixup": {"kind": "cutmix"}}}}},
            "losses.mixup: under this name, tables show softmax with train.mixup",
        ),
        (
            {"grid": {"losses": ["focal_drw"]}, "losses": {"focal_drw": {"loss": "focal"}}},
            "re-weighted in its last",
        ),
        *(
            ({"grid": {"losses": [name]}, "losses": {name: {"train": train}}}, f"losses.{name}.train: {said}")
            for name, train, said in (
                ("softmax", {"drw": {}}, "drw: {…} makes another method of softmax"),
                ("softmax", {"mixup": {}}, "mixup: {…} makes another"),
                ("balanced_softmax", {"mixup": {"remix": {}}}, "mixup: {…} makes another"),
                ("focal", {"sampler": "square_root"}, "sampler: square_root makes another"),
                ("ldam", {"drw": {"start": 0.9}}, "drw: {…} makes another method of ldam"),
                ("ldam_drw", {"drw": None}, "drw: null makes another method of ldam_drw"),
                ("crt", {"sampler": "instance"}, "sampler: instance makes another method of crt"),
                ("lws", {"drw": {}}, "drw: {…} makes another"),
            )
        ),
        (
            {"grid": {"losses": ["focal"]}, "losses": {"focal": {"retrain": {"start": "softmax"}}}},
            "losses.focal.retrain: makes another method of focal",
        ),
    ],
)
def test_a_name_of_this_project_means_what_it_always_means(mapping, message):
    refused(message, **mapping)


def test_a_reference_is_a_loss_or_a_variant_that_there_is():
    refused(
        "statistics.reference: 'foocal' is not known; did you mean 'focal'",
        statistics={"reference": "foocal"},
    )
    for name in ("focal", "crt", "softmax+la"):
        load_config({"statistics": {"reference": name}, "variants": {"softmax+la": {}}})


def test_an_architecture_of_a_library_may_have_the_name_of_its_model():
    names = {
        "convnext_base": "timm/convnext_base.fb_in1k",
        "resnet50": "resnet50",
        "vit_b16_in1k": "torchvision/vit_b_16",
    }
    load_config({"models": {name: {"architecture": architecture} for name, architecture in names.items()}})


@pytest.mark.parametrize(
    ("paths", "message"),
    [
        ({"results": "x", "work": "x"}, "paths.work: is the same folder as paths.results"),
        ({"results": "x", "work": "y/../x"}, "paths.work: is the same folder as paths.results"),
        ({"results": "x", "data": "./x"}, "paths.data: is the same folder as paths.results"),
        ({"results": "work/x"}, "paths.results: lies in paths.work"),
        ({"work": "data", "data": "data/x"}, "paths.data: lies in paths.work"),
        ({"results": "."}, "paths.results: . holds the project itself"),
        ({"results": "README.md"}, "paths.results: README.md is a file; name a folder"),
        ({"work": "README.md/work"}, "paths.work: README.md is a file; name a folder"),
        ({"results": "/dev/null"}, "/dev/null is no folder; name a folder"),
        ({"work": "/dev/null/x"}, "/dev/null is no folder; name a folder"),
        ({"results": ".snakemake/x"}, "paths.results: lies in .snakemake, which holds"),
        ({"work": ".git"}, "paths.work: lies in .git, which holds"),
        ({"results": "longtail"}, "paths.results: lies in longtail, which holds the project's own files"),
        ({"data": "resources/data"}, "paths.data: lies in resources, which holds the project's own files"),
        ({"work": ".."}, "paths.work: .. holds the project itself"),
        ({"results": "~nobody-of-that-name/x"}, "there is no home directory for ~nobody-of-that-name"),
        ({"results": "x" * 300}, "paths.results: has a part of more than 255 bytes"),
        ({"results": "x/" * 1600 + "x"}, "paths.results: must be a path of at most 3,000 bytes"),
    ],
)
def test_folders_that_would_delete_or_mix_one_another_are_refused(paths, message):
    refused(message, paths=paths)


def test_the_users_pictures_lie_outside_of_work_and_do_not_hold_the_results():
    def given(images, **paths):
        return {"data": {"source": "image_folder", "image_folder": {"path": images}}, "paths": paths}

    refused("data.image_folder.path: lies in paths.work", **given("x/pictures", work="x"))
    refused("paths.results: lies in data.image_folder.path", **given("pictures", results="pictures/results"))
    load_config({"paths": {"work": "results/work", "data": "results/downloads"}})


MADE = "results/runs/longtailed/resnet8/softmax/seed42/model.safetensors"


def collection(**classes):
    return {"data": {"source": "image_folder", "image_folder": {"path": "x"}, "classes": classes}}


@pytest.mark.parametrize(
    ("mapping", "key"),
    [
        (
            {"data": {"source": "image_folder", "image_folder": {"path": "results/data/split.csv"}}},
            "data.image_folder.path",
        ),
        ({"data": {"source": "lists", "lists": {"train": "results/data/a.txt"}}}, "data.lists.train"),
        (
            {"data": {"source": "lists", "lists": {"train": "a", "class_names": "results/data/b"}}},
            "lists.class_names",
        ),
        (
            {"models": {"resnet8": {"weights": MADE}}, "grid": {"models": ["resnet8"]}},
            "models.resnet8.weights",
        ),
        ({"models": {"other": {"architecture": "resnet8", "weights": MADE}}}, "models.other.weights"),
        (
            {"models": {"resnet8": {"weights": "results/weights/resnet8.safetensors"}}},
            "models.resnet8.weights",
        ),
        (collection(names="results/data/n.csv"), "data.classes.names"),
        (collection(taxonomy={"file": "results/data/t.csv", "rank": "genus"}), "data.classes.taxonomy.file"),
    ],
)
def test_an_input_that_the_workflow_makes_itself_is_refused(mapping, key):
    refused(f"{key}: ", **mapping)
    refused("whose files are made anew; copy it elsewhere", **mapping)


def test_what_another_experiment_has_made_is_an_input_like_others():
    found = problems(models={"resnet8": {"weights": MADE}}, paths={"results": "results/mine"})
    assert not [problem for problem in found if "made anew" in problem]


def test_the_worst_of_groups_that_are_not_there_chooses_no_epoch():
    small = {"source": "digits", "train_per_class": 60, "test_per_class": 40, "groups": "counts"}
    refused(
        "train.select: min_group, for mobilenetv2 with softmax, compares",
        data=small,
        train={"select": "min_group"},
    )
    load_config({"data": {**small, "group_limits": [30, 10]}, "train": {"select": "min_group"}})


def test_links_are_followed_between_folders(tmp_path):
    (tmp_path / "results").mkdir()
    (tmp_path / "work").symlink_to(tmp_path / "results")
    paths = {name: str(tmp_path / name) for name in ("results", "work")}
    refused("paths.work: is the same folder", paths=paths)


def test_the_home_directory_is_filled_in_once_in_every_path(monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    config = load_config(
        {
            "paths": {name: f"~/{name}" for name in ("results", "data", "work")},
            "data": {
                "image_folder": {"path": "~/x"},
                "cifar100": {"url": ["~/a", "https://host/~b"]},
                "lists": dict.fromkeys(("train", "val", "test", "class_names"), "~/l"),
            },
            "models": {"m": {"architecture": "resnet8", "weights": "./~/w", "pretrained": False}},
            "losses": {"mine": {"loss": {"path": "~/loss.py", "name": "A"}}},
        }
    )
    assert [path for _, path in config.paths] == [f"/home/me/{name}" for name in ("results", "data", "work")]
    assert config.data.image_folder.path == "/home/me/x"
    assert config.data.cifar100.urls == ("/home/me/a", "https://host/~b")
    assert set(config.data.lists.model_dump(include={"train", "val", "test", "class_names"}).values()) == {
        "/home/me/l"
    }
    assert (config.models["m"].weights, config.losses["mine"].loss.path) == ("./~/w", "/home/me/loss.py")


@pytest.mark.parametrize("path", ["$SCRATCH/x", "${SCRATCH}/x", "x/$SCRATCH", "$NONE/x", "x${NONE}"])
@pytest.mark.parametrize(
    ("key", "place"),
    [
        *((f"paths.{name}", ("paths", name)) for name in ("results", "data", "work")),
        ("data.image_folder.path", ("data", "image_folder", "path")),
        ("data.cifar100.url", ("data", "cifar100", "url")),
        *(
            (f"data.lists.{name}", ("data", "lists", name))
            for name in ("train", "val", "test", "class_names")
        ),
        ("models.resnet8.weights", ("models", "resnet8", "weights")),
        ("losses.mine.loss.path", ("losses", "mine", "loss", "path")),
    ],
)
def test_a_variable_of_the_environment_is_refused_in_every_path(key, place, path, monkeypatch):
    monkeypatch.setenv("SCRATCH", "/scratch/me")
    mapping = path
    for name in reversed(place):
        mapping = {name: mapping} if name != "loss" else {name: {"path": path, "name": "A"}}
    with pytest.raises(ConfigError) as caught:
        load_config(mapping)
    told = "\n".join(caught.value.problems)
    value = "its value, here /scratch/me" if "SCRATCH" in path else "as there is no such variable here"
    assert key in told and f"of the environment would not be replaced in {path}" in told and value in told


def test_a_dollar_that_is_no_variable_or_in_a_name_that_exists_is_one(tmp_path):
    (tmp_path / "a$b").mkdir()
    for path in (str(tmp_path / "a$b"), "cash$", "$", "a$-b"):
        assert load_config({"data": {"image_folder": {"path": path}}}).data.image_folder.path == path
    url = "https://host/a$b"
    assert load_config({"data": {"cifar100": {"url": url}}}).data.cifar100.urls == (url,)


@pytest.mark.parametrize("key", ["data.cifar100.url", "data.cifar10.url", "models.resnet50.weights"])
@pytest.mark.parametrize(
    "address",
    [
        *(
            "",
            " ",
            "ftp://host/a.tar.gz",
            "s3://bucket/a",
            "data:,x",
            "https://",
            "http:/host/a",
            "https:host/a",
        ),
        *(
            "https://[bad/a",
            "https://host:99999999/a",
            "file:",
            "file://",
            "file://other/a",
            "file:///none",
            "/",
        ),
        *("nonsense", "www.cs.toronto.edu/a.tar.gz", "//host/a", 5, True),
    ],
)
def test_an_address_that_gives_nothing_is_refused(key, address):
    *above, last = key.split(".")
    mapping = {last: address}
    for name in reversed(above):
        mapping = {name: mapping}
    if above[0] == "data":
        mapping["data"]["source"] = above[1]
    (problem,) = problems(**mapping)
    assert problem.startswith(f"{key}: "), problem


@pytest.mark.parametrize("source", ["cifar100", "cifar10"])
def test_a_list_of_addresses_needs_one_that_may_give_something(source, tmp_path):
    def given(url, **paths):
        return {"data": {"source": source, source: {"url": url}}, "paths": paths}

    for wrong in (
        [],
        [""],
        None,
        {},
        [["https://host/a"]],
        ["https://host/a", "ftp://host/a"],
        ["none", "nor this"],
    ):
        refused(f"data.{source}.url: ", **given(wrong))
    for right in (
        "https://host/a",
        "HTTP://host/a?b",
        ["none", "https://host/a"],
        [__file__],
        f"file://{__file__}",
    ):
        load_config(given(right))
    archive = tmp_path / f"cifar-{source[5:]}-python.tar.gz"
    archive.touch()
    load_config(given("a disk that is not there now", data=str(tmp_path)))


LOSS = "import torch\nfrom torch import nn\n\n\nclass Mine(nn.Module):\n    pass\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "mine.py does not exist (looked for /"),
        ("class Mine(:\n    pass\n", "mine.py, line 1: invalid syntax"),
        ("\0", "source code string cannot contain null bytes"),  # with its line from Python 3.11.4 on
        ("\xe9".encode("latin-1"), "mine.py, line 1"),
        (LOSS.replace("Mine", "Mime"), "the class 'Mine' is not known; did you mean 'Mime'?"),
        (LOSS.replace("import torch\n", "import torsch\n"), "mine.py, line 1: there is no module torsch"),
        (
            LOSS.replace("import torch\n", "from longtail.losses.bas import Loss\n"),
            "no module longtail.losses.bas",
        ),
        (
            LOSS.replace("import torch\n", "from .torch import nn\n"),
            "mine.py, line 1: there is no module torch",
        ),
        (
            LOSS.replace("import torch\n", "from ..beside import nn\n"),
            "mine.py, line 1: there is no module beside",
        ),
    ],
)
def test_a_loss_of_ones_own_that_cannot_be_built_is_told_with_the_other_problems(tmp_path, text, message):
    path = tmp_path / "mine.py"
    if text is not None:
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
    entry = {"loss": {"path": str(path), "name": "Mine"}}
    found = problems(grid={"losses": ["mine"]}, losses={"mine": entry}, models={"vit": {}})
    assert any(message in problem for problem in found) and any(
        "models.vit" in problem for problem in found
    ), found


def test_a_loss_of_ones_own_in_a_folder_of_its_name_is_refused_and_a_right_one_is_not(tmp_path):
    path = tmp_path / "mine.py"
    entry = {"grid": {"losses": ["mine"]}, "losses": {"mine": {"loss": {"path": str(path), "name": "Mine"}}}}
    path.mkdir()
    refused("mine.py is no Python file", **entry)
    path.rmdir()
    (tmp_path / "beside.py").touch()
    path.write_text(
        LOSS.replace(
            "import torch\n",
            "import beside, os.path, torch.nn, longtail.losses.base\nfrom . import beside\nfrom .beside import x\n",
        )
    )
    load_config(entry)


def test_a_double_correction_is_warned_of_and_a_published_one_is_not():
    def warned(loss, **train):
        mapping = {"grid": {"losses": ["x"]}, "losses": {"x": {"loss": loss, "train": train}}}
        return load_config(mapping).warnings

    for loss in ("balanced_softmax", "weighted_softmax", "class_balanced", "logit_adjusted"):
        assert warned(loss) == []
        for train in ({"drw": {}}, {"sampler": "class_balanced"}, {"sampler": "square_root"}):
            (sentence,) = warned(loss, **train)
            assert sentence.startswith("losses.x: ") and "corrects the imbalance twice" in sentence
        (sentence,) = warned(loss, mixup={"remix": {}})
        assert "gives mixed images the label of the rarer class (remix)" in sentence
    assert warned("softmax", mixup={"remix": {}}) == []
    assert len(warned("softmax", drw={}, sampler="progressive")) == 1
    twice = {"x": {"loss": "balanced_softmax", "train": {"drw": {}}}}
    caveats = load_config({"grid": {"losses": ["softmax", "x"]}, "losses": twice}).caveats
    assert list(caveats) == ["x"]
    assert caveats["x"].startswith("x: adjusts") and caveats["x"].endswith("favour rare classes too much.")
    assert warned("softmax", drw={}) == warned("ldam", drw={}) == Config().warnings == []


@pytest.mark.parametrize(
    "name",
    [
        *("resnet8", "mobilenetv2", "torchvision/shufflenet_v2_x0_5", "timm/test_vit"),
        pytest.param("torchvision/vit_b_32", marks=pytest.mark.long),  # has 88 million weights
    ],
)
def test_a_model_of_this_project_gives_its_backbone_as_weights(tmp_path, name):
    torch.manual_seed(1)
    model, file = build_model(name, num_classes=2, image_size=32), tmp_path / "model.safetensors"
    save_model(file, model.state_dict(), card(architecture=name, image_size=32))
    entry = {"architecture": name, "weights": str(file)}
    load_config({"grid": {"models": ["mine"]}, "models": {"mine": entry}})
    state, facts = fetch(name, str(file))
    assert (facts["source"], facts["input_size"], facts["file"]) == (
        f"longtail/{name}",
        32,
        "model.safetensors",
    )
    write_weights(tmp_path / "weights.safetensors", state, facts)
    again = build_model(name, num_classes=5, image_size=32, weights=tmp_path / "weights.safetensors")
    for key, tensor in model.backbone.state_dict().items():
        assert torch.equal(again.backbone.state_dict()[key], tensor), key


def test_weights_that_cannot_be_loaded_are_refused_before_any_job(tmp_path):
    file, other = tmp_path / "model.safetensors", tmp_path / "other.safetensors"
    model = build_model("resnet8", num_classes=2, image_size=32)
    save_model(file, model.state_dict(), card(image_size=32))
    other.write_bytes(b"x")

    def given(architecture, weights):
        return {
            "grid": {"models": ["m"]},
            "models": {"m": {"architecture": architecture, "weights": str(weights)}},
        }

    refused("models.m.weights: ", **given("resnet8", tmp_path / "absent.pth"))
    refused("holds a model of resnet8; expected resnet20", **given("resnet20", file))
    refused("holds a model of resnet8; expected mobilenetv2", **given("mobilenetv2", file))
    refused("is damaged or no safetensors file", **given("resnet8", other))
    Path(tmp_path / "x.pth").touch()
    refused(
        "is no model of this project, and resnet8 has no published weights",
        **given("resnet8", tmp_path / "x.pth"),
    )
    refused("resnet8 can start only from a file of this project", **given("resnet8", "https://host/x.pth"))
    with pytest.raises(ValueError, match="holds a model of resnet8; expected resnet20"):
        fetch("resnet20", str(file))
