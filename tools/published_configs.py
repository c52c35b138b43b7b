"""The files of config/published: one for each published row of the protocol of Cao et al. (2019), and two to stand on.

python tools/published_configs.py     # writes all of them

Their settings are those of config/cao2019.yaml and config/cifar10-lt.yaml, the published numbers those of
resources/published_results.csv, and what was measured that of resources/measured_results.csv.
"""

import sys
import textwrap
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

# The frame of the programs, which puts the library beside them on the path, and the other tools.
for folder in ("workflow/scripts", "."):
    sys.path.append(str(Path(__file__).resolve().parents[1] / folder))

import pandas as pd
import yaml
from frame import program, run

from longtail.config.load import Config, load_config
from longtail.config.methods import merged
from longtail.files.atomic import write_text
from longtail.files.csv import read_csv
from longtail.report.labels import label
from tools.measured_results import MEASURED, PROTOCOLS, PUBLISHED, ROOT, Protocol

FOLDER = ROOT / "config" / "published"
WIDTH = 120
BEST_ON_TEST = ("BagofTricks-LT", "MiSLAS", "SADE-AgnosticLT", "GLMC")
"""Sources whose code keeps the best epoch by the test set."""
_GLMC = {
    "learning_rate": 0.01,
    "schedule": "cosine",
    "warmup_epochs": 0,
    "weight_decay": 0.005,
    "batch_size": 64,
}
BESIDE: dict[tuple[str, str], dict[str, Any]] = {
    ("cao2019", "glmc"): {"losses": {"glmc": {"train": _GLMC}}},
    ("cao2019-cifar10", "glmc"): {"losses": {"glmc": {"contrast_weight": 1.0, "train": _GLMC}}},
    ("cao2019", "bcl"): {"losses": {"bcl": {"train": {"augment": "autoaugment", "cutout": 16}}}},
}
"""Settings, by protocol and loss, of what the whole configurations leave out: it has another network, or no number."""
UNCHECKED = {
    "bcl": "the paper's number is not known for certain. Its authors' repository has none for CIFAR, notes of others "
    "quote 51.9 %, and Papers with Code has 53.9 % for this network"
}
"""What is to be said of a loss that has a file and no published number."""


def files() -> dict[str, str]:
    """The content of every file by its path in config/published."""
    published, measured = read_csv(PUBLISHED), read_csv(MEASURED)
    found = {}
    for protocol in PROTOCOLS:
        settings = yaml.safe_load((ROOT / "config" / protocol.whole).read_text(encoding="utf-8"))
        found[f"{protocol.folder}.yaml"] = _base(protocol, settings)
        whole = load_config(settings)
        rows = published[published["protocol"] == protocol.name].to_dict("records")
        rows += [
            {"loss": loss, "model": "resnet32", "dataset": "CIFAR100-LT IR100", "backbone": "ResNet-32"}
            for name, loss in BESIDE
            if name == protocol.name and loss in UNCHECKED
        ]
        for row in rows:
            found[f"{protocol.folder}/{row['loss']}.yaml"] = _row(protocol, settings, whole, row, measured)
    return found


def _base(protocol: Protocol, settings: Mapping[str, Any]) -> str:
    """The protocol alone, with plain softmax as its only loss."""
    kept = {name: value for name, value in settings.items() if name not in ("losses", "variants")}
    text = (
        f"The protocol of config/{protocol.whole} without its methods, which the files in {protocol.folder}/ add one "
        f"by one:\n\n  {_command(protocol, 'ldam_drw')}\n\n"
        f"Cost, expectation and what was measured stand in each of them; alone it is softmax. Written by "
        "tools/published_configs.py."
    )
    return _file("../schema.json", text, {**kept, "grid": {**kept["grid"], "losses": ["softmax"]}})


