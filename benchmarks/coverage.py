"""Coverage of every interval and Type I error of every test that the product prints, by simulation.

    python benchmarks/coverage.py --folders 1000 --document docs/statistics.md

It draws whole results folders whose truth is known, lets the product analyse them, and counts how often an interval
holds the truth and how often a test rejects a hypothesis that is true. The test sets are the thesis's: 5,000 images,
of them 1,051 long-tailed, of these 844, 169 and 38. An image is answered right if a sum of normal numbers is above 0:
how easy the image is (for all, for a loss, for a model), how good loss and model are, what this training run is worth,
and chance. A loss is stable if its runs are all worth the same, and unstable if they are not: the standard deviation
over seeds is then two to four percentage points.
"""

import argparse
import math
import sys
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1]))

import numpy as np
import pandas as pd
from scipy.special import ndtr, ndtri

from longtail.analysis.grid import Grid, scores
from longtail.analysis.statistics import anova
from longtail.analysis.statistics.analyses import from_predictions
from longtail.analysis.statistics.correctness import Correctness
from longtail.analysis.statistics.descriptive import describe
from longtail.analysis.statistics.friedman import friedman_tables
from longtail.analysis.statistics.over_models import differences_over_models
from longtail.analysis.statistics.paired import ALL_MODELS
from longtail.analysis.statistics.posthoc import tukey_hsd
from longtail.data.split.sets import tested_sets
from longtail.experiment.runs import RUN, Run
from longtail.files.atomic import atomic_path, write_text
from longtail.report.typeset import fill, pipe_table

SIZES = {"head": 844, "middle": 169, "tail": 38}
BALANCED = 5000
ACCURACY = {"head": 0.75, "middle": 0.5, "tail": 0.2, "": 0.45}
"""How accurate the reference is on each group; the last is for the images that only the balanced test set has."""
SEEDS = (1, 2, 3, 5, 10)
IMAGE, IMAGE_LOSS, IMAGE_MODEL = 1.5, 0.5, 0.7
"""Standard deviations of how easy an image is: for all, for one loss, for one model; that of chance is 1."""
MODEL = 0.15
UNSTABLE = 0.14
"""Standard deviation of what a run of an unstable loss is worth."""
TRAIN_SET = "longtailed"


@dataclass(frozen=True)
class Loss:
    """How the runs of a loss are drawn."""

    gain: float = 0.0
    """Percentage points of accuracy above the reference."""
    runs: float = 0.0
    """Standard deviation of what a run is worth."""
    images: float = 0.0
    """Standard deviation of how much easier or harder single images are with this loss."""
    models: float = 0.0
    """Standard deviation of how much more or less a model gains."""


@dataclass(frozen=True)
class Design:
    """A kind of results folder."""

    losses: dict[str, Loss]
    models: int
    seeds: int
    clusters: int = 0
    """How many images share an individual; 0: each stands for itself."""

    @property
    def grid(self) -> Grid:
        models = tuple(f"model{place}" for place in range(self.models))
        return Grid(models, tuple(self.losses), (TRAIN_SET,), tuple(range(self.seeds)))


@dataclass
class Folder:
    """Predictions as the product reads them, the accuracies, and the truth behind them."""

    correctness: Correctness
    accuracies: pd.DataFrame
    truth: dict[tuple[str, str, str], float] = field(default_factory=dict)
    """The expected accuracy of a model and loss on further images, and over further runs where there are several."""
    in_general: dict[tuple[str, str], float] = field(default_factory=dict)
    """The expected accuracy of a loss over further models and runs on these images."""


def images(clusters: int = 0) -> pd.DataFrame:
    """The test images: those of the long-tailed set by their groups, then those of the balanced set alone."""
    groups = np.repeat([*SIZES, "head"], [*SIZES.values(), BALANCED - sum(SIZES.values())])
    table = pd.DataFrame({"image_id": np.arange(BALANCED), "label": 0, "group": groups})
    table["longtailed"] = table["image_id"] < sum(SIZES.values())
    if clusters:
        table["cluster"] = table["image_id"] // clusters
    return table


