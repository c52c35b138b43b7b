"""Images per second of this engine, of a thesis-style training loop, and of the model alone.

Everything is measured in turn, several times over, in one process, in alternating order; reported are medians, and
the medians of the ratios within each repeat, so that a machine that slows down for a while slows down both sides.

  thesis       TensorDataset, torchvision transforms per image, DataLoader; eager Adam, loss and hits fetched each step
  engine       epochs of longtail.training.run.Trainer, as a training job runs them (validation is not counted)
  model alone  the engine's step, over and over on one batch that lies on the device
  loader, feed the input of the first two alone

The images are random and 32 x 32, as CIFAR's. Nothing is downloaded; weights are random.

With --in-file FOLDER something else is measured: the feed and the engine on a set of --gib that stays in a
memory-mapped file, against the same in the device's memory. Its images are of --size, and batches are drawn from
all of it. It was just written, so the system has it cached; a cold file is read at the speed of its disk.
"""

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from itertools import islice
from pathlib import Path

os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # cuBLAS is deterministic only so
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the library beside this program

import torch
import torchvision
from torch.utils.data import DataLoader, RandomSampler, TensorDataset
from torchvision.transforms import v2

from longtail.batches.feed import Feed
from longtail.batches.mixup import Targets
from longtail.batches.policies import POLICIES, Policy
from longtail.data.tensors.files import LabelledImages, load_tensors, save_tensors
from longtail.files.atomic import write_text
from longtail.machine.numerics import autocast, set_numerics
from longtail.machine.randomness import generator
from longtail.models import build_model
from longtail.training.checkpoint import StateFolder
from longtail.training.recipe import Recipe
from longtail.training.run import Trainer
from longtail.training.settings import RunSettings

CLASSES = 100
THESIS = Recipe()
INPUT_SECONDS = 0.5  # an input alone is so fast that a few steps of it would measure the clock

Batches = Iterator[tuple[torch.Tensor, torch.Tensor]]


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--model", default="mobilenetv2", help="any model of the library (default: mobilenetv2)"
    )
    parser.add_argument("--size", type=int, default=224, help="pixels, both ways (default: 224)")
    parser.add_argument(
        "--augment", choices=POLICIES, help="the engine's augmentation; the thesis's loop has none"
    )
    parser.add_argument("--batch-size", type=int, default=128, help="(default: 128)")
    parser.add_argument(
        "--device", default="cuda" if torch.cuda.is_available() else "cpu", help="cpu or cuda"
    )
    parser.add_argument(
        "--precision", default="fp32", choices=["fp32", "tf32", "bf16", "fp16"], help="(default: fp32)"
    )
    parser.add_argument(
        "--threads", type=int, default=torch.get_num_threads(), help="CPU threads to compute with"
    )
    parser.add_argument(
        "--workers", type=int, nargs="+", default=[0, 2], help="of the DataLoader (default: 0 2)"
    )
    parser.add_argument("--compile", action="store_true", help="engine and model alone: torch.compile")
    parser.add_argument("--cuda-graphs", action="store_true", help="engine and model alone: CUDA graphs")
    parser.add_argument("--nondeterministic", action="store_true", help="engine and model alone: any kernel")
    parser.add_argument("--steps", type=int, default=8, help="training steps in a measurement (default: 8)")
    parser.add_argument("--repeats", type=int, default=5, help="measurements of each (default: 5)")
    parser.add_argument(
        "--input-only", action="store_true", help="measure loader and feed alone, no training"
    )
    parser.add_argument(
        "--in-file",
        metavar="FOLDER",
        help="where a file is written, measured with and removed, as said above",
    )
    parser.add_argument("--gib", type=float, default=1.0, help="its size in GiB (default: 1)")
    parser.add_argument("--output", metavar="FILE", help="all measurements, as json")
    return parser.parse_args()


def random_set(images: int, pixels: int = 32) -> LabelledImages:
    return LabelledImages(
        images=torch.randint(
            0, 256, (images, 3, pixels, pixels), dtype=torch.uint8, generator=generator(0, "images")
        ),
        labels=torch.randint(CLASSES, (images,), generator=generator(0, "labels")),
        image_ids=torch.arange(images),
        class_names=[str(label) for label in range(CLASSES)],
    )


# --- the thesis-style loop ----------------------------------------------------------------------------------


class TransformedTensors(TensorDataset):
    """Images and labels in tensors, each image transformed when it is asked for."""

    def __init__(self, images: torch.Tensor, labels: torch.Tensor, transform: Callable):
        super().__init__(images, labels)
        self.transform = transform

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        image, label = super().__getitem__(index)
        return self.transform(image), label


def thesis_loader(data: LabelledImages, args: argparse.Namespace, workers: int) -> DataLoader:
    """Shuffled batches without an end, so that a measurement never meets a short one."""
    chain = v2.Compose(
        [
            v2.ToDtype(torch.float32, scale=True),
            v2.Resize((args.size, args.size), antialias=True),
            v2.RandomCrop(args.size, padding=THESIS.padding),
            v2.RandomHorizontalFlip(),
            v2.Normalize(THESIS.mean, THESIS.std),
        ]
    )
    dataset = TransformedTensors(data.images, data.labels, chain)
    return DataLoader(
        dataset,
        args.batch_size,
        sampler=RandomSampler(dataset, replacement=True, num_samples=2**40),
        num_workers=workers,
        pin_memory=args.device == "cuda",
    )


