"""What is shown of runs, from the files they leave. Files of real runs are watched in test_workflow.py."""

import itertools
import os
import subprocess
import sys
from datetime import timedelta

import pandas as pd
import pytest
from rich.console import Console

from longtail import watch
from longtail.experiment.lock import sign
from longtail.experiment.runs import Run
from longtail.experiment.status import Status, from_log, known_runs, seconds_left, statuses
from longtail.files.parquet import write_parquet
from longtail.files.sealed_json import seal
from longtail.machine.stopping import own_name
from longtail.watch import duration, lines, summary, table

DEVICE = "device: CPU, 2 threads\n"
EPOCHS = """epoch 1/10: train loss 2.1, top-1 0.2; validation loss 2.0, top-1 0.3000; lr 0.003; 150 images/s; 180 s left
epoch 2/10: train loss 1.1, top-1 0.5; validation loss 1.0, top-1 0.6543; lr 0.003; 160 images/s; 160 s left
"""


def test_a_running_run_shows_its_last_epoch_and_what_is_left_by_now():
    one = from_log("a", DEVICE + EPOCHS, silence=15)
    assert (one.state, one.epoch, one.epochs, one.accuracy) == ("running", 2, 10, 0.6543)
    assert one.images_per_second == 160
    assert one.seconds_left == 145
    assert one.seconds == 200  # ten epochs of 20 s


def test_between_two_validations_the_last_one_is_shown():
    third = "epoch 3/10: train loss 1.1, top-1 0.5; not validated; lr 0.003; 170 images/s; 140 s left\n"
    one = from_log("a", DEVICE + EPOCHS + third, silence=0)
    assert (one.epoch, one.accuracy, one.images_per_second) == (3, 0.6543, 170)
    assert from_log("a", DEVICE + third, silence=0).accuracy is None


@pytest.mark.parametrize(
    ("text", "silence", "state", "epoch"),
    [
        ("", 5, "starting", 0),
        (DEVICE, 600, "running", 0),
        (DEVICE + "resuming after epoch 7\n", 1, "running", 7),
        (DEVICE + EPOCHS + "stopped by SIGTERM in epoch 3; the state is saved\n", 1, "stopped", 2),
        (DEVICE + EPOCHS + "error: the loss is nan in epoch 3, step 1\n", 1, "failed", 2),
        (DEVICE + EPOCHS, 1000, "silent", 2),
        ("", 1000, "silent", 0),
    ],
)
def test_the_log_tells_the_state(text, silence, state, epoch):
    one = from_log("a", text, silence)
    assert (one.state, one.epoch) == (state, epoch)
    assert one.resumed == ("resuming" in text)


def test_a_slow_run_is_not_taken_for_dead_between_two_epochs():
    slow = EPOCHS.replace("160 s left", "8000 s left")  # 1000 s an epoch
    assert from_log("a", slow, silence=1500).state == "running"


def grid(*runs: Status) -> float | None:
    return seconds_left(runs)


def test_the_grid_takes_what_its_runs_take_at_the_present_number_at_a_time():
    done = Status("x/m/l/seed1", "finished", 10, 10, seconds=100.0, seconds_left=0.0)
    other = Status("x/n/l/seed1", "finished", 10, 10, seconds=1000.0, seconds_left=0.0)
    running = [Status(f"x/m/l/seed{i}", "running", 5, 10, seconds=100.0, seconds_left=50.0) for i in (2, 3)]
    waiting, stopped = Status("x/m/l/seed4"), Status("x/m/l/seed5", "stopped", 4, 10)
    assert grid(done, other) == 0
    assert grid(done, *running) == 50
    assert grid(done, other, waiting) == 100  # as long as its own model's
    assert grid(done, other, stopped) == pytest.approx(60)
    assert grid(done, other, *running, waiting, stopped) == pytest.approx((50 + 50 + 100 + 60) / 2)
    assert grid(done, Status("x/m/l/seed6", "failed")) == 0
    assert grid(waiting) is None
    assert "nothing trains now" in summary([done, waiting])


