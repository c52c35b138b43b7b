"""The page of a plan. Plans of a real workflow are made in test_workflow.py, their costs in experiment/test_cost.py."""

import contextlib
import os
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import warm
from warm_python import PLACE, ask
from workspace import Workspace

from longtail import plan
from longtail.config.load import load_config
from longtail.experiment.jobs import Experiment
from longtail.experiment.keys import Keys
from longtail.experiment.proof import Proofs
from longtail.experiment.reasons import keep
from longtail.experiment.runs import Run
from longtail.plan import Job, _power, forced, stages


def test_every_rule_belongs_to_a_stage(repository):
    written = {
        rule
        for path in (repository / "workflow/rules").glob("*.smk")
        for rule in re.findall(r"^ *rule (\w+):", path.read_text(), re.MULTILINE)
    }
    listed = re.findall(r"^\w+$", Workspace(repository).plan("--list-rules"), re.MULTILINE)
    assert len(listed) > 20 and written | set(listed) - {"all"} <= set(stages())
    assert list(dict.fromkeys(stages().values()))[:3] == ["data", "train", "evaluate"]


JOBS = [
    Job("evaluation", {}, ["r/a.parquet", "r/b.parquet"], ["r/evaluation.parquet"]),
    Job("train", {"loss": "crt"}, ["r/a.model"], ["r/crt.model"]),
    Job("predict", {"loss": "a"}, ["r/a.model"], ["r/a.parquet"]),
    Job("train", {"loss": "a"}, ["r/train.pth"], ["r/a.model", "r/a.json"]),
    Job("train", {"loss": "b"}, [], ["r/b.model"]),
    Job("tensors", {}, [], ["r/train.pth"]),
]


@pytest.mark.parametrize(
    ("options", "trained"),
    [
        ({}, set()),
        ({"forceall": True}, {"a", "b", "crt"}),
        ({"forcerun": ["train"]}, {"a", "b", "crt"}),
        ({"forcerun": ["tensors"]}, {"a", "crt"}),
        ({"forcerun": ["./r/a.json"]}, {"a", "crt"}),
        ({"forcerun": ["r/b.model"]}, {"b"}),
        ({"forcerun": ["evaluation", "predict"]}, set()),
        ({"force": True, "targets": ["r/crt.model"]}, {"crt"}),
        ({"targets": ["r/crt.model"]}, set()),
        ({"force": True}, set()),
    ],
)
def test_a_forced_run_is_one_that_the_command_names_or_that_comes_after_one(options, trained):
    args = SimpleNamespace(
        **{"force": False, "forceall": False, "forcerun": None, "targets": None, **options}
    )
    assert {job.wildcards["loss"] for job in forced(JOBS, args) if job.rule == "train"} == trained


def test_a_plan_says_what_its_runs_will_be_able_to_find():
    one, several = (_power(load_config({"seeds": seeds})) for seeds in ([1], [1, 2, 3]))
    # 2.8 standard errors, of 20 % discordant images: 2.8016 * sqrt(0.2 / 5000) and so on.
    assert (
        "balanced 5,000: 1.8, long-tailed 1,051: 3.9, head 844: 4.3, middle 169: 9.6, tail 38: 20.3" in one[2]
    )
    assert "these trained networks alone" in one[3]
    assert "varies by 1 point over the 3 seeds. It speaks of further training runs" in several[3]
    alone = load_config({"grid": {"losses": ["softmax"]}})
    assert _power(alone) == []


def test_a_reader_that_has_seen_enough_is_no_error(repository, tmp_path):
    # The server, of which this is a child, began with a file as its standard output, and a pipe cannot be sought in.
    code = (
        "import runpy, sys; sys.stdout = open(1, 'w'); runpy.run_module('longtail.plan', run_name='__main__')"
    )
    # Behind "--", or the target is a configuration file once a demo has made it.
    words = ["-c", code, "--configfile", "config/demo.yaml", "--", "results/demo/data/sets.parquet"]
    reading, writing = os.pipe()
    os.close(reading)
    with Path(os.devnull).open() as nothing, (tmp_path / "complaint").open("w") as complaint:
        streams = [nothing.fileno(), writing, complaint.fileno()]
        environment = {**os.environ, PLACE: str(warm.place())}
        ended = ask(["python", *words], str(repository), environment, os.getpid(), streams)
    os.close(writing)
    assert ended == 0
    assert "BrokenPipeError" not in (tmp_path / "complaint").read_text()


def test_a_plan_of_another_directory_starts_relative_paths_there(tmp_path, monkeypatch):
    """A loss of one's own lies there, and the notes of an unfinished run are found by a key that has its content."""
    (tmp_path / "mine.py").write_text("from torch import nn\n\n\nclass Mine(nn.Module):\n    pass\n")
    config = {
        "grid": {"models": ["resnet8"], "losses": ["mine"], "train_sets": ["balanced"]},
        "models": {"resnet8": {"pretrained": False}},
        "losses": {"mine": {"loss": {"path": "mine.py", "name": "Mine"}}},
        "data": {"source": "digits", "train_per_class": 60, "test_per_class": 40},
        "train": {"epochs": 90},
    }
    with contextlib.chdir(tmp_path):
        loaded = load_config(config)
        keys = Keys(Experiment(loaded))
        (run,) = keys.jobs.runs
        note = Path(keys.state_folder(run), "progress.json")
        note.parent.mkdir(parents=True)
        note.write_text('{"epoch": 7}')
    args = SimpleNamespace(directory=str(tmp_path), force=False, forceall=False, forcerun=None, targets=None)
    args.executor, args.resources, args.cores, args.jobs = None, {}, 1, None
    train = Job("train", run._asdict(), [], [])
    monkeypatch.setattr(plan, "dry_run", lambda words: ([train], loaded, args))
    assert "7 epochs that they have behind them are not counted" in " ".join(plan.page([]).split())


