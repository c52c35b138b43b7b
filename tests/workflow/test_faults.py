"""The disk fails while a program writes: the error says so, nothing is lost, and the same command goes on later.

The whole loop, every write of every program, is `make faults`.
"""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from longtail.files.atomic import atomic_path

PROGRAM = Path(__file__).parents[1] / "faults.py"


@pytest.mark.skipif(
    not sys.platform.startswith("linux") or not shutil.which("cc"), reason="needs Linux and a C compiler"
)
def test_a_disk_that_fails_is_named_and_nothing_is_lost(tmp_path):
    counts = tmp_path / "counts.json"
    command = [sys.executable, str(PROGRAM), "--short", "--output", str(counts)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(counts.read_text())
    assert {"download", "images", "subsets", "train", "predict", "evaluation"} <= found.keys()
    assert all(row["failures"] >= 1 and row["writes"] >= 5 for row in found.values()), found


@pytest.mark.long
@pytest.mark.skipif(
    not sys.platform.startswith("linux") or not shutil.which("cc"), reason="needs Linux and a C compiler"
)
def test_a_whole_pipeline_loses_nothing_to_a_disk_that_fails(tmp_path):
    counts = tmp_path / "counts.json"
    command = [sys.executable, PROGRAM.with_name("pipeline_faults.py"), "--moments", "4", "--output", counts]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(counts.read_text())
    assert sum(found.values()) == 4
    assert found["failed"] >= 2, found  # the disk that stays full


def test_an_error_without_words_of_the_system_is_passed_on(tmp_path):
    message = r"a\.bin could not be written: the camera is off"
    with pytest.raises(OSError, match=message), atomic_path(tmp_path / "a.bin") as temporary:
        temporary.write_bytes(b"half")
        raise OSError("the camera is off")
    assert list(tmp_path.iterdir()) == []