def draw(design: Design, rng: np.random.Generator) -> Folder:
    """One results folder."""
    table = images(design.clusters)
    kind = np.where(table["longtailed"], table["group"], "")
    base = np.array([ACCURACY[name] for name in kind])
    cluster = table["cluster"].to_numpy() if design.clusters else None

    def of_images(sd: float) -> np.ndarray:
        # Images of one individual share half of what makes them easy.
        if cluster is None:
            return rng.normal(0, sd, BALANCED)
        shared = rng.normal(0, sd * math.sqrt(0.5), cluster.max() + 1)[cluster]
        return shared + rng.normal(0, sd * math.sqrt(0.5), BALANCED)

    easy = of_images(IMAGE)
    by_loss = {name: of_images(loss.images) for name, loss in design.losses.items()}
    members = {}
    found = Folder(Correctness(table, {}), pd.DataFrame())
    for test_set in found.correctness.test_sets:
        members[test_set] = found.correctness.members(test_set)
    general = {name: np.zeros(BALANCED) for name in design.losses}
    rows = []
    for model in design.grid.models:
        quality, by_model = rng.normal(0, MODEL), of_images(IMAGE_MODEL)
        for name, loss in design.losses.items():
            # What the loss is worth is set so that its accuracy over all that varies is the one that is wanted.
            within = 1 + IMAGE**2 + IMAGE_MODEL**2 + loss.images**2
            whole = within + loss.runs**2 + MODEL**2 + loss.models**2
            wanted = ndtri(base + loss.gain / 100)
            own = quality + rng.normal(0, loss.models)
            worth = rng.normal(0, loss.runs, design.seeds)
            latent = wanted * math.sqrt(whole) + easy + by_loss[name] + by_model + own
            right = latent + worth[:, None] + rng.standard_normal((design.seeds, BALANCED)) > 0
            if design.seeds == 1:
                expected = ndtr((wanted * math.sqrt(whole) + own + worth[0]) / math.sqrt(within))
            else:
                expected = ndtr((wanted * math.sqrt(whole) + own) / math.sqrt(within + loss.runs**2))
            rest = 1 + IMAGE_MODEL**2 + loss.runs**2 + MODEL**2 + loss.models**2
            general[name] = ndtr((wanted * math.sqrt(whole) + easy + by_loss[name]) / math.sqrt(rest))
            for test_set, chosen in members.items():
                found.truth[model, name, test_set] = expected[chosen].mean()
            for seed in design.grid.seeds:
                run = Run(model, name, TRAIN_SET, seed)
                found.correctness.correct[run] = right[seed]
                rows += [
                    (*run, test_set, "acc1", right[seed][chosen].mean(), int(chosen.sum()))
                    for test_set, chosen in members.items()
                ]
    found.accuracies = pd.DataFrame(rows, columns=[*RUN, "test_set", "metric", "value", "n"])
    for name, expected in general.items():
        for test_set, chosen in members.items():
            found.in_general[name, test_set] = expected[chosen].mean()
    return found


NULL, GAIN = 0.0, 10.0
DESIGNS = {
    # The reference and two losses that do not differ from it, two that do; single images like one loss or the other.
    "unequal": (
        {
            "reference": Loss(images=IMAGE_LOSS),
            "stable": Loss(images=IMAGE_LOSS),
            "unstable": Loss(runs=UNSTABLE, images=IMAGE_LOSS),
            "stable, better": Loss(gain=GAIN, images=IMAGE_LOSS),
            "unstable, better": Loss(gain=GAIN, runs=UNSTABLE, images=IMAGE_LOSS),
        },
        2,
    ),
    # Losses that differ in nothing but by model, as losses do that favour some architectures.
    "equal, stable": ({name: Loss(models=0.1) for name in ("reference", "a", "b", "c")}, 4),
    "equal, unstable": ({name: Loss(models=0.1, runs=UNSTABLE) for name in ("reference", "a", "b", "c")}, 4),
}


