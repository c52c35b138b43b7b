"""Odd values in odd places: each ends in a problem that is told, never in a traceback."""

import copy
import json

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from longtail.config.grid import Grid
from longtail.config.load import Config, ConfigError, load_config
from longtail.experiment.jobs import Experiment

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
    # Six trainings have every kind of model and loss; the 28 of the default would only be checked for longer.
    "grid": {**Grid().model_dump(), "models": ("resnet8", "vit_b16"), "losses": ("softmax", "focal", "ldam")},
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
        json.dumps(experiment.train_settings(run.model, run.loss))
        assert not set(str(run)) & set("\n{}'\"$ ")


@settings(max_examples=60)
@given(mutated())
def test_no_change_of_the_configuration_ends_in_a_traceback(mapping):
    check_no_traceback(mapping)


@pytest.mark.long
@settings(max_examples=20_000, phases=(Phase.explicit, Phase.generate, Phase.shrink))
@given(mutated())
def test_no_change_of_the_configuration_ends_in_a_traceback_in_full(mapping):
    check_no_traceback(mapping)


@pytest.mark.parametrize("number", [10**18, -(10**400)], ids=["large", "negative and no float"])
def test_a_number_beyond_all_use_ends_in_no_traceback(number):
    for *above, last in PLACES:
        config = copy.deepcopy(WHOLE)
        section = config
        for key in above:
            section = section[key]
        section[last] = number
        try:
            check_no_traceback(config)
        except BaseException as error:
            error.add_note(f"with the number at {'.'.join([*above, last])}")
            raise


FOLDER = {"source": "image_folder"}


def folder(**settings):
    return {"data": {**FOLDER, "image_folder": {"path": "photos", **settings}}}


def balanced_by_influence(**entry):
    return {"grid": {"losses": ["influence_balanced"]}, "losses": {"influence_balanced": entry}}


