"""What a run computes: the same bytes again, and the same thing however it is divided."""

import contextlib
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import torch
import warm
from programs import run_program
from safetensors.torch import load_file
from scipy.optimize import minimize_scalar

from longtail.analysis.calibration import expected_calibration_error
from longtail.data.tensors.files import load_tensors, save_tensors
from longtail.data.tensors.loading import load_sets
from longtail.inference.logits import predict
from longtail.losses import known_losses
from longtail.models.card import read_card
from longtail.models.file import load_model

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "workflow/scripts/train.py"
FORKING = f"""
import pickle, runpy, sys
from longtail.training import ranks

start = ranks.multiprocessing.start_processes

def forked(work, args, **options):
    # The processes that share a run are forks of this one, which has PyTorch already. What they get is pickled all the
    # same, as it is for new processes.
    work, args = pickle.loads(pickle.dumps((work, args)))
    return start(work, args, **options | {{"start_method": "fork"}})

ranks.multiprocessing.start_processes = forked
sys.path.insert(0, {str(SCRIPT.parent)!r})
runpy.run_path({str(SCRIPT)!r}, run_name="__main__")
"""
NEW = f"""
import gc, runpy, sys

gc.disable()  # it would look through all that is imported
sys.path += [{str(SCRIPT.parent)!r}, {str(ROOT / "tests")!r}]
import without_compiler
runpy.run_path({str(SCRIPT)!r}, run_name="__main__")
"""


def train(arguments: list[str]) -> tuple[int, str]:
    """The exit code of train.py with these arguments, run in this process, and all that it printed."""
    told, code = io.StringIO(), 0
    with contextlib.redirect_stdout(told), contextlib.redirect_stderr(told):
        try:
            run_program("train", *arguments)
        except SystemExit as end:
            code = 1 if isinstance(end.code, str) else end.code
            print(end.code)
    return code, told.getvalue()


def train_in_ranks(arguments: list[str], spawn: bool) -> tuple[int, str]:
    """The same of a program whose processes share the run; they are forks or, as users have them, new ones."""
    program = (str(SCRIPT),) if spawn else ("-c", FORKING)
    done = warm.run(ROOT, "python", *program, *arguments, stderr=subprocess.STDOUT)
    return done.returncode, done.stdout


@pytest.fixture(scope="module")
def run(digits, train_arguments, tmp_path_factory):
    """Train once with these changes, in a folder of its own, and give the folder back.

    With an environment it is a process of its own, as the workflow starts it, and with several GPUs several of them.
    """
    made = {}

    def trained(name: str, environment: dict[str, str] | None = None, spawn: bool = False, **changes) -> Path:
        if name not in made:
            out = tmp_path_factory.mktemp(name)
            arguments = train_arguments(digits, out, **changes)
            if environment is None:
                shared = changes.get("gpus", 1) > 1
                code, told = train_in_ranks(arguments, spawn) if shared else train(arguments)
                (out / "stdout").write_text(told)
            else:
                with (out / "stdout").open("w") as log:
                    own = {**os.environ, "CUDA_VISIBLE_DEVICES": "", **environment}
                    code = subprocess.run(
                        [sys.executable, "-c", NEW, *arguments], stdout=log, stderr=log, env=own
                    ).returncode
            assert code == 0, (out / "stdout").read_text()
            made[name] = out
        return made[name]

    return trained


def test_the_same_config_gives_the_same_bytes_whatever_the_process_and_its_cores(run):
    settings = {"threads": 2, "recipe": {"epochs": 1, "warmup_epochs": 0, "image_size": 16}}
    first, cores = run("two threads", **settings), os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(cores)})
    try:
        other = {"PYTHONHASHSEED": "7", "LC_ALL": "C", "TZ": "Asia/Tokyo"}
        again = run("two threads on one core", environment=other, **settings)
    finally:
        os.sched_setaffinity(0, cores)
    for name in ("model.safetensors", "history.parquet"):
        assert (first / name).read_bytes() == (again / name).read_bytes()
    assert json.loads((again / "run.json").read_text())["threads"] == 2


