"""A trained model with its classifier changed, which needs no training: logit adjustment or tau-normalisation."""

import argparse
import dataclasses
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # the library beside this script

import torch

from longtail.models.file import load_model, save_model
from longtail.models.variants import adjust


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", required=True, metavar="FILE", help="trained model (.safetensors)")
    parser.add_argument(
        "--adjust",
        required=True,
        choices=["la", "taunorm"],
        help="la: post-hoc logit adjustment; taunorm: tau-normalisation",
    )
    parser.add_argument("--tau", type=float, required=True, help="strength of the change, 0 or more")
    parser.add_argument("--output", required=True, metavar="FILE", help="changed model (.safetensors)")
    return parser.parse_args()


def main() -> None:
    args = arguments()
    torch.set_num_threads(1)
    try:
        model, card = load_model(args.model)
        adjust(
            args.adjust,
            model.head,
            torch.tensor(card.class_counts),
            tau=args.tau,
            logit_scale=card.logit_scale,
        )
        variant = {"adjust": args.adjust, "tau": args.tau}
        # The temperature was fitted to the logits as they were.
        card = dataclasses.replace(card, variant=variant, temperature=None)
        save_model(args.output, model.state_dict(), card)
    except (OSError, ValueError) as error:
        sys.exit(f"error: {error}")
    print(f"{args.output}: {args.model} after {args.adjust} with tau {args.tau:g}", flush=True)


if __name__ == "__main__":
    main()
