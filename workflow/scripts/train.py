"""Train one model with one loss on one training set: weights, history and a record of the run.

It continues by itself where an earlier start was killed. Exit code 75 means that it stopped on request and saved its
state; start it again with the same command.
"""

import os
import sys
from collections.abc import Sequence

import torch
from frame import Namespace, program, run

from longtail.data.split.sets import SPLIT, class_table
from longtail.data.tensors.loading import PLACES, load_sets
from longtail.inference.temperature import calibrated
from longtail.machine.devices import claim_devices
from longtail.machine.environment import write_record
from longtail.machine.stopping import RESUME, StopRequest, end_with_parent, stop_with_workflow
from longtail.models.file import save_model
from longtail.training.checkpoint import StateFolder
from longtail.training.epoch_log import EpochLog
from longtail.training.failures import explained
from longtail.training.outputs import model_card, run_record
from longtail.training.progress import write_history
from longtail.training.ranks import Ranks, joined, start_ranks
from longtail.training.run import Stopped, Trainer
from longtail.training.settings import RunSettings

# cuBLAS is deterministic only with a workspace that is fixed before CUDA starts.
os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")


def main(args: Namespace) -> int:
    torch.set_num_threads(args.threads)
    with StateFolder(args.work).locked(), claim_devices(args.gpus, args.jobs_per_gpu) as devices:
        # If this run fails, the predictions of an earlier model must not be shown as its result.
        args.output_model.with_name("predictions.parquet").unlink(missing_ok=True)
        if args.gpus > 1:
            return start_ranks(train_as_rank, args, devices)
        return train_on(args, devices[0], Ranks(), StopRequest())


def train_as_rank(rank: int, args: Namespace, devices: Sequence[torch.device], rendezvous: str) -> None:
    """Be one of several processes that share a run, and end it as `frame.run` ends a program."""
    stop_with_workflow()
    end_with_parent()
    stop = StopRequest()
    stop.install()  # before any other rank waits for this one, since all have to stop at the same place
    torch.set_num_threads(max(1, args.threads // args.gpus))
    with joined(rank, devices, rendezvous) as ranks:
        try:
            sys.exit(train_on(args, devices[rank], ranks, stop))
        except (OSError, ValueError) as error:
            sys.exit(f"error: {error}")


def train_on(args: Namespace, device: torch.device, ranks: Ranks, stop: StopRequest) -> int:
    """Train on one device and, on the first rank, write the outputs; the exit code."""
    run_settings = RunSettings.from_settings(args.settings, args.seed)
    states, paths = StateFolder(args.work), (args.train_tensors, args.val_tensors)
    groups = class_table(SPLIT.read(args.split), "longtailed")["group"].to_numpy() if args.split else None
    log = EpochLog(states, args.events, run_settings.recipe) if ranks.rank == 0 else None
    with explained(run_settings.recipe, device):
        sets, resident = load_sets(paths, device, args.images, args.jobs_per_gpu)
        for path, images in zip(paths, sets, strict=True):
            if not len(images.labels):
                raise ValueError(
                    f"{path} holds no images; raise the numbers of images per class under `data`"
                )
        trainer = Trainer(
            run_settings,
            *sets,
            device=device,
            states=states,
            weights=args.weights,
            start=args.start,
            teacher=args.teacher,
            groups=groups,
            stop=stop,
            ranks=ranks,
            log=log,
            resident=resident,
        )
        stop.install()  # until here, there is no state to save
        try:
            trainer.train()
        except Stopped as stopped:
            print(stopped, flush=True)
            return RESUME
        if ranks.rank == 0:
            write_outputs(args, trainer, sets[0].class_names)
    return 0


def write_outputs(args: Namespace, trainer: Trainer, class_names: list[str]) -> None:
    progress, card = (
        trainer.progress,
        model_card(trainer, class_names, args.weights, args.start, args.teacher),
    )
    if trainer.recipe.calibrate:
        trainer.model.load_state_dict(progress.best_weights)
        feed = trainer.val_feed
        card = calibrated(
            card, trainer.model, feed.images, feed.labels, trainer.device, resident=trainer.resident
        )
    save_model(args.output_model, progress.best_weights, card)
    write_history(args.output_history, progress.history)
    record = run_record(trainer, args.settings, card)
    write_record(args.output_record, record)
    kept = progress.history[progress.best_epoch - 1]
    by = trainer.selection
    score = f", {by.score.words} {kept[f'val_{by.name}']:.4f}" if by else ""
    print(
        f"kept epoch {progress.best_epoch}: validation top-1 {kept['val_acc1']:.4f}{score}; {record['seconds']:.0f} s",
        flush=True,
    )


if __name__ == "__main__":
    parser = program(
        __doc__,
        train_tensors="training images (.pth)",
        val_tensors="validation images (.pth)",
        takes="architecture, head, loss, loss_parameters, recipe, perhaps head_init, retrain and distill; "
        "`snakemake -n -p` prints those of every run of the configuration",
        work="folder where the state to resume from is kept",
        output_model="best weights (.safetensors)",
        output_history="one row per epoch (.parquet)",
        output_record="settings, versions, times (.json)",
    )
    weights = "pretrained weights (.safetensors); without: random"
    start = "model of the run whose backbone is kept (.safetensors), where the settings say retrain"
    parser.add_argument("--weights", metavar="FILE", help=weights)
    parser.add_argument("--start", metavar="FILE", help=start)
    teacher = "model whose answers are learnt (.safetensors), where the settings say distill"
    parser.add_argument("--teacher", metavar="FILE", help=teacher)
    split = "split of the data (.parquet), whose groups select: min_group compares"
    parser.add_argument("--split", metavar="FILE", help=split)
    parser.add_argument("--seed", type=int, required=True, help="of weights, order, augmentation and dropout")
    parser.add_argument("--events", metavar="FOLDER", help="where the curves for TensorBoard go")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads to compute with (default: 1)")
    parser.add_argument("--gpus", type=int, default=1, help="GPUs, or processes on the CPU (default: 1)")
    parser.add_argument(
        "--images", choices=PLACES, default="auto", help="where images are kept meanwhile (default: auto)"
    )
    parser.add_argument("--jobs-per-gpu", type=int, default=1, help="jobs that may share a GPU (default: 1)")
    run(main, parser)