def test_the_runs_are_those_of_the_grid_whether_they_have_begun_or_not(tmp_path):
    names = ["balanced/a/b/seed1", "longtailed/a/b/seed1"]
    (tmp_path / "lists").mkdir()
    (tmp_path / "lists/folders.txt").write_text("".join(f"/elsewhere/runs/{name}\n" for name in names))
    (tmp_path / "logs/train/balanced/a/b").mkdir(parents=True)
    (tmp_path / "logs/train/balanced/a/b/seed1.log").write_text(DEVICE)
    assert [(one.run, one.state) for one in statuses(tmp_path)] == [
        (names[0], "running"),
        (names[1], "waiting"),
    ]
    (tmp_path / "lists/folders.txt").unlink()
    assert list(known_runs(tmp_path)) == names[:1]


def test_a_folder_without_runs_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="knows of no run yet"):
        statuses(tmp_path)


def test_the_table_fits_the_terminal_and_starts_with_what_runs():
    found = [Status(f"longtailed/resnet50/softmax/seed{i}", "finished", 9, 9) for i in range(50)]
    found.append(Status("balanced/vit_b16/ldam/seed1", "running", 3, 9, 0.5, 1234.5, 90.0, 60.0, True))
    console = Console(width=100, height=20, record=True, force_terminal=True, file=open("/dev/null", "w"))  # noqa: SIM115, PTH123
    console.print(table(found, console.height, console.width))
    shown = console.export_text().rstrip().split("\n")
    assert len(shown) <= 20
    first = next(line for line in shown if "seed" in line)
    for part in ("balanced/vit_b16/ldam/seed1", "running (resumed)", "3/9", "50.0%", "1,23", "0:01:00"):
        assert part in first
    assert any("… and" in line and "finished" in line for line in shown)
    assert "51 runs: 1 running, 50 finished; all trained in 0:01:00" in shown[-1]


@pytest.mark.parametrize("width", [80, 100])
def test_in_a_narrow_terminal_names_lose_their_middle_and_nothing_else_is_cut(width):
    names = [f"longtailed/vit_base_patch16_224/class_balanced_sampler/seed{i}" for i in (1, 23)]
    found = [Status(name, "running", 31, 200, 0.5, 1234.5, 90.0, 3660.0, True) for name in names]
    console = Console(width=width, height=20, record=True, force_terminal=True, file=open("/dev/null", "w"))  # noqa: SIM115, PTH123
    console.print(table(found, console.height, console.width))
    shown = console.export_text().rstrip().split("\n")
    for heading in watch.COLUMNS:
        assert heading in "\n".join(shown)
    for name, line in zip(names, [line for line in shown if "1:01:00" in line], strict=False):
        begin, _, end = line.split()[0].partition("…")
        assert begin and name.startswith(begin) and name.endswith(end) and end.endswith(name[-4:])
        assert line.split()[1:] == ["running", "(resumed)", "31/200", "50.0%", "1,234", "1:01:00"]


def test_the_runs_of_the_snakemake_that_works_are_followed_and_not_an_older_list(tmp_path):
    (tmp_path / "lists").mkdir()
    (tmp_path / "lists/folders.txt").write_text("runs/balanced/a/left/seed1\nruns/balanced/a/b/seed1\n")
    assert list(known_runs(tmp_path)) == ["balanced/a/left/seed1", "balanced/a/b/seed1"]
    runs = [Run("a", "b", "balanced", 1), Run("a", "new", "balanced", 1)]
    sign(tmp_path, runs)
    assert list(known_runs(tmp_path)) == ["balanced/a/b/seed1", "balanced/a/new/seed1"]


