"""Draw one figure, as pdf and png, with its caption.

Each figure needs some of the inputs and takes some of the filters and settings; asked for what it does not take,
or without what it needs, it says which.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # the library beside this script

import argparse
import importlib
import inspect
import json
from types import ModuleType
from typing import Any

from longtail.analysis import frames as inputs
from longtail.files.atomic import atomic_path
from longtail.report.figures import style

FIGURES = Path(__file__).resolve().parents[2] / "longtail" / "report" / "figures"
FILTERS = ("model", "train_set", "loss")
# Parameter of the figure: how its option is called, and how its files are read.
READERS = {
    "evaluation": ("--evaluation", lambda args: inputs.read_table(args.evaluation)),
    "per_class": ("--per-class", lambda args: inputs.read_table(args.per_class)),
    "split": ("--split", lambda args: inputs.read_table(args.split)),
    "tensors": ("--tensors", lambda args: inputs.read_tensors(args.tensors)),
    "test_tensors": ("--test-tensors", lambda args: inputs.read_tensors(args.test_tensors)),
    "histories": ("--history", lambda args: inputs.read_histories(args.history)),
    "predictions": (
        "--predictions",
        lambda args: inputs.read_predictions(args.predictions, args.weights),
    ),
    "records": ("--records", lambda args: inputs.read_records(args.records)),
    "differences": ("--statistics", lambda args: inputs.read_table(args.statistics)),
}


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, fromfile_prefix_chars="@"
    )
    parser.add_argument("name", help=f"one of: {', '.join(figure_names())}")
    files = parser.add_argument_group("inputs", "A run's file that does not exist stands for a missing run.")
    files.add_argument(
        "--evaluation", metavar="FILE", help="evaluation.parquet, or csv with the same columns"
    )
    files.add_argument("--per-class", metavar="FILE", help="per_class.parquet")
    files.add_argument("--split", metavar="FILE", help="split.parquet")
    files.add_argument("--tensors", metavar="FILE", help="training images (.pth)")
    files.add_argument("--test-tensors", metavar="FILE", help="test images (.pth)")
    files.add_argument("--history", nargs="+", metavar="FILE", help="history.parquet of every run, or @LIST")
    files.add_argument(
        "--predictions", nargs="+", metavar="FILE", help="predictions.parquet of every run, or @LIST"
    )
    files.add_argument(
        "--weights",
        nargs="+",
        metavar="FILE",
        help="model.safetensors of the runs of --predictions, for confidences",
    )
    files.add_argument("--records", nargs="+", metavar="FILE", help="run.json of every run, or @LIST")
    files.add_argument("--statistics", metavar="FILE", help="paired_differences.csv")
    chosen = parser.add_argument_group("choice")
    chosen.add_argument("--model", help="model to draw")
    chosen.add_argument("--train-set", help="training set to draw")
    chosen.add_argument("--loss", help="loss to draw")
    chosen.add_argument("--settings", default="{}", type=json.loads, metavar="JSON", help="further arguments")
    parser.add_argument("--output", nargs="+", required=True, metavar="FILE", help=".pdf and .png to write")
    parser.add_argument("--caption", metavar="FILE", help="caption to write, as plain text or .rst")
    return parser.parse_args()


def figure_names() -> list[str]:
    """The modules that draw."""
    return sorted(
        path.stem for path in FIGURES.glob("*.py") if "\ndef draw(" in path.read_text(encoding="utf-8")
    )


def figure_module(name: str) -> ModuleType:
    if name not in figure_names():
        raise ValueError(f"there is no figure '{name}'; there are: {', '.join(figure_names())}")
    return importlib.import_module(f"longtail.report.figures.{name}")


def figure_arguments(module: ModuleType, args: argparse.Namespace) -> dict[str, Any]:
    """What the figure's functions are called with.

    Raises:
        ValueError: something it needs was not given, or something given it does not take.
    """
    taken = inspect.signature(module.draw).parameters
    options = {name: option for name, (option, _) in READERS.items()}
    options |= {name: f"--{name.replace('_', '-')}" for name in FILTERS}
    given = {
        name for name, option in options.items() if getattr(args, option[2:].replace("-", "_")) is not None
    }
    needed = {name for name, parameter in taken.items() if parameter.default is parameter.empty}
    if absent := needed - given:
        raise ValueError(f"figure '{args.name}' needs {', '.join(sorted(options[name] for name in absent))}")
    if unused := (given | set(args.settings)) - set(taken):
        names = ", ".join(sorted(options.get(name, name) for name in unused))
        raise ValueError(f"figure '{args.name}' does not take {names}; it takes: {', '.join(taken)}")
    frames = {name: READERS[name][1](args) for name in given if name in READERS}
    return frames | {name: getattr(args, name) for name in FILTERS if name in given} | args.settings


def write_caption(path: str | Path, caption: str) -> None:
    if Path(path).suffix == ".rst":
        caption = "".join(f"\\{sign}" if sign in r"\*`|_" else sign for sign in caption)
    with atomic_path(path) as temporary:
        temporary.write_text(caption + "\n", encoding="utf-8")


def main() -> None:
    args = arguments()
    try:
        module = figure_module(args.name)
        parameters = figure_arguments(module, args)
        style.save(module.draw(**parameters), *args.output)
        if args.caption:
            write_caption(args.caption, module.caption(**parameters))
    except (OSError, ValueError) as error:
        sys.exit(f"figure.py: {error}")
    print(f"{args.name}: {', '.join(args.output)}", flush=True)
    for path in [*(args.history or ()), *(args.predictions or ()), *(args.records or ())]:
        if not Path(path).is_file():
            print(f"missing: {path}", flush=True)


if __name__ == "__main__":
    main()
