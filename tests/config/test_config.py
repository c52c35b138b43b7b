"""The configuration: what it accepts, what it refuses, and that every shipped file is in order."""

import copy
import json
import re
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
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


def test_the_schema_for_editors_is_current(tmp_path):
    subprocess.run(
        [sys.executable, "-m", "longtail.config.schema", tmp_path / "schema.json"], cwd=ROOT, check=True
    )
    made = (tmp_path / "schema.json").read_text()
    assert (ROOT / "config/schema.json").read_text() == made, "run: python -m longtail.config.schema"
    json.loads(made)


def test_the_schema_for_editors_knows_entries_that_build_on_a_method():
    check = jsonschema.Draft202012Validator(json.loads((ROOT / "config/schema.json").read_text()))
    losses = {
        "crt": {"retrain": {"start": "focal"}},
        "late": {"loss": "crt", "train": {"epochs": 3}},
        "wide": {"loss": "ldam_drw", "max_m": 0.4},
        "own": {"loss": {"path": "a.py", "name": "A"}},
    }
    load_config({"losses": losses})
    assert list(check.iter_errors({"losses": losses})) == []
    for wrong in ({"late": {"loss": "crtt"}}, {"wide": {"loss": "ldam_drw", "gamma": 1}}):
        assert list(check.iter_errors({"losses": wrong}))


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
        ({"grid": {"models": ["resnet51"]}}, "did you mean 'resnet50'"),
        ({"grid": {"models": ["resnet32"]}}, "models.resnet32.pretrained: false"),
        ({"grid": {"models": ["a/b"]}}, "grid.models"),
        ({"models": {"vit_b16": {"train": {"epoch": 3}}}}, "models.vit_b16.train.epoch is not known"),
        ({"losses": {"focal": {"train": {"epochs": 0}}}}, "losses.focal.train.epochs: found 0"),
        ({"train": {"micro_batch": 100}}, "micro_batch (100) must divide batch_size (128)"),
        ({"train": {"epochs": 5, "warmup_epochs": 5}}, "warmup_epochs (5) must be below epochs (5)"),
        ({"losses": {"ldam": {"s": 0}}}, "losses.ldam.s: found 0"),
        ({"losses": {"x": "softmax"}}, "losses.x: found 'softmax'"),
        ({"data": {"imbalance_factor": 0}}, "data.imbalance_factor: found 0"),
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


def test_planning_imports_neither_torch_nor_pandas():
    import subprocess
    import sys

    program = (
        "import sys, longtail.experiment.jobs; print(sorted({'torch', 'pandas', 'numpy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


# Values as YAML and the command line give them: wrong types, odd numbers, odd names.
ODD = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-3, 300),
        st.sampled_from([2**63, -(2**70), 10**400]),
        st.floats(allow_nan=True, allow_infinity=True),
        st.text(max_size=12),
        st.sampled_from(
            [
                "softmax",
                "resnet8",
                "a/b",
                "../x",
                "ünï cödé 🙂",
                "$(touch x)",
                "a'b\"c",
                "x\ny",
                "{model}",
                "timm/",
                "1e-3",
            ]
        ),
        st.dates(),
        st.binary(max_size=3),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.one_of(st.text(max_size=8), st.integers(), st.none()), inner, max_size=3),
    ),
    max_leaves=6,
)
WHOLE = {
    **Config().model_dump(),
    "models": {
        "resnet8": {"pretrained": False, "train": {"epochs": 3}},
        "mine": {"architecture": "resnet20"},
    },
    "losses": {"focal": {"gamma": 1.0}, "own": {"loss": {"path": "a.py", "name": "A"}, "parameters": {}}},
}


def places(section, path=()):
    """Every key of a nested mapping."""
    for key, value in section.items():
        yield (*path, key)
        if isinstance(value, dict):
            yield from places(value, (*path, key))


PLACES = list(places(WHOLE))


@st.composite
def mutated(draw):
    """The whole configuration with a few values replaced, left out, or joined by unknown ones."""
    config = copy.deepcopy(WHOLE)
    for *above, last in draw(st.lists(st.sampled_from(PLACES), min_size=1, max_size=4)):
        section = config
        for key in above:
            section = section.get(key) if isinstance(section, dict) else None
        if not isinstance(section, dict):
            continue
        kind = draw(st.sampled_from(["replace", "replace", "remove", "add"]))
        if kind == "remove":
            section.pop(last, None)
        elif kind == "add":
            section[draw(st.one_of(st.text(max_size=10), st.just(f"{last}s"), st.integers()))] = draw(ODD)
        else:
            section[last] = draw(ODD)
    return config


def check_no_traceback(mapping):
    try:
        experiment = Experiment(load_config(mapping))
    except ConfigError as error:
        assert error.problems
        assert all(len(problem) < 2000 and "\n" not in problem for problem in error.problems), error.problems
        return
    # What planning asks of a configuration that was accepted.
    for run in experiment.runs[:5]:
        experiment.train_settings(run.model, run.loss)
        experiment.minutes(run.model, 2)
        json.loads(experiment.train_json(run.model, run.loss))
        assert not set(str(run)) & set("\n{}'\"$ ")


@settings(max_examples=150, deadline=None)
@given(mutated())
def test_no_change_of_the_configuration_ends_in_a_traceback(mapping):
    check_no_traceback(mapping)


@pytest.mark.long
@settings(max_examples=20_000, deadline=None)
@given(mutated())
def test_no_change_of_the_configuration_ends_in_a_traceback_in_full(mapping):
    check_no_traceback(mapping)
