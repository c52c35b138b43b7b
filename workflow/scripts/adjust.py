"""A trained model with its classifier changed, without training: logit adjustment, tau-normalisation, class means, and
weights of experts."""

import os

import torch
from frame import Namespace, program, run

from longtail.data.tensors.loading import PLACES, load_sets
from longtail.inference.temperature import calibrated
from longtail.inference.variants import changed_card, vary
from longtail.machine.devices import claim_devices
from longtail.models.file import load_model, save_model

# cuBLAS is deterministic only with a workspace that is fixed before CUDA starts.
os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")


def main(args: Namespace) -> None:
    torch.set_num_threads(args.threads)
    model, card = load_model(args.model)
    if paths := list(dict.fromkeys(filter(None, (args.tensors, args.val_tensors)))):
        with claim_devices(1, args.jobs_per_gpu) as (device,):
            loaded, resident = load_sets(paths, device, args.images, args.jobs_per_gpu)
            sets = dict(zip(paths, loaded, strict=True))
            variant = vary(model, card, args.settings, sets.get(args.tensors), device, resident=resident)
            card = changed_card(card, model, variant)
            if args.val_tensors:
                val = sets[args.val_tensors]
                labels = val.labels.to(device)
                card = calibrated(card, model.to(device), val.images, labels, device, resident=resident)
    else:
        card = changed_card(card, model, vary(model, card, args.settings, None, torch.device("cpu")))
    save_model(args.output, model.cpu().state_dict(), card)
    told = ", ".join(
        f"{name} {value}"
        for name, value in card.variant.items()
        if name not in ("adjust", "taus") and value is not None
    )
    print(f"{args.output}: {args.model} after {card.variant['adjust']} with {told}", flush=True)


if __name__ == "__main__":
    parser = program(
        __doc__,
        model="trained model (.safetensors)",
        takes='{"adjust": "la" (post-hoc logit adjustment) or "taunorm" (tau-normalisation), "tau": its strength, or '
        '"validation" with "taus" and "score"}, or {"adjust": "ncm", "features": "cl2n", "distance": "euclidean"}, '
        'or {"adjust": "aggregation", "distribution": the class frequencies of the test images, or null}',
        output="changed model (.safetensors)",
    )
    tensors = (
        "training images for ncm, test images for aggregation, validation images for tau: validation (.pth)"
    )
    parser.add_argument("--tensors", metavar="FILE", help=tensors)
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
