"""Fetch the pretrained weights of one model into one safetensors file, so that training needs no network.

Downloads are kept in TORCH_HOME (torchvision) and HF_HOME (timm); files that are there are used.
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # the library beside this script

from longtail.models.pretrained import fetch
from longtail.models.weights import write_weights


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--model", required=True, metavar="NAME", help="such as mobilenetv2, torchvision/NAME or timm/NAME"
    )
    parser.add_argument(
        "--output", required=True, metavar="FILE", help="weights and their facts (.safetensors)"
    )
    parser.add_argument(
        "--weights", metavar="FILE", help="path or address of weights to use instead of the published ones"
    )
    return parser.parse_args()


def main() -> int:
    args = arguments()
    try:
        state, facts = fetch(args.model, args.weights)
    except (ValueError, FileNotFoundError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    if facts["as_published"] is False:
        print(
            f"note: {facts['file']} is not the published file: its SHA-256 is {facts['sha256']}, not what its name "
            "says; used as it is",
            file=sys.stderr,
        )
    try:
        write_weights(args.output, state, facts)
    except OSError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(f"{args.output}: {facts['source']}, {sum(tensor.numel() for tensor in state.values()):,} numbers")
    return 0


if __name__ == "__main__":
    sys.exit(main())
