"""After any change, exactly the jobs that depend on it run again.

The workflow is the real one, with all rules, keys and code; only the programs end before they compute: each writes
its output files and stops, so that a whole experiment is finished in seconds.
"""

import itertools
import os
import re
import shutil
import sys
import time

import pytest
import yaml
from workspace import Workspace, jobs

from longtail.config.load import load_config
from longtail.experiment.jobs import Experiment
from longtail.experiment.keys import Keys
from longtail.experiment.proof import packages_here
from longtail.files.sealed_json import seal, unseal
from longtail.report.catalogue import CLASS_TABLES, STATISTICS, TABLES

CONFIG = {
    "grid": {
        "train_sets": ["balanced", "longtailed"],
        "models": ["resnet8", "mobilenetv2"],
        "losses": ["softmax", "focal"],
    },
    "seeds": [1],
    "models": {"resnet8": {"pretrained": False}, "mobilenetv2": {"pretrained": False}},
    "losses": {"focal": {"gamma": 2.0}},
    "data": {
        "source": "digits",
        "seed": 42,
        "train_per_class": 100,
        "test_per_class": 40,
        "imbalance_factor": 0.1,
    },
    "train": {"epochs": 2, "image_size": 32, "batch_size": 32, "learning_rate": 0.001},
    "job": {"threads": 1},
}
# What a program that stops early writes instead: every file that an option names, and those of folders.
# It imports nothing else, since Python's own start is all that it takes.
STUB = """
import os as _os, sys as _sys
_words = _sys.argv[1:]
_tables = [_word for _word in _words if _word in {tables}] or {statistics}
if "--output-folder" in _words and set(_tables) & set({class_tables}):  # a figure is called confusion too
    _losses = _words[_words.index("--loss") + 1 : _words.index("--output-folder")]
    _tables = [_table + "_" + _loss for _loss in _losses for _table in _tables]
for _i, _word in enumerate(_words):
    _files = []
    if _word == "--output-folder":
        _files = [_words[_i + 1] + "/" + n + e for n in _tables for e in (".csv", ".md", ".tex", ".html")]
    elif _word.startswith("--output") or _word == "--caption":
        for _file in _words[_i + 1 :]:
            if _file.startswith("--"):
                break
            _files.append(_file)
    for _file in _files:
        _os.makedirs(_os.path.dirname(_file), exist_ok=True)
        with open(_file, "w") as _out:
            if _file.endswith(".pth"):  # larger than Snakemake's default limit for comparing contents
                _out.write(1_500_000 * chr(0))
            _out.write(repr(_words))
_sys.exit()
""".replace("{tables}", repr([*TABLES, *CLASS_TABLES])).replace("{statistics}", repr([*STATISTICS]))
STUB = STUB.replace("{class_tables}", repr([*CLASS_TABLES]))

MODELS, LOSSES, SETS = CONFIG["grid"]["models"], CONFIG["grid"]["losses"], CONFIG["grid"]["train_sets"]


def runs(train_sets=SETS, models=MODELS, losses=LOSSES, seeds=(1,), rules=("train", "predict")):
    grid = itertools.product(train_sets, models, losses, seeds)
    return {f"{rule} {'/'.join(map(str, run))}" for run in grid for rule in rules}


def per_model(*names, train_sets=SETS, models=MODELS):
    return {f"figure_of_model {t}/{m}/{n}" for t in train_sets for m in models for n in names}


def confusion(train_sets=SETS, models=MODELS, losses=LOSSES):
    """What is made of the predictions of single runs: the figures of these losses, and the tables of their models."""
    figures = [f"{loss}/confusion" for loss in losses] + ["softmax/confused_pairs"] * ("softmax" in losses)
    of_losses = {f"figure_of_loss {t}/{m}/{figure}" for t in train_sets for m in models for figure in figures}
    return of_losses | {f"table_of_classes {t}/{m}" for t in train_sets for m in models}


COMPARISONS = {
    f"figure {name}"
    for name in (
        "model_comparison",
        "loss_comparison",
        "head_middle_tail",
        "tradeoff",
    )
}
OF_EVALUATION = (
    {"evaluation", "table_of_means", "table_of_class_groups", "statistical_analysis", "summary", *COMPARISONS}
    | {f"table_of_runs {t}/{m}" for t in SETS for m in MODELS}
    | per_model("accuracy_bars", "accuracy_lines", "per_class_accuracy", "forest")
)
OF_RUNS = {"figure run_cost"} | per_model("training_curves", "reliability")
EVERYTHING_TRAINED = runs() | OF_EVALUATION | OF_RUNS | confusion()
TENSORS = {f"tensors {s}" for s in ("train_balanced", "train_longtailed", "val", "test_balanced")}
DATA = {
    "images",
    "subsets",
    "split",
    "groups",
    "table_of_counts",
    "figure class_distribution",
    "figure example_images",
} | TENSORS


