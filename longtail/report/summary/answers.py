"""The summary: the thesis's questions in their order, and the answers from the runs."""

from collections.abc import Callable

import pandas as pd

from longtail.analysis.grid import Refusal
from longtail.analysis.statistics.friedman import ALL_TRAIN_SETS
from longtail.analysis.statistics.sign_flip import ALPHA, least_p, signs_needed
from longtail.report.labels import label
from longtail.report.pages import basis
from longtail.report.summary.comparisons import beside_published, beside_thesis, model_comparison
from longtail.report.summary.evidence import Evidence
from longtail.report.summary.phrases import column, interval, p_is, percent
from longtail.report.typeset import pipe_table

SEEDS_TO_TEST = signs_needed(1)
"""With fewer seeds, the sign-flip test of one model cannot reach `ALPHA`."""


def summarise(evidence: Evidence) -> str:
    """The summary as Markdown; a question without an answer says what these runs lack."""
    questions: dict[str, Callable[[Evidence], str]] = {
        "Which loss for the tail, and at what price for the head?": tail_and_head,
        "How much depends on the model?": model_or_loss,
        "Which is the safest choice?": safest,
        "Is the difference real?": real,
        "Model comparison": model_comparison,
        "Beside the thesis": beside_thesis,
        "Beside published results": beside_published,
    }
    parts = ["# Summary", basis(evidence.evaluation, evidence.planned, evidence.settings.seed)]
    for question, answer in questions.items():
        parts.append(f"## {question}")
        try:
            parts.append(answer(evidence))
        except Refusal as refusal:
            parts.append(f"Not answered by these runs: {refusal}.")
    return "\n\n".join(parts) + "\n"


def tail_and_head(evidence: Evidence) -> str:
    """The loss with the best tail after long-tailed training, what it gains there and costs on the head."""
    cells = evidence.competing("longtailed")
    means = cells.pivot_table(index="loss", columns="test_set", values="mean", sort=False)
    if not {"head", "tail"} <= set(means.columns) or len(means) < 2:
        raise Refusal(
            "they have no two losses with all runs on the long-tailed training set and images in head and tail"
        )
    best = means["tail"].idxmax()
    over = "" if len(evidence.grid.models) == 1 else f", mean over {len(evidence.grid.models)} models"
    lead = f"**{label(best)}** has the best tail after long-tailed training: {percent(means.loc[best, 'tail'])}{over}"
    if best == evidence.settings.reference:
        answer = f"{lead}. No other loss improves on it."
    else:
        answer = (
            f"{lead}, {_against(evidence, best, 'tail')}. On the head it has {percent(means.loc[best, 'head'])}, "
            f"{_against(evidence, best, 'head')}."
        )
    return answer + evidence.left_out + "\n\n" + _price_table(evidence, means)


def model_or_loss(evidence: Evidence) -> str:
    """The shares of variance that go with loss and model, and whether the best loss changes with the model."""
    if len(evidence.grid.models) < 2:
        raise Refusal(f"they have one model, {label(evidence.grid.models[0])}; at least two are needed")
    lines = [
        f"Trained on the {label(train_set).lower()} set, tested on the balanced one: {_shares(evidence, train_set)}."
        for train_set in evidence.grid.train_sets
    ]
    if "longtailed" in evidence.grid.train_sets:
        best = [
            f"{label(model)}: {label(own.loc[own['mean'].idxmax(), 'loss'])}"
            for model, own in evidence.competing("longtailed", ("balanced",)).groupby("model", sort=False)
        ]
        lines.append(
            f"The best loss of each model after long-tailed training, balanced test set: {'; '.join(best)}."
        )
    return " ".join(lines) + evidence.left_out