TWO_EPOCHS = {"epochs": 2}


def test_images_left_in_their_files_give_the_same_bytes(run, digits):
    resident, in_file = (run(place, images=place, recipe=TWO_EPOCHS) for place in ("device", "file"))
    chosen = run("two epochs", recipe=TWO_EPOCHS)
    for name in ("model.safetensors", "history.parquet"):
        assert (in_file / name).read_bytes() == (resident / name).read_bytes() == (chosen / name).read_bytes()
    assert "left in their files" in (in_file / "stdout").read_text()
    assert "MiB, in memory" in (resident / "stdout").read_text()
    model, card = load_model(resident / "model.safetensors", torch.device("cpu"))
    logits = []
    for place in ("device", "file"):
        (images,), stays = load_sets([digits / "test.pth"], torch.device("cpu"), place)
        assert stays == (place == "device")
        logits.append(predict(model, images, card, torch.device("cpu"), resident=stays))
    assert torch.equal(*logits)


def test_a_set_in_several_files_gives_the_same_bytes(run, digits, train_arguments, tmp_path):
    for subset in ("train", "val"):
        save_tensors(load_tensors(digits / f"{subset}.pth"), tmp_path / f"{subset}.pth", shard_bytes=4_500)
    assert len(list((tmp_path / "train.shards").iterdir())) > 4
    for place in ("device", "file"):
        out = tmp_path / place
        code, told = train(train_arguments(tmp_path, out, images=place, recipe=TWO_EPOCHS))
        assert code == 0, told
        whole = run("two epochs", recipe=TWO_EPOCHS)
        assert (out / "model.safetensors").read_bytes() == (whole / "model.safetensors").read_bytes()


def test_another_seed_gives_another_model(run):
    first, other = run("two epochs", recipe=TWO_EPOCHS), run("seed", seed=2, recipe=TWO_EPOCHS)
    assert (first / "model.safetensors").read_bytes() != (other / "model.safetensors").read_bytes()


def test_the_model_file_says_all_that_is_needed_to_use_it(run):
    path = run("first") / "model.safetensors"
    card = read_card(path)
    assert card.class_names == [str(digit) for digit in range(10)]
    assert card.class_counts == [20 - 2 * label for label in range(10)]
    assert (card.architecture, card.head, card.image_size, card.seed) == ("resnet8", "linear", 8, 1)
    assert card.recipe["learning_rate"] == 0.003
    model, _ = load_model(path)
    assert not model.training


def test_the_temperature_of_the_model_file_is_the_best_on_the_validation_set(run, digits):
    path = run("first") / "model.safetensors"
    model, card = load_model(path)
    data = load_tensors(digits / "val.pth")
    logits = predict(model, data, card, torch.device("cpu")).double()

    def nll(temperature: float) -> float:
        return float(torch.nn.functional.cross_entropy(logits / temperature, data.labels))

    def ece(temperature: float) -> float:
        best = (logits / temperature).softmax(1).max(1)
        return expected_calibration_error(best.values.numpy(), (best.indices == data.labels).numpy())

    other = minimize_scalar(nll, bounds=(0.02, 50), method="bounded", options={"xatol": 1e-8})
    assert card.temperature == pytest.approx(other.x, rel=1e-3)
    assert nll(card.temperature) <= nll(1)
    assert ece(card.temperature) <= ece(1)
    assert f"calibrated: temperature {card.temperature:.3f}" in (run("first") / "stdout").read_text()
    scores = (logits / card.temperature).logsumexp(1)
    assert (scores < card.known_from).sum() == 4, "the fifth of 100 validation images is the threshold"
    other = read_card(run("last", recipe=LAST) / "model.safetensors")
    assert (other.temperature, other.known_from) == (None, None)


