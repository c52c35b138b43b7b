"""The first answer of the summary: which model to use, how good it is, and where its file lies."""

import pandas as pd

from longtail.analysis.grid import Refusal
from longtail.data.split.sets import GROUPS
from longtail.experiment.runs import MODEL, RUN, Run
from longtail.files.text import as_code
from longtail.report.labels import label
from longtail.report.summary.evidence import Evidence
from longtail.report.summary.phrases import full_columns, listed, percent

CRITERION = "mean_class_acc"
"""The accuracy of each class, averaged over the classes: a rare class counts as much as a frequent one."""
ROWS = 6
"""So many of the best are listed."""
KEY = ["model", "loss"]


def which_model(evidence: Evidence) -> str:
    """The model and loss with the best mean accuracy over the classes of all test images, and its file.

    Those with the most seeds compete, each by its mean over them, after long-tailed training where there is any.
    """
    train_sets = evidence.grid.train_sets
    train_set = "longtailed" if "longtailed" in train_sets else train_sets[0]
    described = evidence.statistics["descriptive"]
    described = described[(described["train_set"] == train_set) & described["mean"].notna()]
    accuracy = described[described["metric"] == "acc1"]
    if accuracy.empty:
        raise Refusal("no run has ended")
    images = accuracy.groupby("test_set")["n"].max()
    whole = max(("balanced", "longtailed"), key=lambda name: images.get(name, 0))
    by_class = described[(described["metric"] == CRITERION) & (described["test_set"] == whole)]
    if by_class.empty:
        raise Refusal(f"the statistics lack {CRITERION}; make them anew")
    competing = by_class[by_class["seeds"] == by_class["seeds"].max()]
    order = competing.sort_values("mean", ascending=False, kind="stable").set_index(KEY)["mean"]
    wide = accuracy.set_index([*KEY, "test_set"])
    first = order.index[0]
    parts = [
        f"**{_named(first)}.** It gets {_share(wide, first, whole)} of all {images[whole]:,.0f} test images right; "
        f"{_by_group(wide, first)}. Every class counted the same, that is {percent(order.iloc[0])}"
        f"{_among(order, train_set, int(competing['seeds'].max()))}.",
        _most_right(wide, order, whole),
        "In brackets: 95 % intervals for further images like these"
        + ("." if len(order) == 1 else "; these images chose it, so expect a little less on new ones."),
    ]
    if others := len(by_class) - len(competing):
        parts.append(f"{others} with fewer seeds than the others do not compete.")
    beside = _beside(evidence, wide, order, whole, images) if len(order) > 1 else ""
    answer = " ".join(filter(None, parts))
    return "\n\n".join(filter(None, [answer, _files(evidence, first, train_set), beside]))


def _named(key: tuple[str, str]) -> str:
    return f"{label(key[0])} with {label(key[1])}"


def _share(wide: pd.DataFrame, key: tuple[str, str], test_set: str) -> str:
    """An accuracy with its interval; empty where the test set has no image."""
    if (*key, test_set) not in wide.index:
        return ""
    row = wide.loc[(*key, test_set)]
    found = percent(row["mean"])
    return found if pd.isna(row["low"]) else f"{found} [{100 * row['low']:.1f}, {100 * row['high']:.1f}]"


def _by_group(wide: pd.DataFrame, key: tuple[str, str]) -> str:
    groups = [group for group in GROUPS if (*key, group) in wide.index]
    parts = [
        f"{label(group).lower()} {_share(wide, key, group)} of {wide.loc[(*key, group), 'n']:,.0f}"
        for group in groups
    ]
    return (
        f"of those of the long-tailed test set: {', '.join(parts)}" if parts else "no group has test images"
    )


def _among(order: pd.Series, train_set: str, seeds: int) -> str:
    over = f", mean over {seeds} seeds" if seeds > 1 else ""
    if len(order) == 1:
        return over
    models, losses = (order.index.get_level_values(name).nunique() for name in KEY)
    kinds = [f"{losses} losses"] if losses > 1 else []
    kinds += [f"{models} models"] if models > 1 else []
    trained = f"trained on the {label(train_set).lower()} set{over}"
    all_of = (
        f"{kinds[0]} ({trained})" if len(kinds) == 1 else f"{len(order)} ({' and '.join(kinds)}, {trained})"
    )
    best = order.round(12)
    if (best == best.iloc[0]).all():
        return f", as with all {all_of}"
    shared = [_named(key) for key in order.index[1:] if best[key] == best.iloc[0]]
    also = f", which {listed(shared)} {'has' if len(shared) == 1 else 'have'} too" if shared else ""
    return f", the most of {all_of}{also}"


def _most_right(wide: pd.DataFrame, order: pd.Series, whole: str) -> str:
    """Which of them has most of all images right, where that is another one."""
    shares = wide.xs(whole, level="test_set")["mean"].reindex(order.index).round(12)
    if shares.iloc[0] >= shares.max():
        return ""
    key = shares.idxmax()
    return (
        f"If it is the number of right images that counts, and so the frequent classes: {_named(key)}, with "
        f"{_share(wide, key, whole)}."
    )


def _files(evidence: Evidence, key: tuple[str, str], train_set: str) -> str:
    """Where the model lies, and what to do with it."""
    ended = evidence.evaluation.dropna(subset="value").drop_duplicates(RUN)
    seeds = list(
        ended.set_index(["model", "loss", "train_set"]).sort_index().loc[[(*key, train_set)], "seed"]
    )
    run = Run(*key, train_set, seeds[0])
    path, tables = f"runs/{run}/{MODEL}", f"tables/{train_set}/{key[0]}/classes_{key[1]}.html"
    others = f" (the others, {', '.join(map(str, seeds[1:]))}, lie beside it)" if len(seeds) > 1 else ""
    if not evidence.settings.model_files:
        return f"Each class, in the folder of this page: {as_code(tables)}."
    return (
        f"Its file, in the folder of this page: {as_code(path)}, of seed {seeds[0]}{others}. Each class: "
        f"{as_code(tables)}. `longtail predict FILE PICTURES` classifies pictures, "
        "`longtail evaluate FILE LIST` says how good it is on new ones whose classes are known."
    )


def _beside(evidence: Evidence, wide: pd.DataFrame, order: pd.Series, whole: str, images: pd.Series) -> str:
    """The best of them beside each other."""
    shown = order.head(ROWS)
    columns = {
        "Model": [label(model) for model, _ in shown.index],
        "Loss function": [label(loss) for _, loss in shown.index],
        "Mean over classes": [percent(value) for value in shown],
        f"All {images[whole]:,.0f} images": [_share(wide, key, whole) for key in shown.index],
    }
    columns |= {label(group): [_share(wide, key, group) for key in shown.index] for group in evidence.groups}
    more = f"\n\nThe best {len(shown)} of {len(order)}." if len(order) > len(shown) else ""
    return full_columns(pd.DataFrame(columns)) + more
