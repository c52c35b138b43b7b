"""The program of the first hours with a GPU, gone through on the CPU at toy size."""

import json
from pathlib import Path

import pandas as pd
import pytest
import warm

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = ROOT / "benchmarks" / "gpu_day.py"
STARTER = f"""
import runpy, sys
sys.modules.update(dict.fromkeys(["matplotlib", "markdown_it", "seaborn", "snakemake", "statsmodels"]))  # as if absent
sys.argv[0], sys.path[0] = {str(PROGRAM)!r}, {str(PROGRAM.parent)!r}
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def start(folder: Path, part: str, *options: str) -> tuple[dict, str]:
    """What a start leaves in the record of its part, and what it printed. It has no package that it does not name."""
    words = [part, "--output", str(folder), "--toy", "--device", "cpu", *options]
    done = warm.run(ROOT, "python", "-c", STARTER, *words)
    assert done.returncode == 0, done.stderr
    return json.loads((folder / f"{part}.json").read_text()), done.stdout


def test_correctness_says_what_passes_and_what_a_cpu_cannot_show(tmp_path):
    earlier = {"loss ldam": {"passed": True, "seconds": 7.5}, "loss bcl": {"error": "the driver was lost"}}
    (tmp_path / "correctness.json").write_text(json.dumps({"items": earlier}))
    record, printed = start(tmp_path, "correctness")
    # What an earlier start finished stays as it is, and what failed in it is done again.
    assert record["items"]["loss ldam"] == earlier["loss ldam"]
    assert "loss ldam:" not in printed
    assert record["items"]["loss bcl"]["float64"] == 0
    skipped = {name for name, result in record["items"].items() if "skipped" in result}
    assert skipped == {"out of memory is explained", "CUDA graphs", "compiled"}
    passed = {name for name, result in record["items"].items() if result["passed"]}
    assert passed == set(record["items"]) - skipped
    assert record["items"]["run, plain"]["difference"] == 0  # the CPU beside itself


@pytest.mark.long
def test_published_runs_train_change_and_predict_several_at_a_time(tmp_path):
    _, printed = start(tmp_path, "published", "--losses", "softmax", "--jobs", "2", "--minutes", "0")
    assert "longtailed/resnet32/softmax/seed1" in printed.partition("left for the next start: ")[2]
    record, _ = start(tmp_path, "published", "--losses", "softmax", "--jobs", "2")
    folder = tmp_path / "published" / "longtailed" / "resnet32"
    assert {name.split("/")[3] for name in record["items"]} == {"softmax", "softmax+la", "softmax+taunorm"}
    for name, row in record["items"].items():
        predictions = pd.read_parquet(folder / name.split("/")[3] / "seed1" / "predictions.parquet")
        hits = [max(range(100), key=logits.__getitem__) for logits in predictions["logits"]]
        assert row["hits"] == (predictions["label"] == hits).sum()
    assert record["items"]["published/longtailed/resnet32/softmax/seed1"]["epochs"] == 2


@pytest.mark.long
def test_the_other_parts(tmp_path):
    record, _ = start(tmp_path, "throughput")
    assert record["items"]["resnet8"]["engine / model alone"] > 0
    record, _ = start(tmp_path, "side_by_side")
    assert all(result["images_per_second"] > 0 for result in record["items"].values())
    # A second stage trains the first one, which is not in the grid.
    record, _ = start(tmp_path, "cifar10", "--losses", "mislas", "--jobs", "2")
    names = [name.split("/")[3] for name in record["items"]]
    assert names == ["mislas_stage1", "mislas"]
    record, _ = start(tmp_path, "finetuning")
    assert set(record["items"]) == {"finetuning/longtailed/resnet8/balanced_softmax/seed1"}
    record, _ = start(tmp_path, "thesis")
    assert set(record["items"]) == {
        f"{name}/longtailed/resnet8/softmax/seed1" for name in ("thesis", "modern")
    }
    assert all(row["images"] == 200 for row in record["items"].values())