def test_the_record_says_how_it_was_made(run):
    record = json.loads((run("first") / "run.json").read_text())
    assert record["packages"]["torch"]
    assert record["settings"]["recipe"]["epochs"] == len(record["epochs"]) == 3
    assert record["seconds"] > 0
    assert record["peak_memory_mb"] > 50
    assert (record["precision"], record["device_type"], record["seed"]) == ("fp32", "cpu", 1)


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_half_precision_trains_nearly_the_same_model(run, digits, precision):
    # Two epochs, since a CPU takes its time for half the precision.
    whole, half = (
        run("two epochs", recipe=TWO_EPOCHS),
        run(precision, recipe=TWO_EPOCHS | {"precision": precision}),
    )
    assert json.loads((half / "run.json").read_text())["precision"] == precision
    logits = []
    for folder in (whole, half):
        model, card = load_model(folder / "model.safetensors", torch.device("cpu"))
        assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}
        logits.append(predict(model, load_tensors(digits / "test.pth"), card, torch.device("cpu")))
    assert all(each.dtype == torch.float32 for each in logits)
    assert not torch.equal(*logits)
    assert (logits[0] - logits[1]).abs().mean() < 0.2 * logits[0].std()


def test_the_best_epoch_is_kept_the_first_of_equals(run):
    out = run("first")
    rows = pq.read_table(out / "history.parquet").to_pylist()
    best = max(rows, key=lambda row: row["val_acc1"])["epoch"]
    assert read_card(out / "model.safetensors").best_epoch == best
    assert f"kept epoch {best}:" in (out / "stdout").read_text()


def test_the_last_epoch_is_kept_on_request(run):
    assert read_card(run("last", recipe=LAST) / "model.safetensors").best_epoch == 3


def test_rarer_validations_leave_the_training_as_it_is_and_choose_among_themselves(run):
    out = run("every second", recipe={"validate_every": 2})
    every, second = (pq.read_table(folder / "history.parquet").to_pandas() for folder in (run("first"), out))
    assert second["val_acc1"].notna().tolist() == [False, True, True], "the last epoch is validated, too"
    assert second[["train_loss", "train_acc1"]].equals(every[["train_loss", "train_acc1"]])
    assert second.iloc[1:].equals(every.iloc[1:])
    card = read_card(out / "model.safetensors")
    assert card.best_epoch == second["epoch"][second["val_acc1"].idxmax()]
    log = (out / "stdout").read_text()
    assert log.count("; not validated; lr ") == 1 and log.count("; validation loss ") == 2
    assert difference(run("last", recipe=LAST), run("late", recipe=LAST | {"validate_every": 2})) == 0


LAST = {"select": "last", "calibrate": False}


# A transformer: it has no batch norm, whose statistics do depend on how a batch is divided.
BATCH_FREE = {"architecture": "timm/test_vit", "loss": "class_balanced", "loss_parameters": {"beta": 0.99}}
TWO_LARGER_BATCHES = {
    "epochs": 2,
    "image_size": 32,
    "batch_size": 64,
    "warmup_epochs": 0,
    "optimizer": "sgd",
    "learning_rate": 0.05,
}


def difference(first: Path, second: Path) -> float:
    a, b = load_file(first / "model.safetensors"), load_file(second / "model.safetensors")
    return max(float((a[name].double() - b[name].double()).abs().max()) for name in a)


def test_micro_batches_give_the_gradient_of_the_whole_batch(run):
    whole = run("whole", recipe=TWO_LARGER_BATCHES, **BATCH_FREE)
    parts = run("parts", recipe=TWO_LARGER_BATCHES | {"micro_batch": 16}, **BATCH_FREE)
    assert difference(whole, parts) < 1e-5
    assert difference(whole, run("whole seed", seed=5, recipe=TWO_LARGER_BATCHES, **BATCH_FREE)) > 1e-3


