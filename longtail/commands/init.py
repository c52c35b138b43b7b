"""Write a configuration for a collection of your own, with the reason of each choice: `longtail init FOLDER`.

COLLECTION is a folder with a folder for each class, or a list: a table with the columns path and label, or what GBIF,
iNaturalist, Wildlife Insights, Camtrap DP, COCO, MegaDetector, SpeciesNet, Label Studio or CVAT export. Some of its
pictures are decoded. What the configuration chooses depends on them, on the classes and on this machine, and says so in
comments.
"""

import argparse
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from longtail.config.command_line import configured
from longtail.config.data import Data, ImageFolder
from longtail.config.load import Config
from longtail.experiment.cost import known_speeds, training
from longtail.experiment.jobs import DIVISION, Experiment
from longtail.experiment.keys import Keys
from longtail.experiment.proposal import Machine, header, is_tiny, next_steps, planned, proposal, written
from longtail.files.atomic import atomic_path
from longtail.files.outputs import check_outputs
from longtail.files.text import printable
from longtail.inference.options import add_list, as_options, choices_of, given_path
from longtail.machine.cores import usable_cores
from longtail.machine.terminal import Help, complain

if TYPE_CHECKING:
    from longtail.data.collection.overview import Overview


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="longtail init", description=__doc__, formatter_class=Help)
    parser.add_argument(
        "collection", metavar="COLLECTION", type=given_path, help="a folder of class folders, or a list"
    )
    parser.add_argument(
        "--output",
        metavar="FILE",
        type=given_path,
        help="configuration to write, .yaml (default: config/NAME.yaml, by the name of the collection)",
    )
    parser.add_argument("--force", action="store_true", help="write over a file of that name")
    add_list(parser, or_else=", or one that is called so")
    return parser


def main(words: Sequence[str] | None = None) -> int:
    args = parser().parse_args(words)
    try:
        output = Path(args.output or f"config/{_plain(Path(os.path.realpath(args.collection)).stem)}.yaml")
        if output.suffix not in (".yaml", ".yml"):
            raise ValueError(f"--output {output}: the name must end in .yaml")
        check_outputs([output], [args.collection])
        if output.exists() and not args.force:
            raise FileExistsError(
                f"{output} exists; name another file by --output, or write over it by --force"
            )
        cost = _write(args, output)
    except (OSError, ValueError) as error:
        complain(printable(as_options(error)))
        return 1
    print(f"{printable(str(output))}: {cost}\n\nNext:\n")
    print("\n".join(f"    {command}" for command in next_steps(output)))
    return 0


def _write(args: argparse.Namespace, output: Path) -> str:
    """Write the configuration; a sentence on what it costs."""
    # They import PyTorch, which a command line that cannot be used does without.
    from longtail.data.collection.overview import look

    machine = _machine()
    choices = choices_of(args)
    settings = {**ImageFolder().model_dump(include=DIVISION - {"strict"}), "seed": Data().seed}
    seen = look(args.collection, choices, args.root, settings, machine.cores)
    plan = planned(seen, machine)
    own: dict[str, Any] = {"path": _from_here(args.collection)}
    if args.root:
        own["root"] = _from_here(args.root)
    if args.columns:
        own["columns"] = dict(args.columns)
    if args.regions != ImageFolder.model_fields["regions"].default:
        own["regions"] = args.regions
    if args.min_confidence is not None:
        own["min_confidence"] = args.min_confidence
    weights = "" if is_tiny(seen) else _weights(plan.architecture)
    made = proposal(seen, machine, plan, own, f"results/{_plain(output.stem)}", weights)
    with atomic_path(output) as temporary:
        content = written(made)
        temporary.write_text(content, encoding="utf-8")
        cost = _cost(configured([temporary], []), seen, machine)
        top = header(output, own["path"], cost)
        temporary.write_text(written([], top) + content, encoding="utf-8")
    return cost


def _plain(name: str) -> str:
    """The name without what a file's or folder's name is better without."""
    return re.sub(r"[^\w-]+", "-", name).strip("-") or "mine"


def _from_here(path: str) -> str:
    """A path as it is written where the workflow is, which takes it from there; else whole."""
    return path if Path("Snakefile").is_file() else os.path.realpath(path)


def _machine() -> Machine:
    import torch

    gpus = torch.cuda.device_count()
    return Machine(
        cores=usable_cores(),
        memory=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9,
        gpus=gpus,
        gpu_memory=min(torch.cuda.get_device_properties(one).total_memory / 1e9 for one in range(gpus))
        if gpus
        else 0.0,
    )


def _weights(architecture: str) -> str:
    """A sentence on where the pretrained weights are, or come from."""
    import torch

    from longtail.models.pretrained import describe

    address = describe(architecture).url or ""
    file = Path(
        torch.hub.get_dir(), "checkpoints", Path(urlsplit(address).path).name
    )  # torchvision's own place
    if file.is_file():
        return f"They are here already: {file}."
    return (
        f"They are fetched first ({address}). Without a network, put that file as {file.name} into {file.parent}, "
        f"or name it as models.{architecture}.weights."
    )


def _cost(config: Config, seen: "Overview", machine: Machine) -> str:
    """What all trainings cost, as `longtail plan` counts it once the collection is decoded."""
    experiment = Experiment(config)
    runs = [run for run in experiment.runs if not experiment.is_variant(run)]
    images = {"longtailed": sum(seen.counts.values()), "val": seen.validated}
    speeds = known_speeds(
        runs, config, Path(config.paths.results, "runs"), machine.device_type, machine.cores
    )
    (work,) = training(runs, Keys(experiment), images, speeds, anew=runs).values()
    (speed,) = {
        speeds[config.model(run.model).architecture, config.recipe(run.model, run.loss).image_size]
        for run in runs
    }
    seconds = work.seconds or 0.0
    time = f"{seconds / 3600:.1f} hours" if seconds >= 3600 else f"{max(1, round(seconds / 60))} minutes"
    device = "one GPU" if machine.gpus else f"{machine.cores} CPU cores"
    how = "assumed, with nothing else running"
    if speed.source.startswith("measured"):
        how = "as measured here"
    return (
        f"{work.runs} training jobs go through {work.images:,} images, about {time} of {device} at "
        f"{speed.images_per_second:,.0f} images/s ({how}; the first finished run replaces it in `longtail plan`)."
    )
