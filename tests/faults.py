"""Every program of the workflow on a disk that fails at its n-th write, for every n until the program gets through.

    python tests/faults.py            every write, once and lasting, four errors in turn
    python tests/faults.py --short    a write of most programs, in seconds

Checked after each failure: the error names path and cause; every output is the old one or the new one, whole; nothing
else is left; and after room was made, the same command gives the bytes that it gives on a disk that works.
"""

import argparse
import contextlib
import importlib.util
import io
import json
import os
import runpy
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import types
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(Path(__file__).parent), str(ROOT / "workflow/scripts")]

from failing_disk import ERRORS, FailingDisk  # noqa: E402

from longtail.report.catalogue import STATISTICS  # noqa: E402

RECIPE = {
    "epochs": 2,
    "batch_size": 64,
    "image_size": 8,
    "padding": 1,
    "flip": False,
    "mean": [0.3, 0.3, 0.3],
    "std": [0.4, 0.4, 0.4],
    "learning_rate": 0.003,
    "schedule": "constant",
    "precision": "fp32",
}
SETTINGS = {
    "architecture": "resnet8",
    "head": "linear",
    "loss": "softmax",
    "loss_parameters": {},
    "recipe": RECIPE,
}
WEIGHTS_OF = "torchvision/shufflenet_v2_x0_5"
OLD = b"what was here before"
LONG = (
    "check_data",
    "adjust",
    "figure run_cost",
    "statistical_analysis",
    "summary",
    "tables run",
    "fetch_weights",
)
"""Left out of the short form: they take seconds each, and nothing else needs their outputs."""


@dataclass(frozen=True)
class Step:
    """One program, its command line and its files, all relative to a folder."""

    name: str
    words: list[str]
    outputs: list[str]
    state: list[str] = field(
        default_factory=list
    )  # folders that a run that failed may leave for the next one

    @property
    def script(self) -> str:
        return str(ROOT / "workflow/scripts" / f"{self.name.partition(' ')[0]}.py")


