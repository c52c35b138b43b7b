"""The first hours with a GPU: what can only be shown on one, in parts of a few minutes.

    python benchmarks/gpu_day.py correctness --output gpu-day
    python benchmarks/gpu_day.py throughput --output gpu-day
    python benchmarks/gpu_day.py side_by_side --output gpu-day
    python benchmarks/gpu_day.py published --output gpu-day --data results/cao2019/data --jobs 8
    python benchmarks/gpu_day.py cifar10 --output gpu-day --data results/cifar10-lt/data --jobs 8
    python benchmarks/gpu_day.py finetuning --output gpu-day --data results/finetuning/data --jobs 6 --weights weights
    python benchmarks/gpu_day.py thesis --output gpu-day --data results/data --jobs 3

  correctness    every CUDA path beside the CPU, and each run beside its repetition
  throughput     the four models at 224 pixels: engine, model alone, and a loop as it is commonly written
  side_by_side   how many small runs on one GPU pay
  published      the runs of config/cao2019.yaml, several at a time
  cifar10        those of config/cifar10-lt.yaml
  finetuning     those of config/finetuning.yaml
  thesis         rows of the thesis by its recipe (config/config.yaml), then by a modern one (config/modern.yaml)

A part consists of items. It writes OUTPUT/PART.json after each, and another start goes on with the items that are not
in there. It starts no item once --minutes are over; runs that train then are stopped, and continued by the next start.
`--toy` goes through a part in seconds, on tiny random images; the tests do that on a CPU.

This needs PyTorch, torchvision, timm, pandas, pyarrow, pydantic and PyYAML, no Snakemake. The sets of --data are made
where there is one:

    snakemake --configfile config/cao2019.yaml -- results/cao2019/data/train_longtailed.pth results/cao2019/data/val.pth
"""

import argparse
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # cuBLAS is deterministic only so
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the library, and the tools beside it

import torch

from longtail.config.load import load_files
from longtail.data.tensors.files import save_tensors
from longtail.experiment.jobs import Experiment
from longtail.experiment.runs import HISTORY, MODEL, PREDICTIONS, RECORD, Run
from longtail.files.atomic import write_text
from longtail.machine.stopping import RESUME
from tools.measured_results import measured

ROOT = Path(__file__).resolve().parents[1]
PROGRAMS = ROOT / "workflow" / "scripts"
Process = subprocess.Popen[bytes]


class Day:
    """One start of one part: its options, its clock, and its record."""

    def __init__(self, args: argparse.Namespace):
        self.args, self.part, self.toy = args, args.part, args.toy
        kind = args.device or ("cuda" if torch.cuda.is_available() else "cpu")
        self.device = torch.device(kind, 0) if kind == "cuda" else torch.device(kind)
        self.deadline = time.monotonic() + 60 * args.minutes
        self.path = Path(args.output) / f"{args.part}.json"
        self.record: dict[str, Any] = json.loads(self.path.read_text()) if self.path.is_file() else {}
        self.record |= {"part": args.part, "toy": args.toy, "machine": machine(self.device)}
        self.items: dict[str, Any] = self.record.setdefault("items", {})
        self.write()

    @property
    def left(self) -> float:
        """Seconds until the deadline."""
        return self.deadline - time.monotonic()

    def finished(self, name: str) -> bool:
        """Whether an earlier start, or this one, has a result of the item that is no error."""
        return name in self.items and "error" not in self.items[name]

    def write(self) -> None:
        write_text(self.path, json.dumps(self.record, indent=1) + "\n")

    def keep(self, name: str, result: Mapping[str, Any]) -> None:
        """Note the result of an item, and write the record."""
        self.items[name] = dict(result)
        self.write()
        print(f"{self.part}: {name}: {json.dumps(result)[:300]}", flush=True)

    def run(self, items: Mapping[str, Callable[[], Mapping[str, Any]]]) -> None:
        """Compute the items that are not finished. One that fails is noted with its error, and the others go on."""
        for name, work in items.items():
            if self.finished(name):
                continue
            if self.left <= 0:
                print(f"{self.part}: {name} is left for the next start", flush=True)
                continue
            started = time.perf_counter()
            try:
                result = dict(work())
            except Exception as error:
                traceback.print_exc()
                result = {"error": f"{type(error).__name__}: {error}"}
            self.keep(name, {**result, "seconds": round(time.perf_counter() - started, 2)})