@pytest.mark.parametrize("spawn", [False, pytest.param(True, marks=pytest.mark.long)])
def test_two_ranks_train_the_same_model_as_one(run, spawn):
    whole = run("whole", recipe=TWO_LARGER_BATCHES, **BATCH_FREE)
    shared = run(f"ranks {spawn}", spawn=spawn, gpus=2, recipe=TWO_LARGER_BATCHES, **BATCH_FREE)
    assert difference(whole, shared) < 1e-5
    histories = [pq.read_table(out / "history.parquet").to_pylist() for out in (whole, shared)]
    for one, two in zip(*histories, strict=True):
        assert one == pytest.approx(two, rel=1e-3)


def test_two_ranks_tune_the_same_few_weights_from_the_same_class_means(run):
    lift = BATCH_FREE | {"loss": "logit_adjusted", "loss_parameters": {"s": 25.0}}
    lift |= {"head": "cosine", "head_init": "class_means"}
    recipe = TWO_LARGER_BATCHES | {"tune": "lora", "augment": "rand", "ema": 0.5}
    whole = run("lift", recipe=recipe, **lift)
    assert difference(whole, run("lift ranks", gpus=2, recipe=recipe, **lift)) < 1e-5
    assert difference(whole, run("random head", recipe=recipe, **lift | {"head_init": "random"})) > 1e-3


def test_deferred_reweighting_changes_nothing_before_its_epoch(run):
    softmax = {"loss": "softmax", "loss_parameters": {}}
    plain = run("plain", recipe=TWO_EPOCHS, **softmax)
    deferred = run("deferred", recipe=TWO_EPOCHS | {"drw": {"start": 0.5, "beta": 0.9}}, **softmax)
    rows = [pq.read_table(out / "history.parquet").to_pylist() for out in (plain, deferred)]
    assert rows[0][0] == rows[1][0]
    assert rows[0][1] != rows[1][1]


def test_a_loss_that_is_not_finite_ends_the_run_with_epoch_step_and_rate(digits, train_arguments, tmp_path):
    recipe = {"optimizer": "sgd", "learning_rate": 1e30, "schedule": "constant", "warmup_epochs": 0}
    code, told = train(train_arguments(digits, tmp_path, recipe=recipe))
    assert code == 1
    assert "in epoch 1, step 2 of 4, at learning rate 1e+30; lower train.learning_rate" in told
    assert "Traceback" not in told
    assert not list(tmp_path.glob("*.safetensors"))


def test_settings_that_are_unknown_are_named(digits, train_arguments, tmp_path):
    arguments = train_arguments(digits, tmp_path)
    position = arguments.index("--settings") + 1
    settings = json.loads(arguments[position])
    settings["recipe"]["epoch"] = settings["recipe"].pop("epochs")
    arguments[position] = json.dumps(settings)
    code, told = train(arguments)
    assert code == 1
    assert "recipe.epoch is not known; did you mean 'epochs'?" in told
    assert "Traceback" not in told


def test_a_damaged_model_file_is_refused_with_the_remedy(run, tmp_path):
    damaged = tmp_path / "model.safetensors"
    damaged.write_bytes((run("first") / "model.safetensors").read_bytes()[:1000])
    with pytest.raises(ValueError, match="damaged or no safetensors file"):
        load_model(damaged)


def test_an_operation_that_is_never_deterministic_is_named_with_the_setting(
    digits, train_arguments, tmp_path
):
    (tmp_path / "mine.py").write_text(
        """
from longtail.losses.softmax import Softmax


class Mine(Softmax):
    def per_sample(self, logits, labels):
        return super().per_sample(logits.clone().put_(labels[:1] * 0, logits[0, :1]), labels)
"""
    )
    loss = {"loss": {"path": str(tmp_path / "mine.py"), "name": "Mine"}, "loss_parameters": {}}
    for deterministic, code in ((True, 1), (False, 0)):
        out = tmp_path / f"deterministic {deterministic}"
        out.mkdir()
        recipe = {"epochs": 1, "warmup_epochs": 0, "deterministic": deterministic}
        found, told = train(train_arguments(digits, out, recipe=recipe, **loss))
        assert found == code, told
        message = "error: put_, an operation of the model or the loss, cannot be computed on cpu"
        assert (message in told) is deterministic
        assert "Traceback" not in told
        assert ("train.deterministic: false" in told) is deterministic