def safest(evidence: Evidence) -> str:
    """The loss that never loses much to the best one, with its average rank and worst group."""
    cells = pd.concat([evidence.competing(train_set) for train_set in evidence.grid.train_sets])
    wide = cells.pivot_table(
        index=["train_set", "model", "test_set"], columns="loss", values="mean", sort=False
    )
    if wide.shape[1] < 2 or wide.empty:
        raise Refusal("fewer than two losses have all their runs")
    regret = wide.rsub(wide.max(axis="columns"), axis="index")
    order = regret.max().sort_values()
    best = order.index[0]
    where = regret[best].idxmax()
    answer = (
        f"**{label(best)}**: whatever the model, training set and class group, it is never more than "
        f"{100 * order.iloc[0]:.1f} points below the best loss (its worst place: {label(where[1])} trained on "
        f"{label(where[0]).lower()}, tested on {label(where[2]).lower()}). Next: {label(order.index[1])}, "
        f"{100 * order.iloc[1]:.1f} points."
    )
    ranked = _friedman_rows(evidence).dropna(subset="loss").set_index("loss")["average_rank"].astype(float)
    table = pd.DataFrame(
        {
            "Loss function": map(label, order.index),
            "Largest regret": column(order, 100, ".1f"),
            "Mean regret": column(regret.mean()[order.index], 100, ".1f"),
            "Average rank": column(ranked.reindex(order.index), 1, ".2f"),
            "Worst group": column(_worst_group(evidence).reindex(order.index), 100, ".1f"),
        }
    )
    caption = (
        "Regret: points of top-1 accuracy below the best loss at the same place. Average rank: on the balanced test "
        "set, over models and training sets, 1 is best. Worst group: mean accuracy (%) of the worst of head, middle "
        "and tail after long-tailed training."
    )
    return f"{answer}{evidence.left_out} {caption}\n\n{pipe_table(table)}"


def real(evidence: Evidence) -> str:
    """How many differences to the reference survive correction, and what the number of seeds allows at all."""
    table = evidence.statistics["paired_differences"]
    made = table[table["p_holm"].notna()]
    if made.empty:
        raise Refusal(
            "; ".join(table["note"].dropna().unique()) or "no run has a counterpart under the reference"
        )
    sure = made[made["p_holm"] < ALPHA]
    beyond = made[(made["low"] > 0) | (made["high"] < 0)]
    reference = label(evidence.settings.reference)
    better, worse = (sure["difference"] > 0).sum(), (sure["difference"] < 0).sum()
    answer = (
        f"Of {len(made)} differences to {reference} (each loss, model, training and test set), {len(sure)} are "
        f"significant after Holm's correction: {better} better, {worse} worse; {len(beyond)} of the uncorrected 95 % "
        "intervals leave out 0. "
    )
    seeds = len(evidence.grid.seeds)
    if seeds == 1:
        answer += (
            "One seed: this speaks of these trained networks on further images; whether training anew would give the "
            "same is not answered by these runs. "
        )
    elif seeds < SEEDS_TO_TEST:
        answer += (
            f"Not answered by these runs for a single model: with {seeds} seeds a paired sign-flip test cannot go "
            f"below p = {least_p(seeds):.4g}; six seeds could reach 0.05 for one comparison. "
        )
    return answer + _pooled(evidence) + _friedman(evidence)


def _shares(evidence: Evidence, train_set: str) -> str:
    """How much of the variance on the balanced test set goes with loss, model and both; or why that is not known."""
    table = evidence.statistics["anova"]
    terms = table[(table["train_set"] == train_set) & (table["test_set"] == "balanced")].set_index("term")
    if not {"loss", "model"} <= set(terms.index):
        return f"not answered by these runs: {'; '.join(terms['note'].dropna().unique())}"

    def share(term: str, name: str) -> str:
        of_term = terms.loc[term]
        test = f"F = {of_term['statistic']:.2f}, p {p_is(of_term['p'])}"
        return f"{100 * of_term['omega_squared']:.0f} % with {name} ({test})"

    both = "how far the best loss depends on the model cannot be tested with one run of each"
    if "loss x model" in terms.index:
        both = share("loss x model", "their combination")
    alone = f"{share('loss', 'the loss')}, {share('model', 'the model')}"
    return f"of the variance of top-1 accuracy (ω²), {alone}; {both}"