def test_a_run_that_is_trained_again_waits_until_it_begins(tmp_path):
    run = Run("a", "b", "balanced", 1)
    record, log = tmp_path / "runs" / str(run) / "run.json", tmp_path / "logs/train" / f"{run}.log"
    finished(tmp_path, str(run), seal(RECORD))
    log.parent.mkdir(parents=True, exist_ok=True)
    log.write_text(DEVICE + EPOCHS)
    before = record.stat().st_mtime_ns
    os.utime(log, ns=(before, before))
    sign(tmp_path, [run])
    assert [one.state for one in statuses(tmp_path)] == ["finished"]
    sign(tmp_path, [run], anew=[run])
    assert [one.state for one in statuses(tmp_path)] == ["waiting"]
    log.write_text(DEVICE + EPOCHS)
    os.utime(log)
    assert [(one.state, one.epoch) for one in statuses(tmp_path)] == [("running", 2)]
    os.utime(record)
    assert [one.state for one in statuses(tmp_path)] == ["finished"]


def test_lines_are_told_once_for_each_change(tmp_path, capsys, monkeypatch):
    (tmp_path / "lists").mkdir()
    (tmp_path / "lists/folders.txt").write_text("runs/balanced/a/b/seed1\n")
    log = tmp_path / "logs/train/balanced/a/b/seed1.log"
    log.parent.mkdir(parents=True)
    steps = iter([DEVICE, DEVICE, DEVICE + EPOCHS])

    def sleep(seconds):
        text = next(steps, None)
        if text is None:
            raise KeyboardInterrupt
        log.write_text(text)

    monkeypatch.setattr(watch.time, "sleep", sleep)
    with pytest.raises(KeyboardInterrupt):
        watch.watch(tmp_path, every=1)
    told = [line for line in capsys.readouterr().out.splitlines() if line.startswith("balanced")]
    assert [line.split(": ")[1].split(",")[0] for line in told] == ["waiting", "running", "running"]
    assert "epoch 2/10" in told[-1]


def test_the_first_run_is_waited_for_and_a_file_is_no_folder_of_results(tmp_path, capsys, monkeypatch):
    results, waits = tmp_path / "results", []

    def sleep(seconds):
        waits.append(seconds)
        if len(waits) == 2:
            finished(results, "balanced/m/softmax/seed1", seal(RECORD))

    monkeypatch.setattr(watch.time, "sleep", sleep)
    assert [one.state for one in watch.watch(results, every=3)] == ["finished"]
    told = capsys.readouterr()
    assert waits == [3, 3] and told.err == f"Waiting for the first run in {results} (Ctrl-C ends this)\n"
    assert "1 run: 1 finished" in told.out
    (tmp_path / "file").touch()
    with pytest.raises(SystemExit, match="is no folder"):
        watch.main([str(tmp_path / "file")])


# -- files that this project did not write so


RECORD = {
    "best_epoch": 1,
    "seconds": 12.0,
    "peak_memory_mb": 5.0,
    "device": "A CPU",
    "epochs": [{"train_images_per_second": 100.0}],
}
ODD = [
    {},
    RECORD | {"best_epoch": 9},
    RECORD | {"best_epoch": "one"},
    RECORD | {"seconds": "twelve"},
    RECORD | {"seconds": None},
    RECORD | {"seconds": float("nan")},
    RECORD | {"seconds": float("inf")},
    RECORD | {"seconds": -1},
    RECORD | {"seconds": 10**400},
    RECORD | {"epochs": []},
    RECORD | {"epochs": 3},
    RECORD | {"epochs": ["a"]},
    RECORD | {"epochs": [{"train_images_per_second": "fast"}]},
    RECORD | {"epochs": [{"train_images_per_second": float("nan")}]},
]


def finished(results, name: str, text: str) -> None:
    folder = results / "runs" / name
    folder.mkdir(parents=True)
    (folder / "run.json").write_text(text)
    write_parquet(pd.DataFrame({"epoch": [1], "val_acc1": [0.5]}), folder / "history.parquet")


