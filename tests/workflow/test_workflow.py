"""The workflow, run for real on the digits, from their tensors on.

The rules before that run for real in test_contributing.py, which adds a source.
"""

import re

import pytest
import warm
import yaml
from workspace import DIGITS, Workspace, jobs

from longtail import load_results
from longtail.experiment.status import statuses
from longtail.files.parquet import read_parquet

CONFIG = {
    "grid": {"train_sets": ["longtailed"], "models": ["resnet8"], "losses": ["softmax", "ldam"]},
    "models": {"resnet8": {"pretrained": False}},
    "data": DIGITS,
    "train": {"epochs": 2, "image_size": 8, "batch_size": 64, "padding": 1, "learning_rate": 0.003},
    "job": {"threads": 1},
}
# A loss of one's own that diverges.
BAD_LOSS = """
import torch


class Diverging(torch.nn.Module):
    def __init__(self, class_counts):
        super().__init__()

    def forward(self, logits, labels):
        return logits.sum() * float("nan")
"""

EARLIER = "results/runs/longtailed/resnet8/mine/seed42/predictions.parquet"


def write_config(workspace: Workspace, config: dict) -> None:
    (workspace.folder / "config/config.yaml").write_text(yaml.safe_dump(config))


@pytest.fixture(scope="module")
def workspace(tmp_path_factory):
    workspace = Workspace.create(tmp_path_factory.mktemp("real") / "a folder's copy")
    (workspace.folder / "bad_loss.py").write_text(BAD_LOSS)
    workspace.draw_quickly()
    return workspace


@pytest.fixture(scope="module")
def with_a_failure(workspace):
    """Run a grid of which one loss diverges, where an earlier model of it left predictions."""
    config = yaml.safe_load(yaml.safe_dump(CONFIG))
    config["grid"]["losses"].append("mine")
    config["losses"] = {"mine": {"loss": {"path": "bad_loss.py", "name": "Diverging"}}}
    write_config(workspace, config)
    earlier = workspace.folder / EARLIER
    earlier.parent.mkdir(parents=True)
    earlier.write_bytes(b"of an earlier model")
    workspace.make_tensors("train_balanced", "train_longtailed", "val", "test_balanced")
    return workspace.snakemake(
        "--retries=0",
        "results/tables/longtailed/resnet8/top1.md",
        "results/figures/loss_comparison.txt",
        check=False,
    )


@pytest.fixture(scope="module")
def finished(workspace, with_a_failure):
    """Then without it."""
    write_config(workspace, CONFIG)
    workspace.snakemake()
    return workspace


def test_a_run_that_fails_ends_the_workflow_with_an_error_that_says_why(with_a_failure):
    assert with_a_failure.returncode == 1
    text = with_a_failure.stdout + with_a_failure.stderr
    assert "the loss is nan in epoch 1, step 1" in text
    assert "Traceback" not in text


def test_watching_tells_which_run_failed(workspace, with_a_failure):
    states = {one.run: one.state for one in statuses(workspace.folder / "results")}
    assert {run for run, state in states.items() if state == "failed"} == {"longtailed/resnet8/mine/seed42"}
    name = (workspace.folder / "results/logs/workflow").read_text()
    assert re.fullmatch(r"\d+ \d+ \S+", name.partition("\n")[0]), name


def test_what_the_other_runs_show_is_made_and_the_failed_one_is_shown_as_missing(workspace, with_a_failure):
    table = (workspace.folder / "results/tables/longtailed/resnet8/top1.md").read_text()
    row = next(line for line in table.splitlines() if "mine" in line.lower())
    assert "missing" in row
    assert "0.00" not in row
    assert not (workspace.folder / EARLIER).exists(), "predictions that the failed run did not make"
    assert "mine" in (workspace.folder / "results/figures/loss_comparison.txt").read_text().lower()


def module(workspace: Workspace, name: str, *options: str) -> str:
    """What `python -m NAME` prints there."""
    done = warm.run(workspace.folder, "python", "-m", name, *options)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_everything_is_made_and_nothing_is_left_to_do(finished):
    assert finished.planned() == set()
    results = finished.folder / "results"
    assert (results / "summary.md").is_file()
    for name in (
        "loss_comparison.pdf",
        "longtailed/resnet8/accuracy_bars.png",
        "longtailed/resnet8/softmax/confusion.pdf",
    ):
        assert (results / "figures" / name).stat().st_size > 1000
    drawn = {path.stem for path in (results / "figures").glob("*.png")}
    assert not drawn & {
        "model_comparison",
        "model_comparison_without_class_balanced",
        "critical_difference",
    }, "one model is compared with nothing"


