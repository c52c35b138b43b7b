"""A file of every run there should be, one path a line."""

import argparse
import itertools
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # the library beside this script

from longtail.files.atomic import atomic_path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("train-sets", "models", "losses", "seeds"):
        parser.add_argument(f"--{name}", nargs="+", required=True, help=f"{name} of the grid")
    parser.add_argument("--runs", type=Path, required=True, metavar="FOLDER", help="the folder of all runs")
    parser.add_argument("--file", required=True, help="name of the file in a run's folder; `folders`: none")
    parser.add_argument("--output", type=Path, required=True, metavar="FILE", help="list to write")
    args = parser.parse_args()
    file = "" if args.file == "folders" else args.file
    grid = itertools.product(args.train_sets, args.models, args.losses, args.seeds)
    lines = [
        str(args.runs / train_set / model / loss / f"seed{seed}" / file)
        for train_set, model, loss, seed in grid
    ]
    try:
        with atomic_path(args.output) as temporary:
            temporary.write_text("\n".join(lines) + "\n", encoding="utf-8")
    except OSError as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
