"""A run that is killed again and again, or that runs out of memory, ends as if nothing had happened, byte for byte."""

import ctypes
import os
import pathlib
import random
import re
import resource
import signal
import time
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import small_runs
import torch
from forked import CONTEXT, redirect
from programs import run_program
from small_runs import same_weights

from longtail.experiment.forcing import begin_anew
from longtail.files.parquet import read_parquet
from longtail.machine.stopping import RESUME
from longtail.training import epoch_log
from longtail.training.run import Trainer

OUTPUTS = ("model.safetensors", "history.parquet", "predictions.parquet")
BEGUN = "begun"


def run_scripts(arguments: list[str], log: str, crash: tuple[str, int] | None = None) -> None:
    """Be workflow/scripts/train.py and then predict.py, perhaps with a signal at the n-th call of a function."""
    redirect(log)
    if crash:
        die_at(*crash)
    print(BEGUN, flush=True)
    run_program("train", *arguments)
    model = Path(arguments[arguments.index("--output-model") + 1])
    digits = Path(arguments[arguments.index("--train-tensors") + 1]).parent
    predictions = model.with_name("predictions.parquet")
    run_program("predict", model=model, tensors=digits / "test.pth", output=predictions)


def die_at(moment: str, count: int) -> None:
    """Send this process SIGKILL at the moment of a save, or the signal of that name at a training step."""
    calls = iter(range(1, 10**9))
    fsync, replace, train_step = os.fsync, pathlib.Path.replace, Trainer.train_step
    number = getattr(signal, moment, signal.SIGKILL)

    def die() -> None:
        if next(calls) == count:
            os.kill(os.getpid(), number)

    def stepped(self: Trainer, *batch):
        die()
        return train_step(self, *batch)

    def synced(descriptor: int) -> None:
        fsync(descriptor)
        die()

    def replaced(self: Path, target: Path) -> Path:
        if moment == "before rename":
            die()
        result = replace(self, target)
        if moment == "after rename":
            die()
        return result

    if number != signal.SIGKILL:
        signal.signal(number, signal.SIG_DFL)  # what starts the tests in the background may ignore SIGINT
        Trainer.train_step = stepped
    elif moment == "after fsync":
        os.fsync = synced
    else:
        pathlib.Path.replace = replaced


def start(arguments: list[str], log: Path, crash: tuple[str, int] | None = None):
    process = CONTEXT.Process(target=run_scripts, args=(arguments, str(log), crash))
    process.start()
    return process


def finish(arguments: list[str], log: Path, crash: tuple[str, int] | None = None) -> int:
    process = start(arguments, log, crash)
    process.join(120)
    assert process.exitcode is not None, f"still running: {log.read_text()}"
    return process.exitcode


def contents(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in OUTPUTS}


def starts(log: Path) -> int:
    """How often training was begun, by the log."""
    return log.read_text().count(BEGUN) if log.exists() else 0


def wait_for_start(process, log: Path, earlier: int) -> None:
    while process.exitcode is None and starts(log) == earlier:
        time.sleep(0.002)


@pytest.fixture(scope="module")
def uninterrupted(digits, train_arguments, tmp_path_factory):
    """The outputs of a run that nothing happens to, and the seconds it trains."""
    out = tmp_path_factory.mktemp("uninterrupted")
    process = start(train_arguments(digits, out), out / "log")
    wait_for_start(process, out / "log", 0)
    began = time.monotonic()
    process.join(120)
    assert process.exitcode == 0, (out / "log").read_text()
    return contents(out), time.monotonic() - began


@pytest.mark.parametrize("kills", [3, pytest.param(100, marks=pytest.mark.long)])
def test_killed_at_random_moments(digits, train_arguments, tmp_path, uninterrupted, kills):
    expected, seconds = uninterrupted
    chance = random.Random(0)  # noqa: S311 (no secret)
    killed = finished = again = 0
    out = tmp_path / "0"
    while killed < kills or starts(out / "log"):
        out.mkdir(exist_ok=True)
        earlier = starts(out / "log")
        process = start(train_arguments(digits, out), out / "log")
        wait_for_start(process, out / "log", earlier)
        # Anywhere: stepping, validating, saving, writing the outputs, predicting. The first run to be resumed is killed
        # once more before it can be done, however few the kills. Enough kills, and it may finish.
        latest = seconds / 4 if earlier and not again else seconds
        process.join(chance.uniform(0, latest) if killed < kills else 120)
        if process.exitcode is None:
            process.kill()
            process.join()
            killed += 1
            again += earlier > 0
        else:
            assert process.exitcode == 0, (out / "log").read_text()
            assert contents(out) == expected
            finished += 1
            out = tmp_path / str(finished)
    assert killed == kills
    assert again, "no run was killed more than once"
    assert "resuming after epoch" in "".join(path.read_text() for path in tmp_path.glob("*/log"))


