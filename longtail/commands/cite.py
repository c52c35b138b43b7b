"""Write a paragraph on the methods that results rest on, and BibTeX of the papers that it names.

What is said is what the finished runs say of themselves: models, losses, settings, data and versions. A statistic
counts where its table has a number. Read the paragraph as a draft: it knows nothing of the question that was asked.
"""

import argparse
import os
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from longtail import __version__
from longtail.config.command_line import add_configuration, configured
from longtail.config.load import Config, ConfigError, load_files
from longtail.data.sources.table import known_sources
from longtail.experiment.proof import Proofs
from longtail.experiment.runs import MODEL, RECORD, Run, found_in
from longtail.files.atomic import write_text
from longtail.files.csv import read_csv
from longtail.files.outputs import check_outputs
from longtail.files.regular import read_bytes
from longtail.files.safetensors import WEIGHTS, read_content
from longtail.files.sealed_json import unseal
from longtail.files.text import printable
from longtail.inference.options import given_path
from longtail.machine.terminal import Help, complain, exactly
from longtail.models.card import ModelCard, read_card
from longtail.report.labels import label
from longtail.report.references import named_in, references, source_of_loss, source_of_model
from longtail.training.recipe import Recipe

STYLES = {"names": " ({})", "latex": r"~\citep{{{}}}", "pandoc": " [{}]"}
OPTIMIZERS = {"adam": "Adam", "adamw": "AdamW", "sgd": "stochastic gradient descent with momentum"}
SETTINGS = (
    # What a recipe uses beside its optimiser: whether it does, how it is called, and where from.
    (lambda r: r.schedule == "cosine", "a cosine schedule of the learning rate", ("loshchilov2017",)),
    (lambda r: r.augment == "trivial", "TrivialAugment", ("muller2021",)),
    (lambda r: r.augment == "rand", "RandAugment", ("cubuk2020",)),
    (lambda r: r.augment == "autoaugment", "AutoAugment", ("cubuk2019",)),
    (lambda r: r.cutout, "Cutout", ("devries2017",)),
    (lambda r: r.mixup and r.mixup.kind == "input" and not r.mixup.remix, "mixup", ("zhang2018",)),
    (lambda r: r.mixup and r.mixup.kind == "cutmix", "CutMix", ("yun2019",)),
    (lambda r: r.mixup and r.mixup.kind == "manifold", "manifold mixup", ("verma2019",)),
    (lambda r: r.mixup and r.mixup.remix, "Remix", ("chou2020",)),
    (lambda r: r.drw, "deferred re-weighting", ("cao2019",)),
    (lambda r: r.sampler != "instance" and not r.sampler_start, "sampling by class", ("kang2020",)),
    (lambda r: r.sampler_start, "deferred re-sampling", ("cao2019",)),
    (lambda r: r.max_norm, "a limit to the lengths of the classifier's weights", ("alshammari2022",)),
    (lambda r: r.tune == "lora", "low-rank updates of frozen weights", ("hu2022", "shi2024")),
    (lambda r: r.tune == "bias", "training of the biases alone", ("zaken2022",)),
)
STATISTICS = {
    # What the tables with a number rest on: how it is called, and where from.
    "descriptive": ("score intervals of accuracies", ("wilson1927",)),
    "paired_differences": ("score intervals of differences on the same images", ("tango1998",)),
    "mcnemar": ("McNemar's exact test", ("mcnemar1947",)),
    "over_models": ("step-down contrasts with a reference over the models", ("dunnett1991",)),
    "posthoc": ("Tukey's honestly significant differences", ()),
    "anova": ("an analysis of variance (type II)", ()),
    "friedman": ("Friedman's test", ("friedman1937",)),
    "friedman_pairs": ("pairwise tests of ranks", ("benavoli2016",)),
}
COLUMNS = {
    "p_holm": ("Holm's correction", ("holm1979",)),
    "margin": ("two one-sided tests", ("schuirmann1987",)),
}
"""The same for columns of these tables that have a number."""
PACKAGES = {
    "torch": ("PyTorch", "paszke2019"),
    "torchvision": ("torchvision", ""),
    "timm": ("timm", "wightman2019"),
}


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="longtail cite", description=__doc__, formatter_class=Help)
    parser.add_argument(
        "results",
        nargs="?",
        metavar="RESULTS",
        type=given_path,
        help="folder of results (default: that of the configuration)",
    )
    add_configuration(parser)
    parser.add_argument(
        "--style",
        choices=STYLES,
        default="names",
        help="how the paragraph cites: by names and years, or by keys for LaTeX or pandoc (default: names)",
    )
    parser.add_argument(
        "--bibtex", metavar="FILE", type=given_path, help=".bib to write (default: after the paragraph)"
    )
    return parser