RUNS_OF_FOCAL_AND_RESNET8 = (
    OF_EVALUATION
    | OF_RUNS
    | (runs(losses=["focal"]) | runs(models=["resnet8"]))
    | (confusion(losses=["focal"]) | confusion(models=["resnet8"]))
)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A workspace in which everything has run."""
    workspace = Workspace.create(tmp_path_factory.mktemp("finished") / "workspace")
    scripts = {path.stem for path in (workspace.folder / "workflow/scripts").glob("*.py")}
    workspace.stub(STUB, *scripts - {"run_list"})
    (workspace.folder / "config/config.yaml").write_text(yaml.safe_dump(CONFIG))
    # What ends at once needs none of the packages, whose places Python takes longer to look up than all else.
    python = workspace.folder.with_name("python")
    python.write_text(
        f'#!/bin/sh\ncase "$1" in *run_list.py) exec "{sys.executable}" "$@";; esac\n'
        f'exec "{sys.executable}" -ISs "$@"\n'
    )
    python.chmod(0o755)
    workspace.snakemake(PYTHON_OF_JOBS=str(python))
    return workspace


@pytest.fixture(scope="module")
def copied(finished, tmp_path_factory):
    return finished.copy(tmp_path_factory.mktemp("copied") / "workspace")


@pytest.fixture
def workspace(finished, copied):
    """A copy of the finished workspace to change; the next test finds it as it was, by times and sizes of files."""
    copied.restore(finished)
    return copied


def makes_the_page(told):
    return re.search(r"^index +1$", told, re.MULTILINE) is not None


def test_the_page_of_the_results_is_made_from_every_figure_table_and_statistic(workspace):
    (workspace.folder / "results/index.html").unlink()
    told = workspace.plan()
    assert jobs(told) == set() and makes_the_page(told)
    inputs = re.search(r"^(?:local)?rule index:\n +input: (.+)$", told, re.MULTILINE)[1].split(", ")
    shown = (".png", ".pdf", ".txt", ".html")
    made = {
        str(path.relative_to(workspace.folder))
        for folder in ("figures", "tables", "statistics")
        for path in (workspace.folder / "results" / folder).rglob("*")
        if path.suffix in shown
    }
    assert len(made) > 100
    assert made | {"results/summary.html"} == {name for name in inputs if name.endswith(shown)}


def test_the_page_of_the_results_is_made_anew_with_its_program_alone(workspace):
    workspace.stub("\n_changed = 1\n", "index")
    told = workspace.plan()
    assert "trained with" not in told
    assert jobs(told) == set() and makes_the_page(told)


def configure(**changes):
    """An edit of the configuration: dotted keys, with their new values."""

    def edit(workspace):
        config = yaml.safe_load((workspace.folder / "config/config.yaml").read_text())
        for key, value in changes.items():
            section = config
            *above, last = key.split("__")
            for name in above:
                section = section.setdefault(name, {})
            section[last] = value
        (workspace.folder / "config/config.yaml").write_text(yaml.safe_dump(config))

    return edit


def code(name, old, new):
    return lambda workspace: workspace.edit(name, old, new)


def append(name, text):
    def edit(workspace):
        with (workspace.folder / name).open("a") as file:
            file.write(text)

    return edit


def touch(pattern):
    def edit(workspace):
        later = time.time() + 60
        paths = [path for path in workspace.folder.glob(pattern) if path.is_file()]
        assert paths, pattern
        for path in paths:
            os.utime(path, (later, later))

    return edit


def reformat_config(workspace):
    path = workspace.folder / "config/config.yaml"
    path.write_text(
        "# a comment\n" + yaml.safe_dump(yaml.safe_load(path.read_text()), default_flow_style=True)
    )


def together(*edits):
    def edit(workspace):
        for each in edits:
            each(workspace)

    return edit


# A plan takes a second, so one of them stands for several changes where each has jobs of its own.
TABLE = [
    (
        "what is in no result: times, comments, formatting, the machine, folders, mirrors, an option that is off",
        together(
            *map(touch, ("longtail/**/*.py", "workflow/**/*", "config/*", "results/**/*")),
            code("longtail/training/run.py", "import time\n", "# a comment\nimport time\n"),
            code("longtail/losses/focal.py", '"""', '"""More: '),
            code("longtail/analysis/metrics.py", "import numpy", "\n\nimport numpy"),
            configure(
                job={
                    **{"threads": 2, "memory_mb": 9, "minutes": 9},
                    **{"jobs_per_gpu": 2, "images": "file", "events": True},
                },
                train__gpus_per_job=2,
                paths={"work": "elsewhere"},
                data__cifar100={"url": "https://mirror.example/cifar.tar.gz"},
                predict={"expand": 8},  # of crops, which are off
            ),
            code("workflow/rules/train.smk", "<logs>/train/", "<logs>/training/"),
            reformat_config,
        ),
        set(),
    ),
    (
        "colour of a figure, label of a figure of each model, and metric code",
        together(
            append("longtail/report/figures/run_cost.py", "CHANGED = True\n"),
            append("longtail/report/figures/training_curves.py", "CHANGED = True\n"),
            append("longtail/analysis/metrics.py", "CHANGED = True\n"),
        ),
        {"figure run_cost"} | per_model("training_curves") | OF_EVALUATION,
    ),
    (
        "gamma of focal, and one model's learning rate",
        together(
            configure(losses__focal__gamma=1.0), configure(models__resnet8__train={"learning_rate": 0.1})
        ),
        RUNS_OF_FOCAL_AND_RESNET8,
    ),
    (
        "the file of focal, and one model's constructor",
        together(
            append("longtail/losses/focal.py", "CHANGED = True\n"),
            append("longtail/models/cifar_resnet.py", "CHANGED = True\n"),
        ),
        RUNS_OF_FOCAL_AND_RESNET8,
    ),
    (
        "training loop",
        append("longtail/training/run.py", "CHANGED = True\n"),
        EVERYTHING_TRAINED,
    ),
    (
        "imbalance factor",
        configure(data__imbalance_factor=0.2),
        {
            "split",
            "groups",
            "tensors train_longtailed",
            "table_of_counts",
            "figure class_distribution",
            "figure example_images",
        }
        | runs(train_sets=["longtailed"])
        | OF_EVALUATION
        | {"figure run_cost"}
        | per_model("training_curves", train_sets=["longtailed"])
        | per_model("reliability")
        | confusion(),
    ),
    (
        "other groups of classes, which train and predict nothing again",
        configure(data__groups="counts"),
        {"groups", "table_of_counts", "figure class_distribution", "figure example_images"}
        | OF_EVALUATION
        | per_model("reliability")
        | confusion(),
    ),
    (
        "a loss, decoupled training and a variant added",
        configure(grid__losses=["softmax", "focal", "ldam", "crt"], variants={"softmax+la": {}}),
        runs(losses=["ldam", "crt"])
        | runs(losses=["softmax+la"], rules=["adjust", "predict"])
        | OF_EVALUATION
        | OF_RUNS
        | confusion(losses=["ldam", "crt", "softmax+la"])
        | {"run_list"},
    ),
    (
        "test-time ensembling",
        configure(predict={"crops": "five"}),
        runs(rules=["predict"]) | OF_EVALUATION | per_model("reliability") | confusion(),
    ),
    (
        "a seed added",
        configure(seeds=[1, 2]),
        runs(seeds=[2]) | OF_EVALUATION | OF_RUNS | confusion() | {"run_list", "table_of_ensembles"},
    ),
    (
        "a model added",
        configure(
            grid__models=["resnet8", "mobilenetv2", "resnet20"], models__resnet20={"pretrained": False}
        ),
        runs(models=["resnet20"])
        | OF_EVALUATION
        | {"figure run_cost", "run_list"}
        | {f"table_of_runs {t}/resnet20" for t in SETS}
        | per_model(
            *(
                "accuracy_bars",
                "accuracy_lines",
                "per_class_accuracy",
                "forest",
                "training_curves",
                "reliability",
            ),
            models=["resnet20"],
        )
        | confusion(models=["resnet20"]),
    ),
    ("data seed", configure(data__seed=7), (DATA - {"images"}) | EVERYTHING_TRAINED),
]


def assert_stale(workspace, expected):
    """Exactly these jobs would run, and the page of the results after any of them."""
    text = workspace.plan()
    planned = jobs(text)
    assert planned - expected == set(), "not stale, but would run"
    assert expected - planned == set(), "stale, but would not run"
    assert not expected or makes_the_page(text)


@pytest.mark.parametrize(("edit", "expected"), [row[1:] for row in TABLE], ids=[row[0] for row in TABLE])
def test_exactly_the_stale_jobs_run(workspace, edit, expected):
    edit(workspace)
    assert_stale(workspace, expected)


@pytest.mark.parametrize(
    "changed",
    [
        *({"batch_size": 16}, {"epochs": 3}, {"image_size": 24}, {"optimizer": "sgd"}, {"weight_decay": 0.1}),
        *({"precision": "fp32"}, {"flip": False}, {"padding": 2}, {"ema": 0.9}, {"learning_rate": 0.01}),
        *({"select": "mean_class_acc"}, {"sampler": "class_balanced"}, {"mixup": {}}, {"drw": {}}),
    ],
    ids=str,
)
def test_a_training_setting_is_in_the_key_of_every_run(changed):
    """As that of one model is in the keys of its runs, which goes through the workflow above."""
    before, after = (
        Keys(Experiment(load_config({**CONFIG, "train": CONFIG["train"] | more}))) for more in ({}, changed)
    )
    trained = before.jobs.runs
    assert len(trained) == 8
    assert not [run for run in trained if before.train(run) == after.train(run)]


@pytest.fixture(scope="module")
def forgotten(finished, tmp_path_factory):
    """The same results where Snakemake remembers nothing, with times in any order."""
    copy = Workspace(tmp_path_factory.mktemp("forgotten") / "elsewhere")
    ignore = shutil.ignore_patterns(".snakemake")
    shutil.copytree(finished.folder, copy.folder, copy_function=shutil.copyfile, ignore=ignore)
    for number, path in enumerate(sorted(copy.folder.glob("results/**/*"), reverse=True)):
        os.utime(path, (number, number))
    return copy


def row(name):
    """An edit of the table, and the jobs that it makes stale."""
    return next(row[1:] for row in TABLE if row[0] == name)


def test_exactly_the_stale_jobs_run_where_snakemake_remembers_nothing(forgotten, tmp_path):
    workspace, stale = forgotten.copy(tmp_path / "workspace"), set()
    for name in ("gamma of focal, and one model's learning rate", "a seed added"):
        edit, expected = row(name)
        edit(workspace)
        stale |= expected
    assert_stale(workspace, stale)


def without_tensorboard(workspace):
    workspace.edit("workflow/rules/setup.smk", 'find_spec("tensorboard")', 'find_spec("no_such_package")')


def test_curves_need_tensorboard_where_they_are_wanted(workspace):
    without_tensorboard(workspace)
    done = workspace.snakemake("-n", "--config", "job={events: true}", check=False)
    assert done.returncode == 1
    assert "job.events: the curves need TensorBoard, which is not installed" in done.stdout + done.stderr


def test_a_copy_made_without_times_is_not_stale(finished, tmp_path):
    copy = Workspace(tmp_path / "moved" / "elsewhere")
    shutil.copytree(finished.folder, copy.folder, copy_function=shutil.copyfile)
    without_tensorboard(copy)  # which nobody wants here
    configure(job__memory_mb=3000)(copy)  # of the machine alone, so the page does not show it
    told = copy.plan()
    assert jobs(told) == set() and not makes_the_page(told)


# What happened to one finished run: it alone, and what depends on it, is made again.
SUFFERS = "results/runs/longtailed/resnet8/focal/seed1"


def replace_file(run, donor):
    shutil.copy2(donor / "model.safetensors", run / "model.safetensors")


def replace_keeping_size_and_time(run, donor):
    path = run / "model.safetensors"
    stat = path.stat()
    path.write_bytes(bytes(len(path.read_bytes())))
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))


def replace_folder(run, donor):
    shutil.rmtree(run)
    shutil.copytree(donor, run)


def lose_proof(run, donor):
    shutil.rmtree(run / ".made")


def damage_proof(run, donor):
    path = run / ".made/model.safetensors.json"
    path.write_text(path.read_text().replace('"key": "', '"key": "0', 1))


@pytest.mark.parametrize(
    ("remembered", "events"),
    [
        (True, (replace_file, replace_keeping_size_and_time, replace_folder, damage_proof)),
        (False, (replace_file, lose_proof)),
    ],
    ids=["remembered", "forgotten"],
)
def test_a_run_that_is_not_what_its_proof_says_is_made_again(
    finished, forgotten, tmp_path, remembered, events
):
    """Each event befalls a long-tailed run of its own; the balanced ones stay as they are."""
    workspace = (finished if remembered else forgotten).copy(tmp_path / "workspace")
    suffering = [f"{model}/{loss}" for model in MODELS for loss in LOSSES][: len(events)]
    for event, name in zip(events, suffering, strict=True):
        run, donor = (
            workspace.folder / f"results/runs/{where}/{name}/seed1" for where in ("longtailed", "balanced")
        )
        event(run, donor)
    made_again = {f"{rule} longtailed/{name}/1" for name in suffering for rule in ("train", "predict")}
    assert workspace.planned("results/evaluation.parquet") == made_again | {"evaluation"}


def test_older_results_that_are_put_back_are_made_again(workspace, tmp_path):
    """Snakemake's record is that of the newer ones."""
    older = tmp_path / "older"
    shutil.copytree(workspace.folder / SUFFERS, older)
    configure(losses__focal__gamma=1.0)(workspace)
    target = f"{SUFFERS}/predictions.parquet"
    workspace.snakemake("--", target)
    shutil.rmtree(workspace.folder / SUFFERS)
    shutil.copytree(older, workspace.folder / SUFFERS)
    name = "longtailed/resnet8/focal/1"
    assert workspace.planned(target) == {f"train {name}", f"predict {name}"}
    configure(losses__focal__gamma=2.0)(workspace)  # which is what they were made with
    assert workspace.planned(target) == set()