@pytest.mark.parametrize(
    ("mapping", "key"),
    [
        ({"data": {"imbalance": "Step"}}, "data.imbalance"),
        ({"data": {"imbalance": ["step"]}}, "data.imbalance"),
        ({"data": {"imbalance": None}}, "data.imbalance"),
        ({"data": {"imbalance": "step", "imbalance_factor": 0}}, "data.imbalance_factor"),
        ({"data": {"source": "CIFAR10"}}, "data.source"),
        ({"data": {"source": "cifar10", "train_per_class": 5000}}, "data.train_per_class"),
        ({"data": {"source": "cifar10", "train_per_class": 5000, "test_per_class": None}}, "train.select"),
        ({"data": {"source": "cifar10", "cifar10": {"sha256": "x"}}}, "data.cifar10.sha256"),
        ({"data": {"source": "cifar10", "cifar10": {"sha256": "A" * 64}}}, "data.cifar10.sha256"),
        ({"data": {"groups": "counts", "group_limits": [0, 0]}}, "data.group_limits.0"),
        ({"data": {"groups": "counts", "group_limits": [20, 100]}}, "data.group_limits"),
        ({"data": {"groups": "counts", "group_limits": [100]}}, "data.group_limits.1"),
        ({"data": {"groups": "counts", "group_limits": "100,20"}}, "data.group_limits"),
        ({"train": {"false_rejection": 0}}, "train.false_rejection"),
        ({"train": {"false_rejection": 1}}, "train.false_rejection"),
        ({"train": {"false_rejection": float("nan")}}, "train.false_rejection"),
        ({"train": {"false_rejection": "5%"}}, "train.false_rejection"),
        (balanced_by_influence(alpha=-1), "losses.influence_balanced.alpha"),
        (balanced_by_influence(alpha=float("inf")), "losses.influence_balanced.alpha"),
        (balanced_by_influence(start=2), "losses.influence_balanced.start"),
        (balanced_by_influence(retrain={}), "losses.influence_balanced.retrain"),
        (balanced_by_influence(head="cosine"), "losses.influence_balanced.head"),
        (balanced_by_influence(train={"mixup": {}}), "losses.influence_balanced"),
        (
            {"grid": {"losses": ["influence_balanced"]}, "variants": {"influence_balanced+la": {}}},
            "variants.influence_balanced+la",
        ),
        (folder(min_confidence=-1), "data.image_folder.min_confidence"),
        (folder(min_confidence="x"), "data.image_folder.min_confidence"),
        (folder(regions="cut"), "data.image_folder.regions"),
        (folder(columns={"path": ""}), "data.image_folder.columns.path"),
        (folder(columns={"box": "x"}), "data.image_folder.columns.box"),
        (folder(group_column=""), "data.image_folder.group_column"),
        (folder(group_column=None), "data.image_folder.group_column"),
        (folder(root=""), "data.image_folder.root"),
        (folder(path=""), "data.image_folder.path"),
        (folder(path="-x"), "data.image_folder.path"),
        (folder(path="@x"), "data.image_folder.path"),
        (folder(merged_name=" "), "data.image_folder.merged_name"),
        (folder(columns={"path": "\t"}), "data.image_folder.columns.path"),
        ({"data": {**folder()["data"], "classes": {"rename": {"a": " "}}}}, "data.classes.rename.a"),
        ({"data": {**folder()["data"], "classes": {"merge": {" ": "a"}}}}, "data.classes.merge. "),
        ({"data": {**folder()["data"], "classes": {"exclude": ["\n"]}}}, "data.classes.exclude.0"),
        ({"train": {"gamma": 1e200, "step_size": 1}}, "train"),
        ({"train": {"gamma": 1e300, "schedule": "multistep", "milestones": [1, 2], "epochs": 3}}, "train"),
        ({"train": {"gamma": 10.0, "learning_rate": 1e300, "step_size": 5}}, "train"),
        *(
            ({"paths": {name: value}}, f"paths.{name}")
            for name in ("results", "work", "data")
            for value in (
                "s3://bucket/x",
                "file:///x",
                "https://a/b",
                "gs:/x",
                "-rf",
                "@x",
                "a\x1b[31m",
                "a\rb",
                "\udcff",
                "\u202ex",
            )
        ),
        *(
            ({"models": {"a": {"architecture": value}}}, "models.a.architecture")
            for value in (
                "timm/",
                "timm/hf-hub:user/repo",
                "timm/local-dir:/etc",
                "torchvision/",
                "timm/../x",
                "timm/x\ny",
                "",
            )
        ),
        *(
            ({name: None}, name)
            for name in ("train", "data", "grid", "job", "paths", "predict", "statistics")
        ),
        (folder(path=" "), "data.image_folder.path"),
        (folder(threads=10**9), "data.image_folder.threads"),
        ({"data": {**folder()["data"], "split": {"file": ""}}}, "data.split.file"),
        ({"data": {**folder()["data"], "split": "x.csv"}}, "data.split"),
        ({"data": {**folder()["data"], "split": {"file": "results/data/split.csv"}}}, "data.split.file"),
        ({"data": {**folder()["data"], "classes": {"names": ""}}}, "data.classes.names"),
        ({"data": {**folder()["data"], "classes": {"merge": {"a": []}}}}, "data.classes.merge.a"),
        ({"data": {**folder()["data"], "classes": {"exclude": ["/(/"]}}}, "data.classes.exclude"),
        ({"data": {"source": "lists", "lists": {"train": ""}}}, "data.lists.train"),
        ({"losses": {"mine": {"loss": {"path": "", "name": "A"}}}}, "losses.mine.loss.path"),
        ({"job": {"threads": 10**6}}, "job.threads"),
        ({"job": {"minutes": {}}}, "job.minutes"),
        ({"variants": {"softmax+la": {"tau": float("nan")}}}, "variants.softmax+la.tau"),
        ({"variants": {"softmax+": {}}}, "variants.softmax+"),
        ({"variants": {"softmax+la+la": {}}}, "variants.softmax+la+la"),
        ({"predict": {"crops": "four"}}, "predict.crops"),
        ({"predict": {"crops": "five", "expand": 257}}, "predict.expand"),
        ({"seeds": [2**63]}, "seeds.0"),
        ({"versions": "keep"}, "versions"),
    ],
)
def test_a_value_that_cannot_be_is_refused_by_its_key(mapping, key):
    with pytest.raises(ConfigError) as caught:
        load_config(mapping)
    assert any(problem.startswith(key) for problem in caught.value.problems), caught.value.problems


@pytest.mark.parametrize(
    "mapping",
    [
        {f"k{place}": 1 for place in range(20_000)},
        {"train": {f"k{place}": 1 for place in range(20_000)}},
        {"seeds": ["x"] * 20_000},
        {"data": {**FOLDER, "image_folder": {"path": "photos"}, "classes": {"exclude": ["/(/"] * 5000}}},
    ],
    ids=["keys", "settings", "seeds", "expressions"],
)
def test_of_thousands_of_problems_some_are_told_at_once(mapping):
    with pytest.raises(ConfigError) as caught:
        load_config(mapping)
    assert 1 <= len(caught.value.problems) <= 300


def test_many_seeds_are_compared_in_no_time():
    with pytest.raises(ConfigError, match="seeds: holds 7 more than once"):
        load_config({"seeds": [*range(90_000), 7]})
