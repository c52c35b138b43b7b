"""Fetch the pretrained weights of one model into one safetensors file, so that training needs no network.

Downloads are kept in TORCH_HOME (torchvision) and HF_HOME (timm); files that are there are used.
"""

import sys

from frame import Namespace, program, run

from longtail.models.pretrained import fetch
from longtail.models.weights import write_weights


def main(args: Namespace) -> None:
    state, facts = fetch(args.settings["model"], args.settings["weights"])
    if facts["as_published"] is False:
        print(
            f"note: {facts['file']} is not the published file: its SHA-256 is {facts['sha256']}, not what its name "
            "says; used as it is",
            file=sys.stderr,
        )
    write_weights(args.output, state, facts)
    print(f"{args.output}: {facts['source']}, {sum(tensor.numel() for tensor in state.values()):,} numbers")


if __name__ == "__main__":
    parser = program(
        __doc__,
        takes='{"model": such as "mobilenetv2", "torchvision/NAME" or "timm/NAME", '
        '"weights": path or address of a file to use instead of the published one, or null}',
        output="weights and their facts (.safetensors)",
    )
    run(main, parser)
