"""A whole small pipeline on a disk that fails at one of its writes, or at one and all that follow.

    python tests/pipeline_faults.py             40 moments, spread over all writes
    python tests/pipeline_faults.py --moments 2 a short form

Checked each time: Snakemake fails and names the cause, or a retry got through; every result that has its final name is
whole; and after room was made, the same command gives the bytes that it gives on a disk that works. The disk holds
everything that the workflow writes, Snakemake's own notes as well.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import yaml
from failing_disk import ERRORS, FailingDisk
from workspace import DIGITS, Workspace

COMMAND = ("--cores", "2", "results/evaluation.parquet", "results/tables/longtailed/resnet8/top1.csv")
CONFIG = {
    "grid": {"models": ["resnet8"], "losses": ["balanced_softmax"], "train_sets": ["longtailed"]},
    "seeds": [1],
    "models": {"resnet8": {"pretrained": False}},
    "data": DIGITS,
    "train": {"epochs": 2, "image_size": 8, "batch_size": 64, "padding": 1},
    "job": {"threads": 1},
}
KINDS = (".pth", ".parquet", ".safetensors", ".csv", ".md", ".tex", ".html")


def results(folder: Path) -> dict[str, bytes]:
    """The files under final names. run.json says how long it took, and differs each time."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in (folder / "results").rglob("*")
        if path.suffix in KINDS and not path.name.startswith(".")
    }


class Pipeline:
    """A fresh folder for each failure, on one disk."""

    def __init__(self, place: Path):
        library, state = place / "failing_disk.so", place / "state"
        FailingDisk.compile(library)
        self.disk, self.template = FailingDisk(state), Workspace.create(place / "template")
        (self.template.folder / "config/config.yaml").write_text(yaml.safe_dump(CONFIG))
        self.environment = self.disk.environment(library) | {"CUDA_VISIBLE_DEVICES": ""}
        self.folder = place / "workspace"
        self.disk.watch(self.folder)

    def fresh(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)
        self.template.copy(self.folder)

    def run(self) -> tuple[int, str]:
        words = [sys.executable, "-m", "snakemake", *COMMAND]
        done = subprocess.run(
            words, cwd=self.folder, capture_output=True, text=True, env=self.environment, timeout=600
        )
        return done.returncode, done.stdout + done.stderr

    def on_a_disk_that_works(self) -> tuple[int, dict[str, bytes]]:
        """How often it writes, and what it makes."""
        self.fresh()
        self.disk.arm(0, 0, lasting=False)
        code, text = self.run()
        calls, _ = self.disk.disarm()
        assert code == 0, text
        return calls, results(self.folder)

    def fail_at(self, at: int, error: str, lasting: bool, expected: dict[str, bytes]) -> str:
        """What became of it, in a word."""
        where = f"{error} at write {at}{' and after' if lasting else ''}"
        self.fresh()
        self.disk.arm(at, ERRORS[error], lasting=lasting)
        code, text = self.run()
        _, failed = self.disk.disarm()
        assert failed or code == 0, f"{where}: exit code {code} though no write failed: {text}"
        assert not (lasting and failed and code == 0), (
            f"{where}: all is well, it says, on a full disk: {text}"
        )
        logs = "".join(
            path.read_text(errors="replace") for path in self.folder.rglob("results/logs/**/*.log")
        )
        assert code == 0 or os.strerror(ERRORS[error]) in text + logs, f"{where}: names no cause: {text}"
        for name, content in results(self.folder).items():
            assert content == expected[name], f"{where}: {name} is not whole"
        again, text = self.run()
        assert again == 0, f"{where}: does not go on after room was made: {text}"
        found = results(self.folder)
        different = [name for name in expected if found.get(name) != expected[name]]
        assert not different and found.keys() == expected.keys(), f"{where}: other results: {different}"
        return "failed" if code else "got through by a retry" if failed else "not reached"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--moments", type=int, default=40, help="writes that fail (40)")
    parser.add_argument("--output", type=Path, metavar="FILE", help="counts (.json)")
    args = parser.parse_args()
    began, counts = time.monotonic(), Counter()
    with tempfile.TemporaryDirectory() as place:
        pipeline = Pipeline(Path(place).resolve())
        calls, expected = pipeline.on_a_disk_that_works()
        print(f"{calls} writes, {len(expected)} results", flush=True)
        for number in range(args.moments):
            at = 1 + round((number + 0.5) * calls / args.moments)
            error, lasting = list(ERRORS)[number % 4], number % 2 == 0
            outcome = pipeline.fail_at(at, error, lasting, expected)
            counts[outcome] += 1
            print(f"write {at}, {error}{' and after' if lasting else ''}: {outcome}", flush=True)
    said = ", ".join(f"{count} {outcome}" for outcome, count in counts.items())
    print(f"{said}; none lost anything, {time.monotonic() - began:.0f} s", flush=True)
    if args.output:
        args.output.write_text(json.dumps(counts))


if __name__ == "__main__":
    main()
