"""The list of tables and statistics: their titles, how to read a statistic, and the files of each.

The rules of the workflow import this to know what the programs will write, so it imports no package.
"""

from typing import NamedTuple

PROTOCOLS = {"cao2019": "CIFAR100-LT, 500 to 5", "cao2019-cifar10": "CIFAR10-LT, 5,000 to 50"}
"""The published protocols, each with its data set and how many training images its classes have."""
STATISTIC_FORMATS = ("csv", "md", "html")
TABLE_FORMATS = ("csv", "md", "tex", "html")
TABLES = {
    "top1": "Top-1 accuracy",
    "full": "All metrics",
    "class_groups": "Accuracy by class group",
    "test_distributions": "Other test distributions",
    "ensembles": "Ensembles over seeds",
    "counts": "Number of images",
    "thesis_comparison": "Beside the thesis",
    "published_comparison": "Beside published results",
    "model_summary": "Means by model",
    "loss_summary": "Means by loss",
}
"""The tables by the name of their files, each with its title in the list of the report."""
CLASS_TABLES = {
    "classes": "Single classes",
    "confusion": "Confused classes",
}
"""The tables of single classes, one of each loss, in the formats of the statistics."""

FIGURES = {"head_middle_tail": "Groups of classes", "tradeoff": "Trade-off"}
"""The titles of figures whose names, with spaces, would be none."""


class Statistic(NamedTuple):
    """One table of the statistics."""

    title: str
    """Its name in the list of the report."""
    caption: str
    """What it shows, and how it is read."""
    keys: int
    """How many of its columns, the first ones, name a row."""


OF_DIFFERENCES = (
    "Margin: the smallest within which the difference lies by two one-sided tests at 5 %. Detectable: the smallest "
    "that a test at 5 % finds with a chance of 80 %. Seeds, or images, needed: as many as would find this difference "
    "so, where its interval holds 0."
)
STATISTICS = {
    "descriptive": Statistic(
        "Means and intervals",
        "Mean and standard deviation (n − 1) of top-1 accuracy in percent, with 95 % intervals after Wilson: with one "
        "run, of this network on further images; with several, of further training runs on further images. The csv "
        "beside this has all metrics.",
        keys=5,
    ),
    "paired_differences": Statistic(
        "Differences to the reference loss",
        "Top-1 accuracy less that of the reference loss with the same model, in percentage points, with 95 % intervals "
        "after Tango: with one run, of these networks on further images; with several, of further training runs on "
        "further images. McNemar's exact test is stricter than the interval where few images are discordant. "
        f"{OF_DIFFERENCES} Holm over all models, losses and (nested) test sets of one training set.",
        keys=5,
    ),
    "pooled_differences": Statistic(
        "Differences over these models",
        "Top-1 accuracy less that of the reference loss, averaged over these models, in percentage points, with 95 % "
        "intervals after Tango: with one run of each, of these networks on further images; with several, of further "
        f"training runs of these models on further images. {OF_DIFFERENCES} Holm over all losses and (nested) test "
        "sets of one training set.",
        keys=5,
    ),
    "over_models": Statistic(
        "Differences over models in general",
        "Top-1 accuracy less that of the reference loss, in percentage points, by Student's paired t over the models "
        "(each the mean over its seeds), with 95 % intervals: of further models on these test images. Margin: the "
        "smallest within which the difference lies by two one-sided tests at 5 %. Dunnett: step-down over the losses "
        "of one training and test set. Holm: over all losses and (nested) test sets of one training set. Log odds: "
        "the same difference on the logit scale.",
        keys=4,
    ),
    "mcnemar": Statistic(
        "McNemar tests",
        "McNemar's exact test of every run against the run of the reference loss with the same seed: test images by "
        "who got them right; where images belong to groups, p is that of whole groups. Holm over the models and losses "
        "of one training set, test set and seed.",
        keys=6,
    ),
    "anova": Statistic(
        "Analysis of variance",
        "Analysis of variance of top-1 accuracy by loss and model, type II, with effect sizes. The F of an effect "
        "speaks of these losses and models; where there are several seeds, the last row tests the loss against its "
        "interaction with the models and so speaks of models in general.",
        keys=3,
    ),
    "posthoc": Statistic(
        "Pairs after the analysis of variance",
        "All pairs of losses and of models after the analysis of variance, by Tukey's HSD: difference of mean top-1 "
        "accuracy (A − B) in percentage points with simultaneous 95 % intervals. All pairs share one error, which a "
        "loss that collapses inflates; for a loss against the reference, the differences above have their own.",
        keys=5,
    ),
    "friedman": Statistic(
        "Friedman test",
        "Average rank of the losses by top-1 accuracy (1 is best) over the models, with Friedman's test (p: the share "
        "of the patterns of ranks that are as extreme, all of them or as many as are drawn) and Nemenyi's critical "
        "difference (CD) at the 5 % level from the same patterns; without CD no difference could reach it.",
        keys=3,
    ),
    "friedman_pairs": Statistic(
        "Pairs after the Friedman test",
        "All pairs of losses over the models: difference of average ranks (A − B; below 0: A is better), median "
        "difference of top-1 accuracy in percentage points, Nemenyi's p from the patterns of ranks, and Wilcoxon's "
        "exact signed-rank p with Holm over the pairs.",
        keys=4,
    ),
}
"""The statistics of an experiment by the name of their files."""
THESIS_STATISTICS = {
    "mcnemar_bounds": Statistic(
        "Bounds of McNemar's test",
        "What the accuracies alone say about McNemar's exact test against the run of the reference loss: the smallest "
        "and the largest p that any overlap of their correct images allows, where those on head, middle and tail add "
        "up; Holm over the models and losses of one training and test set.",
        keys=5,
    ),
}
"""What tools/thesis.py makes besides, where no predictions are left."""


def title(name: str) -> str:
    """The title of a table, a statistic or a figure in the list of the report."""
    titles = (
        TABLES | CLASS_TABLES | FIGURES | {statistic: about.title for statistic, about in STATISTICS.items()}
    )
    return titles.get(name, name.replace("_", " ").capitalize())