def machine(device: torch.device) -> dict[str, Any]:
    import torchvision

    cuda = device.type == "cuda"
    return {
        "device": torch.cuda.get_device_name(device) if cuda else "CPU",
        "cores": os.cpu_count(),
        "torch": torch.__version__,
        "torchvision": torchvision.__version__,
        "cuda": torch.version.cuda if cuda else None,
    }


# --- correctness ----------------------------------------------------------------------------------------------


def correctness(day: Day) -> None:
    from gpu_correctness import checks

    torch.set_num_threads(1)  # the runs are so small that more threads hinder one another
    day.run(checks(day.device, toy=day.toy))
    failed = [name for name, result in day.items.items() if not result.get("passed")]
    print(f"correctness: {len(day.items) - len(failed)} of {len(day.items)} passed; not: {failed or 'none'}")


# --- throughput -----------------------------------------------------------------------------------------------

MODELS = {"mobilenetv2": 128, "resnet50": 128, "vit_b16": 128, "convnext_base": 128}
"""The thesis's models, and the images in a batch."""
THESIS_GRID_IMAGES = (45_000 + 9_764) * 90 * 7
"""The training images that one model sees in the thesis's grid: two training sets, 90 epochs, seven losses."""


def throughput(day: Day) -> None:
    models = {"resnet8": 8} if day.toy else MODELS
    day.run({name: partial(model_throughput, day, name, batch) for name, batch in models.items()})


def model_throughput(day: Day, model: str, batch: int) -> dict[str, Any]:
    """Images per second of engine, model alone and a common loop, interleaved, and the engine's peak memory."""
    import throughput as bench

    cuda = day.device.type == "cuda"
    args = argparse.Namespace(
        model=model,
        size=16 if day.toy else 224,
        batch_size=batch,
        augment=None,
        device=day.device.type,
        precision="bf16" if cuda else "fp32",
        workers=[0] if day.toy else [min(12, os.cpu_count() or 1)],
        steps=2 if day.toy else 8,
        compile=False,
        cuda_graphs=False,
        nondeterministic=False,
    )
    with tempfile.TemporaryDirectory() as work:
        data = bench.random_set(args.steps * args.batch_size)
        states = [Path(work, name) for name in ("engine", "any kernel")]
        for folder in states:
            folder.mkdir()
        measured = bench.training_measurements(data, args, str(states[0]))
        free = argparse.Namespace(**{**vars(args), "nondeterministic": True})
        run = bench.engine_run(data, free, str(states[1]))
        measured["engine, any kernel"] = partial(bench.engine_rate, run)
        rates = bench.measure(measured, 1 if day.toy else 2)
        memory = torch.cuda.max_memory_allocated() / 2**20 if cuda else None
    medians = {name: statistics.median(values) for name, values in rates.items()}
    if cuda:
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    return {
        "batch_size": batch,
        "size": args.size,
        "precision": args.precision,
        "images_per_second": rates,
        "engine / model alone": statistics.median(
            a / b for a, b in zip(rates["engine"], rates["model alone"], strict=True)
        ),
        "peak_memory_mb_of_all_three": memory,
        "hours_of_the_thesis_grid": THESIS_GRID_IMAGES / medians["engine"] / 3600,
    }


# --- how many runs side by side pay ------------------------------------------------------------------------------


def side_by_side(day: Day) -> None:
    counts = [1, 2] if day.toy else [1, 4, 8, 12]
    day.run(
        {
            f"{how}, {count}": partial(rate_side_by_side, day, count, how)
            for how in ("eager", "graphs")
            for count in counts
            if day.device.type == "cuda" or how == "eager"
        }
    )


