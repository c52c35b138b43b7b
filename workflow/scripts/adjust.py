"""A trained model with its classifier changed, which needs no training: logit adjustment or tau-normalisation."""

import dataclasses

import torch
from frame import Namespace, program, run

from longtail.models.file import load_model, save_model
from longtail.models.variants import adjust


def main(args: Namespace) -> None:
    torch.set_num_threads(1)
    name, tau = args.settings["adjust"], float(args.settings["tau"])
    model, card = load_model(args.model)
    adjust(name, model.head, torch.tensor(card.class_counts), tau=tau, logit_scale=card.logit_scale)
    # Temperature and threshold were fitted to the logits as they were.
    card = dataclasses.replace(card, variant={"adjust": name, "tau": tau}, temperature=None, known_from=None)
    save_model(args.output, model.state_dict(), card)
    print(f"{args.output}: {args.model} after {name} with tau {tau:g}", flush=True)


if __name__ == "__main__":
    parser = program(
        __doc__,
        model="trained model (.safetensors)",
        takes='{"adjust": "la" (post-hoc logit adjustment) or "taunorm" (tau-normalisation), "tau": its strength}',
        output="changed model (.safetensors)",
    )
    run(main, parser)
