"""What `longtail demo` prints at its end: the long-tail effect in the results, and where everything is."""

import sys
from collections.abc import Sequence
from pathlib import Path

from longtail.analysis.frames import read_evaluation
from longtail.data.split.sets import tested_sets
from longtail.report.labels import label


def summary(results: Path) -> str:
    """Top-1 accuracy of the runs on the long-tailed training set, and the folders of the results.

    Raises:
        FileNotFoundError: there is no evaluation yet.
        ValueError: it is damaged, or holds no accuracy of such a run.
    """
    path = results / "evaluation.parquet"
    if not path.exists():
        raise FileNotFoundError(
            f"{path} does not exist; make it by `longtail demo`, or name the folder of other results"
        )
    evaluation = read_evaluation(path)
    rows = evaluation[(evaluation["metric"] == "acc1") & (evaluation["train_set"] == "longtailed")]
    if rows.empty:
        raise ValueError(f"{path} holds no accuracy of a run on the long-tailed training set")
    accuracy = rows.pivot_table(index="loss", columns="test_set", values="value", sort=False)
    test_sets = tested_sets(accuracy.columns)
    header = f"{'':18}" + "".join(f"{label(name):>12}" for name in test_sets)
    lines = [
        f"{label(loss):18}" + "".join(f"{row.get(name, float('nan')):12.1%}" for name in test_sets)
        for loss, row in accuracy.iterrows()
    ]
    return "\n".join(
        [
            "Top-1 accuracy by test set, trained on the long-tailed training set:",
            "",
            header,
            *lines,
            "",
            f"all of it, to click through   {results}/index.html",
            f"the answers as text           {results}/summary.md",
            f"as one file to send           longtail report {results}",
        ]
    )


def main(words: Sequence[str]) -> None:
    """Print the summary of the folder of results that is named."""
    try:
        print(summary(Path(*words)))
    except (OSError, ValueError) as error:
        sys.exit(f"error: {error}")
