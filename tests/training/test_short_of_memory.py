"""A run that has no memory left ends with what it needed and what to change, and can go on."""

import ctypes
import resource
import threading
import time
from pathlib import Path

import pytest
from forked import CONTEXT
from test_resume import contents, finish, run_scripts

from longtail.data.tensors.files import LabelledImages, load_tensors, save_tensors

LARGER = {"epochs": 2, "image_size": 64}
MMAP_THRESHOLD = -3  # of mallopt


def run_short_of_memory(arguments: list[str], log: str, state: str) -> None:
    """Be workflow/scripts/train.py, with too little memory from when its first state is on disk."""
    # Freed tensors go back to the system, so that every batch has to ask it again.
    ctypes.CDLL(None).mallopt(MMAP_THRESHOLD, 65536)

    def limit() -> None:
        while not Path(state).exists():
            time.sleep(0.001)
        size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        less = size - 64 * 2**20  # than a batch needs, whether this is the moment between two or within one
        resource.setrlimit(resource.RLIMIT_AS, (less, less))

    threading.Thread(target=limit, daemon=True).start()
    run_scripts(arguments, log)


@pytest.fixture
def few_digits(digits, tmp_path):
    """A third of the digits, since large images take long."""
    for path in digits.glob("*.pth"):
        data = load_tensors(path)
        third = LabelledImages(data.images[::3], data.labels[::3], data.image_ids[::3], data.class_names)
        save_tensors(third, tmp_path / path.name)
    return tmp_path


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="the limit is set by what Linux tells")
def test_a_host_without_memory_ends_the_run_clearly_and_the_same_command_finishes_it(
    few_digits, train_arguments, tmp_path
):
    whole, short = tmp_path / "whole", tmp_path / "short"
    for folder in (whole, short):
        folder.mkdir()
    assert finish(train_arguments(few_digits, whole, recipe=LARGER), whole / "log") == 0

    arguments, log = train_arguments(few_digits, short, recipe=LARGER), short / "log"
    process = CONTEXT.Process(
        target=run_short_of_memory, args=(arguments, str(log), str(short / "work/current.state"))
    )
    process.start()
    process.join(120)
    told = log.read_text()
    assert process.exitcode == 1, told
    assert "Traceback" not in told
    message = told[told.index("error: ") :]
    assert "error: out of memory, " in message
    assert " MiB of the process at the peak. Either set train.micro_batch: 16 " in message
    assert message.count("\n") == 1
    assert not [path for path in short.iterdir() if path.name not in ("log", "work")]

    # The lock is free, and the epochs before are not lost.
    assert finish(arguments, log) == 0
    assert "resuming after epoch" in log.read_text()
    assert contents(short) == contents(whole)
