"""Why a job is stale, in words: what its key was made of is kept, and compared with what it is made of now."""

import copy

import pytest

from longtail.config.load import load_config
from longtail.experiment import fingerprint, keys, reasons
from longtail.experiment.jobs import Experiment
from longtail.experiment.keys import Keys
from longtail.experiment.reasons import UNKNOWN, Reasons, keep
from longtail.files.sealed_json import seal

CONFIG = {
    "grid": {"train_sets": ["longtailed"], "models": ["resnet8"], "losses": ["softmax", "focal", "crt"]},
    "models": {"resnet8": {"pretrained": False}},
    "losses": {"focal": {"gamma": 2.0}},
    "variants": {"softmax+la": {}},
    "data": {"source": "digits", "train_per_class": 60, "test_per_class": 40, "imbalance_factor": 0.1},
    "train": {"epochs": 20, "image_size": 8},
}


def changed(**sections):
    """The configuration with these settings; those of a section go by their paths, such as `focal.gamma`."""
    config = copy.deepcopy(CONFIG)
    for section, values in sections.items():
        for path, value in values.items():
            *names, last = [section, *path.split(".")]
            place = config
            for name in names:
                place = place.setdefault(name, {})
            place[last] = value
    return Keys(Experiment(load_config(config)))


def run_of(experiment, loss):
    return next(run for run in experiment.jobs.runs if run.loss == loss)


def told(folder, before, after, key):
    keep(key(before), folder)
    return Reasons(folder).changes(key(before), key(after))


@pytest.mark.parametrize(
    ("change", "loss", "words"),
    [
        ({"losses": {"focal.gamma": 3.0}}, "focal", ("losses.focal.gamma 2.0 -> 3.0",)),
        ({"train": {"epochs": 30}}, "focal", ("train.epochs 20 -> 30",)),
        ({"train": {"batch_size": 64}}, "crt", ("train.batch_size", "its start is stale")),
        ({"train": {"epochs": 30}}, "softmax+la", ("its start is stale",)),
        ({"losses": {"softmax.train": {"epochs": 25}}}, "crt", ("its start is stale",)),
        ({"variants": {"softmax+la.tau": 0.5}}, "softmax+la", ("variants.softmax+la.tau 1.0 -> 0.5",)),
        ({"data": {"imbalance_factor": 0.2}}, "focal", ("data.imbalance_factor 0.1 -> 0.2",)),
        ({"data": {"seed": 7}}, "focal", ("data.seed 42 -> 7",)),
        (
            {"train": {"epochs": 30, "select": "last"}, "losses": {"focal.gamma": 1.0}},
            "focal",
            ("losses.focal.gamma 2.0 -> 1.0", "train.epochs 20 -> 30", "train.select"),
        ),
        ({"train": {"momentum": 0.8}}, "focal", ("train.momentum 0.9 -> 0.8",)),
    ],
)
def test_a_changed_setting_is_told_by_its_name_in_the_configuration(tmp_path, change, loss, words):
    found = told(tmp_path, changed(), changed(**change), lambda k: k.model(run_of(k, loss)))
    for phrase in words:
        assert any(one.startswith(phrase) for one in found), found
    assert len(found) == len(words)


def test_predictions_are_stale_for_what_their_model_is_stale_for(tmp_path):
    after = changed(losses={"focal.gamma": 3.0})
    found = told(tmp_path, changed(), after, lambda k: k.predict(run_of(k, "focal")))
    assert found == ("losses.focal.gamma 2.0 -> 3.0",)
    evaluation = told(tmp_path, changed(), after, lambda k: k.evaluation())
    assert evaluation == ("losses.focal.gamma 2.0 -> 3.0",)
    more = told(tmp_path, changed(), changed(grid={"losses": ["softmax", "focal"]}), lambda k: k.evaluation())
    assert "the predictions of longtailed/resnet8/crt/seed42 left out" in more
    assert "grid: 1 left out" in more


