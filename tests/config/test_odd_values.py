"""Odd values in odd places: each ends in a problem that is told, never in a traceback."""

import copy
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

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


@settings(max_examples=150, deadline=None)
@given(mutated())
def test_no_change_of_the_configuration_ends_in_a_traceback(mapping):
    check_no_traceback(mapping)


@pytest.mark.long
@settings(max_examples=20_000, deadline=None)
@given(mutated())
def test_no_change_of_the_configuration_ends_in_a_traceback_in_full(mapping):
    check_no_traceback(mapping)
