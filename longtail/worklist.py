"""Lists of pictures that are worth a person's time, each as a csv and as a page of pictures.

    labels  pictures whose label is probably wrong, by confident learning on the validation and test images
    wrong   test images that were taken for another class
    next    pictures without a label that a model is least sure of, to be labelled next

The first two take one or several trained models where the workflow made them; of several, the mean of their calibrated
probabilities counts. The last takes the table that `longtail predict` wrote.

Training images are in no list, since a model repeats the labels that it has learned: divide the collection anew
(data.seed) and train again to look at others.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.special import softmax

from longtail.analysis.label_errors import joint_counts, suspected
from longtail.analysis.uncertainty import MEASURES, to_label_next
from longtail.data.collection.decoding import UnreadableImage, decode
from longtail.data.collection.shape import Shape
from longtail.data.lists.text import read_text, table_of
from longtail.files.atomic import atomic_path, write_text
from longtail.files.csv import write_csv
from longtail.files.outputs import check_outputs
from longtail.files.parquet import read_parquet
from longtail.files.text import in_markdown, printable
from longtail.inference.held_out import HeldOut, joined, pixels_of, results_of, tested, validated
from longtail.inference.options import count_argument, given_path, given_text, model_argument
from longtail.machine.terminal import Help, complain, heard
from longtail.models.card import read_card
from longtail.report.sheet import MOST, SIDE, Framed, contact_sheet

WHOLE = Shape("pad", (255, 255, 255))
"""A person recognises a picture in its own proportions, whatever the model sees."""
SOURCES = {
    "labels": "Northcutt et al., Confident Learning, Journal of Artificial Intelligence Research 70, 2021",
    "next": "Settles, Active Learning Literature Survey, 2009",
}


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="longtail worklist",
        description=__doc__,
        formatter_class=Help,
    )
    lists = parser.add_subparsers(dest="list", required=True, metavar="LIST")
    for name, told in (("labels", "labels that are probably wrong"), ("wrong", "wrong predictions")):
        own = lists.add_parser(name, help=told, description=told)
        own.add_argument(
            "models",
            nargs="+",
            metavar="MODEL",
            type=model_argument,
            help="model.safetensors in the folder of a run",
        )
        own.add_argument(
            "--pictures",
            metavar="FOLDER",
            type=given_path,
            help="the collection: show its pictures whole (default: as the model sees them)",
        )
    own = lists.add_parser("next", help="what to label next", description="what to label next")
    own.add_argument(
        "predictions", metavar="TABLE", type=given_path, help=".csv or .parquet of `longtail predict`"
    )
    own.add_argument(
        "--by", choices=MEASURES, default=MEASURES[0], help=f"measure of doubt (default: {MEASURES[0]})"
    )
    own.add_argument(
        "--one-per",
        metavar="folder|LIST.csv",
        type=given_path,
        help="take one picture of each folder, or of each group of a csv with the columns path and --column",
    )
    own.add_argument(
        "--column",
        type=given_text,
        default="group",
        help="column of that csv with the groups (default: group)",
    )
    own.add_argument(
        "--pictures",
        metavar="FOLDER",
        type=given_path,
        default=".",
        help="where the paths begin (default: here)",
    )
    own.add_argument(
        "--number", type=count_argument, default=100, metavar="N", help="how many at most (default: 100)"
    )
    for own in lists.choices.values():
        own.add_argument(
            "--output",
            metavar="FOLDER",
            type=given_path,
            default="worklists",
            help="gets LIST.csv and LIST.html (default: worklists)",
        )
    return parser


def arguments(words: Sequence[str] | None = None) -> argparse.Namespace:
    return parser().parse_args(words)


def main(words: Sequence[str] | None = None) -> int:
    args = arguments(words)
    try:
        outputs = [Path(args.output) / f"{args.list}.{ending}" for ending in ("csv", "html")]
        given = [args.predictions] if args.list == "next" else args.models
        groups = [args.one_per] if args.list == "next" and args.one_per not in (None, "folder") else []
        check_outputs(outputs, [*given, *groups])
        text, table, pictures = {"labels": doubtful, "wrong": mistaken, "next": unsure}[args.list](args)
        with atomic_path(outputs[0]) as temporary:
            write_csv(table, temporary, float_format="%.6f")
        write_text(outputs[1], contact_sheet(text, "Work list", pictures))
    except (OSError, ValueError) as error:
        complain(printable(str(error)))
        return 1
    print(f"{len(table):,} picture{'s' * (len(table) != 1)}; {outputs[0]}, {outputs[1]}")
    return 0


List = tuple[str, pd.DataFrame, list[Framed]]
"""The text above the pictures, the table, and the pictures of its first rows."""


def doubtful(args: argparse.Namespace) -> List:
    """Pictures whose label is probably wrong."""
    images, chances, names = _held_out(args.models, validation=True)
    labels = images["label"].to_numpy()
    found = suspected(chances, labels)
    joint = joint_counts(chances, labels)
    errors = joint.sum() - np.trace(joint)
    own = images.iloc[found["place"]].reset_index(drop=True)
    table = _described(own, names).assign(
        suggested=names[found["suggested"]],
        probability_label=found["probability_given"],
        probability_suggested=found["probability_suggested"],
    )
    agrees = np.mean(chances.argmax(axis=1) == labels)
    text = (
        f"# Labels that are probably wrong\n\n{len(table):,} of {len(images):,} validation and test images, the most "
        f"probable mistakes first; about {errors:,.0f} labels are estimated to be wrong. It rests on the model, which "
        f"agrees with {agrees:.0%} of the labels: where it knows a class badly, right labels are listed too, so look "
        f"at each before you change it.\n\n{_models(args)} Source: {SOURCES['labels']}."
    )
    return _page(args, text, table, ("label", "suggested", "probability_suggested"))


def mistaken(args: argparse.Namespace) -> List:
    """Test images that were taken for another class, the most confident mistakes first."""
    images, chances, names = _held_out(args.models, validation=False)
    labels, predicted = images["label"].to_numpy(), chances.argmax(axis=1)
    wrong = np.flatnonzero(predicted != labels)
    wrong = wrong[np.argsort(-chances[wrong, predicted[wrong]], kind="stable")]
    table = _described(images.iloc[wrong].reset_index(drop=True), names).assign(
        predicted=names[predicted[wrong]],
        probability_label=chances[wrong, labels[wrong]],
        probability_predicted=chances[wrong, predicted[wrong]],
    )
    text = (
        f"# Wrong predictions\n\n{len(table):,} of {len(images):,} test images were taken for another class, the most "
        f"confident mistakes first.\n\n{_models(args)}"
    )
    return _page(args, text, table, ("label", "predicted", "probability_predicted"))


def unsure(args: argparse.Namespace) -> List:
    """Pictures that a model is least sure of."""
    path = Path(args.predictions)
    if path.suffix not in (".csv", ".parquet"):
        raise ValueError(f"{path}: the table of `longtail predict` ends in .csv or .parquet")
    needed = ("path", "class_1", "probability_1")
    found = _saved(path, needed) if path.suffix == ".csv" else read_parquet(path)
    if lacking := [name for name in needed if name not in found]:
        raise ValueError(
            f"{path} lacks the columns {', '.join(lacking)}; give a table that `longtail predict` wrote"
        )
    if found["path"].isna().any():
        raise ValueError(f"{path}, row {found['path'].isna().argmax() + 2}: the path is empty; fill it in")
    read = found[found["class_1"].notna()].astype({"path": str}).drop_duplicates()
    if (twice := read["path"].duplicated()).any():
        raise ValueError(
            f"{path} has two different rows of {read['path'][twice].iloc[0]}; predict each picture once"
        )
    _check_pictures(args.pictures)
    if read.empty:
        raise ValueError(f"{path} has no picture that was classified")
    try:
        table = to_label_next(read, args.by, _groups(args, read["path"]), args.number)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    if "class_2" not in table:
        raise ValueError(f"{path} lacks the column class_2; give a table that longtail predict wrote")
    left = len(found) - len(read)
    each = ", one of each group" if args.one_per else ""
    text = (
        f"# To be labelled next\n\nThe {len(table):,} of {len(read):,} pictures that the model is least sure of, by "
        f"{args.by}{each}."
        + (f" {left:,} that could not be read are left out." if left else "")
        + f"\n\nPredictions: {in_markdown(str(path))}. Source: {SOURCES['next']}."
    )
    pictures = []
    for row in table.head(MOST).to_dict("records"):
        lines = [
            f"{row['class_1']} {row['probability_1']:.0%}",
            f"{row['class_2']} {row['probability_2']:.0%}",
        ]
        pixels, fault = _decoded(Path(args.pictures, row["path"]))
        pictures.append(Framed(pixels, [*lines, row["path"], *fault]))
    return text, table, pictures


def _held_out(models: Sequence[str], *, validation: bool) -> tuple[pd.DataFrame, np.ndarray, np.ndarray]:
    """The images that these models were not trained on, the mean of their probabilities, and the class names."""
    folders = {results_of(model): model for model in models}
    if len(folders) > 1:
        raise ValueError(
            f"the models lie in several folders of results: {', '.join(map(str, folders))}; name those of one"
        )
    tests = [tested(model) for model in models]
    parts = tests
    if validation:
        parts = [joined([own, validated(model, own.view)]) for own, model in zip(tests, models, strict=True)]
    images = parts[0].images
    chances = [
        softmax(_in_order(part, images, model), axis=1) for part, model in zip(parts, models, strict=True)
    ]
    return images, np.mean(chances, axis=0), np.array(read_card(models[0]).class_names, dtype=object)


def _in_order(part: HeldOut, images: pd.DataFrame, model: str) -> np.ndarray:
    """The logits of a model in the order of these images."""
    places = pd.Series(np.arange(len(part.images)), index=part.images["image_id"]).reindex(images["image_id"])
    if places.isna().any() or len(places) != len(part.images):
        raise ValueError(f"{model} was tested on other images than the first model; run the workflow again")
    return part.logits[places.to_numpy(np.int64)]


def _described(images: pd.DataFrame, names: np.ndarray) -> pd.DataFrame:
    """The columns of a work list that say which picture it is."""
    own = images[["path", "image_id", "subset"]]
    if (own["path"] == "").all():
        own = own.drop(columns="path")
    return own.assign(label=names[images["label"]])


def _models(args: argparse.Namespace) -> str:
    listed = ", ".join(in_markdown(str(model)) for model in args.models)
    return f"Models: {listed}." if len(args.models) > 1 else f"Model: {listed}."


def _page(args: argparse.Namespace, text: str, table: pd.DataFrame, shown: tuple[str, str, str]) -> List:
    """The pictures of a list of images of the experiment: their label, what they may be, and how probably."""
    label, other, chance = shown
    first = table.head(MOST)
    pixels = pixels_of(results_of(args.models[0]), first["image_id"].tolist())
    if args.pictures is not None:
        _check_pictures(args.pictures)
        # A region, and a picture that has moved, are shown as they are stored.
        named = zip(first["image_id"], first.get("path", ()), strict=False)
        whole = {image: _decoded(Path(args.pictures, path))[0] for image, path in named}
        pixels |= {image: picture for image, picture in whole.items() if picture is not None}
    pictures = [
        Framed(
            pixels.get(row["image_id"]),
            [
                f"{row[other]} {row[chance]:.0%}",
                f"{label}: {row[label]}",
                str(row.get("path") or row["image_id"]),
            ],
        )
        for row in first.to_dict("records")
    ]
    if len(table) > MOST:
        text += f"\n\nThe first {MOST} are shown; the csv has all."
    return text, table, pictures


def _groups(args: argparse.Namespace, paths: pd.Series) -> pd.Series | None:
    """The group of each picture, by the index of `paths`."""
    if args.one_per is None:
        return None
    if args.one_per == "folder":
        return paths.map(lambda path: str(Path(path).parent))
    listed = _saved(Path(args.one_per), ("path", args.column))
    if lacking := [name for name in ("path", args.column) if name not in listed]:
        raise ValueError(
            f"{args.one_per} lacks the columns {', '.join(lacking)}; it has {', '.join(map(str, listed))}. "
            "Name that of the groups by --column"
        )
    if listed["path"].duplicated().any():
        raise ValueError(
            f"{args.one_per} names {listed['path'][listed['path'].duplicated()].iloc[0]} twice; keep one"
        )
    groups = paths.map(listed.set_index("path")[args.column])
    if groups.isna().any():
        raise ValueError(f"{args.one_per} has no group for {paths[groups.isna()].iloc[0]}; add it")
    return groups


def _saved(path: Path, columns: Sequence[str]) -> pd.DataFrame:
    """A table with these columns, as any program saved it; in its probabilities, a comma may stand before decimals."""
    table = table_of(read_text(path, {*columns}.issubset).text, path, {*columns}.issubset)
    rows = [[cell or None for cell in cells] for _, cells in table.rows]
    found = pd.DataFrame(rows, columns=table.columns, dtype=object)
    for name in (name for name in found if name.startswith("probability_")):
        found[name] = pd.to_numeric(found[name].str.replace(",", "."), errors="coerce")
    return found


def _check_pictures(folder: str) -> None:
    if not Path(folder).is_dir():
        raise ValueError(f"--pictures {folder} is no folder; name the one where the paths begin")


def _decoded(path: Path) -> tuple[np.ndarray | None, list[str]]:
    """The pixels of a picture for the page, and why there are none."""
    try:
        return decode(path, SIDE, shape=WHOLE).permute(1, 2, 0).numpy(), []
    except UnreadableImage as error:
        return None, [f"not shown: {error.reason}; --pictures names the folder where the paths begin"]


if __name__ == "__main__":
    sys.exit(heard(main))