def main(words: Sequence[str] | None = None) -> int:
    args = parser().parse_args(words)
    try:
        named = configured(args.configfile, args.config) if args.configfile or not args.results else None
        results = Path(args.results or (named.paths.results if named else ""))
        if args.bibtex and Path(args.bibtex).suffix != ".bib":
            raise ValueError(f"--bibtex {args.bibtex}: the name must end in .bib")
        citations = Citations(args.style)
        text = paragraph(results, named or configuration_of(results), citations)
        bibtex = "\n\n".join(references()[key].bibtex for key in sorted(citations.keys))
        if args.bibtex:
            check_outputs([args.bibtex], [])
            write_text(args.bibtex, f"{bibtex}\n")
    except (OSError, ValueError) as error:
        complain(printable(str(error)))
        return 1
    print(text if args.bibtex else f"{text}\n\n{bibtex}", file=exactly(sys.stdout))
    for note in citations.notes:
        print(f"note: {printable(note)}", file=sys.stderr)
    return 0


class Citations:
    """The papers that a text has named so far, and what it could not name."""

    def __init__(self, style: str):
        self.style = style
        self.keys: set[str] = set()
        self.notes: list[str] = []

    def __call__(self, keys: Iterable[str]) -> str:
        """What stands behind a method; empty without a paper."""
        own = list(dict.fromkeys(keys))
        self.keys |= {*own}
        if not own:
            return ""
        found = [references()[key] for key in own]
        inner = {
            "names": "; ".join(f"{one.authors}, {one.year}" for one in found),
            "latex": ",".join(own),
            "pandoc": "; ".join(f"@{key}" for key in own),
        }[self.style]
        return STYLES[self.style].format(inner)


class Trained(NamedTuple):
    """A finished run: its name, the card of its model, its recipe, and its record (empty for a variant)."""

    run: Run
    card: ModelCard
    recipe: Recipe
    record: Mapping[str, Any]


def runs_in(results: Path) -> list[Trained]:
    """The finished runs in a folder of results.

    Raises:
        FileNotFoundError: there is none.
        ValueError: a model or a record is damaged, or of another version of this project.
    """
    found = []
    for path in found_in(results / "runs", f"/{MODEL}"):
        card = read_card(path)
        try:
            recipe = Recipe.from_settings(card.recipe)
        except ValueError as error:
            raise ValueError(f"{path} is of another version of this project ({error})") from None
        record = path.with_name(RECORD)
        facts = unseal(read_bytes(record), record) if record.is_file() else {}
        found.append(Trained(Run.of_file(path), card, recipe, facts))
    if not found:
        raise FileNotFoundError(
            f"{results} holds no finished run (runs/TRAIN_SET/MODEL/LOSS/seedN/{MODEL}); name a folder of results"
        )
    return found


def configuration_of(results: Path) -> Config | None:
    """The configuration that the proofs beside the results name; None where it is not there any more, or another."""
    proof = Proofs().read([f"{results}/evaluation.parquet"])
    files = [Path(os.path.realpath(results), name) for name in (proof.by if proof else [])]
    if not files or not all(file.is_file() for file in files):
        return None
    try:
        config = load_files(files, {})
    except ConfigError:
        return None
    # The folder of the configuration's relative paths is where its files lie below.
    homes = {parent for file in files for parent in file.parents}
    there = any(os.path.realpath(home / config.paths.results) == os.path.realpath(results) for home in homes)
    return config if there else None


def paragraph(results: Path, config: Config | None, cite: Citations) -> str:
    """The methods of all finished runs in a folder, as one paragraph."""
    trained = runs_in(results)
    if config is None:
        cite.notes.append(
            "the data and its split are described by numbers alone, since the configuration that made these results is "
            "not where it was; --configfile names it"
        )
    text = " ".join(
        [
            _data(trained, config, cite),
            _models(trained, results, cite),
            _losses(trained, cite),
            _training(trained, cite),
            *_statistics(results, cite),
            _software(trained, cite),
        ]
    )
    # Names may have signs that LaTeX reads; what cites has none of these.
    return printable(re.sub(r"([_&%#$])", r"\\\1", text) if cite.style == "latex" else text)


def _data(trained: list[Trained], config: Config | None, cite: Citations) -> str:
    card = trained[0].card
    source = known_sources()[config.data.source] if config else None
    name = f"{len(card.class_names):,} classes of images"
    tail = ""
    if source and source.title:
        name, tail = f"{source.title}{cite([source.paper])}", f", cut to a long tail{cite(['cao2019'])}"
    elif source:
        name, tail = f"a collection of {len(card.class_names):,} classes", ", with its own class counts"
    of_set = {one.run.train_set: one.card.class_counts for one in trained}
    told = [
        f"a {label(train_set).lower()} training set of {sum(counts):,} images ({_range(counts)} a class)"
        for train_set, counts in of_set.items()
    ]
    if "longtailed" not in of_set and not (source and source.natural):
        tail = ""
    return f"We used {name}{tail}: {_and(told)}."


def _models(trained: list[Trained], results: Path, cite: Citations) -> str:
    told = []
    for name, architecture in {one.run.model: one.card.architecture for one in trained}.items():
        keys = named_in(source_of_model(architecture))
        if architecture.startswith("timm/"):
            keys = ["wightman2019"]
        if not keys:
            cite.notes.append(f"the paper of {architecture} has no BibTeX here; its library names it")
        weights = results / "weights" / f"{name}.safetensors"
        source = read_content(weights, WEIGHTS).get("source") if weights.is_file() else None
        begin = f", starting from the published weights {source}" if source else ""
        told.append(f"{label(name)}{cite(keys)}{begin}")
    return f"We trained {_and(told)}."


