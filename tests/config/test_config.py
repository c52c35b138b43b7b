"""The configuration: what it accepts, what it refuses, and that every shipped file is in order."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from snakemake.utils import update_config

from longtail.config.load import Config, ConfigError, load_config
from longtail.experiment.jobs import Experiment

ROOT = Path(__file__).parents[2]
SHIPPED = sorted((ROOT / "config").glob("*.yaml"))


def problems(mapping) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load_config(mapping)
    return caught.value.problems


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.name)
def test_every_shipped_config_loads_and_states_command_cost_and_expectation(path):
    text = path.read_text()
    load_config(yaml.safe_load(text))
    header = "\n".join(line for line in text.splitlines() if line.startswith("#"))
    assert re.search(r"^#   (snakemake|make) ", header, re.MULTILINE), (
        f"{path.name} does not state its command"
    )
    _, cost, expectation = re.split(r"Cost:|Expect:", header)
    for name, text in {"Cost": cost, "Expect": expectation}.items():
        sources = re.findall(r"(?:docs|resources)/[\w.-]+\w|README\.md", text)
        measured = "minutes" in text if name == "Cost" else bool(sources)
        assert measured or "not measured yet" in text.lower().replace("\n# ", " "), f"{path.name}: {name}"
        assert all((ROOT / source).is_file() for source in sources), sources


def test_the_default_config_is_what_the_code_defaults_to():
    assert load_config(yaml.safe_load((ROOT / "config/config.yaml").read_text())) == Config()


def test_the_full_experiment_has_56_runs():
    runs = Experiment(Config()).runs
    assert len(runs) == len(set(runs)) == 4 * 7 * 2
    assert str(runs[0]) == "balanced/mobilenetv2/softmax/seed42"


def test_all_problems_are_reported_at_once_with_the_nearest_name():
    found = problems(
        {
            "sedes": [1],
            "train": {"epochs": -1, "learning_rate": float("nan"), "batchsize": 64},
            "losses": {"focl": {"gamma": 1}, "focal": {"gama": 1}},
            "data": {"cifar100": {"sha256": "abc"}},
        }
    )
    text = "\n".join(found)
    for part in (
        "sedes is not known; did you mean 'seeds'?",
        "train.epochs: found -1",
        "train.learning_rate: found nan",
        "train.batchsize is not known; did you mean 'batch_size'?",
        "losses.focl.loss: 'focl' is not known; did you mean 'focal'?",
        "losses.focal.gama is not known; did you mean 'gamma'?",
        "data.cifar100.sha256: found 'abc'",
    ):
        assert part in text
    assert len(found) == 7


@pytest.mark.parametrize(
    ("mapping", "message"),
    [
        ({"seeds": []}, "seeds: is empty"),
        ({"seeds": [1, 1]}, "seeds: holds 1 more than once"),
        ({"grid": {"losses": ["softmx"]}}, "did you mean 'softmax'"),
        ({"grid": {"models": ["reznet50"]}}, "did you mean 'resnet50'"),
        ({"grid": {"models": ["resnet32"]}}, "models.resnet32.pretrained: false"),
        ({"grid": {"models": ["a/b"]}}, "grid.models"),
        ({"models": {"vit_b16": {"train": {"epoch": 3}}}}, "models.vit_b16.train.epoch is not known"),
        ({"losses": {"focal": {"train": {"epochs": 0}}}}, "losses.focal.train.epochs: found 0"),
        ({"train": {"micro_batch": 100}}, "micro_batch (100) must divide batch_size (128)"),
        ({"train": {"epochs": 5, "warmup_epochs": 5}}, "warmup_epochs (5) must be below epochs (5)"),
        ({"losses": {"ldam": {"s": 0}}}, "losses.ldam.s: found 0"),
        ({"losses": {"x": "softmax"}}, "losses.x: found 'softmax'"),
        ({"data": {"imbalance_factor": 0}}, "data.imbalance_factor: found 0"),
        ({"data": {"groups": "halves"}}, "data.groups: found 'halves'; input should be 'thirds' or 'counts'"),
        (
            {"data": {"group_limits": [20, 100]}},
            "data.group_limits: [20, 100] must not rise: first the limit of many",
        ),
        (
            {"data": {"image_folder": {"groups": "counts"}}},
            "data.image_folder: groups holds for every source",
        ),
        ({"data": {"lists": {"group_limits": [9, 3]}}}, "set data.group_limits in its place"),
        ({"paths": {"results": ""}}, "paths.results"),
        ({"job": {"minutes": {}}}, "dictionary should have at least 1 item"),
    ],
)
def test_a_wrong_value_names_key_and_remedy(mapping, message):
    assert message in "\n".join(problems(mapping))


@pytest.mark.parametrize("null", ["null", "'null'"])  # in a file, and as Snakemake's --config hands it on
def test_entries_of_an_earlier_file_are_left_out_by_null(null):
    mapping = yaml.safe_load((ROOT / "config/cao2019.yaml").read_text())
    update_config(mapping, yaml.safe_load(f"{{grid: {{losses: [focal]}}, seeds: [1], variants: {null}}}"))
    assert [str(run) for run in Experiment(load_config(mapping)).runs] == ["longtailed/resnet32/focal/seed1"]


def test_a_loss_overrides_the_model_which_overrides_the_recipe():
    config = load_config(
        {
            "train": {"epochs": 10, "learning_rate": 0.1},
            "models": {"vit_b16": {"train": {"learning_rate": 0.2, "epochs": 20}}},
            "losses": {"late": {"loss": "ldam", "train": {"epochs": 30, "drw": {"start": 0.5}}}},
            "grid": {"losses": ["softmax", "late"]},
        }
    )
    assert config.recipe("resnet50", "softmax").epochs == 10
    assert config.recipe("vit_b16", "softmax").epochs == 20
    recipe = config.recipe("vit_b16", "late")
    assert (recipe.epochs, recipe.learning_rate, recipe.drw.start, recipe.drw.beta) == (30, 0.2, 0.5, 0.9999)


def test_a_group_without_a_class_is_told_before_anything_runs():
    small = {"source": "digits", "train_per_class": 90, "imbalance_factor": 0.5}
    (told,) = load_config({"data": {**small, "groups": "counts", "group_limits": [100, 50]}}).warnings[-1:]
    assert told.startswith("data.groups: counts leaves 'many' without a class, so nothing is measured on it")
    assert "the classes have 45 to 90 training images, and data.group_limits is [100, 50]" in told
    two = load_config({"data": {**small, "groups": "counts"}}).warnings
    assert [group for group in ("many", "medium", "few") if any(f"'{group}'" in told for told in two)] == [
        "many",
        "few",
    ]
    assert not any("data.groups" in told for told in load_config({"data": small}).warnings)


def test_planning_imports_neither_torch_nor_pandas():
    program = (
        "import sys, longtail.experiment.jobs; print(sorted({'torch', 'pandas', 'numpy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