def rate_side_by_side(day: Day, count: int, how: str) -> dict[str, Any]:
    """Images per second of several processes that train the published protocol's ResNet-32 at the same time."""
    seconds = 1 if day.toy else 6
    command = [
        sys.executable,
        __file__,
        "worker",
        "--output",
        str(day.args.output),
        "--device",
        day.device.type,
    ]
    command += ["--toy"] * day.toy + ["--graphs"] * (how == "graphs") + ["--seconds", str(seconds)]
    workers = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(count)
    ]
    started = time.perf_counter()
    for worker in workers:  # all have compiled and warmed up before any is timed
        assert worker.stdout and worker.stdout.readline() == "ready\n", "a worker failed"
    ready = time.perf_counter() - started
    rates = [json.loads(worker.communicate("go\n")[0]) for worker in workers]
    return {"images_per_second": sum(rates), "of_each": rates, "seconds_to_start": round(ready, 1)}


def worker(day: Day) -> None:
    """Train for some seconds, and print the images per second."""
    import throughput as bench

    from longtail.training.checkpoint import StateFolder
    from longtail.training.run import Trainer
    from longtail.training.settings import RunSettings

    torch.set_num_threads(1)
    experiment = published_experiment(day)
    settings = experiment.train_settings("resnet32", "softmax")
    settings["recipe"] = {**settings["recipe"], "cuda_graphs": day.args.graphs}
    data = bench.random_set(256 if day.toy else 10_847)
    with tempfile.TemporaryDirectory() as work:
        trainer = Trainer(
            RunSettings.from_settings(settings, 1),
            data,
            bench.random_set(256 if day.toy else 10_000),
            device=day.device,
            states=StateFolder(work),
        )
        trainer.train_epoch()
        print("ready", flush=True)
        sys.stdin.readline()
        started, epochs = time.perf_counter(), 0
        while time.perf_counter() - started < day.args.seconds:
            trainer.train_epoch()
            epochs += 1
        elapsed = time.perf_counter() - started
        trainer.states.wait()
    print(json.dumps(epochs * trainer.batches.images_per_epoch / elapsed), flush=True)


# --- the published protocol, and the thesis's recipe ------------------------------------------------------------------


def experiment_of(*files: str, **changes: Any) -> Experiment:
    """The experiment of configuration files, laid over the defaults as Snakemake does it."""
    return Experiment(load_files([ROOT / file for file in ("config/config.yaml", *files)], changes))


def published_experiment(day: Day, file: str = "config/cao2019.yaml") -> Experiment:
    toy = {"epochs": 2, "milestones": [1], "warmup_epochs": 0} if day.toy else {}
    train = {"cuda_graphs": day.args.graphs, "deterministic": not day.args.nondeterministic, **toy}
    losses = {"grid": {"losses": day.args.losses}} if day.args.losses else {}
    return experiment_of(
        file,
        seeds=day.args.seeds,
        train=train,
        job={"jobs_per_gpu": day.args.jobs},
        **losses,
    )


def published(day: Day) -> None:
    train_all(day, published_experiment(day), "published")


def cifar10(day: Day) -> None:
    train_all(day, published_experiment(day, "config/cifar10-lt.yaml"), "cifar10")


def finetuning(day: Day) -> None:
    toy: dict[str, Any] = {}
    if day.toy:
        toy = {"grid": {"models": ["resnet8"]}, "models": {"resnet8": {"pretrained": False}}}
        toy["train"] = {"epochs": 1, "image_size": 16, "warmup_epochs": 0}
    train_all(day, experiment_of("config/finetuning.yaml", seeds=day.args.seeds, **toy), "finetuning")


THESIS_ROWS = {"models": ["mobilenetv2", "resnet50"], "losses": ["softmax", "balanced_softmax"]}
"""The rows of the thesis that are trained first."""


