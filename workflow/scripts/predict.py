"""Logits of a trained model for every test image."""

import argparse
import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # the library beside this script
os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")

import torch

from longtail.data.tensors.loading import PLACES, load_sets
from longtail.inference.logits import CROPS
from longtail.inference.predictions import predict, write_predictions
from longtail.machine.devices import claim_devices
from longtail.machine.stopping import stop_with_workflow
from longtail.models.file import load_model


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", required=True, metavar="FILE", help="trained model (.safetensors)")
    parser.add_argument("--tensors", required=True, metavar="FILE", help="balanced test images (.pth)")
    parser.add_argument("--output", required=True, metavar="FILE", help="one row per image (.parquet)")
    parser.add_argument("--crops", choices=CROPS, help="average the logits over so many crops of each image")
    parser.add_argument(
        "--expand", type=int, default=0, metavar="PIXELS", help="enlarge images by this before cropping them"
    )
    parser.add_argument("--threads", type=int, default=1, help="CPU threads to compute with (default: 1)")
    parser.add_argument(
        "--images", choices=PLACES, default="auto", help="where images are kept meanwhile (default: auto)"
    )
    parser.add_argument("--jobs-per-gpu", type=int, default=1, help="jobs that may share a GPU (default: 1)")
    parser.add_argument(
        "--parent", type=int, metavar="PID", help="process that starts this one: stop as soon as it ends"
    )
    return parser.parse_args()


def main() -> None:
    args = arguments()
    stop_with_workflow(args.parent)
    torch.set_num_threads(args.threads)
    try:
        with claim_devices(1, args.jobs_per_gpu) as (device,):
            (images,), resident = load_sets([args.tensors], device, args.images, args.jobs_per_gpu)
            model, card = load_model(args.model, device)
            logits = predict(
                model, images, card, device, resident=resident, crops=args.crops, expand=args.expand
            )
        write_predictions(args.output, images, logits)
    except (OSError, ValueError) as error:
        sys.exit(f"error: {error}")
    print(f"{args.output}: logits of {len(images.labels)} images, {logits.shape[1]} classes", flush=True)


if __name__ == "__main__":
    main()
