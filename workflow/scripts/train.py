"""Train one model with one loss on one training set: weights, history and a record of the run.

Continues by itself where an earlier start was killed. Exit code 75 means: stopped on request, state saved,
start again with the same command.
"""

import argparse
import json
import os
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # the library beside this script
# cuBLAS is deterministic only with a workspace that is fixed before CUDA starts.
os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")

import torch

from longtail.data.tensors.loading import PLACES, load_sets
from longtail.inference.logits import logits_of
from longtail.inference.temperature import fit_temperature
from longtail.machine.devices import claim_devices
from longtail.machine.environment import environment, peak_memory_mb, write_record
from longtail.machine.memory import ran_out_of_memory, what_to_change
from longtail.machine.numerics import lacks_a_deterministic_kernel
from longtail.machine.stopping import RESUME, StopRequest, stop_with_workflow
from longtail.models.file import ModelCard, save_model
from longtail.training.checkpoint import StateFolder
from longtail.training.progress import EpochLog, write_history
from longtail.training.recipe import Recipe
from longtail.training.run import Diverged, Progress, Ranks, Run, RunSettings, Stopped


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--train-tensors", required=True, metavar="FILE", help="training images (.pth)")
    parser.add_argument("--val-tensors", required=True, metavar="FILE", help="validation images (.pth)")
    parser.add_argument(
        "--weights", metavar="FILE", help="pretrained weights (.safetensors); without: random"
    )
    parser.add_argument(
        "--start",
        metavar="FILE",
        help="model of the run whose backbone is kept (.safetensors), where the settings say retrain",
    )
    parser.add_argument("--seed", type=int, required=True, help="of weights, order, augmentation and dropout")
    parser.add_argument(
        "--settings",
        required=True,
        metavar="JSON",
        help="architecture, head, loss, loss_parameters, recipe, perhaps head_init and retrain, as JSON or @FILE; "
        "`snakemake -n -p` prints those of every run of the configuration",
    )
    parser.add_argument(
        "--work", required=True, metavar="FOLDER", help="where the state to resume from is kept"
    )
    parser.add_argument("--output-model", required=True, metavar="FILE", help="best weights (.safetensors)")
    parser.add_argument(
        "--output-history", required=True, metavar="FILE", help="one row per epoch (.parquet)"
    )
    parser.add_argument(
        "--output-record", required=True, metavar="FILE", help="settings, versions, times (.json)"
    )
    parser.add_argument("--events", metavar="FOLDER", help="TensorBoard events")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads to compute with (default: 1)")
    parser.add_argument("--gpus", type=int, default=1, help="GPUs, or processes on the CPU (default: 1)")
    parser.add_argument(
        "--images",
        choices=PLACES,
        default="auto",
        help="where images are kept while training (default: auto)",
    )
    parser.add_argument("--jobs-per-gpu", type=int, default=1, help="jobs that may share a GPU (default: 1)")
    parser.add_argument(
        "--parent", type=int, metavar="PID", help="process that starts this one: stop as soon as it ends"
    )
    return parser.parse_args()


def run_settings(text: str, seed: int) -> RunSettings:
    if text.startswith("@"):
        text = Path(text[1:]).read_text(encoding="utf-8")
    settings = json.loads(text)
    recipe = Recipe.from_settings(settings.pop("recipe"))
    return RunSettings(**settings, recipe=recipe, seed=seed)


def train_on(args: argparse.Namespace, device: torch.device, ranks: Ranks, stop: StopRequest) -> Progress:
    """Train on one device and, on the first rank, write the outputs."""
    settings = run_settings(args.settings, args.seed)
    states = StateFolder(args.work)
    paths = (args.train_tensors, args.val_tensors)
    (train_set, val_set), resident = load_sets(paths, device, args.images, args.jobs_per_gpu)
    for path, images in zip(paths, (train_set, val_set), strict=True):
        if not len(images.labels):
            raise ValueError(f"{path} holds no images; raise the numbers of images per class under `data`")
    run = Run(
        settings,
        train_set,
        val_set,
        device=device,
        states=states,
        weights=args.weights,
        start=args.start,
        stop=stop,
        ranks=ranks,
        log=EpochLog(states, args.events, settings.recipe.epochs) if ranks.rank == 0 else None,
        resident=resident,
    )
    progress = run.train()
    if ranks.rank == 0:
        write_outputs(args, run, progress, train_set.class_names)
    return progress