@pytest.mark.parametrize("name", ["train", "predict"])
def test_scripts_explain_themselves(name, capsys):
    run_program(name, "--help")
    assert "--output" in capsys.readouterr().out


# -- odd data and exploding losses, in this process


def train_here(folder: Path, labels: list[int], classes: int, *, val: list[int] | None = None, **recipe):
    """The progress of a run on random images with these labels."""
    import torch
    from conftest import SMALL_RECIPE

    from longtail.data.tensors.files import LabelledImages
    from longtail.losses.declarations import declaration
    from longtail.training.checkpoint import StateFolder
    from longtail.training.recipe import Recipe
    from longtail.training.run import Trainer
    from longtail.training.settings import RunSettings

    def images(labels: list[int]) -> LabelledImages:
        pixels = torch.randint(0, 256, (len(labels), 3, 8, 8), dtype=torch.uint8)
        names = [f"class {c}" for c in range(classes)]
        return LabelledImages(pixels, torch.tensor(labels), torch.arange(len(labels)), names)

    loss = recipe.pop("loss", "softmax")
    recipe = Recipe.from_settings(SMALL_RECIPE | {"epochs": 2, "batch_size": 32} | recipe)
    settings = RunSettings(
        architecture="resnet8",
        head="cosine" if loss == "ldam" else "linear",
        experts=declaration(loss).default_experts,
        loss=loss,
        loss_parameters={},
        recipe=recipe,
        seed=1,
    )
    train_set, val_set = images(labels), images(val or list(range(classes)) * 2)
    states = StateFolder(folder / "work")
    states.folder.mkdir()
    return Trainer(settings, train_set, val_set, device=torch.device("cpu"), states=states).train()


ODD_SETS = {
    "a class without images": ([0] * 5 + [1] * 3, 3, known_losses()),
    "one class": ([0] * 8, 1, ["softmax", "balanced_softmax", "ldam"]),
    "a batch of one at the end": ([0] * 17 + [1] * 16, 2, ["softmax"]),
    "one image": ([0], 2, ["softmax"]),
}
ODD = [(name, loss) for name, (*_, losses) in ODD_SETS.items() for loss in losses]


@pytest.mark.parametrize(("name", "loss"), ODD)
def test_odd_training_sets_train_to_the_end(tmp_path, name, loss):
    import math

    labels, classes, _ = ODD_SETS[name]
    progress = train_here(tmp_path, labels, classes, loss=loss)
    assert progress.finished
    assert len(progress.history) == 2
    assert all(
        math.isfinite(row["train_loss"]) and not math.isnan(row["val_loss"]) for row in progress.history
    )


def test_a_step_that_explodes_at_the_very_end_is_found_by_the_validation(tmp_path):
    from longtail.training.progress import Diverged

    explode = {
        "optimizer": "sgd",
        "learning_rate": 1e30,
        "schedule": "constant",
        "warmup_epochs": 0,
        "epochs": 1,
    }
    with pytest.raises(
        Diverged, match=r"the validation loss is nan after epoch 1, at learning rate 1e\+30; lower"
    ):
        train_here(tmp_path, [0, 1] * 8, 2, **explode)


def test_tensors_without_images_are_named(digits, train_arguments, tmp_path):
    from longtail.data.tensors.files import LabelledImages, load_tensors, save_tensors

    whole = load_tensors(digits / "val.pth")
    empty = LabelledImages(whole.images[:0], whole.labels[:0], whole.image_ids[:0], whole.class_names)
    save_tensors(empty, tmp_path / "empty.pth")
    arguments = train_arguments(digits, tmp_path)
    arguments[arguments.index("--val-tensors") + 1] = str(tmp_path / "empty.pth")
    code, told = train(arguments)
    assert code == 1
    assert "empty.pth holds no images; raise" in told
    assert "Traceback" not in told