class ThesisLoop:
    """The training step as it is commonly written."""

    def __init__(self, args: argparse.Namespace):
        self.device, self.precision, self.steps = torch.device(args.device), args.precision, args.steps
        torch.manual_seed(0)
        self.model = (
            build_model(args.model, num_classes=CLASSES, image_size=args.size).to(self.device).train()
        )
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=1e-3, weight_decay=1e-4)
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=args.precision == "fp16")

    def train(self, batches: Batches) -> int:
        """Some steps; returns how many images they took."""
        # The engine's deterministic kernels are a choice of its own.
        set_numerics(self.precision, deterministic=False)
        running_loss, hits, seen = 0.0, 0, 0
        for images, labels in islice(batches, self.steps):
            images = images.to(self.device, non_blocking=True)
            labels = labels.to(self.device, non_blocking=True)
            self.optimizer.zero_grad()
            with autocast(self.device, self.precision):
                logits = self.model(images)
                loss = torch.nn.functional.cross_entropy(logits, labels)
            self.scaler.scale(loss).backward()
            self.scaler.step(self.optimizer)
            self.scaler.update()
            running_loss += loss.item() * len(labels)
            hits += (logits.argmax(1) == labels).sum().item()
            seen += len(labels)
        return seen


# --- the engine ---------------------------------------------------------------------------------------------


def engine_run(data: LabelledImages, args: argparse.Namespace, work: str, resident: bool = True) -> Trainer:
    recipe = Recipe(
        epochs=10**6,  # more than are measured
        batch_size=args.batch_size,
        image_size=args.size,
        augment=args.augment,
        schedule="constant",
        select="last",
        precision=args.precision,
        compile=args.compile,
        cuda_graphs=args.cuda_graphs,
        deterministic=not args.nondeterministic,
        eval_batch_size=2,
        calibrate=False,
    )
    settings = RunSettings(
        architecture=args.model, head="linear", loss="softmax", loss_parameters={}, recipe=recipe, seed=0
    )
    device, states = torch.device(args.device), StateFolder(work)
    return Trainer(settings, data, random_set(2), device=device, states=states, resident=resident)


# --- measuring: each function returns images per second ------------------------------------------------------


def rate(device: str, work: Callable[[], int], seconds: float = 0.0) -> float:
    """Images per second of `work`, which returns how many it has done and is repeated for at least `seconds`."""
    images, started = 0, time.perf_counter()
    while True:
        images += work()
        if device == "cuda":
            torch.cuda.synchronize()
        elapsed = time.perf_counter() - started
        if elapsed >= seconds:
            return images / elapsed


def count(batches: Batches) -> int:
    return sum(len(labels) for _, labels in batches)


def loader_rate(
    device: str, loader: DataLoader, work: Callable[[Batches], int], seconds: float = 0.0
) -> float:
    """Images per second of `work` on the loader's batches; its workers start before the clock runs and end after."""
    batches = iter(loader)
    # Workers (2 batches each) and the pinning thread work ahead: what they made off the clock does not count.
    count(islice(batches, 3 * loader.num_workers))
    return rate(device, lambda: work(batches), seconds)


def one_batch(batches: Batches) -> int:
    return count(islice(batches, 1))


def feed_rate(device: str, feed: Feed, order: torch.Generator) -> float:
    return rate(device, lambda: count(feed.epoch(order)), INPUT_SECONDS)


def engine_rate(run: Trainer) -> float:
    """Images per second of the training part of one epoch, as the run itself reports it."""
    set_numerics(run.precision, deterministic=run.recipe.deterministic)
    run.train_epoch()
    run.states.wait()  # or writing the state would slow down what is measured next
    return run.progress.timing[-1]["train_images_per_second"]


def model_rate(device: str, run: Trainer, images: torch.Tensor, labels: torch.Tensor, steps: int) -> float:
    """Images per second of the engine's step on one batch."""
    set_numerics(run.precision, deterministic=run.recipe.deterministic)
    run.model.train()
    targets = Targets(labels)

    def work() -> int:
        for _ in range(steps):
            run.train_step(images, targets)
        return steps * len(labels)

    return rate(device, work)


def input_measurements(data: LabelledImages, args: argparse.Namespace) -> dict[str, Callable[[], float]]:
    measurements = {}
    for workers in args.workers:
        loader = thesis_loader(data, args, workers)
        measurements[f"loader, {workers} workers"] = partial(
            loader_rate, args.device, loader, one_batch, INPUT_SECONDS
        )
    feed = Feed(
        data.images.to(args.device),
        data.labels,
        size=args.size,
        padding=THESIS.padding,
        flip=True,
        policy=args.augment and Policy(args.augment, size=args.size),
        mean=THESIS.mean,
        std=THESIS.std,
        batch_size=args.batch_size,
        channels_last=True,
    )
    measurements["feed"] = partial(feed_rate, args.device, feed, generator(0, "order"))
    return measurements


