"""Metrics of one run on the five test sets, and per class, from its predictions."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # the library beside this script

import argparse
import json

import torch

from longtail.evaluation import class_table, evaluate, evaluate_classes
from longtail.losses import build_loss
from longtail.parquet import read_parquet, write_parquet


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--predictions", required=True, metavar="FILE", help="of predict.py (.parquet)")
    parser.add_argument(
        "--split", required=True, metavar="FILE", help="split.parquet, for classes and their counts"
    )
    parser.add_argument(
        "--train-set", required=True, choices=["balanced", "longtailed"], help="what it trained on"
    )
    parser.add_argument("--model", required=True, help="name of the model in the results")
    parser.add_argument("--loss", required=True, help="name of the loss in the results")
    parser.add_argument("--seed", type=int, required=True, help="training seed")
    parser.add_argument(
        "--settings",
        required=True,
        type=json.loads,
        metavar="JSON",
        help='the loss that is computed: \'{"loss": "focal", "loss_parameters": {"gamma": 2.0}}\'',
    )
    parser.add_argument(
        "--output", required=True, metavar="FILE", help="one row per test set and metric (.parquet)"
    )
    parser.add_argument(
        "--output-per-class", required=True, metavar="FILE", help="one row per class (.parquet)"
    )
    return parser.parse_args()


def main() -> None:
    args = arguments()
    torch.set_num_threads(1)  # the work is far too small for more
    run = {"model": args.model, "loss": args.loss, "train_set": args.train_set, "seed": args.seed}
    try:
        predictions = read_parquet(args.predictions, ["image_id", "label", "group", "longtailed", "logits"])
        split = read_parquet(args.split, ["label", "class_name", "subset", "longtailed", "group"])
        classes = class_table(split, args.train_set)
        counts = torch.tensor(classes["n_train"].to_numpy())
        loss = build_loss(args.settings["loss"], counts, **args.settings["loss_parameters"])
        per_class = evaluate_classes(predictions, classes)
        metrics = evaluate(predictions, loss)
        for frame, path in ((metrics, args.output), (per_class, args.output_per_class)):
            for position, (name, value) in enumerate(run.items()):
                frame.insert(position, name, value)
            write_parquet(frame, path)
    except (OSError, ValueError) as error:
        sys.exit(f"error: {error} (evaluating {args.predictions})")


if __name__ == "__main__":
    main()