@pytest.mark.parametrize(
    "moment",
    [
        # What is on the disk before a file gets its name is what was there after its content was synced.
        *("after fsync", "after rename", pytest.param("before rename", marks=pytest.mark.long)),
    ],
)
def test_killed_at_every_step_of_every_save(digits, train_arguments, tmp_path, uninterrupted, moment):
    expected, _ = uninterrupted
    arguments = train_arguments(digits, tmp_path)
    for count in range(1, 100):
        code = finish(arguments, tmp_path / "log", (moment, count))
        if code == 0:
            break
        assert code == -signal.SIGKILL, (tmp_path / "log").read_text()
        # Killed at its count-th save, the next attempt starts later, so in time one gets through.
    assert code == 0
    assert count > 2, "no moment was hit"
    assert contents(tmp_path) == expected


def curves(events: Path) -> dict[str, list[tuple[int, float]]]:
    """Every curve of a folder of events, as TensorBoard reads it: its steps and its values (float32)."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    read = EventAccumulator(str(events)).Reload()
    return {name: [(e.step, e.value) for e in read.Scalars(name)] for name in read.Tags()["scalars"]}


def test_a_request_to_stop_saves_within_the_epoch_and_asks_to_be_resumed(
    digits, train_arguments, tmp_path, uninterrupted
):
    events = tmp_path / "events"
    arguments, log = [*train_arguments(digits, tmp_path), "--events", str(events)], tmp_path / "log"
    # A run has 12 steps in 3 epochs; four stops fall within it, and the last start gets through.
    for name, step in (("SIGTERM", 3), ("SIGUSR2", 3), ("SIGINT", 1), ("SIGTERM", 3)):
        assert finish(arguments, log, (name, step)) == RESUME, log.read_text()
        assert log.read_text().splitlines()[-1].startswith(f"stopped by {name} in epoch ")
    assert not [path for path in tmp_path.iterdir() if path.suffix in (".safetensors", ".parquet")]
    assert finish(arguments, log) == 0
    assert re.findall(r"resuming after epoch \d.*", log.read_text()) == [
        "resuming after epoch 0, step 3",
        "resuming after epoch 1, step 2",
        "resuming after epoch 1, step 3",
        "resuming after epoch 2, step 2",
    ]
    # Curves change no byte of a result, and a resumed run has each of its epochs in them once.
    assert contents(tmp_path) == uninterrupted[0]
    found, history = curves(events), read_parquet(tmp_path / "history.parquet").set_index("epoch")
    speeds = found.pop("images_per_second")
    assert [step for step, speed in speeds if speed > 0] == [1, 2, 3]
    assert found == {
        name: list(values.astype("float32").astype(float).items()) for name, values in history.items()
    }


def test_curves_without_tensorboard_are_refused_before_the_first_epoch(
    digits, train_arguments, tmp_path, monkeypatch
):
    monkeypatch.setattr(epoch_log, "find_spec", lambda name: None)
    with pytest.raises(SystemExit, match="need TensorBoard: pip install tensorboard"):
        run_program("train", *train_arguments(digits, tmp_path), events=tmp_path / "events")
    assert not (tmp_path / "model.safetensors").exists()


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_half_precision_resumes_within_an_epoch_with_its_scale(trained, precision):
    settings = {"recipe": {"precision": precision, "epochs": 1, "warmup_epochs": 0}}
    (whole, expected), (stopped, run) = (trained("whole", **settings), trained("stopped", 2, **settings))
    assert stopped.history == whole.history
    assert same_weights(stopped.best_weights, whole.best_weights)
    assert run.scaler.state_dict() == expected.scaler.state_dict()


def test_a_finished_run_is_taken_up_unless_it_is_forced(digits, train_arguments, tmp_path, uninterrupted):
    arguments, log = train_arguments(digits, tmp_path), tmp_path / "log"
    for begun, force in ((1, False), (1, False), (2, True)):
        if force:
            begin_anew(tmp_path / "work")
        assert finish(arguments, log) == 0
        assert log.read_text().count("epoch 1/") == begun
    assert contents(tmp_path) == uninterrupted[0]


def test_a_damaged_state_is_recognised_and_the_one_before_it_used(
    digits, train_arguments, tmp_path, uninterrupted
):
    expected, _ = uninterrupted
    arguments = train_arguments(digits, tmp_path)
    current, previous = (tmp_path / "work" / f"{name}.state" for name in ("current", "previous"))
    while not (current.exists() and previous.exists()):  # killed between two renames, there is no current one
        process = start(arguments, tmp_path / "log")
        while process.exitcode is None and not (current.exists() and previous.exists()):
            time.sleep(0.01)
        process.kill()
        process.join()
    damaged = bytearray(current.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    current.write_bytes(damaged)
    assert finish(arguments, tmp_path / "log") == 0
    assert "current.state is damaged" in (tmp_path / "log").read_text()
    assert contents(tmp_path) == expected


def test_a_second_process_says_who_trains_and_waits_for_it(digits, train_arguments, tmp_path, uninterrupted):
    expected, _ = uninterrupted
    first = start(train_arguments(digits, tmp_path), tmp_path / "first.log")
    while first.exitcode is None and not (tmp_path / "work/holder").exists():
        time.sleep(0.005)
    assert finish(train_arguments(digits, tmp_path), tmp_path / "second.log") == 0
    first.join()
    assert first.exitcode == 0
    assert f"being trained by process {first.pid}" in (tmp_path / "second.log").read_text()
    assert "epoch 1/" not in (tmp_path / "second.log").read_text(), "it was trained twice"
    assert contents(tmp_path) == expected


def test_history_holds_one_row_for_each_epoch_and_no_times(uninterrupted, tmp_path):
    path = tmp_path / "history.parquet"
    path.write_bytes(uninterrupted[0]["history.parquet"])
    rows = pq.read_table(path).to_pylist()
    assert [row["epoch"] for row in rows] == [1, 2, 3]
    assert rows[0].keys() == {"epoch", "train_loss", "train_acc1", "val_loss", "val_acc1", "learning_rate"}


def test_every_epoch_says_how_many_threads_computed_it(trained, monkeypatch):
    own = torch.get_num_threads()

    class Switching(small_runs.StopAfter):
        def __bool__(self) -> bool:
            if stops := super().__bool__():
                torch.set_num_threads(torch.get_num_threads() + 1)
            return stops

    whole, _ = trained("whole", recipe={"epochs": 2})
    assert [row["threads"] for row in whole.timing] == [own, own]
    monkeypatch.setattr(small_runs, "StopAfter", Switching)
    try:
        stopped, _ = trained("stopped", stop_after=2, recipe={"epochs": 2})
    finally:
        torch.set_num_threads(own)
    first, last = (row["threads"] for row in stopped.timing)
    assert own <= first < last


# -- no memory left


MMAP_THRESHOLD = -3  # of mallopt
SMALLEST = 65536  # bytes; the maps of a batch take more


def run_short_of_memory(arguments: list[str], log: str) -> None:
    """Be workflow/scripts/train.py, with no memory for a batch from the second epoch on."""
    # Freed tensors go back to the system, so that every batch has to ask it again.
    ctypes.CDLL(None).mallopt(MMAP_THRESHOLD, SMALLEST)
    train_step, held = Trainer.train_step, []

    def limited(self: Trainer, *batch):
        if self.progress.epoch == 1:
            self.states.wait()
            size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
            resource.setrlimit(resource.RLIMIT_AS, (size, size))
            wanted = 2**30  # bytes; what tests before left free in this process is taken as well
            while wanted >= SMALLEST:
                try:
                    held.append(torch.empty(wanted, dtype=torch.uint8))
                except RuntimeError:
                    wanted //= 2
        return train_step(self, *batch)

    Trainer.train_step = limited
    run_scripts(arguments, log)


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="the limit is set by what Linux tells")
def test_a_host_without_memory_ends_the_run_clearly_and_the_same_command_finishes_it(
    digits, train_arguments, tmp_path, uninterrupted
):
    arguments, log = train_arguments(digits, tmp_path), tmp_path / "log"
    process = CONTEXT.Process(target=run_short_of_memory, args=(arguments, str(log)))
    process.start()
    process.join(120)
    told = log.read_text()
    assert process.exitcode == 1, told
    assert "Traceback" not in told
    message = told[told.index("error: ") :]
    assert "error: out of memory, " in message
    assert " MiB of the process at the peak. Either set train.micro_batch: 16 " in message
    assert message.count("\n") == 1
    assert not [path for path in tmp_path.iterdir() if path.name not in ("log", "work")]

    # The lock is free, and the epochs before are not lost.
    assert finish(arguments, log) == 0
    assert "resuming after epoch 1" in log.read_text()
    assert contents(tmp_path) == uninterrupted[0]