def training_measurements(
    data: LabelledImages, args: argparse.Namespace, work: str
) -> dict[str, Callable[[], float]]:
    measurements = {}
    thesis = ThesisLoop(args)
    for workers in args.workers:
        loader = thesis_loader(data, args, workers)
        measurements[f"thesis, {workers} workers"] = partial(loader_rate, args.device, loader, thesis.train)
    run = engine_run(data, args, work)
    measurements["engine"] = partial(engine_rate, run)
    images, labels = next(run.batches.feed.in_order())
    measurements["model alone"] = partial(
        model_rate, args.device, run, images.clone(), labels.clone(), args.steps
    )
    return measurements


def drawn(run: Trainer, steps: int, order: torch.Generator) -> Batches:
    """Training batches of images from anywhere in the run's set."""
    images = torch.randint(len(run.batches.labels), (steps * run.recipe.batch_size,), generator=order)
    return run.batches.feed.epoch(order, indices=images)


def steps_rate(device: str, run: Trainer, steps: int, order: torch.Generator) -> float:
    """Images per second of training steps on such batches."""
    set_numerics(run.precision, deterministic=run.recipe.deterministic)
    run.model.train()

    def work() -> int:
        seen = 0
        for images, labels in drawn(run, steps, order):
            run.train_step(images, Targets(labels))
            seen += len(labels)
        return seen

    return rate(device, work)


def reading_measurements(args: argparse.Namespace, work: str) -> dict[str, Callable[[], float]]:
    """Feed and engine on the same images, in memory and in a file."""
    data = random_set(round(args.gib * 2**30 / (3 * args.size**2)), args.size)
    path = Path(work) / "images.pth"
    save_tensors(data, path)
    measurements = {}
    for place, images in (("memory", data), ("file", load_tensors(path, mmap=True))):
        run = engine_run(images, args, str(Path(work) / place), resident=place == "memory")
        order = generator(0, "order")
        measurements[f"feed, {place}"] = partial(
            rate,
            args.device,
            lambda run=run, order=order: count(drawn(run, args.steps, order)),
            INPUT_SECONDS,
        )
        if not args.input_only:
            measurements[f"engine, {place}"] = partial(steps_rate, args.device, run, args.steps, order)
    return measurements


def measure(measurements: dict[str, Callable[[], float]], repeats: int) -> dict[str, list[float]]:
    """Images per second of each in each repeat, after one that only warms up."""
    rates: dict[str, list[float]] = {name: [] for name in measurements}
    names = list(measurements)
    for repeat in range(repeats + 1):
        for name in names if repeat % 2 else reversed(names):
            value = measurements[name]()
            if repeat:
                rates[name].append(value)
        print(f"repeat {repeat} of {repeats}" if repeat else "warmed up", file=sys.stderr, flush=True)
    return rates


def ratios(rates: dict[str, list[float]]) -> dict[str, list[float]]:
    """The ratios that matter, one per repeat."""
    pairs = [("engine", name) for name in rates if name.startswith("thesis") or name == "model alone"]
    pairs += [("feed", name) for name in rates if name.startswith("loader")]
    pairs += [(name, f"{name[:-4]}memory") for name in rates if name.endswith(", file")]
    return {
        f"{ours} / {theirs}": [a / b for a, b in zip(rates[ours], rates[theirs], strict=True)]
        for ours, theirs in pairs
    }


def show(title: str, rows: dict[str, list[float]], digits: int) -> None:
    print(f"{title:28}{'median':>12}{'lowest':>12}{'highest':>12}")
    for name, values in rows.items():
        numbers = (statistics.median(values), min(values), max(values))
        print(f"{name:28}" + "".join(f"{number:12.{digits}f}" for number in numbers))


def machine(device: str) -> dict[str, object]:
    cuda = device == "cuda"
    return {
        "device": torch.cuda.get_device_name() if cuda else f"CPU, {torch.backends.cpu.get_cpu_capability()}",
        "cores": os.cpu_count(),
        "load_average": os.getloadavg(),  # above the cores: others were computing too
        "torch": torch.__version__,
        "torchvision": torchvision.__version__,
    }


def main() -> None:
    args = arguments()
    torch.set_num_threads(args.threads)
    with tempfile.TemporaryDirectory(dir=args.in_file) as work:
        if args.in_file:
            measurements = reading_measurements(args, work)
        else:
            data = random_set(args.steps * args.batch_size)
            measurements = input_measurements(data, args)
            if not args.input_only:
                measurements |= training_measurements(data, args, work)
        rates = measure(measurements, args.repeats)
    result = {
        "settings": {key: value for key, value in vars(args).items() if key != "output"},
        "machine": machine(args.device),
        "images_per_second": rates,
        "ratios": ratios(rates),
    }
    print(
        f"{args.model}, {args.size} px, batch {args.batch_size}, {args.precision}; {result['machine']['device']}"
    )
    show("images/s", rates, 0)
    show("ratio", result["ratios"], 3)
    if args.output:
        write_text(args.output, json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