def _against(evidence: Evidence, loss: str, test_set: str) -> str:
    """The difference to the reference as a phrase, with its interval and whether it is shown."""
    table = evidence.differences()
    key = ("longtailed", loss, test_set)
    if key not in table.index or pd.isna(table.loc[key, "difference"]):
        return f"not compared with {label(evidence.settings.reference)}"
    row = table.loc[key]
    if pd.isna(row["p_holm"]):
        shown = "no test"
    elif row["p_holm"] < ALPHA:
        shown = f"significant, Holm p {p_is(row['p_holm'])}"
    elif len(evidence.planned.models) == 1 and 1 < len(evidence.grid.seeds) < SEEDS_TO_TEST:
        shown = f"{len(evidence.grid.seeds)} seeds are too few to test it"
    else:
        shown = f"not significant, Holm p {p_is(row['p_holm'])}"
    return f"{interval(row)} points against {label(evidence.settings.reference)} ({shown})"


def _price_table(evidence: Evidence, means: pd.DataFrame) -> str:
    """Every loss with its tail, head and balanced accuracy and their differences to the reference."""
    differences = evidence.differences()
    rows = []
    for loss, mean in means.sort_values("tail", ascending=False).iterrows():
        row = {"Loss function": label(str(loss))}
        for test_set in ("tail", "head", "balanced"):
            key = ("longtailed", loss, test_set)
            row[label(test_set)] = percent(mean[test_set])
            row[f"{label(test_set)}, less {label(evidence.settings.reference).lower()}"] = (
                interval(differences.loc[key]) if key in differences.index else ""
            )
        rows.append(row)
    return pipe_table(pd.DataFrame(rows))


def _pooled(evidence: Evidence) -> str:
    """Which differences are significant when they are averaged over the models; empty for one model."""
    if len(evidence.planned.models) == 1:
        return ""
    table = evidence.statistics["pooled_differences"]
    sure = table[table["p_holm"] < ALPHA]
    listed = [
        f"{label(row.loss)} {100 * row.difference:+.1f} on {label(row.test_set).lower()} (trained on "
        f"{label(row.train_set).lower()})"
        for row in sure.itertuples()
    ]
    made = table["p_holm"].notna().sum()
    return f"Averaged over the models, {len(sure)} of {made} are significant" + (
        f": {'; '.join(listed)}. " if listed else ". "
    )


def _friedman(evidence: Evidence) -> str:
    """Friedman's test as a sentence."""
    own = _friedman_rows(evidence).iloc[0]
    if pd.isna(own["p_f"]):
        return f"Friedman's test: not answered by these runs: {own['note']}."
    return (
        f"Friedman's test over {own['blocks']:.0f} blocks of model and training set, balanced test set: "
        f"p {p_is(own['p_f'])} (critical difference of average ranks {own['critical_difference']:.2f})."
    )


def _friedman_rows(evidence: Evidence) -> pd.DataFrame:
    """The rows of friedman.csv for the balanced test set, over all training sets there are."""
    table, train_sets = evidence.statistics["friedman"], evidence.planned.train_sets
    scope = ALL_TRAIN_SETS if len(train_sets) > 1 else train_sets[0]
    return table[(table["train_set"] == scope) & (table["test_set"] == "balanced")]


def _worst_group(evidence: Evidence) -> pd.Series:
    """Each loss's accuracy on the worst of head, middle and tail after long-tailed training, mean over the models."""
    cells = evidence.competing("longtailed", ("head", "middle", "tail"))
    wide = cells.pivot_table(index=["loss", "model"], columns="test_set", values="mean", sort=False)
    complete = wide.reindex(columns=["head", "middle", "tail"]).min(axis="columns", skipna=False)
    return complete.groupby("loss").mean()
