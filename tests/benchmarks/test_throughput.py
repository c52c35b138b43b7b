"""The speed benchmark runs, and its ratios are those of its measurements."""

import json
from pathlib import Path

import pytest
import warm

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = """
from benchmarks import throughput
throughput.INPUT_SECONDS = 0.01
throughput.main()
"""
SMALL = "--model resnet8 --size 16 --batch-size 8 --device cpu --threads 1 --steps 2 --repeats 1"


def measure(output: Path, *options: str) -> dict:
    """What the program writes, in a process of its own: it sets how PyTorch computes."""
    done = warm.run(ROOT, "python", "-c", PROGRAM, *SMALL.split(), *options, "--output", str(output))
    assert done.returncode == 0, done.stderr
    return json.loads(output.read_text())


def test_ratios_are_those_of_the_measurements(tmp_path):
    result = measure(tmp_path / "throughput.json", "--workers", "0", "1")
    rates = result["images_per_second"]
    assert all(len(values) == 1 and min(values) > 0 for values in rates.values())
    assert set(result["ratios"]) == {
        "engine / thesis, 0 workers",
        "engine / thesis, 1 workers",
        "engine / model alone",
        "feed / loader, 0 workers",
        "feed / loader, 1 workers",
    }
    for name, values in result["ratios"].items():
        ours, theirs = name.split(" / ")
        assert values == pytest.approx([a / b for a, b in zip(rates[ours], rates[theirs], strict=True)])


def test_a_file_is_compared_with_memory(tmp_path):
    result = measure(tmp_path / "reading.json", "--gib", "0.001", "--in-file", str(tmp_path))
    assert set(result["images_per_second"]) == {
        f"{what}, {place}" for what in ("feed", "engine") for place in ("memory", "file")
    }
    assert set(result["ratios"]) == {"feed, file / feed, memory", "engine, file / engine, memory"}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["reading.json"]
