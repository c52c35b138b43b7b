"""One Snakemake at a time works in a folder, and a second start shows the finished runs with the same arguments."""

import subprocess
import sys

import pytest
from filelock import FileLock

from longtail.experiment import lock
from longtail.experiment.lock import LOCK, lock_results
from longtail.experiment.partial import partial_words


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([], ["--config", "partial=true", "--keep-going"]),
        (["all", "--cores", "2"], ["--config", "partial=true", "--keep-going", "all", "--cores", "2"]),
        (["--config", "seeds=[1]", "-n"], ["--config", "partial=true", "seeds=[1]", "-n"]),
        (["-C", "seeds=[1]"], ["--config", "partial=true", "seeds=[1]"]),
    ],
)
def test_the_second_start_adds_partial_to_the_options_that_are_there(words, expected):
    assert partial_words(words) == expected


HOLDER = """
import sys
from pathlib import Path
from longtail.experiment.lock import lock_results
lock_results(Path(sys.argv[1]))
print("held", flush=True)
sys.stdin.read()
"""


def test_a_second_process_is_told_who_works_here_until_that_one_is_killed(tmp_path, repository):
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=repository,
    ) as holder:
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(BlockingIOError, match=rf"\(process {holder.pid} on .*\) is working on"):
            lock_results(tmp_path)
        holder.kill()
    lock_results(tmp_path)


def test_a_process_that_has_not_said_its_name_yet_keeps_others_out(tmp_path, monkeypatch):
    monkeypatch.setattr(lock, "PATIENCE", 0.2)
    told = rf"Another Snakemake \(which has not said its number\) is working on the results in {tmp_path}\."
    (tmp_path / LOCK).parent.mkdir()
    with FileLock(tmp_path / LOCK), pytest.raises(BlockingIOError, match=told):
        lock_results(tmp_path)