def thesis(day: Day) -> None:
    toy = {"train": {"epochs": 1, "image_size": 32, "batch_size": 16, "warmup_epochs": 0}} if day.toy else {}
    given = {"models": day.args.models, "losses": day.args.losses}
    grid = {**THESIS_ROWS, **{name: own for name, own in given.items() if own}, "train_sets": ["longtailed"]}
    if day.toy:
        grid |= {"models": ["resnet8"], "losses": ["softmax"]}
    scratch = {"models": {name: {"pretrained": False} for name in grid["models"]}}
    for name in day.args.recipes:
        files = {"thesis": [], "modern": ["config/modern.yaml"]}[name]
        experiment = experiment_of(
            *files,
            seeds=day.args.seeds,
            grid=grid,
            variants=None,
            **toy,
            **({} if day.args.weights else scratch),
        )
        train_all(day, experiment, name)


def train_all(day: Day, experiment: Experiment, name: str) -> None:
    """Train, change and predict the runs of an experiment, as many at a time as --jobs says."""
    folder = Path(day.args.output) / name
    with training_sets(day) as data:
        runs = [
            run for seed in day.args.seeds for run in chosen(experiment, day.args.losses) if run.seed == seed
        ]
        waiting = [run for run in runs if not day.finished(item(name, run))]
        waiting.sort(
            key=lambda run: experiment.start(run) is None
        )  # those that start from a finished run take seconds
        running: dict[Run, tuple[Process, list[list[str]]]] = {}
        while running or waiting:
            for run in list(waiting):
                start = experiment.start(run)
                free = len(running) < day.args.jobs
                ready = start is None or day.finished(item(name, start))
                if free and ready and day.left > 0:
                    first, *rest = commands(day, experiment, run, folder, data)
                    running[run] = started(first, folder / str(run)), rest
                    waiting.remove(run)
            if not running:
                print(f"{name}: left for the next start: {', '.join(map(str, waiting))}", flush=True)
                return
            time.sleep(0.2)
            if day.left <= 0:
                for process, _ in running.values():
                    process.send_signal(signal.SIGTERM)
            for run, (process, rest) in list(running.items()):
                if day.left <= 0:
                    process.wait()
                code = process.poll()
                if code == 0 and rest and day.left > 0:
                    running[run] = started(rest[0], folder / str(run)), rest[1:]
                elif code is not None:
                    del running[run]
                    # Between two programs, a run is as one that was stopped.
                    note_run(day, item(name, run), RESUME if code == 0 and rest else code, folder / str(run))


def chosen(experiment: Experiment, losses: Sequence[str] | None) -> list[Run]:
    """The runs of the grid, or those of some losses with their variants, and the runs that these start from."""
    runs = [run for run in experiment.runs if not losses or run.loss.partition("+")[0] in losses]
    for run in runs:  # which grows meanwhile
        start = experiment.start(run)
        if start and start not in runs:
            runs.append(start)
    return runs


def item(name: str, run: Run) -> str:
    return f"{name}/{run}"


@contextmanager
def training_sets(day: Day) -> Iterator[Path]:
    """The folder of the training and the validation set; with --toy one of tiny random sets."""
    if not day.toy:
        yield Path(day.args.data)
        return
    import throughput as bench

    with tempfile.TemporaryDirectory() as folder:
        for name in ("train_longtailed", "val"):
            save_tensors(bench.random_set(200), Path(folder) / f"{name}.pth")
        yield Path(folder)