@pytest.mark.parametrize("odd", [*map(seal, ODD), "[]", "", "[" * 100_000])
def test_an_odd_record_ends_no_watching_and_its_run_is_named(tmp_path, odd, capsys, monkeypatch):
    finished(tmp_path, "balanced/m/softmax/seed1", odd)
    finished(tmp_path, "balanced/m/softmax/seed2", seal(RECORD))
    monkeypatch.setattr(sys, "argv", ["watch", str(tmp_path), "--once"])
    watch.main()
    first, second, last = capsys.readouterr().out.splitlines()
    assert first.startswith("balanced/m/softmax/seed1: unreadable (")
    assert second.startswith("balanced/m/softmax/seed2: finished, epoch 1/1, val top-1 50.0%")
    assert last == "2 runs: 1 unreadable, 1 finished"
    assert "unreadable" in shown(statuses(tmp_path))


def test_an_odd_log_ends_no_watching(tmp_path):
    for seed, left in enumerate(("1" * 400, "1" * 30, "0")):
        log = tmp_path / f"logs/train/balanced/m/softmax/seed{seed}.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        log.write_text(
            EPOCHS.replace("160 s left", f"{left} s left").replace("10:", f"{'9' * (5000 - 4999 * seed)}:")
        )
    found = statuses(tmp_path)
    assert len(lines(found)) == 3
    assert summary(found).startswith("3 runs: ")
    assert "seed2" in shown(found)
    assert duration(float("nan")) == duration(1e300) == "unknown time"
    assert duration(90) == str(timedelta(seconds=90))


def test_no_terminal_obeys_the_name_of_a_run():
    one = Status("balanced/m\x1b[31m/[red]l/seed1", "unreadable", reason="\x1b]0;PWN\x07")
    for text in ("\n".join(lines([one])), shown([one])):
        assert "\x1b" not in text
        assert "\x07" not in text
        assert r"m\x1b[31m/[red]l/seed1" in text


def shown(found) -> str:
    console = Console(width=200, color_system=None)
    with console.capture() as capture:
        console.print(table(found, 40, console.width))
    return capture.get()


def test_the_demo_without_results_says_so(tmp_path, capsys, monkeypatch):
    from longtail.commands import demo

    for content, told in (
        (None, "evaluation.parquet does not exist; make it"),
        ("nothing", "cannot be read as parquet"),
        (pd.DataFrame({"loss": ["softmax"]}), "lacks the columns"),
        (
            pd.DataFrame(
                {
                    **{"model": ["m"], "loss": "a", "train_set": "balanced", "seed": 1},
                    **{"test_set": "balanced", "metric": "f1", "value": 1.0, "n": 9},
                }
            ),
            "holds no accuracy",
        ),
    ):
        if isinstance(content, str):
            (tmp_path / "evaluation.parquet").write_text(content)
        elif content is not None:
            write_parquet(content, tmp_path / "evaluation.parquet")
        with pytest.raises(SystemExit, match=f"error: .*{told}"):
            demo.main([str(tmp_path)])


@pytest.mark.parametrize("every", ["nan", "-1", "0", "inf", "1e12"])
def test_a_time_that_no_clock_waits_is_refused(every, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["watch", "--every", every])
    with pytest.raises(SystemExit, match="2"):
        watch.main()
    assert f"found {every}, allowed: more than 0" in capsys.readouterr().err


# -- the end of a workflow


