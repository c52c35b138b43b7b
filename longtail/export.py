"""Export a trained model: as ONNX, for other programs, and as a model card in Markdown, for people.

The ONNX file takes uint8 pixels and gives probabilities: the preprocessing, the softmax and the calibration are in it.
It is compared with PyTorch before it is kept. The model card holds what the model's file and the evaluation of its
run say: data, results by group and by class, calibration, training, limits; and begins with the YAML of model hubs.
"""

import argparse
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from longtail.files.atomic import write_text
from longtail.files.outputs import check_outputs
from longtail.files.text import printable
from longtail.inference.onnx import write_onnx
from longtail.inference.page import LICENSE, classes_csv, classes_of, model_page, read_run
from longtail.machine.terminal import Help, complain, heard
from longtail.models.card import read_card
from longtail.models.file import load_model
from longtail.settings import path_argument

ONNX_PACKAGES = ("onnx", "onnxscript", "onnxruntime")


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="longtail export",
        description=__doc__,
        formatter_class=Help,
    )
    parser.add_argument(
        "model", metavar="MODEL", type=path_argument, help="model.safetensors in the folder of a run"
    )
    parser.add_argument(
        "--onnx",
        metavar="FILE",
        type=path_argument,
        help="ONNX file to write; its model card beside it, as .md",
    )
    parser.add_argument("--card", metavar="FILE", type=path_argument, help="model card to write, Markdown")
    parser.add_argument(
        "--evaluation",
        metavar="FILE",
        type=path_argument,
        help="evaluation.parquet of the results, if the model is not in their folder",
    )
    parser.add_argument(
        "--license",
        metavar="NAME",
        type=str.lower,
        help="licence of the model as hubs call it, such as cc-by-4.0 (default: the card says that nobody stated it)",
    )
    return parser


def arguments(words: Sequence[str] | None = None) -> argparse.Namespace:
    own = parser()
    args = own.parse_args(words)
    if not args.onnx and not args.card:
        own.error("give --onnx FILE, or --card FILE, or both")
    if args.onnx and Path(args.onnx).suffix != ".onnx":
        own.error(f"--onnx {args.onnx}: the name must end in .onnx")
    if args.card and Path(args.card).suffix != ".md":
        own.error(f"--card {args.card}: the name must end in .md")
    if args.license and not LICENSE.fullmatch(args.license):
        found = f"--license {args.license}"
        own.error(f"{found}: give a short name of letters, digits, . + and -, such as cc-by-4.0")
    return args


def main(words: Sequence[str] | None = None) -> int:
    args = arguments(words)
    if args.onnx and (missing := [name for name in ONNX_PACKAGES if not find_spec(name)]):
        complain(f"ONNX needs {' and '.join(missing)}: pip install {' '.join(missing)}")
        return 1
    page = Path(args.card or Path(args.onnx).with_suffix(".md"))
    try:
        beside = page.with_suffix(".classes.csv")
        check_outputs(
            [*([args.onnx] if args.onnx else []), page, beside], [args.model, args.evaluation or args.model]
        )
        card, run = read_card(args.model), read_run(args.model, args.evaluation)
        all_classes = classes_csv(classes_of(card, run))
        names = {"onnx": args.onnx, "license": args.license, "csv_file": beside.name if all_classes else ""}
        if args.onnx:
            difference = write_onnx(args.onnx, *load_model(args.model))
            print(f"{args.onnx}: onnxruntime and PyTorch agree to {difference:.1e} in every probability")
        for path, text in (
            (beside, all_classes),
            (page, model_page(card, file=args.model, run=run, **names)),
        ):
            if text is not None:
                write_text(path, text)
        without = "" if run.evaluation is not None else f", without results. {run.note}"
        print(f"{page}: model card{without}")
    except (OSError, ValueError) as error:
        complain(printable(str(error)))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(heard(main))
