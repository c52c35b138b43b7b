"""The list of tables and statistics: their titles, how to read a statistic, and the files of each.

The rules of the workflow import this to know what the programs will write, so it imports no package.
"""

from typing import NamedTuple

THESIS_SOURCE = "cifar100"
"""The source of images that the figures of the thesis are about."""
STATISTIC_FORMATS = ("csv", "md", "html")
TABLE_FORMATS = ("csv", "md", "tex", "html")
TABLES = {
    "top1": "Top-1 accuracy",
    "full": "All metrics",
    "counts": "Number of images",
    "thesis_comparison": "Beside the thesis",
    "published_comparison": "Beside published results",
    "model_summary": "Means by model",
    "loss_summary": "Means by loss",
}
"""The tables by the name of their files, each with its title in the list of the report."""


class Statistic(NamedTuple):
    """One table of the statistics."""

    title: str
    """Its name in the list of the report."""
    caption: str
    """What it shows, and how it is read."""
    keys: int
    """How many of its columns, the first ones, name a row."""


STATISTICS = {
    "descriptive": Statistic(
        "Means and intervals",
        "Mean and standard deviation (n − 1) of top-1 accuracy in percent, with 95 % intervals: Student's t over the "
        "seeds, or Wilson's over the test images where there is one run. The csv beside this has all metrics.",
        keys=5,
    ),
    "anova": Statistic(
        "Analysis of variance",
        "Analysis of variance of top-1 accuracy by loss and model, type II, with effect sizes and the checks of its "
        "assumptions (statistic: F, W or Levene's).",
        keys=3,
    ),
    "posthoc": Statistic(
        "Pairs after the analysis of variance",
        "All pairs of losses and of models after the analysis of variance: difference of mean top-1 accuracy (A − B) "
        "in percentage points with simultaneous 95 % intervals. Where Levene's test finds the variances unequal, "
        "Games-Howell applies instead of Tukey's HSD.",
        keys=5,
    ),
    "friedman": Statistic(
        "Friedman test",
        "Average rank of the losses by top-1 accuracy (1 is best) over blocks of model and training set, with "
        "Friedman's test (χ²; F is Iman and Davenport's form) and Nemenyi's critical difference (CD) at the 5 % level.",
        keys=3,
    ),
    "friedman_pairs": Statistic(
        "Pairs after the Friedman test",
        "All pairs of losses over blocks of model and training set: difference of average ranks (A − B; below 0: A is "
        "better), median difference of top-1 accuracy in percentage points, Nemenyi's p and Wilcoxon's signed-rank p "
        "with Holm over the pairs.",
        keys=4,
    ),
    "paired_differences": Statistic(
        "Differences to the reference loss",
        "Top-1 accuracy less that of the reference loss with the same model, in percentage points, with 95 % bootstrap "
        "intervals (over images and, with several seeds, over seeds: from few seeds too narrow); Holm over the models "
        "and losses of one training and test set.",
        keys=5,
    ),
    "pooled_differences": Statistic(
        "The same over all models",
        "Top-1 accuracy less that of the reference loss, averaged over the models, in percentage points, with 95 % "
        "bootstrap intervals (over images and, with several seeds, over runs: from few seeds too narrow); Holm over "
        "the losses of one training and test set.",
        keys=5,
    ),
    "mcnemar": Statistic(
        "McNemar tests",
        "McNemar's exact test of every run against the run of the reference loss with the same seed: test images by "
        "who got them right; Holm over the models and losses of one training set, test set and seed.",
        keys=6,
    ),
}
"""The statistics of an experiment by the name of their files."""
THESIS_STATISTICS = {
    "mcnemar_bounds": Statistic(
        "Bounds of McNemar's test",
        "What the accuracies alone say about McNemar's exact test against the run of the reference loss: the smallest "
        "and the largest p that any overlap of their correct images allows; Holm over the models and losses of one "
        "training and test set.",
        keys=5,
    ),
}
"""What tools/thesis.py makes besides, where no predictions are left."""


def title(name: str) -> str:
    """The title of a table, a statistic or a figure in the list of the report."""
    titles = TABLES | {statistic: about.title for statistic, about in STATISTICS.items()}
    return titles.get(name, name.replace("_", " ").capitalize())
