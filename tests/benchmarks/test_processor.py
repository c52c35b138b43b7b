"""The benchmark of a processor runs, and measures what it says."""

import json
from pathlib import Path

import pytest
import warm

ROOT = Path(__file__).resolve().parents[2]
SMALL = "--model resnet8 --size 8 --batch-size 4 --steps 1 --repeats 1"


@pytest.mark.long
def test_what_is_cheaper_on_a_processor_is_measured(tmp_path):
    output = tmp_path / "processor.json"
    program = str(ROOT / "benchmarks" / "processor.py")
    done = warm.run(ROOT, "python", program, *SMALL.split(), "--output", str(output))
    assert done.returncode == 0, done.stderr
    result = json.loads(output.read_text())
    assert len(result["rates"]) == 8
    assert all(len(values) == 1 and min(values) > 0 for values in result["rates"].values())
    # A backward pass has twice the products of a forward pass, but for the first layer, whose images need no gradient.
    assert 2.5 < result["operations"]["training"] / result["operations"]["evaluation"] < 3
    assert done.stdout.count("% of the product") == 5