def _losses(trained: list[Trained], cite: Citations) -> str:
    told = {}
    for one in trained:
        own, loss = one.run.loss, one.card.loss
        if own in told:
            continue
        keys: list[str] = []
        if isinstance(loss, str):
            source = source_of_loss(loss)
            keys = named_in(source)
            if source and not keys:
                cite.notes.append(f"the paper of {loss} has no BibTeX here: {source}")
        else:
            cite.notes.append(f"{own} is a loss of your own; name its source yourself")
        if one.card.loss_parameters.get("smoothing") and loss == "softmax":
            keys.append("szegedy2016")
        settings = one.record.get("settings")
        if isinstance(settings, dict) and settings.get("retrain"):
            keys.append("kang2020")
        if one.card.variant:
            papers = {"la": "menon2021", "taunorm": "kang2020", "ncm": "kang2020", "aggregation": "zhang2022"}
            keys += [papers[name] for name in [str(one.card.variant.get("adjust"))] if name in papers]
        if one.card.experts > 1 and "wang2021" not in keys:
            keys.append("wang2021")
        told[own] = f"{label(own)}{cite(keys)}"
    return f"The losses were {_and(list(told.values()))}."


def _training(trained: list[Trained], cite: Citations) -> str:
    recipes = [one.recipe for one in trained]
    optimizers = dict.fromkeys(recipe.optimizer for recipe in recipes)
    papers = {"adam": ["kingma2015"], "adamw": ["loshchilov2019"]}
    told = _and([f"{OPTIMIZERS[name]}{cite(papers.get(name, []))}" for name in optimizers])
    used = [
        f"{called}{cite(keys)}" + ("" if all(map(uses, recipes)) else " in some of them")
        for uses, called, keys in SETTINGS
        if any(map(uses, recipes))
    ]
    seeds = sorted({one.run.seed for one in trained})
    pixels = _range([recipe.image_size for recipe in recipes])
    at_most = "at most " if any(recipe.patience for recipe in recipes) else ""
    text = (
        f"Each run took {at_most}{_range([recipe.epochs for recipe in recipes])} epochs with {told}, batches of "
        f"{_range([recipe.batch_size for recipe in recipes])} images of {pixels} pixels a side"
        + (f", {_and(used)}" if used else "")
        + f", and {len(seeds)} seed{'s' if len(seeds) > 1 else ''} ({', '.join(map(str, seeds))})."
    )
    if any(one.card.temperature for one in trained):
        text += f" Probabilities were calibrated by temperature scaling{cite(['guo2017'])}"
        known = any(one.card.known_from is not None for one in trained)
        text += f", and pictures of no known class told by their energy{cite(['liu2020'])}." if known else "."
    return text


def _statistics(results: Path, cite: Citations) -> list[str]:
    """A sentence on the statistics whose tables have a number; none where there is no such table."""
    told: dict[str, None] = {}
    for name, (called, keys) in STATISTICS.items():
        path = results / "statistics" / f"{name}.csv"
        if not path.is_file():
            continue
        table = read_csv(path)
        numbers = table[table["note"].isna()] if "note" in table else table
        if numbers.empty:
            continue
        told[f"{called}{cite(keys)}"] = None
        for column, (own, papers) in COLUMNS.items():
            if column in numbers and numbers[column].notna().any():
                told[f"{own}{cite(papers)}"] = None
        if "clusters" in numbers and (numbers["clusters"] < numbers["n"]).any():
            told[f"sums over groups of images{cite(['rao1992'])}"] = None
    return [f"Statistics are {_and(list(told))}."] if told else []


def _software(trained: list[Trained], cite: Citations) -> str:
    versions: dict[str, set[str]] = {}
    for one in trained:
        packages = one.record.get("packages")
        for name in PACKAGES if isinstance(packages, dict) else ():
            if packages.get(name):  # type: ignore[union-attr]
                versions.setdefault(name, set()).add(str(packages[name]))  # type: ignore[index]
    commits = sorted({str(one.record["commit"]) for one in trained if one.record.get("commit")})
    told = [
        f"{called} {' and '.join(sorted(versions[name]))}{cite([key] if key else [])}"
        for name, (called, key) in PACKAGES.items()
        if name in versions
    ]
    own = f"longtail {__version__}" + (f" (commit {', '.join(commits)})" if commits else "")
    return f"All of it was run by {own} on Snakemake{cite(['molder2021'])}" + (
        f", with {_and(told)}." if told else "."
    )


def _and(words: Sequence[str]) -> str:
    return " and ".join(filter(None, [", ".join(words[:-1]), words[-1]])) if words else ""


def _range(numbers: Sequence[int]) -> str:
    low, high = min(numbers), max(numbers)
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"
