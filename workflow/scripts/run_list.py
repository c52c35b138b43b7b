"""The name of every run there should be, one a line: thousands of them are more than a command line holds."""

import itertools

from frame import Namespace, program, run

from longtail.experiment.runs import Run
from longtail.files.atomic import write_text


def main(args: Namespace) -> None:
    every = itertools.product(*(args.settings[name] for name in ("train_sets", "models", "losses", "seeds")))
    lines = [str(Run(model, loss, train_set, seed)) for train_set, model, loss, seed in every]
    write_text(args.output, "\n".join(lines) + "\n")


if __name__ == "__main__":
    parser = program(
        __doc__,
        takes="train_sets, models, losses and seeds of the grid, each a list",
        output="list to write",
    )
    run(main, parser)