def test_results_without_a_proof_are_told_and_taken_over_by_a_touch(workspace):
    target = f"{SUFFERS}/model.safetensors"
    for folder in workspace.folder.glob("results/**/.made"):
        shutil.rmtree(folder)
    text = workspace.plan(target)
    assert (
        "Note: nothing says what results/runs/balanced/resnet8/softmax/seed1/model.safetensors and 9 more"
        in text
    )
    assert "snakemake --touch" in text and "Nothing to be done" not in text
    workspace.snakemake("--touch", "--", target)
    assert workspace.planned(target) == set()


def test_a_folder_that_two_configurations_share_is_told_to_each(workspace):
    target = f"{SUFFERS}/model.safetensors"
    (workspace.folder / "config/b.yaml").write_text(yaml.safe_dump({"train": {"epochs": 3}}))
    (workspace.folder / "config/d.yaml").write_text(yaml.safe_dump({"train": {"batch_size": 64}}))
    other = ("--configfile", "config/b.yaml", "config/d.yaml", "--")
    done = workspace.snakemake(*other, target)
    assert (
        "Note: results holds results of another configuration, config/config.yaml: results/runs/balanced/resnet8/"
        "softmax/seed1/model.safetensors and 8 more. This one, config/b.yaml and config/d.yaml, replaces them. To keep "
        "both, give one of them a paths.results of its own" in done.stdout + done.stderr
    )
    told = (
        f"of another configuration, config/b.yaml and config/d.yaml: {target}. This one, config/config.yaml, "
    )
    assert told in workspace.plan(target)
    configure(train__epochs=4)(workspace)  # a setting that was changed is no other configuration
    assert "config/config.yaml: " not in workspace.plan(target)
    configure(train__epochs=2)(workspace)
    (workspace.folder / "config/b.yaml").rename(workspace.folder / "config/c.yaml")
    assert "another configuration" not in workspace.plan(target)


