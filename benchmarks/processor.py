"""What makes training cheaper on a CPU, and how near it is to what the processor can do.

  training    the engine's step of ResNet-32 as it is; with the other memory layout; compiled, which fuses what lies
              between the convolutions, such as batch norm and ReLU
  evaluation  the model as it validates; compiled with its weights frozen, which folds batch norms into convolutions
              and prepacks the weights
  product     a product of two matrices of 2,048 x 2,048, the most that this processor was seen to compute

All with one thread, in turn, several times over, in images (of the product: operations) per second of processor time,
so that other work on the machine counts less. Then, by the clock, which a quiet machine has to have:

  two threads   one run
  two runs      with one thread each

Shares of the product count the operations of convolutions and products, forwards and backwards.
"""

import argparse
import json
import multiprocessing
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the library beside this program

import torch
from throughput import engine_run, machine, measure, random_set
from torch.utils.flop_counter import FlopCounterMode

from longtail.batches.mixup import Targets
from longtail.files.atomic import write_text
from longtail.machine.numerics import autocast
from longtail.training.run import Trainer

EDGE = 2048
AS_IT_IS = "as it is"


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="resnet32", help="(default: resnet32)")
    parser.add_argument("--size", type=int, default=32, help="pixels, both ways (default: 32)")
    parser.add_argument("--batch-size", type=int, default=128, help="(default: 128)")
    parser.add_argument("--precision", default="fp32", choices=["fp32", "bf16"], help="(default: fp32)")
    parser.add_argument("--steps", type=int, default=8, help="in a measurement (default: 8)")
    parser.add_argument("--repeats", type=int, default=5, help="measurements of each (default: 5)")
    parser.add_argument("--output", type=Path, metavar="FILE", help="all measurements, as json")
    args = parser.parse_args()
    args.device, args.augment, args.cuda_graphs, args.nondeterministic = "cpu", None, False, False
    return args


def of_processor_time(work: Callable[[], float]) -> float:
    """What `work` says it has done, by the second of this process's processor time."""
    started = time.process_time()
    done = work()
    return done / (time.process_time() - started)


def trainer(args: argparse.Namespace, *, compile: bool = False, other_layout: bool = False) -> Trainer:
    own = argparse.Namespace(**{**vars(args), "compile": compile})
    with tempfile.TemporaryDirectory() as work:  # no state is saved, since no epoch ends
        run = engine_run(random_set(args.steps * args.batch_size), own, work)
    if other_layout:
        run.model.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    return run


def batch(args: argparse.Namespace, layout: torch.memory_format = torch.channels_last) -> torch.Tensor:
    return torch.randn(args.batch_size, 3, args.size, args.size).to(memory_format=layout)


def steps(run: Trainer, images: torch.Tensor, count: int) -> float:
    """Train so many steps on a batch; the images of all of them."""
    run.model.train()
    targets = Targets(torch.arange(len(images)) % 100)
    for _ in range(count):
        run.train_step(images, targets)
    return count * len(images)


def answers(model: Callable[[torch.Tensor], Any], images: torch.Tensor, precision: str, count: int) -> float:
    with torch.no_grad(), autocast(images.device, precision):
        for _ in range(count):
            model(images)
    return count * len(images)


def operations(run: Trainer, images: torch.Tensor, *, training: bool) -> float:
    """Operations of the convolutions and products for one image."""
    with FlopCounterMode(display=False) as counter:
        steps(run, images, 1) if training else answers(run.model, images, "fp32", 1)
    return counter.get_total_flops() / len(images)


def product(precision: str) -> float:
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    one, other = (torch.randn(EDGE, EDGE, dtype=dtype) for _ in range(2))
    for _ in range(4):
        one @ other
    return 4 * 2 * EDGE**3


def of_one_thread(args: argparse.Namespace) -> tuple[dict[str, list[float]], dict[str, float]]:
    """Images per second of processor time, and the operations for one image."""
    torch.set_num_threads(1)
    as_it_is, other, compiled = (
        trainer(args),
        trainer(args, other_layout=True),
        trainer(args, compile=True),
    )
    images, plain = batch(args), batch(args, torch.contiguous_format)
    model = trainer(args).model.eval()  # of its own, since training changes the mode of the others
    with torch._inductor.config.patch(freezing=True):
        frozen = torch.compile(model)
        answers(frozen, images, args.precision, 2)
    work = {
        f"training, {AS_IT_IS}": partial(steps, as_it_is, images, args.steps),
        "training, other layout": partial(steps, other, plain, args.steps),
        "training, compiled": partial(steps, compiled, images, args.steps),
        f"evaluation, {AS_IT_IS}": lambda: answers(model, images, args.precision, args.steps),
        "evaluation, frozen": lambda: answers(frozen, images, args.precision, args.steps),
        "product": partial(product, args.precision),
    }
    rates = measure({name: partial(of_processor_time, each) for name, each in work.items()}, args.repeats)
    counted = {
        "training": operations(as_it_is, images, training=True),
        "evaluation": operations(as_it_is, images, training=False),
    }
    return rates, counted


def steps_of_a_process(args: argparse.Namespace, threads: int, begin: Any, results: Any) -> None:
    """Be a process that trains when all are ready, and tell how many images and by which seconds of the clock."""
    torch.set_num_threads(threads)
    run, images = trainer(args), batch(args)
    steps(run, images, 2)
    begin.wait()
    started = time.monotonic()
    done = steps(run, images, args.steps)
    results.put((done, started, time.monotonic()))


def side_by_side(args: argparse.Namespace, processes: int, threads: int) -> float:
    """Images per second of the clock of so many runs together."""
    context = multiprocessing.get_context("spawn")
    begin, results = context.Barrier(processes), context.Queue()
    workers = [
        context.Process(target=steps_of_a_process, args=(args, threads, begin, results))
        for _ in range(processes)
    ]
    for worker in workers:
        worker.start()
    found = [results.get() for _ in workers]
    for worker in workers:
        worker.join()
    return sum(done for done, *_ in found) / (max(end for *_, end in found) - min(at for _, at, _ in found))


def main() -> None:
    args = arguments()
    rates, counted = of_one_thread(args)
    together = {"one run of two threads": (1, 2), "two runs of one thread": (2, 1)}
    rates |= measure(
        {name: partial(side_by_side, args, *how) for name, how in together.items()}, args.repeats
    )
    print(f"{args.model}, {args.size} px, batch {args.batch_size}, {args.precision}; {machine('cpu')}")
    peak = statistics.median(rates["product"])
    for name, values in rates.items():
        kind = name.partition(",")[0]
        if kind in counted:
            ratio = statistics.median(
                a / b for a, b in zip(values, rates[f"{kind}, {AS_IT_IS}"], strict=True)
            )
            share = 100 * statistics.median(values) * counted[kind] / peak
            print(
                f"{name:24} {statistics.median(values):8.0f} images/s {ratio:6.2f} {share:5.0f} % of the product"
            )
        else:
            print(f"{name:24} {statistics.median(values):8.3g}")
    if args.output:
        found = {"settings": {**vars(args), "output": None}, "machine": machine("cpu"), "rates": rates}
        write_text(args.output, json.dumps({**found, "operations": counted}, indent=2) + "\n")


if __name__ == "__main__":
    main()
