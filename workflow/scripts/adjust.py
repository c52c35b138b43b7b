"""A trained model with its classifier changed, which needs no training: logit adjustment or tau-normalisation."""

import dataclasses
import os

import torch
from frame import Namespace, program, run

from longtail.data.tensors.loading import PLACES, load_sets
from longtail.inference.temperature import calibrated
from longtail.machine.devices import claim_devices
from longtail.models.file import load_model, save_model
from longtail.models.variants import adjust

# cuBLAS is deterministic only with a workspace that is fixed before CUDA starts.
os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")


def main(args: Namespace) -> None:
    torch.set_num_threads(args.threads)
    name, tau = args.settings["adjust"], float(args.settings["tau"])
    model, card = load_model(args.model)
    adjust(name, model.head, torch.tensor(card.class_counts), tau=tau, logit_scale=card.logit_scale)
    # Temperature and threshold were fitted to the logits as they were.
    card = dataclasses.replace(card, variant={"adjust": name, "tau": tau}, temperature=None, known_from=None)
    if args.val_tensors:
        with claim_devices(1, args.jobs_per_gpu) as (device,):
            (val,), resident = load_sets([args.val_tensors], device, args.images, args.jobs_per_gpu)
            card = calibrated(
                card, model.to(device), val.images, val.labels.to(device), device, resident=resident
            )
    save_model(args.output, model.cpu().state_dict(), card)
    print(f"{args.output}: {args.model} after {name} with tau {tau:g}", flush=True)


if __name__ == "__main__":
    parser = program(
        __doc__,
        model="trained model (.safetensors)",
        takes='{"adjust": "la" (post-hoc logit adjustment) or "taunorm" (tau-normalisation), "tau": its strength}',
        output="changed model (.safetensors)",
    )
    val = (
        "validation images (.pth), which tell its temperature and when a picture is unknown; without: neither"
    )
    parser.add_argument("--val-tensors", metavar="FILE", help=val)
    parser.add_argument("--threads", type=int, default=1, help="CPU threads to compute with (default: 1)")
    parser.add_argument(
        "--images", choices=PLACES, default="auto", help="where images are kept meanwhile (default: auto)"
    )
    parser.add_argument("--jobs-per-gpu", type=int, default=1, help="jobs that may share a GPU (default: 1)")
    run(main, parser)