def test_runs_of_another_version_are_told_once_and_stale_only_where_that_is_wished(workspace):
    here = packages_here()["torch"]
    for path in workspace.folder.glob("results/runs/*/*/focal/seed1/.made/model.safetensors.json"):
        content = unseal(path.read_text(), path)
        path.write_text(seal({**content, "packages": {**packages_here(), "torch": "1.0.0"}}))
    text = workspace.plan()
    told = (
        f"Note: 4 of 8 runs were trained with torch 1.0.0 (here {here}), and count all the same (versions: "
    )
    assert text.count(told) == text.count("torch 1.0.0") == 1
    assert "Nothing to be done" in text
    text = workspace.plan("--config", "versions=stale", "--", "results/evaluation.parquet")
    assert f"4 of 8 runs were trained with torch 1.0.0 (here {here}), and are trained again" in text
    assert jobs(text) == runs(losses=["focal"]) | {"evaluation"}


def test_every_job_with_files_has_a_key(finished):
    """The archive has the hash of its content instead."""
    made = {path.parent for path in finished.folder.glob("results/**/.made")}
    files = [path for path in finished.folder.glob("results/**/*") if path.is_file()]
    results = [path for path in files if not {".made", "logs"} & {*path.parts}]
    assert {path.parent for path in results} == made
    known = {
        path.parent.parent / name
        for path in files
        if path.parent.name == ".made"
        for name in unseal(path.read_text(), path)["files"]
    }
    assert {
        path for path in set(results) - known if path.suffix != ".tex"
    } == set()  # the stub makes too many
    assert known <= set(results)


def test_an_interrupted_change_is_finished_later(workspace):
    configure(data__seed=7)(workspace)
    workspace.snakemake("results/data/train_balanced.pth")
    os.utime(
        workspace.folder / "results/data/train_balanced.pth", (0, 0)
    )  # and the clock was wrong meanwhile
    assert runs(train_sets=["balanced"]) <= workspace.planned()