def judged(kind: str, design: Design, folder: Folder) -> Iterator[tuple[str, str, str, bool]]:
    """What the product prints of a folder: what it is, of what kind of loss, on which test set, and whether it errs."""
    if kind == "unequal":
        yield from judged_images(design, folder)
    else:
        yield from judged_models(kind.removeprefix("equal, "), design, folder)


def judged_images(design: Design, folder: Folder) -> Iterator[tuple[str, str, str, bool]]:
    """Accuracies, and differences on the same images."""
    for row in describe(folder.accuracies, design.grid, folder.correctness).itertuples():
        kind = "unstable" if design.losses[row.loss].runs else "stable"
        truth = folder.truth[row.model, row.loss, row.test_set]
        yield "interval of an accuracy", kind, row.test_set, not row.low <= truth <= row.high
    tables = from_predictions(folder.correctness, design.grid, "reference")
    for name in ("paired_differences", "pooled_differences"):
        what = "of a difference" if name == "paired_differences" else "of a difference over these models"
        for row in tables[name].itertuples():
            models = design.grid.models if row.model == ALL_MODELS else (row.model,)
            truth = np.mean(
                [
                    folder.truth[model, row.loss, row.test_set]
                    - folder.truth[model, "reference", row.test_set]
                    for model in models
                ]
            )
            loss = design.losses[row.loss]
            kind = "unstable" if loss.runs else "stable"
            yield f"interval {what}", kind, row.test_set, not row.low <= truth <= row.high
            # A run of an unstable loss is worth more or less than the reference's: that is no hypothesis which is true.
            if not loss.gain and (design.seeds > 1 or not loss.runs) and not math.isnan(row.p):
                yield f"test {what}", kind, row.test_set, row.p <= 0.05


def judged_models(kind: str, design: Design, folder: Folder) -> Iterator[tuple[str, str, str, bool]]:
    """What is said over models in general, of losses that do not differ."""
    grid, found = design.grid, scores(folder.accuracies, design.grid)
    in_general = differences_over_models(found, grid, "reference")
    for test_set, own in in_general.groupby("test_set"):
        for row in own[own["p"].notna()].itertuples():
            truth = folder.in_general[row.loss, test_set] - folder.in_general["reference", test_set]
            yield "interval over models in general", kind, test_set, not row.low <= truth <= row.high
            yield "test over models in general", kind, test_set, row.p <= 0.05
            yield "test of the log odds over models", kind, test_set, row.p_log_odds <= 0.05
        yield "any of Dunnett's tests", kind, test_set, bool((own["p_dunnett"] <= 0.05).any())
    ranks, pairs = friedman_tables(found, grid)
    tested = anova.IN_GENERAL if design.seeds > 1 else "loss"
    for test_set in tested_sets(found["test_set"]):
        own = found[found["test_set"] == test_set]
        model = anova.fit(own)
        p = anova.two_way_anova(model).set_index("term")["p"]
        yield "F of the loss over models in general", kind, test_set, p[tested] <= 0.05
        here = ranks["test_set"] == test_set
        yield "Friedman's test", kind, test_set, ranks.loc[here, "p"].iloc[0] <= 0.05
        here = pairs["test_set"] == test_set
        yield "any of Nemenyi's tests", kind, test_set, bool((pairs.loc[here, "p_nemenyi"] <= 0.05).any())
        yield "any of Wilcoxon's tests", kind, test_set, bool((pairs.loc[here, "p_holm"] <= 0.05).any())
        if design.seeds == 1:
            tukey = tukey_hsd(model, "loss")
            yield "any of Tukey's tests of losses", kind, test_set, bool((tukey["p"] <= 0.05).any())


