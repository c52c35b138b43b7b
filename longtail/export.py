"""Export a trained model: as ONNX or as one of timm or torchvision, for programs, and as a model card, for people.

The ONNX file takes uint8 pixels and gives probabilities: the preprocessing, the softmax and the calibration are in it.
It is compared with PyTorch before it is kept. The model card holds what the model's file and the evaluation of its
run say: data, results by group and by class, calibration, training, limits; and begins with the YAML of model hubs.

A folder of timm is loaded by timm.create_model("local-dir:DIR", pretrained=True); that of a hub has a model card, too.
Its logits are compared with the model's own before it is kept.
"""

import argparse
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from longtail.files.atomic import write_text
from longtail.files.folder import new_folder
from longtail.files.outputs import check_outputs
from longtail.files.text import printable
from longtail.inference.onnx import OLDEST_OPSET, newest_opset, write_onnx
from longtail.inference.options import add_model, given_path
from longtail.inference.page import LICENSE, RunFiles, classes_csv, classes_of, model_page, read_run
from longtail.machine.terminal import Help, complain, heard
from longtail.models.card import ModelCard, read_card
from longtail.models.file import load_model
from longtail.settings import path_argument, unknown

FORMS = ("timm", "torchvision", "hub")
ONNX_PACKAGES = ("onnx", "onnxscript", "onnxruntime")


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="longtail export",
        description=__doc__,
        formatter_class=Help,
    )
    add_model(parser)
    parser.add_argument(
        "--onnx",
        metavar="FILE",
        type=path_argument,
        help="ONNX file to write; its model card beside it, as .md",
    )
    parser.add_argument(
        "--opset", metavar="N", type=int, help="version of ONNX's operators (default: the exporter's choice)"
    )
    parser.add_argument(
        "--to",
        nargs=2,
        metavar=("LIBRARY", "DIR"),
        help="new folder with the model as one of timm or torchvision, or as a hub takes it (timm, hub, torchvision)",
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
        type=_license,
        help="licence of the model as hubs call it, such as cc-by-4.0 (default: the card says that nobody stated it)",
    )
    return parser


def _license(text: str) -> str:
    """The type of an argument that is the name of a licence.

    Raises:
        argparse.ArgumentTypeError: no hub has a name of this form.
    """
    if not LICENSE.fullmatch(text.lower()):
        raise argparse.ArgumentTypeError(
            f"found {text[:40]!r}; give a short name of letters, digits, . + and -, such as cc-by-4.0"
        )
    return text.lower()


def arguments(words: Sequence[str] | None = None) -> argparse.Namespace:
    own = parser()
    args = own.parse_args(words)
    if not args.onnx and not args.card and not args.to:
        own.error("give --onnx FILE, or --card FILE, or --to LIBRARY DIR, or several of them")
    if args.to and args.to[0] not in FORMS:
        own.error(unknown(f"--to {args.to[0]}", args.to[0], FORMS))
    if args.to:
        try:
            args.to[1] = given_path(args.to[1])
        except argparse.ArgumentTypeError as error:
            own.error(f"--to {args.to[0]}: DIR {error}")
    if args.opset is not None and not args.onnx:
        own.error("--opset is of the ONNX file; give --onnx FILE too")
    if args.onnx and Path(args.onnx).suffix != ".onnx":
        own.error(f"--onnx {args.onnx}: the name must end in .onnx")
    if args.card and Path(args.card).suffix != ".md":
        own.error(f"--card {args.card}: the name must end in .md")
    if args.evaluation and Path(args.evaluation).suffix != ".parquet":
        own.error(f"--evaluation {args.evaluation}: the name must end in .parquet")
    return args


def main(words: Sequence[str] | None = None) -> int:
    args = arguments(words)
    if args.onnx and (missing := [name for name in ONNX_PACKAGES if not find_spec(name)]):
        complain(f"ONNX needs {' and '.join(missing)}: pip install {' '.join(missing)}")
        return 1
    page = Path(args.card or Path(args.onnx).with_suffix(".md")) if args.card or args.onnx else None
    beside = page.with_suffix(".classes.csv") if page else None
    try:
        if args.opset is not None:
            _check_opset(args.opset)
        outputs = [path for path in (args.onnx, page, beside) if path]
        check_outputs(outputs, [args.model, args.evaluation or args.model])
        card, run = read_card(args.model), read_run(args.model, args.evaluation)
        all_classes = classes_csv(classes_of(card, run))
        if args.to:
            form, folder = args.to
            _write_folder(form, folder, args, card, run, all_classes)
        if args.onnx:
            difference = write_onnx(args.onnx, *load_model(args.model), args.opset)
            print(f"{args.onnx}: onnxruntime and PyTorch agree to {difference:.1e} in every probability")
        if page and beside:
            names = {
                "onnx": args.onnx,
                "license": args.license,
                "csv_file": beside.name if all_classes else "",
            }
            _write_page(page, beside, model_page(card, file=args.model, run=run, **names), all_classes)
            print(f"{page}: model card{_without(run)}")
    except (OSError, ValueError) as error:
        complain(printable(str(error)))
        return 1
    return 0


def _check_opset(opset: int) -> None:
    newest = newest_opset()
    if not OLDEST_OPSET <= opset <= newest:
        raise ValueError(
            f"--opset {opset}: allowed are {OLDEST_OPSET} to {newest}, as far as the installed onnx goes"
        )


def _write_folder(
    form: str, folder: str, args: argparse.Namespace, card: ModelCard, run: RunFiles, all_classes: str | None
) -> None:
    """The model as one of a library in a new folder, whole or not at all."""
    # timm takes seconds to import, and the other formats do not need it.
    from longtail.inference.elsewhere import loading, told, write_elsewhere

    library = "torchvision" if form == "torchvision" else "timm"
    with new_folder(folder) as new:
        there, difference = write_elsewhere(new, load_model(args.model)[0], card, library)
        if form == "hub":
            beside = new / "classes.csv"
            names = {"license": args.license, "csv_file": beside.name if all_classes else ""}
            code = told(there, folder, card)
            text = model_page(card, file=args.model, run=run, elsewhere=code, **names)
            _write_page(new / "README.md", beside, text, all_classes)
    print(
        f"{folder}: {library}'s {there.name}, whose logits differ by {difference:.1e} of the largest one at most"
    )
    print(f"\n{loading(there, folder, len(card.class_names))}")
    if form == "hub":
        print(f"{folder}/README.md: model card{_without(run)}")


def _write_page(page: Path, beside: Path, text: str, all_classes: str | None) -> None:
    for path, content in ((beside, all_classes), (page, text)):
        if content is not None:
            write_text(path, content)


def _without(run: RunFiles) -> str:
    return "" if run.evaluation is not None else f", without results. {run.note}"


if __name__ == "__main__":
    sys.exit(heard(main))