def commands(day: Day, experiment: Experiment, run: Run, folder: Path, data: Path) -> list[list[str]]:
    """The programs that the rules of the workflow start for a run, with their options."""
    own, start = folder / str(run), experiment.start(run)
    place = ["--jobs-per-gpu", str(day.args.jobs), "--threads", "1"]
    if experiment.is_variant(run):
        first = ["adjust.py", "--model", folder / str(start) / MODEL, "--output", own / MODEL]
        first += ["--settings", json.dumps(experiment.adjust_settings(run.loss))]
    else:
        first = ["train.py", "--train-tensors", data / f"train_{run.train_set}.pth", *place]
        first += ["--val-tensors", data / "val.pth", "--seed", run.seed, "--work", own / "state"]
        first += ["--settings", json.dumps(experiment.train_settings(run.model, run.loss))]
        first += [
            "--output-model",
            own / MODEL,
            "--output-history",
            own / HISTORY,
            "--output-record",
            own / RECORD,
        ]
        if start:
            first += ["--start", folder / str(start) / MODEL]
        elif experiment.config.model(run.model).pretrained:
            first += ["--weights", Path(day.args.weights, f"{run.model}.safetensors")]
    predict = [
        "predict.py",
        "--model",
        own / MODEL,
        "--tensors",
        data / "val.pth",
        "--output",
        own / PREDICTIONS,
    ]
    return [
        [sys.executable, str(PROGRAMS / name), *map(str, options)]
        for name, *options in (first, [*predict, *place])
    ]


def started(command: list[str], own: Path) -> Process:
    """A program of a run, whose output goes into the log in the run's folder."""
    own.mkdir(parents=True, exist_ok=True)
    with (own / "log").open("ab") as log:
        return subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)


def note_run(day: Day, name: str, code: int, own: Path) -> None:
    """Note what a run came to; one that was stopped is not noted, and goes on at the next start."""
    if code in (RESUME, -signal.SIGTERM):  # or it had not loaded yet
        print(f"{name}: stopped, its state is saved", flush=True)
        return
    if code:
        day.keep(name, {"error": (own / "log").read_text(errors="replace")[-2000:]})
        return
    shutil.rmtree(own / "state", ignore_errors=True)
    day.keep(name, measured(own))


PARTS: dict[str, Callable[[Day], None]] = {
    "correctness": correctness,
    "throughput": throughput,
    "side_by_side": side_by_side,
    "published": published,
    "cifar10": cifar10,
    "finetuning": finetuning,
    "thesis": thesis,
}


def arguments(given: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("part", choices=[*PARTS, "worker"], metavar="PART", help=", ".join(PARTS))
    parser.add_argument("--output", required=True, metavar="FOLDER", help="of the records and of the runs")
    parser.add_argument("--minutes", type=float, default=9.0, help="of this start (default: 9)")
    parser.add_argument("--device", choices=["cpu", "cuda"], help="by default the GPU where there is one")
    parser.add_argument(
        "--data", metavar="FOLDER", default="results/cao2019/data", help="of the training sets"
    )
    parser.add_argument("--weights", metavar="FOLDER", help="of MODEL.safetensors; without: random weights")
    parser.add_argument("--jobs", type=int, default=1, help="runs at a time (default: 1)")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1], help="(default: 1)")
    parser.add_argument(
        "--losses", nargs="+", help="of published and cifar10, by default all; of thesis, two"
    )
    parser.add_argument("--models", nargs="+", help="of thesis, by default two")
    parser.add_argument(
        "--recipes",
        nargs="+",
        choices=["thesis", "modern"],
        default=["thesis", "modern"],
        help="of thesis, in this order (default: both)",
    )
    parser.add_argument("--graphs", action="store_true", help="train.cuda_graphs: true")
    parser.add_argument("--nondeterministic", action="store_true", help="train.deterministic: false")
    parser.add_argument("--toy", action="store_true", help="tiny and random, to try the program")
    parser.add_argument("--seconds", type=float, default=6.0, help=argparse.SUPPRESS)
    return parser.parse_args(given)


def main() -> None:
    args = arguments()
    Path(args.output).mkdir(parents=True, exist_ok=True)
    day = Day(args)
    {**PARTS, "worker": worker}[args.part](day)
    sys.exit(any("error" in result for result in day.items.values()))


if __name__ == "__main__":
    main()