def _row(
    protocol: Protocol,
    settings: Mapping[str, Any],
    whole: Config,
    row: Mapping[str, Any],
    measured: pd.DataFrame,
) -> str:
    """The settings of one row, and on top what they are, cost and give.

    Args:
        whole: the configuration of the protocol's settings.
    """
    loss, model = row["loss"], row["model"]
    beside = BESIDE.get((protocol.name, loss), {})
    settings = merged(settings, beside)
    trained = [loss.partition("+")[0]]
    own: dict[str, Any] = {"grid": {"losses": trained[:]}}
    if model not in settings["models"]:
        own = {"grid": {"models": [model], **own["grid"]}, "models": {model: {"pretrained": False}}}
        settings = merged(settings, own)
    if beside or "models" in own:
        whole = load_config(settings)
    if loss in settings["variants"]:
        own["variants"] = {loss: settings["variants"][loss]}
    for name in trained:  # which grows meanwhile
        trained += whole.needed(name)
    if needed := {name: settings["losses"][name] for name in trained if name in settings["losses"]}:
        own["losses"] = needed
    runs = measured[(measured["loss"] == loss) & (measured["protocol"] == protocol.name)]
    what = f"{row['method']}, {row['backbone']}" if "method" in row else row["backbone"]
    text = (
        f"{label(loss)} on {row['dataset']}: {what} from random weights.\n\n"
        f"  {_command(protocol, loss)}\n\n"
        + "\n".join([_cost(whole, model, trained[::-1], measured), *_expected(row), _found(runs)])
        + "\nWritten by tools/published_configs.py."
    )
    return _file("../../schema.json", text, own)


def _command(protocol: Protocol, loss: str) -> str:
    base = f"config/published/{protocol.folder}"
    return f"snakemake --configfile {base}.yaml {base}/{loss}.yaml"


def _cost(config: Config, model: str, losses: list[str], measured: pd.DataFrame) -> str:
    images = sum(config.data.training_counts())
    epochs = {loss: config.recipe(model, loss).epochs for loss in losses}
    whole = measured[
        (measured["epochs"] == max(epochs.values())) & (measured["protocol"] == PROTOCOLS[0].name)
    ]
    quickest, slowest = whole["seconds"].min() / 60, whole["seconds"].max() / 60
    trained = ", then ".join(f"{number} epochs of {loss}" for loss, number in epochs.items())
    million = images * sum(epochs.values()) / 1e6
    entry = config.loss(losses[-1])
    views = len(entry.declared.views) if entry.declared else 1
    more = [
        f"{entry.experts} experts" if entry.experts > 1 else "",
        f"{views} views of each image" if views > 1 else "",
        "its wider network" if model != "resnet32" else "",
    ]
    longer = " and ".join(each for each in more if each)
    return (
        f"Cost: {trained}; {million:.1f} million training images of 32 x 32. 200 epochs of CIFAR100-LT, 2.2 million, "
        f"took {quickest:.0f} minutes of one H200, with nine others at a time, and {slowest:.0f} of two CPU cores"
        + (f"; {longer} take longer, which was not measured." if longer else ".")
    )


def _expected(row: Mapping[str, Any]) -> Iterator[str]:
    if why := UNCHECKED.get(row["loss"]):
        yield f"Expect: {why}."
        return
    epochs = int(row["epochs"])
    longer = f", after {epochs:,} epochs, which are 200 here" if epochs != 200 else ""
    chosen = "The last epoch is kept here and the best on the test set there; what else differs" * (
        any(source in row["source"] for source in BEST_ON_TEST)
    )
    yield (
        f"Expect: {float(row['top1']):.2f} % top-1, as {row['source']} has it{longer}. {chosen or 'What differs'}: "
        "docs/published.md."
    )


def _found(runs: pd.DataFrame) -> str:
    if runs.empty:
        return "Measured: nothing yet."
    told = [
        f"{100 * one.hits / one.images:.2f} % (seed {one.seed:.0f}, {one.precision}, {one.processor})"
        for one in runs.itertuples()
    ]
    return f"Measured: {', '.join(told)}."


def _file(schema: str, text: str, settings: Mapping[str, Any]) -> str:
    lines = [f"# yaml-language-server: $schema={schema}"]
    for paragraph in text.split("\n"):
        wrapped = [paragraph] if paragraph.startswith("  ") else textwrap.wrap(paragraph, WIDTH - 2)
        lines += [f"# {line}".rstrip() for line in wrapped or [""]]
    content = yaml.safe_dump(
        dict(settings), sort_keys=False, allow_unicode=True, width=WIDTH, default_flow_style=None
    )
    return "\n".join(lines) + "\n" + content


def write() -> None:
    """Write all files, and remove those of rows that are gone."""
    wanted = files()
    for path in FOLDER.rglob("*.yaml"):
        if str(path.relative_to(FOLDER)) not in wanted:
            path.unlink()
    for name, content in wanted.items():
        (FOLDER / name).parent.mkdir(parents=True, exist_ok=True)
        write_text(FOLDER / name, content)
    print(f"{FOLDER}: {len(wanted)} files", flush=True)


if __name__ == "__main__":
    run(lambda args: write(), program(__doc__))
