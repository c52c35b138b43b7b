"""What the tables of the results, and of numbers to compare with, hold."""

from longtail.data.split.sets import GROUPS, LABEL, TEST_SETS, TRAIN_SETS
from longtail.experiment.runs import RUN, RUN_COLUMNS
from longtail.files.table import Column, Table

COUNT, SHARE = Column("whole", 0), Column("number", 0, 1, gaps=True)
TEXT, NUMBER = Column("text", gaps=True), Column("number", gaps=True, finite=False)  # a loss may be infinite
EVALUATION = Table(
    {
        **RUN_COLUMNS,
        "test_set": Column("text", among=TEST_SETS),
        "metric": Column("text"),
        "value": NUMBER,
        "n": COUNT,
        "clusters": Column("whole", 0, optional=True),
    },
    key=(*RUN, "test_set", "metric"),
    one={"n": "test_set", "clusters": "test_set"},
)
"""The metrics of all runs: a row for each run, test set and metric."""
PER_CLASS = Table(
    {
        **RUN_COLUMNS,
        "label": LABEL,
        "class_name": Column("text"),
        "group": Column("text", among=GROUPS),
        "n_train": Column("whole", 0, gaps=True),
        "n_test": COUNT,
        "acc": SHARE,
        "f1": SHARE,
    },
    key=(*RUN, "label"),
    one={"class_name": "label", "group": "label", "n_test": "label"},
)
"""The accuracies of all runs and classes: a row for each run and class."""
ENSEMBLES = Table(
    {
        **{name: RUN_COLUMNS[name] for name in ("model", "loss", "train_set")},
        "test_set": Column("text", among=TEST_SETS),
        "seeds": Column("whole", 2),
        "single": SHARE,
        "ensemble": SHARE,
        "n": COUNT,
    },
    key=("model", "loss", "train_set", "test_set"),
    empty=True,
)
"""Top-1 accuracy of ensembles over seeds, beside the mean of their members: a row for each of them and test set."""
_OF_STATISTICS = {
    **dict.fromkeys(("model", "loss", "reference", "metric", "term", "note"), TEXT),
    "train_set": Column("text", among=TRAIN_SETS, gaps=True),
    "test_set": Column("text", among=TEST_SETS, gaps=True),
    **dict.fromkeys(("mean", "low", "high", "statistic"), NUMBER),
    **dict.fromkeys(("sd", "critical_difference"), Column("number", 0, gaps=True, finite=False)),
    "difference": Column("number", -1, 1, gaps=True),
    **dict.fromkeys(("p", "p_holm"), SHARE),
    "omega_squared": Column("number", most=1, gaps=True),
    "average_rank": Column("number", 1, gaps=True),
    **dict.fromkeys(("n", "seeds"), Column("whole", 0, gaps=True)),
}


def _statistic(key: str, *columns: str) -> Table:
    """A table of the statistics. Where there is nothing to test, a row has only the columns of its key and a note."""
    names = key.split()
    return Table({name: _OF_STATISTICS[name] for name in (*names, *columns, "note")}, key=tuple(names))


DIFFERENCES = _statistic(
    "model train_set test_set loss reference", "difference", "low", "high", "p", "p_holm", "n", "seeds"
)
STATISTICS = {
    "descriptive": _statistic(
        "train_set model loss test_set metric", "seeds", "n", "mean", "sd", "low", "high"
    ),
    "anova": _statistic("train_set test_set term", "statistic", "p", "omega_squared"),
    "friedman": _statistic("train_set test_set loss", "average_rank", "critical_difference", "p"),
    "paired_differences": DIFFERENCES,
    "pooled_differences": DIFFERENCES,
    "over_models": _statistic("train_set test_set loss reference", "difference", "low", "high", "p"),
}
"""The statistics that are read again, by the names of their files."""
_SHIPPED = "It is part of this project; take it from there again, or mend that cell"
_PERCENT = Column("number", 0, 100, gaps=True)
THESIS = Table(
    {
        "model": Column("text"),
        "train_set": Column("text", among=TRAIN_SETS),
        "loss": Column("text"),
        "test_set": Column("text", among=TEST_SETS),
        "metric": Column("text"),
        "value": Column("number", 0),
        "source": Column("text"),
    },
    key=("model", "train_set", "loss", "test_set", "metric"),
    remedy=_SHIPPED,
)
"""The numbers of the thesis: shares, and losses."""
PUBLISHED = Table(
    {
        **dict.fromkeys(("model", "loss", "protocol", "method"), TEXT),
        **dict.fromkeys(("dataset", "source"), Column("text")),
        "top1": _PERCENT,
        **dict.fromkeys(("many", "medium", "few"), _PERCENT),
    },
    remedy=_SHIPPED,
)
"""The published numbers, in percent."""