def steps(url: str, sha256: str) -> list[Step]:
    """The whole pipeline on the digits, in an order in which each finds its inputs."""
    run = "runs/longtailed/resnet8/softmax/seed1"
    subsets = ("train_balanced", "train_longtailed", "val", "test_balanced")
    division = {"seed": 1, "test_fraction": 0.2, "val_fraction": 0.1, "min_test_per_class": 1}
    division |= {"small_classes": "error", "merged_name": "other", "strict": False}
    choices = {"columns": {}, "group_column": "group", "regions": "crop", "min_confidence": None}
    shape = {"resize": "stretch", "pad_with": None}
    decoding = {**choices, **shape, "size": 12, "max_side": 100, "min_side": 2, "near_duplicates": True}
    lists = {"train": "../list.txt", "val": None, "test": None, "class_names": None}
    of_folder = [
        *("--index", "index.parquet", "--findings", "findings.parquet", "--settings", json.dumps(division))
    ]
    table = [
        f"tables/{name}.{suffix}" for name in ("top1", "full") for suffix in ("csv", "md", "tex", "html")
    ]
    return [
        Step(
            "download",
            ["--url", url, "--sha256", sha256, "--output", "archive.tar.gz"],
            ["archive.tar.gz"],
            ["archive.tar.gz.*.part"],
        ),
        Step("images", ["--settings", '{"source": "digits"}', "--output", "images.pth"], ["images.pth"]),
        Step(
            "subsets",
            [
                *("--images", "images.pth", "--output", "subsets.parquet", "--settings"),
                json.dumps({"seed": 1, "train_per_class": 40, "test_per_class": 20}),
            ],
            ["subsets.parquet"],
        ),
        Step(
            "split",
            [
                *("--subsets", "subsets.parquet", "--output", "sets.parquet", "--settings"),
                json.dumps({"seed": 1, "imbalance_factor": 0.1, "test_imbalance_factor": None}),
            ],
            ["sets.parquet"],
        ),
        Step(
            "groups",
            [
                *("--sets", "sets.parquet", "--output", "split.parquet", "--settings"),
                json.dumps({"groups": "thirds", "group_limits": [100, 20]}),
            ],
            ["split.parquet"],
        ),
        *(
            Step(
                f"tensors {name}",
                [
                    *("--images", "images.pth", "--split", "sets.parquet"),
                    *("--subset", name, "--output", f"{name}.pth"),
                ],
                [f"{name}.pth"],
            )
            for name in subsets
        ),
        Step(
            "folder_images",
            [
                *("--source", "../photos", "--settings", json.dumps(decoding)),
                *("--output-images", "photos/images.pth", "--output-index", "index.parquet"),
                *("--output-findings", "findings.parquet"),
            ],
            ["photos/images.pth", "index.parquet", "findings.parquet"],
            ["photos/(temporary file)*"],
        ),
        Step(
            "metadata",
            ["--source", "../photos", "--settings", json.dumps(choices), "--output", "metadata.parquet"],
            ["metadata.parquet"],
        ),
        Step("folder_split", [*of_folder, "--output", "photos.parquet"], ["photos.parquet"]),
        Step(
            "check_data",
            [
                *(
                    "--images",
                    "photos/images.pth",
                    *of_folder,
                    "--output-csv",
                    "check.csv",
                    "--output-markdown",
                    "check.md",
                ),
                *("--output-html", "check.html", "--output-text", "check.txt"),
            ],
            ["check.csv", "check.md", "check.html", "check.txt"],
        ),
        Step(
            "list_split",
            ["--settings", json.dumps(lists), "--output", "list.parquet"],
            ["list.parquet"],
        ),
        Step(
            "fetch_weights",
            [
                *("--settings", json.dumps({"model": WEIGHTS_OF, "weights": "../published.pth"})),
                *("--output", "weights.safetensors"),
            ],
            ["weights.safetensors"],
        ),
        Step(
            "train",
            [
                *("--train-tensors", "train_longtailed.pth", "--val-tensors", "val.pth", "--seed", "1"),
                *("--settings", json.dumps(SETTINGS), "--work", "work"),
                *("--output-model", f"{run}/model.safetensors"),
                *("--output-history", f"{run}/history.parquet", "--output-record", f"{run}/run.json"),
            ],
            [f"{run}/model.safetensors", f"{run}/history.parquet", f"{run}/run.json"],
            ["work"],
        ),
        Step(
            "adjust",
            [
                *("--model", f"{run}/model.safetensors", "--settings", '{"adjust": "la", "tau": 1}'),
                *("--output", "adjusted.safetensors"),
            ],
            ["adjusted.safetensors"],
        ),
        Step(
            "predict",
            [
                *("--model", f"{run}/model.safetensors", "--tensors", "test_balanced.pth"),
                *("--output", f"{run}/predictions.parquet"),
            ],
            [f"{run}/predictions.parquet"],
        ),
        Step(
            "run_list",
            [
                "--settings",
                '{"train_sets": ["longtailed"], "models": ["resnet8"], "losses": ["softmax"], "seeds": [1]}',
                *("--output", "folders.txt"),
            ],
            ["folders.txt"],
        ),
        Step(
            "evaluation",
            [
                *(run, "--split", "split.parquet"),
                *("--settings", '{"softmax": {"loss": "softmax", "loss_parameters": {}}}'),
                *("--output", "evaluation.parquet", "--output-per-class", "per_class.parquet"),
            ],
            ["evaluation.parquet", "per_class.parquet"],
        ),
        Step(
            "tables run",
            [
                *("top1", "full", "--train-set", "longtailed", "--model", "resnet8"),
                *("--evaluation", "evaluation.parquet", "--output-folder", "tables"),
            ],
            table,
        ),
        Step(
            "statistical_analysis",
            [
                *("--evaluation", "evaluation.parquet", "--runs", "runs", "--split", "split.parquet"),
                *("--settings", '{"reference": "softmax", "data_seed": 1}'),
                *("--output-folder", "statistics"),
            ],
            [f"statistics/{name}.{suffix}" for name in STATISTICS for suffix in ("csv", "md", "html")],
        ),
        Step(
            "summary",
            [
                *("--evaluation", "evaluation.parquet", "--statistics", "statistics"),
                *("--thesis", str(ROOT / "resources/thesis_results.csv")),
                *("--published", str(ROOT / "resources/published_results.csv")),
                *(
                    "--settings",
                    '{"source": "digits", "imbalance_factor": 0.1, "seed": 1, "reference": "softmax"}',
                ),
                *("--output", "summary.md", "summary.html"),
            ],
            ["summary.md", "summary.html"],
        ),
        Step(
            "figure run_cost",
            [
                *("run_cost", "--records", f"{run}/run.json"),
                *("--output", "cost.pdf", "cost.png", "--caption", "cost.txt"),
            ],
            ["cost.pdf", "cost.png", "cost.txt"],
        ),
    ]