def test_a_split_that_is_frozen_is_added_and_not_changed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in (f"c/{label}/{number}.png" for label in "ab" for number in range(12)):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(name.encode())

    def frozen(file):
        split = {"source": "image_folder", "image_folder": {"path": "c"}, "split": {"file": file}}
        return Keys(Experiment(load_config({**CONFIG, "data": split})))

    for name, subset in (("f.csv", "train"), ("g.csv", "test")):
        (tmp_path / name).write_text(f"path,label,split,sha256\na/1.png,a,{subset},{'0' * 64}\n")
    for before, after, words in (
        (None, "f.csv", "data.split.file added"),
        ("f.csv", "g.csv", "content of data.split.file changed"),
        ("g.csv", None, "data.split.file left out"),
    ):
        assert told(tmp_path, frozen(before), frozen(after), lambda k: k.sets()) == (words,)


def test_changed_code_is_told_by_its_files(tmp_path, monkeypatch):
    before = changed()
    old = before.model(run_of(before, "focal"))
    keep(old, tmp_path)
    trees = fingerprint.trees

    def other(program, *choices):
        return tuple(
            (name, "0" * 64 if name == "longtail/losses/focal.py" else tree)
            for name, tree in trees(program, *choices)
        )

    monkeypatch.setattr(fingerprint, "trees", other)
    monkeypatch.setattr(reasons, "trees", other)
    fingerprint.fingerprint.cache_clear()
    try:
        after = changed()
        new = after.model(run_of(after, "focal"))
        assert Reasons(tmp_path).changes(old, new) == ("code of longtail/losses/focal.py changed",)
    finally:
        fingerprint.fingerprint.cache_clear()
        keys.Keys.parts.clear()


@pytest.mark.parametrize(
    "text", [None, "", "[]", "{}", seal({"rule": 3}), seal({"rule": "train", "code": "x"})]
)
def test_what_is_not_known_is_said_to_be_so(tmp_path, text):
    before, after = (k.model(run_of(k, "focal")) for k in (changed(), changed(train={"epochs": 30})))
    if text is not None:
        path = tmp_path / "logs/keys" / f"{before}.json"
        path.parent.mkdir(parents=True)
        path.write_text(text)
    assert Reasons(tmp_path).changes(before, after) == (UNKNOWN,)


@pytest.mark.parametrize(
    ("told", "words"),
    [
        ("Forced execution", ("forced",)),
        ("Missing output files: results/a.pdf, results/b.pdf", ("not made yet",)),
        ("Input files updated by another job: results/a.pth", ()),
        ("Code has changed since last execution", ("code has changed since last execution",)),
        (
            "Params have changed since last execution: Union of exclusive params before and now across all output: "
            "before: trained with torch 2.10.0 (here 2.11.0), timm 1.0 (here 1.1) now: key 0a1b2c ",
            ("torch 2.10.0 -> 2.11.0, timm 1.0 -> 1.1",),
        ),
        (
            "Input files updated by another job: a; Params have changed since last execution: Union of exclusive "
            "params before and now across all output: before: model.safetensors is not the file that was made "
            "now: key 0a1b2c ",
            ("model.safetensors is not the file that was made",),
        ),
    ],
)
def test_the_words_of_snakemake_become_short_ones(tmp_path, told, words):
    assert Reasons(tmp_path).of(told, own=True) == words


def test_newer_inputs_of_a_run_are_left_to_its_key(tmp_path):
    told = "Updated input files: results/data/val.pth; Input files updated by another job: results/data/train.pth"
    assert Reasons(tmp_path).of(told, own=False) == ()
    assert Reasons(tmp_path).of(told, own=True) == ("updated input files",)


def test_the_time_of_a_job_is_the_median_of_those_that_finished(tmp_path):
    for seed, seconds in ((1, 2.0), (2, 4.0), (3, 60.0)):
        before = changed()
        keep(before.tensors("val"), tmp_path, ("tensors", 9.0))
        keep(before.train(run_of(before, "focal")._replace(seed=seed)), tmp_path, ("train", seconds))
    assert Reasons(tmp_path).seconds() == {"train": 4.0, "tensors": 9.0}