def simulate(
    folders: int, seeds: Sequence[int], clusters: int = 0, kinds: Collection[str] = tuple(DESIGNS)
) -> pd.DataFrame:
    """How often everything that is printed errs.

    Args:
        clusters: how many images share an individual, in the designs that compare images; 0: none do.

    Returns:
        Columns what, loss (stable, unstable), seeds, test_set, errs (share), error (of the simulation), folders.
    """
    shares: dict[tuple, list[float]] = {}
    for kind in kinds:
        losses, models = DESIGNS[kind]
        for number in seeds:
            design = Design(losses, models, number, clusters)
            rng = np.random.default_rng([number, list(DESIGNS).index(kind)])
            for _ in range(folders):
                # Rows of one folder are not independent, so the share of each folder is one observation.
                own: dict[tuple, list[bool]] = {}
                for what, loss, test_set, errs in judged(kind, design, draw(design, rng)):
                    own.setdefault((what, loss, number, test_set), []).append(errs)
                for key, each in own.items():
                    shares.setdefault(key, []).append(float(np.mean(each)))
            print(f"{kind}, {number} seeds: {folders} folders", file=sys.stderr, flush=True)
    rows = [
        (*key, np.mean(each), np.std(each) / math.sqrt(len(each)), len(each)) for key, each in shares.items()
    ]
    return pd.DataFrame(rows, columns=["what", "loss", "seeds", "test_set", "errs", "error", "folders"])


def printed(found: pd.DataFrame, intervals: bool) -> pd.DataFrame:
    """The coverage of all intervals, or the errors of all tests, in percent, with the error of the simulation."""
    own = found[found["what"].str.startswith("interval") == intervals]
    value = 100 * (1 - own["errs"] if intervals else own["errs"])
    text = [f"{share:.1f} ± {100 * error:.1f}" for share, error in zip(value, own["error"], strict=True)]
    sizes = {"tail": "38", "middle": "169", "longtailed": "1,051", "balanced": "5,000"}
    wide = own.assign(text=text).pivot_table(
        index=["what", "loss", "seeds"], columns="test_set", values="text", aggfunc="first", sort=False
    )
    wide = wide[list(sizes)].rename(columns=sizes).reset_index().rename_axis(None, axis=1)
    wide = wide.sort_values(
        ["what", "loss", "seeds"], key=lambda own: own if own.name == "seeds" else pd.factorize(own)[0]
    )
    return wide.assign(seeds=wide["seeds"].astype(str)).rename(
        columns={"what": "Interval" if intervals else "Test", "loss": "Losses", "seeds": "Seeds"}
    )


def arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--folders", type=int, default=1000, help="of each design (default: 1000)")
    parser.add_argument("--seeds", type=int, nargs="+", default=SEEDS, help="(default: 1 2 3 5 10)")
    parser.add_argument(
        "--clusters", type=int, default=8, help="images of an individual, where they share one"
    )
    parser.add_argument("--output", type=Path, metavar="FILE", help="write the shares there (.csv)")
    parser.add_argument(
        "--document", type=Path, metavar="FILE", help="Markdown file whose tables are replaced"
    )
    return parser


def main() -> None:
    args = arguments().parse_args()
    alone = simulate(args.folders, args.seeds)
    grouped = simulate(args.folders, args.seeds, args.clusters, ["unequal"])
    tables = {
        "coverage": printed(alone, intervals=True),
        "errors": printed(alone, intervals=False),
        "coverage-groups": printed(grouped, intervals=True),
        "errors-groups": printed(grouped, intervals=False),
    }
    if args.output:
        both = pd.concat([alone.assign(clusters=0), grouped.assign(clusters=args.clusters)])
        with atomic_path(args.output) as temporary:
            both.to_csv(temporary, index=False)
    if args.document:
        text = fill(args.document.read_text(encoding="utf-8"), tables)
        write_text(args.document, text)
    for name, table in tables.items():
        print(f"{name}\n\n{pipe_table(table)}\n")


if __name__ == "__main__":
    main()