def write_outputs(args: argparse.Namespace, run: Run, progress: Progress, class_names: list[str]) -> None:
    settings, recipe = run.settings, run.recipe
    described = json.loads(args.settings) if not args.settings.startswith("@") else None
    card = ModelCard(
        architecture=settings.architecture,
        head="scaled" if settings.retrain == "scale" else settings.head,
        class_names=class_names,
        class_counts=run.class_counts.tolist(),
        stored_size=max(run.val_feed.images.shape[-2:]),
        image_size=recipe.image_size,
        mean=list(recipe.mean),
        std=list(recipe.std),
        logit_scale=run.loss.logit_scale,
        temperature=None,
        loss=settings.loss,
        loss_parameters=settings.loss_parameters,
        recipe=recipe.settings(),
        seed=settings.seed,
        best_epoch=progress.best_epoch,
    )
    if recipe.calibrate:
        card = replace(card, temperature=temperature_of(run, progress, card))
    save_model(args.output_model, progress.best_weights, card)
    write_history(args.output_history, progress.history)
    seconds = sum(row["train_seconds"] + row["val_seconds"] for row in progress.timing)
    write_record(
        args.output_record,
        {
            "settings": {**(described or {}), "recipe": recipe.settings()},
            "seed": settings.seed,
            "best_epoch": progress.best_epoch,
            "precision": run.precision,
            "deterministic": recipe.deterministic,
            "gpus": args.gpus,
            "seconds": seconds,
            "peak_memory_mb": peak_memory_mb(run.device),
            "epochs": progress.timing,
            **environment(run.device),
        },
    )
    best = progress.history[progress.best_epoch - 1]
    print(
        f"kept epoch {progress.best_epoch}: validation top-1 {best['val_acc1']:.4f}; {seconds:.0f} s",
        flush=True,
    )


def temperature_of(run: Run, progress: Progress, card: ModelCard) -> float | None:
    """Of the kept weights, on the validation set; None, with the reason in the log, where it cannot be told."""
    run.model.load_state_dict(progress.best_weights)
    logits = logits_of(run.model.eval(), run.val_feed.images, card, run.device, resident=run.resident)
    try:
        temperature = fit_temperature(logits.numpy() * card.logit_scale, run.val_feed.labels.cpu().numpy())
    except ValueError as error:
        print(f"not calibrated: {error}", flush=True)
        return None
    print(f"calibrated: temperature {temperature:.3f}", flush=True)
    return temperature


def rank_main(rank: int, args: argparse.Namespace, devices: list[torch.device], rendezvous: str) -> None:
    """One of several processes that share a run."""
    stop = StopRequest()
    stop.install()
    torch.set_num_threads(max(1, args.threads // args.gpus))
    device = devices[rank]
    if device.type == "cuda":
        torch.cuda.set_device(device)
    torch.distributed.init_process_group(
        "nccl" if device.type == "cuda" else "gloo",
        init_method=f"file://{rendezvous}",
        rank=rank,
        world_size=args.gpus,
    )
    try:
        train_on(args, device, Ranks(rank, args.gpus), stop)
    except Exception as error:
        sys.exit(explained(error, args, device))
    finally:
        torch.distributed.destroy_process_group()


def main() -> int:
    args = arguments()
    stop = StopRequest()
    stop.install()
    stop_with_workflow(args.parent)
    torch.set_num_threads(args.threads)
    states, device = StateFolder(args.work), torch.device("cpu")
    try:
        with states.locked(), claim_devices(args.gpus, args.jobs_per_gpu) as devices:
            device = devices[0]
            # Should this run fail, what an earlier model predicted must not be shown as its result.
            Path(args.output_model).with_name("predictions.parquet").unlink(missing_ok=True)
            if args.gpus == 1:
                train_on(args, device, Ranks(), stop)
            else:
                return train_on_several(args, devices)
    except Exception as error:
        return explained(error, args, device)
    return 0


def explained(error: Exception, args: argparse.Namespace, device: torch.device) -> int:
    """Say what ended the run and what to do about it; the exit code. What only we can mend is raised again."""
    if isinstance(error, Stopped):
        print(error, flush=True)
        return RESUME
    if ran_out_of_memory(error):
        recipe = run_settings(args.settings, args.seed).recipe
        told = what_to_change(error, device, batch_size=recipe.batch_size, micro_batch=recipe.micro_batch)
    elif lacks_a_deterministic_kernel(error):
        told = (
            f"{str(error).split()[0]}, an operation of the model or the loss, cannot be computed on {device.type} so "
            "that it gives the same numbers each time; set train.deterministic: false, or take a model or loss "
            "without it"
        )
    elif isinstance(error, Diverged | OSError | ValueError):
        told = str(error)
    else:
        raise error
    print(f"error: {told}", file=sys.stderr, flush=True)
    return 1


def train_on_several(args: argparse.Namespace, devices: list[torch.device]) -> int:
    """Start one process for each device, hand on a request to stop, and give back their exit code."""
    import signal

    import torch.multiprocessing as multiprocessing

    with tempfile.TemporaryDirectory() as folder:
        context = multiprocessing.start_processes(
            rank_main,
            args=(args, devices, str(Path(folder) / "rendezvous")),
            nprocs=args.gpus,
            join=False,
            start_method="spawn",
        )

        def pass_on(number: int, frame: object) -> None:
            for process in context.processes:
                if process.is_alive():
                    os.kill(process.pid, signal.SIGTERM)

        for number in (signal.SIGTERM, signal.SIGUSR2):
            signal.signal(number, pass_on)
        try:
            while not context.join():
                pass
        except multiprocessing.ProcessExitedException as error:
            return error.exit_code if error.exit_code == RESUME else 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
