"""Logits of a trained model for every test image."""

import os

import torch
from frame import Namespace, program, run, settings

from longtail.data.tensors.loading import PLACES, load_sets
from longtail.inference.logits import predict, write_predictions
from longtail.machine.devices import claim_devices
from longtail.models.card import check_run, digest_of, read_card
from longtail.models.file import load_model

# cuBLAS is deterministic only with a workspace that is fixed before CUDA starts.
os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")


def main(args: Namespace) -> None:
    torch.set_num_threads(args.threads)
    check_run(read_card(args.model), args.run, args.model)
    with claim_devices(1, args.jobs_per_gpu) as (device,):
        (images,), resident = load_sets([args.tensors], device, args.images, args.jobs_per_gpu)
        model, card = load_model(args.model, device)
        logits = predict(model, images, card, device, resident=resident, **args.settings)
    write_predictions(args.output, images, logits, {"model": digest_of(args.model), **args.settings})
    print(f"{args.output}: logits of {len(images.labels)} images, {logits.shape[1]} classes", flush=True)


if __name__ == "__main__":
    parser = program(
        __doc__,
        model="trained model (.safetensors)",
        tensors="balanced test images (.pth)",
        output="one row per image (.parquet)",
    )
    crops = 'to average over crops: {"crops": "five" or "ten", "expand": PIXELS to enlarge images by before}'
    parser.add_argument("--settings", type=settings, default={}, metavar="JSON", help=crops)
    of_run = "what the model has to say of its training: architecture, loss, loss_parameters, recipe, seed, …"
    parser.add_argument("--run", type=settings, default={}, metavar="JSON", help=of_run)
    parser.add_argument("--threads", type=int, default=1, help="CPU threads to compute with (default: 1)")
    parser.add_argument(
        "--images", choices=PLACES, default="auto", help="where images are kept meanwhile (default: auto)"
    )
    parser.add_argument("--jobs-per-gpu", type=int, default=1, help="jobs that may share a GPU (default: 1)")
    run(main, parser)