def test_the_results_hang_together(finished):
    loaded = load_results(finished.folder / "results")
    evaluation = loaded.evaluation
    assert not evaluation["value"][evaluation["metric"] == "acc1"].isna().any()
    assert set(evaluation["loss"]) == {"softmax", "ldam"}
    predictions = read_parquet(
        finished.folder / "results/runs/longtailed/resnet8/softmax/seed42/predictions.parquet"
    )
    assert list(predictions.columns) == ["image_id", "label", "logits"]
    hits = predictions["logits"].map(lambda logits: logits.argmax()) == predictions["label"]
    row = evaluation.query(
        "train_set == 'longtailed' and loss == 'softmax' and test_set == 'balanced' and metric == 'acc1'"
    ).iloc[0]
    assert row["value"] == pytest.approx(hits.mean())
    assert row["n"] == len(predictions) == 400
    assert len(loaded.history.query("loss == 'ldam'")) == 2


def test_watching_shows_what_the_finished_runs_gave(finished):
    done = module(finished, "longtail.watch", "--once")
    assert "2 runs: 2 finished" in done.splitlines()[-1]
    record = load_results(finished.folder / "results").history
    for one in statuses(finished.folder / "results"):
        history = record[record["loss"] == one.run.split("/")[2]]
        assert one.epoch == one.epochs == 2
        assert one.accuracy == history["val_acc1"].max()
        assert f"{one.run}: finished, epoch 2/2, val top-1 {one.accuracy:.1%}" in done


def test_a_plan_counts_the_jobs_of_the_dry_run_and_the_hours_of_measured_runs(finished):
    assert "0 jobs would run, 0 of them training (the grid has 2 runs)" in module(finished, "longtail.plan")
    both = "grid={train_sets: [balanced, longtailed]}"
    train = "train={epochs: 2000, schedule: multistep, milestones: [1999, 2000]}"
    options = ("--config", "seeds=[42,1]", train, both)
    plan, expected = module(finished, "longtail.plan", *options), finished.planned(*options)
    # `planned` leaves the page of the results out, which every other job makes anew.
    assert f"{len(expected) + 1} jobs would run, 8 of them training (the grid has 8 runs)" in plan
    assert "train 8, predict 8" in plan
    row = next(line for line in plan.splitlines() if line.split()[:1] == ["resnet8"])
    assert "The speed of resnet8 at 8 px is measured: 2 runs on" in plan
    page = plan[plan.index("jobs would run") :].splitlines()
    assert max(map(len, page)) <= 80
    why = page[page.index("Why:") : page.index(next(line for line in page if "training  " in line))]
    assert "  train.epochs 2 -> 2000" in why and any(
        "2 runs: longtailed/resnet8/ldam/seed42" in one for one in why
    )
    assert "  train.schedule step -> multistep" in why and "  not made yet" in why
    assert re.search(r"The other \d+ jobs take .+ All of it takes", " ".join(page))
    split = read_parquet(finished.folder / "results/data/split.parquet")
    train = split[split["subset"] == "train"]
    assert f"{4 * 2000 * (len(train) + train['longtailed'].sum()):,}" in row
    assert row.split()[2] == "8"
    told = "Note: train.milestones: the learning rate never steps after epoch "
    assert plan.count(told) == plan.count(f"{told}2000,") == 1


def test_no_output_holds_a_path_of_this_machine(finished):
    place = str(finished.folder).encode()
    for path in (finished.folder / "results").rglob("*"):
        if path.is_file() and "logs" not in path.parts:
            assert place not in path.read_bytes(), path


def test_folders_are_where_the_configuration_says_and_shared_data_are_used_as_they_are(tmp_path):
    workspace = Workspace.create(tmp_path / "clone of one of several users")
    data, results = tmp_path / "shared", tmp_path / "scratch/results"
    data.mkdir()
    archive = data / "cifar-100-python.tar.gz"
    archive.write_bytes(b"fetched by someone else, with a Snakemake of his own")
    archive.chmod(0o444)
    data.chmod(0o555)
    paths = f"paths={{data: {data}, results: {results}, work: {tmp_path / 'scratch/work'}}}"
    few = "grid={models: [resnet50], losses: [softmax, focal]}"
    text = workspace.plan("--printshellcmds", "--config", paths, few)
    planned = jobs(text)
    assert "images" in planned
    assert "download" not in planned
    outputs = re.findall(r"^ +(?:output|log): (.+)$", text, re.MULTILINE)
    assert len(outputs) > 80
    assert all(
        file.startswith(f"{results}/")
        for line in outputs
        for file in line.removesuffix(" (check log file(s) for error details)").split(", ")
    )
    assert f"--work {tmp_path}/scratch/work/" in text


def test_a_config_that_is_wrong_ends_before_any_job(finished):
    code, told = warm.plan(finished.folder, "--config", "sedes=[1]")
    assert code == 1
    assert "sedes is not known; did you mean 'seeds'?" in told
    assert "Traceback" not in told