def write_pictures(folder: Path) -> None:
    """A collection of three classes, and a file that is no image."""
    import numpy
    from PIL import Image

    pixels = numpy.random.default_rng(0).integers(0, 256, (24, 16, 16, 3), dtype=numpy.uint8)
    for number, picture in enumerate(pixels):
        path = folder / f"class {number % 3}" / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture).save(path)
    (folder / "class 0" / "note.jpg").write_text("no image")


@contextlib.contextmanager
def served(content: bytes) -> Iterator[str]:
    """The address of a server on this machine that gives `content`, or what of it is asked for."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked = self.headers.get("Range")
            start = int(asked.removeprefix("bytes=").removesuffix("-")) if asked else 0
            self.send_response(206 if asked else 200)
            self.send_header("Content-Length", str(len(content) - start))
            self.end_headers()
            self.wfile.write(content[start:])

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    os.environ["NO_PROXY"] = "127.0.0.1"
    try:
        yield f"http://127.0.0.1:{server.server_port}/archive.tar.gz"
    finally:
        server.shutdown()


def stand_in_for_sklearn() -> None:
    """Give the digits, which lie in a file of scikit-learn, without the seconds that importing it takes."""
    import numpy

    (package,) = importlib.util.find_spec("sklearn").submodule_search_locations
    table = numpy.loadtxt(Path(package) / "datasets/data/digits.csv.gz", delimiter=",")
    digits = types.SimpleNamespace(
        images=table[:, :-1].reshape(-1, 8, 8), target=table[:, -1].astype(int), target_names=range(10)
    )
    sys.modules["sklearn.datasets"] = types.ModuleType("sklearn.datasets")
    sys.modules["sklearn.datasets"].load_digits = lambda: digits


def run(step: Step, folder: Path) -> tuple[int, str]:
    """The program's exit code and all that it said, having run in this process and in that folder."""
    said = io.StringIO()
    before = sys.argv, list(sys.path), Path.cwd()
    sys.argv = [step.script, *step.words]
    os.chdir(folder)
    try:
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
            runpy.run_path(step.script, run_name="__main__")
        code: int | str | None = 0
    except SystemExit as end:
        code = end.code
    finally:
        sys.argv, sys.path[:] = before[:2]
        os.chdir(before[2])
    text = said.getvalue()
    return (1, text + code) if isinstance(code, str) else (code or 0, text)


