"""A trained model with its classifier changed, without training: logit adjustment, tau-normalisation, class means."""

import dataclasses
import os

import torch
from frame import Namespace, program, run

from longtail.data.tensors.loading import PLACES, load_sets
from longtail.inference.variants import vary
from longtail.machine.devices import claim_devices
from longtail.models.file import load_model, save_model
from longtail.models.heads import NearestMean

# cuBLAS is deterministic only with a workspace that is fixed before CUDA starts.
os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")


def main(args: Namespace) -> None:
    torch.set_num_threads(args.threads)
    if args.tensors:
        with claim_devices(1, args.jobs_per_gpu) as (device,):
            (images,), resident = load_sets([args.tensors], device, args.images, args.jobs_per_gpu)
            model, card = load_model(args.model, device)
            variant = vary(model, card, args.settings, images, device, resident=resident)
    else:
        model, card = load_model(args.model)
        variant = vary(model, card, args.settings, None, torch.device("cpu"))
    # Temperature and threshold were fitted to the logits as they were.
    head = {"head": "nearest_mean" if isinstance(model.head, NearestMean) else "linear"}
    card = dataclasses.replace(card, **head, variant=variant, temperature=None, known_from=None)
    save_model(args.output, model.state_dict(), card)
    told = ", ".join(f"{name} {value}" for name, value in variant.items() if name not in ("adjust", "taus"))
    print(f"{args.output}: {args.model} after {variant['adjust']} with {told}", flush=True)


if __name__ == "__main__":
    parser = program(
        __doc__,
        model="trained model (.safetensors)",
        takes='{"adjust": "la" (post-hoc logit adjustment) or "taunorm" (tau-normalisation), "tau": its strength, or '
        '"validation" with "taus" and "score"}, or {"adjust": "ncm", "features": "cl2n", "distance": "euclidean"}',
        output="changed model (.safetensors)",
    )
    tensors = "training images for ncm, validation images for tau: validation (.pth)"
    parser.add_argument("--tensors", metavar="FILE", help=tensors)
    parser.add_argument("--threads", type=int, default=1, help="CPU threads to compute with (default: 1)")
    parser.add_argument(
        "--images", choices=PLACES, default="auto", help="where images are kept meanwhile (default: auto)"
    )
    parser.add_argument("--jobs-per-gpu", type=int, default=1, help="jobs that may share a GPU (default: 1)")
    run(main, parser)