def test_a_start_outside_the_grid_is_planned_and_a_stale_one_told_with_what_comes_after_it(
    tmp_path, monkeypatch
):
    """What Snakemake says of a job whose input another job makes is no more than that."""
    monkeypatch.chdir(tmp_path)
    config = {
        "grid": {"models": ["resnet8"], "losses": ["focal"], "train_sets": ["balanced"]},
        "models": {"resnet8": {"pretrained": False}},
        "variants": {"softmax+la": {}},
        "data": {"source": "digits", "train_per_class": 60, "test_per_class": 40},
        "train": {"epochs": 90},
    }
    before, now = (Keys(Experiment(load_config(config | {"train": {"epochs": n}}))) for n in (60, 90))
    start, variant = (
        Run.of(f"results/runs/balanced/resnet8/{loss}/seed42") for loss in ("softmax", "softmax+la")
    )
    model = tmp_path / "results/runs" / str(variant) / "model.safetensors"
    model.parent.mkdir(parents=True)
    model.write_bytes(b"a model")
    Proofs().write([model], before.adjust(variant))
    keep(before.adjust(variant), tmp_path / "results")
    params = (
        f"made with other settings, code or data (key {before.train(start)}) now: key {now.train(start)} "
    )
    jobs = [
        Job("train", start._asdict(), [], ["results/a"], f"Params have changed since …: before: {params}"),
        Job("adjust", variant._asdict(), [], [str(model)], "Input files updated by another job: results/a"),
        Job(
            "evaluation",
            {},
            [],
            ["results/evaluation.parquet"],
            "Input files updated by another job: results/b",
        ),
    ]
    args = SimpleNamespace(directory=None, force=False, forceall=False, forcerun=None, targets=None)
    args.executor, args.resources, args.cores, args.jobs = None, {}, 2, None
    monkeypatch.setattr(plan, "dry_run", lambda words: (jobs, now.jobs.config, args))
    lines = plan.page([]).splitlines()
    assert lines[0] == "3 jobs would run, 1 of them training (the grid has 2 runs)."
    assert lines[lines.index("Why:") : lines.index("Why:") + 5] == [
        "Why:",
        "  train.epochs 60 -> 90",
        "      1 run: balanced/resnet8/softmax/seed42",
        "  its start is stale",
        "      1 run: balanced/resnet8/softmax+la/seed42",
    ]
    assert max(map(len, lines)) <= 80


def refused(architecture, **train):
    config = load_config(
        {
            "grid": {"models": ["m"], "losses": ["softmax"], "train_sets": ["balanced"]},
            "models": {"m": {"architecture": architecture, "pretrained": train.get("tune", "all") != "all"}},
            "train": train,
        }
    )
    return list(plan._refused_models(Experiment(config).runs, config))


@pytest.mark.parametrize(
    ("architecture", "train", "message"),
    [
        (
            "torchvision/maxvit_t",
            {"image_size": 100},
            "models.m: Input size (25, 25) of block 0 is not divisible",
        ),
        ("torchvision/vgg11", {"image_size": 16}, "cannot take images of 16 x 16 px"),
        ("torchvision/renset18", {"image_size": 32}, "torchvision has no image classifier of that name"),
        (
            "torchvision/swin_t",
            {"image_size": 100, "tune": "lora", "lora_rank": 500},
            "lora_rank is 500; allowed: 1 to",
        ),
        (
            "timm/levit_128s",
            {"image_size": 100},
            "timm/levit_128s takes images of 224 px only; found image_size 100",
        ),
        ("timm/resnet18", {"image_size": 32, "tune": "lora"}, "tune: lora needs attention layers"),
    ],
)
def test_what_only_a_library_knows_of_a_model_is_told_by_the_plan(architecture, train, message):
    (told,) = refused(architecture, **train)
    assert told.startswith("models.m: ") and message in told


@pytest.mark.parametrize(
    "architecture",
    ["torchvision/regnet_y_400mf", "timm/vit_tiny_patch16_224", "timm/swin_tiny_patch4_window7_224"],
)
def test_a_model_that_a_library_can_build_is_planned(architecture):
    assert refused(architecture, image_size=96) == []


def test_models_with_names_of_our_own_are_planned_without_pytorch(repository):
    words = "from longtail import plan; from longtail.config.load import load_config; import sys; "
    words += "from longtail.experiment.jobs import Experiment; c = load_config({}); "
    words += "assert not list(plan._refused_models(Experiment(c).runs, c)); assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", words], cwd=repository, check=True)
