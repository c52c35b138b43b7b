"""Where images are kept: on the device where they fit, in their files where they do not, with the same values."""

from pathlib import Path

import pytest
import torch

from longtail.data.tensors import loading as residence
from longtail.data.tensors.files import LabelledImages, save_tensors
from longtail.data.tensors.loading import load_sets

CPU = torch.device("cpu")


@pytest.fixture
def files(tmp_path):
    """Two sets of 10 images of 3 x 16 x 16: together 15,360 bytes of images."""
    paths = []
    for number in range(2):
        images = torch.full((10, 3, 16, 16), number, dtype=torch.uint8)
        data = LabelledImages(images, torch.zeros(10, dtype=torch.int64), torch.arange(10), ["a", "b"])
        save_tensors(data, tmp_path / f"{number}.pth")
        paths.append(tmp_path / f"{number}.pth")
    return paths


def lies_in(tensor: torch.Tensor, path: Path) -> bool:
    """Whether a tensor's values are those of a mapped file."""
    for line in Path("/proc/self/maps").read_text().splitlines():
        start, _, end = line.split()[0].partition("-")
        if int(start, 16) <= tensor.data_ptr() < int(end, 16):
            return line.endswith(str(path))
    return False


@pytest.mark.parametrize(
    ("place", "free", "jobs", "expected"),
    [
        ("auto", 30_720, 1, True),
        ("auto", 30_719, 1, False),
        ("auto", 61_440, 2, True),
        ("auto", 61_439, 2, False),
        ("device", 1, 1, True),
        ("file", 10**9, 1, False),
    ],
)
def test_images_move_to_memory_where_they_take_half_of_it_at_most(
    files, monkeypatch, place, free, jobs, expected
):
    monkeypatch.setattr(residence, "free_memory", lambda device: free)
    sets, resident = load_sets(files, CPU, place, jobs)
    assert resident == expected
    for number, (path, data) in enumerate(zip(files, sets, strict=True)):
        assert (data.images == number).all()
        assert lies_in(data.images, path) != expected


def test_free_memory_is_that_of_the_machine_within_the_limits_of_its_groups(tmp_path, monkeypatch):
    machine = residence.free_memory(CPU)
    assert 2**20 < machine < 2**50
    (tmp_path / "meminfo").write_text("MemTotal: 99 kB\nMemAvailable:      40 kB\n")
    assert residence._available(tmp_path / "meminfo") == 40 * 1024
    # A group of version 2 below a limited one, and a group of version 1.
    (tmp_path / "groups").write_text("0::/slurm/job_7\n3:cpu:/x\n9:memory:/slurm/uid_1\n")
    for name, value in {
        "slurm/memory.max": "5000",
        "slurm/job_7/memory.max": "max",
        "memory/slurm/uid_1/memory.limit_in_bytes": "7000",
        "memory.max": "9000",
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(value + "\n")
    assert sorted(residence._limits(tmp_path / "groups", tmp_path)) == [5000, 7000, 9000]
    monkeypatch.setattr(residence, "_limits", lambda: [1234])
    assert residence.free_memory(CPU) == 1234


def test_where_only_the_whole_memory_is_told_that_is_taken(tmp_path):
    total = residence._available(tmp_path / "no meminfo")
    assert residence._available() <= total < 2**50


def test_a_given_place_asks_for_no_number(files, monkeypatch):
    monkeypatch.setattr(residence, "free_memory", lambda device: pytest.fail("asked"))
    assert [load_sets(files, CPU, place)[1] for place in ("device", "file")] == [True, False]


def test_without_a_number_for_the_free_memory_the_setting_is_named(tmp_path):
    (tmp_path / "meminfo").write_text("MemTotal: 99 kB\n")
    with pytest.raises(ValueError, match=r"no line MemAvailable; set job\.images: device, or file"):
        residence._available(tmp_path / "meminfo")