def visible(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def same(name: str, found: bytes, expected: bytes) -> bool:
    if not name.endswith("run.json"):
        return found == expected
    # It says how long it took.
    from longtail.training.recipe import Recipe

    records = [json.loads(content) for content in (found, expected)]
    whole = {**SETTINGS, "recipe": Recipe.from_settings(SETTINGS["recipe"]).settings()}
    return all(record["settings"] == whole for record in records) and len(records[0]["epochs"]) == 2


class Trial:
    """One program, once on a disk that works and then on a failing one, again and again.

    Attributes:
        calls: how often the program writes.
        new: the bytes of its outputs.
    """

    def __init__(self, step: Step, folder: Path, disk: FailingDisk):
        self.step, self.folder, self.disk = step, folder, disk
        self.prepare()
        disk.arm(0, 0, lasting=False)
        code, text = run(step, folder)
        self.calls, _ = disk.disarm()
        assert code == 0, f"{step.name} on a disk that works: {text}"
        self.new = {name: (folder / name).read_bytes() for name in step.outputs}

    def prepare(self) -> None:
        """As before the command: other outputs, and no state to resume from."""
        for pattern in self.step.state:
            for path in self.folder.glob(pattern):
                shutil.rmtree(path) if path.is_dir() else path.unlink()
        for name in self.step.outputs:
            (self.folder / name).parent.mkdir(parents=True, exist_ok=True)
            (self.folder / name).write_bytes(OLD)

    def fail_at(self, at: int, error: str, *, lasting: bool) -> bool:
        """Whether it came to that write. How a server's answer is cut into writes differs from time to time."""
        where = f"{self.step.name}, {error} at write {at}{' and after' if lasting else ''}"
        self.prepare()
        before = visible(self.folder)
        self.disk.arm(at, ERRORS[error], lasting=lasting)
        try:
            code, text = run(self.step, self.folder)
        except BaseException as escaped:
            self.disk.disarm()
            raise AssertionError(f"{where}: ended in a traceback, {escaped!r}") from escaped
        _, failed = self.disk.disarm()
        if not failed:
            assert code == 0, f"{where}: exit code {code} though no call failed: {text}"
            return False
        assert code == 1, f"{where}: exit code {code}: {text}"
        assert os.strerror(ERRORS[error]) in text, f"{where}: does not name the cause: {text}"
        places = [*self.step.outputs, *self.step.state]
        assert any(place.split("*")[0] in text for place in places), f"{where}: names no path: {text}"
        left = {
            name
            for name in visible(self.folder) - before
            if not any(Path(name).match(pattern) or name.startswith(pattern) for pattern in self.step.state)
        }
        assert not {name for name in left if not name.endswith(".lock")}, f"{where}: left {left}"
        for name in self.step.outputs:
            found = (self.folder / name).read_bytes()
            assert found == OLD or same(name, found, self.new[name]), f"{where}: half of {name}"
        code, text = run(self.step, self.folder)
        assert code == 0, f"{where}: does not finish with room: {text}"
        for name in self.step.outputs:
            assert same(name, (self.folder / name).read_bytes(), self.new[name]), f"{where}: another {name}"
        return True


def programs(disk: FailingDisk, place: Path, short: bool, wanted: list[str]) -> dict[str, dict[str, int]]:
    """For each program, its writes and how many failures it went through."""
    import hashlib

    import torch
    import without_compiler  # noqa: F401

    torch.set_num_threads(1)
    stand_in_for_sklearn()
    if not short:
        import torchvision

        torch.manual_seed(0)
        torch.save(torchvision.models.shufflenet_v2_x0_5().state_dict(), place / "published.pth")
    write_pictures(place / "photos")
    (place / "list.txt").write_text("".join(f"{i}.jpg {i % 3}\n" for i in range(12)))
    content = os.urandom(300_000)
    results = {}
    with served(content) as url:
        folder = place / "disk"
        folder.mkdir()
        disk.watch(folder)
        for step in steps(url, hashlib.sha256(content).hexdigest()):
            if short and step.name in LONG:
                continue
            began = time.monotonic()
            trial = Trial(step, folder, disk)
            if wanted and step.name.partition(" ")[0] not in wanted:
                continue
            failures = 0
            for at, error, lasting in moments(trial.calls, short):
                failures += trial.fail_at(at, error, lasting=lasting)
                if short and failures:
                    break
            results[step.name] = {"writes": trial.calls, "failures": failures}
            print(
                f"{step.name}: {failures} failures at {trial.calls} writes, {time.monotonic() - began:.0f} s",
                flush=True,
            )
    return results


def moments(calls: int, short: bool) -> Iterator[tuple[int, str, bool]]:
    names = list(ERRORS)
    if short:
        # All programs write by one function, so the last write of one and one in the middle of another will do. Errors
        # and kinds come in turn.
        chosen = sorted({(calls + 1) // 2, calls}, reverse=bool(calls % 2))
        yield from ((at, names[(at + calls) % 4], bool(at % 2)) for at in chosen)
        return
    for at in range(1, calls + 1):
        yield at, names[at % 4], False
        yield at, names[(at + 1) % 4], True


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--short", action="store_true", help="a failure for most programs")
    parser.add_argument("--only", nargs="+", default=[], metavar="PROGRAM", help="such as train")
    parser.add_argument("--output", type=Path, metavar="FILE", help="counts (.json)")
    parser.add_argument("--preloaded", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.preloaded is None:
        with tempfile.TemporaryDirectory() as folder:
            library, state = Path(folder) / "failing_disk.so", Path(folder) / "state"
            FailingDisk.compile(library)
            environment = FailingDisk(state).environment(library) | {"CUDA_VISIBLE_DEVICES": ""}
            words = [sys.executable, __file__, *sys.argv[1:], "--preloaded", folder]
            sys.exit(subprocess.run(words, env=environment).returncode)
    place = args.preloaded.resolve()
    disk = FailingDisk(place / "state")
    results = programs(disk, place, args.short, args.only)
    total = sum(row["failures"] for row in results.values())
    print(f"{total} failures of the disk; every one named, nothing lost", flush=True)
    if args.output:
        args.output.write_text(json.dumps(results))


if __name__ == "__main__":
    main()