SIGNER = """
import sys
from pathlib import Path
from longtail.experiment.lock import sign
from longtail.experiment.runs import Run
sign(Path(sys.argv[1]), [])
print("signed", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def workflow(tmp_path, repository):
    """A process that works on the results in `tmp_path`, until its standard input is closed."""
    with subprocess.Popen(
        [sys.executable, "-c", SIGNER, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=repository,
    ) as process:
        assert process.stdout.readline() == b"signed\n"
        yield process


def looks(monkeypatch, results, at_look=lambda number: None, patience=0.0):
    """Watch the results, without waiting, and return what it ends with; None: it would go on."""
    numbers = itertools.count()

    def sleep(seconds):
        at_look(number := next(numbers))
        if number == 6:
            raise KeyboardInterrupt

    monkeypatch.setattr(watch.time, "sleep", sleep)
    monkeypatch.setattr(watch, "PATIENCE", patience)
    monkeypatch.setattr(sys, "argv", ["watch", str(results), "--every", "1"])
    with pytest.raises(SystemExit) as caught:
        watch.main()
    return None if caught.value.code == 130 else caught.value.code


def grid_of(results, **logs):
    """A grid of one finished run, one that waits, and those of these logs."""
    finished(results, "balanced/m/softmax/seed1", seal(RECORD))
    names = ["seed1", "seed2", *logs]
    (results / "lists").mkdir()
    (results / "lists/folders.txt").write_text("".join(f"runs/balanced/m/softmax/{name}\n" for name in names))
    for name, text in logs.items():
        log = results / f"logs/train/balanced/m/softmax/{name}.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        log.write_text(DEVICE + text)


FAILED = EPOCHS + "error: the loss is nan in epoch 3, step 1\n"
BEFORE_AN_EPOCH = "stopped by SIGTERM\n"


def test_watching_ends_after_a_workflow_that_has_not_finished_all_and_names_them(
    tmp_path, workflow, monkeypatch
):
    grid_of(tmp_path, seed3=FAILED, seed4=BEFORE_AN_EPOCH)
    assert looks(monkeypatch, tmp_path) is None  # the workflow may try them again

    def end(number):
        if number == 2:
            workflow.communicate()

    assert looks(monkeypatch, tmp_path, end) == (
        "error: the workflow has ended without these runs: failed: balanced/m/softmax/seed3; "
        "stopped: balanced/m/softmax/seed4; waiting: balanced/m/softmax/seed2"
    )
    monkeypatch.setattr(watch, "MOST_NAMES", 0)
    assert "failed:  and 1 more" in watch.left(statuses(tmp_path))


def test_jobs_of_a_cluster_are_watched_on_without_their_workflow(tmp_path, workflow, monkeypatch):
    workflow.communicate()
    grid_of(tmp_path, seed3=EPOCHS)
    assert looks(monkeypatch, tmp_path) is None
    log = tmp_path / "logs/train/balanced/m/softmax/seed3.log"
    assert "failed: balanced/m/softmax/seed3" in looks(
        monkeypatch, tmp_path, lambda n: log.write_text(FAILED)
    )


@pytest.mark.parametrize("name", [None, "", "1", "1 2 3 4", "x 1 {where}", "1 2 another/machine", "\0"])
def test_where_nobody_here_knows_the_workflow_watching_goes_on(tmp_path, name, monkeypatch):
    grid_of(tmp_path, seed3=FAILED)
    if name is not None:
        (tmp_path / "logs/workflow").write_text(name.format(where=own_name().split(" ")[2]))
    assert looks(monkeypatch, tmp_path) is None


def test_a_number_that_another_process_has_now_is_no_workflow(tmp_path, monkeypatch):
    grid_of(tmp_path, seed3=FAILED)
    number, began, where = own_name().split(" ")
    (tmp_path / "logs/workflow").write_text(f"{number} {int(began) - 1} {where}")
    assert "seed3" in looks(monkeypatch, tmp_path)


def test_a_workflow_that_begins_is_waited_for_after_an_earlier_one_failed(tmp_path, workflow, monkeypatch):
    workflow.communicate()
    grid_of(tmp_path, seed3=FAILED)
    times = itertools.count(step=watch.PATIENCE / 4)
    monkeypatch.setattr(watch.time, "monotonic", lambda: next(times))

    def begin(number):
        if number == 1:
            sign(tmp_path, [])

    assert looks(monkeypatch, tmp_path, begin, watch.PATIENCE) is None
