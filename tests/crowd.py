"""Several Snakemakes started at once in one folder: each run is trained once, and all end well or say who works there.

python tests/crowd.py               two at once, then eight, a hundred times each
python tests/crowd.py --rounds 1    a short form
"""

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import yaml
from soak import configuration
from workspace import Workspace, jobs

RUN = "results/runs/longtailed/resnet8/softmax/seed0"
TARGETS = [f"{RUN}/history.parquet"]


def prepared(folder: Path) -> Workspace:
    """A workspace with everything that training needs."""
    workspace = Workspace.create(folder)
    config = configuration(2)
    config["train"]["epochs"] = 1
    (workspace.folder / "config/config.yaml").write_text(yaml.safe_dump(config))
    workspace.snakemake("results/data/train_longtailed.pth", "results/data/val.pth")
    return workspace


def crowd(workspace: Workspace, count: int) -> tuple[bytes, int]:
    """Start `count` at once; the model's bytes, and how many were turned away."""
    processes = [
        subprocess.Popen(
            [sys.executable, "-m", "snakemake", *TARGETS],
            cwd=workspace.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, "CUDA_VISIBLE_DEVICES": ""},
        )
        for _ in range(count)
    ]
    outputs = [process.communicate()[0] for process in processes]
    away = trained = 0
    for process, output in zip(processes, outputs, strict=True):
        assert "Traceback" not in output, output
        trained += sum(job.startswith("train ") for job in jobs(output)) if process.returncode == 0 else 0
        if process.returncode:
            assert "Another Snakemake (process " in output, output
            away += 1
    assert away < count, "all were turned away"
    assert trained == 1, f"trained {trained} times:\n" + "\n---\n".join(outputs)
    return (workspace.folder / RUN / "model.safetensors").read_bytes(), away


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=100, help="of each number (100)")
    parser.add_argument("--counts", type=int, nargs="+", default=[2, 8], help="how many at once (2 8)")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder).resolve()
        ready = prepared(place / "ready")
        models = set()
        for count in args.counts:
            turned_away = 0
            for number in range(args.rounds):
                model, away = crowd(ready.copy(place / f"{count} at once, {number}"), count)
                models.add(model)
                turned_away += away
            print(f"{count} at once, {args.rounds} times: {turned_away} turned away", flush=True)
        assert len(models) == 1, "different models"
        print("trained once each time, with the same bytes", flush=True)


if __name__ == "__main__":
    main()
