"""The summary: the thesis's questions in their order, and the answers from the runs."""

from collections.abc import Callable

import pandas as pd

from longtail.analysis.grid import Grid, Refusal
from longtail.analysis.statistics.anova import IN_GENERAL, INTERACTION
from longtail.analysis.statistics.mcnemar import IDENTICAL
from longtail.analysis.statistics.sign_flip import ALPHA
from longtail.report.captions import count, in_groups
from longtail.report.catalogue import title
from longtail.report.figures.sources import tells
from longtail.report.labels import CLASSES, label
from longtail.report.pages import basis
from longtail.report.summary.choice import which_model
from longtail.report.summary.comparisons import DATASETS, beside_published, beside_thesis, model_comparison
from longtail.report.summary.evidence import Evidence
from longtail.report.summary.phrases import (
    best_of,
    column,
    full_columns,
    interval,
    listed,
    p_is,
    percent,
    points,
)

NESTED = "test sets are parts of one another, so their differences go together"
NAMED = 6
"""So many significant differences are named one by one."""
EXCLUDED = "Two one-sided tests at 5 % exclude a difference on {} of more than {:.1f} points either way."
FOUND = "On {}, runs like these find a difference of {:.1f} points with a chance of 80 %."
FOUND_NONE = "On {}, runs like these find no difference, however large, with a chance of 80 %."
CHOSEN = (
    " It is the best of {} losses on the images that its gain is measured on, so the gain is too large on average; its "
    "lead over {} is not tested."
)
RARE_ACCURACY = {"tail": "tail", "few": "few-shot accuracy"}
"""What a loss has of the rarest classes, in a sentence."""


def summarise(evidence: Evidence) -> str:
    """The summary as Markdown; a question without an answer says what these runs lack."""
    head, _, tail = map(CLASSES.get, evidence.groups)
    averaged = len(evidence.planned.models) > 1 and not evidence.unequal
    over_models = "statistics/pooled_differences statistics/over_models" if averaged else ""
    questions: dict[str, tuple[Callable[[Evidence], str], str]] = {
        "Which model do I use?": (which_model, "statistics/descriptive statistics/paired_differences"),
        "What do these numbers rest on?": (
            lambda known: basis(known.evaluation, known.planned, known.settings.seed),
            "tables/counts figures/class_distribution",
        ),
        f"Which loss for {tail}, and at what price for {head}?": (
            by_equal_models(tail_and_head),
            f"{over_models or 'statistics/paired_differences'} figures/tradeoff figures/head_middle_tail",
        ),
        "How much depends on the model?": (model_or_loss, "statistics/anova statistics/posthoc"),
        "Which is the safest choice?": (
            by_equal_models(safest),
            "tables/loss_summary statistics/friedman figures/loss_comparison figures/critical_difference",
        ),
        "Is the difference real?": (
            real,
            f"statistics/paired_differences {over_models} statistics/mcnemar statistics/friedman_pairs",
        ),
    }
    if len(evidence.planned.models) > 1:
        questions["Model comparison"] = (model_comparison, "tables/model_summary figures/model_comparison")
    if evidence.settings.thesis_data:
        questions["Beside the thesis"] = (beside_thesis, "tables/thesis_comparison")
    if evidence.settings.source in DATASETS:
        questions["Beside published results"] = (beside_published, "")
    parts = ["# Summary"]
    for question, (answer, sources) in questions.items():
        parts.append(f"## {question}")
        try:
            parts.append(answer(evidence))
        except Refusal as refusal:
            parts.append(f"Not answered by these runs: {refusal}.")
        else:
            shown = [path for path in sources.split() if _is_made(path, evidence.planned)]
            parts += [f"More: {', '.join(map(_source, shown))}."] if shown else []
    return "\n\n".join(parts) + "\n"


def _is_made(path: str, grid: Grid) -> bool:
    """Whether such a grid has this table, statistic or figure."""
    folder, _, name = path.partition("/")
    return folder != "figures" or tells(name, grid.models, grid.losses)


def _source(path: str) -> str:
    """A link to a figure, table or statistic, relative to the results."""
    folder, _, name = path.partition("/")
    return f"[{title(name)}]({path}.{'png' if folder == 'figures' else 'md'})"


def by_equal_models(answer: Callable[[Evidence], str]) -> Callable[[Evidence], str]:
    """An answer over all models where these are equals, and otherwise one for each."""

    def separately(evidence: Evidence) -> str:
        if not evidence.unequal:
            return answer(evidence)
        parts = [evidence.unequal]
        for model in evidence.grid.models:
            try:
                found = answer(evidence.of_model(model))
            except Refusal as refusal:
                found = f"Not answered by these runs: {refusal}."
            parts.append(f"### {label(model)}\n\n{found}")
        return "\n\n".join(parts)

    return separately


def tail_and_head(evidence: Evidence) -> str:
    """The loss with the best tail after long-tailed training, what it gains there and costs on the head.

    Where the classes are grouped by counts, few and many stand for tail and head.
    """
    cells = evidence.competing("longtailed")
    means = cells.pivot_table(index="loss", columns="test_set", values="mean", sort=False)
    head, _, tail = evidence.groups
    if not {head, tail} <= set(means.columns) or len(means) < 2:
        raise Refusal(
            f"they have no two losses with all runs on the long-tailed training set and images in {head} and {tail}"
        )
    tails, accuracy = means[tail].round(12), RARE_ACCURACY[tail]
    first = list(tails.index[tails == tails.max()])
    over = "" if len(evidence.grid.models) == 1 else f", mean over {len(evidence.grid.models)} models"
    share = f"{percent(tails.max())}{over}"
    lead = f"**{label(str(first[0]))}** has the best {accuracy} after long-tailed training:"
    if len(first) == len(means):
        answer = f"All losses have the same {accuracy} after long-tailed training: {share}."
    elif len(first) > 1:
        names = listed([f"**{label(str(loss))}**" for loss in first])
        answer = f"{names} share the best {accuracy} after long-tailed training: {share}."
    elif first[0] == evidence.settings.reference:
        answer = f"{lead} {share}. No other loss improves on it."
    else:
        answer = (
            f"{lead} {share}, "
            f"{_against(evidence, first[0], tail)} On {CLASSES[head]} it has {percent(means.loc[first[0], head])}, "
            f"{_against(evidence, first[0], head)}"
            + _known(evidence, first[0], head, "margin", EXCLUDED)
            + _known(evidence, first[0], tail, "detectable", FOUND, FOUND_NONE)
        )
        if len(means) > 2:
            answer += CHOSEN.format(len(means), label(str(tails.drop(first[0]).idxmax())))
    made = int(evidence.differences["p_holm"].notna().sum())
    family = ""
    if made > 1:
        family = f" Holm's correction is over the {made} differences of this table; its intervals are not corrected."
    return f"{answer}{evidence.left_out}{family}\n\n{_price_table(evidence, means)}"


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
            f"{label(model)}: {best_of(own.set_index('loss')['mean'])}"
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
    regret = wide.rsub(wide.max(axis="columns"), axis="index").round(12)
    order = regret.max().sort_values(kind="stable")
    best, largest = order.index[0], 100 * order.iloc[0]
    where = regret[best].idxmax()
    place = f"{label(where[1])} trained on {label(where[0]).lower()}, tested on {label(where[2]).lower()}"
    varied = {"model": evidence.grid.models, "training set": evidence.grid.train_sets}
    differing = [name for name, own in varied.items() if len(own) > 1]
    anywhere = f"whatever the {listed([*differing, 'test set'])} of these runs"
    if order.iloc[-1] == order.iloc[0]:
        answer = f"No loss is safer than another here: the largest regret of each is {largest:.1f} points."
    elif not largest:
        answer = (
            f"**{label(best)}**: no loss is above it {anywhere}. Next: {label(order.index[1])}, at most "
            f"{100 * order.iloc[1]:.1f} points below the best loss."
        )
    else:
        answer = (
            f"**{label(best)}**: {anywhere}, it is never more than {largest:.1f} points below the best loss (its worst "
            f"place: {place}). Next: {label(order.index[1])}, {100 * order.iloc[1]:.1f} points."
        )
    friedman = _friedman_rows(evidence)
    ranked = friedman.dropna(subset="loss").set_index("loss")["average_rank"].astype(float)
    columns = {
        "Loss function": list(map(label, order.index)),
        "Largest regret": column(order, 100, ".1f"),
        "Mean regret": column(regret.mean()[order.index], 100, ".1f"),
    }
    caption = (
        "This describes these runs and tests nothing. Regret: points of top-1 accuracy below the best loss at the same "
        "place."
    )
    if not ranked.empty:
        columns["Average rank"] = column(ranked.reindex(order.index), 1, ".2f")
        scope = label(str(friedman["train_set"].iloc[0])).lower()
        caption += (
            f" Average rank: on the balanced test set after {scope} training, over the models; 1 is best."
        )
    worst = _worst_group(evidence).reindex(order.index)
    if worst.notna().any():
        columns["Worst group"] = column(worst, 100, ".1f")
        groups = listed(evidence.groups)
        caption += f" Worst group: mean accuracy (%) of the worst of {groups} after long-tailed training."
    return f"{answer}{evidence.left_out} {caption}\n\n{full_columns(pd.DataFrame(columns))}"


def real(evidence: Evidence) -> str:
    """How many differences to the reference survive correction, and what the number of seeds allows at all."""
    table = evidence.statistics["paired_differences"]
    if table["loss"].isna().all():
        raise Refusal("; ".join(table["note"].dropna().unique()))
    several = len(evidence.planned.models) > 1
    scopes = {"paired_differences": "with single models" if several else "with this model"}
    if several and not evidence.unequal:
        scopes |= {"pooled_differences": "over these models", "over_models": "over models in general"}
    answer = [
        _tally(evidence, evidence.statistics[name], train_set, which)
        for train_set in sorted(evidence.grid.train_sets, reverse=True)  # the long-tailed one first
        for name, which in scopes.items()
    ]
    answer.insert(0, f"Differences are counted by {'model, ' if several else ''}loss and test set; {NESTED}.")
    seeds = len(evidence.grid.seeds)
    if seeds == 1:
        images = "groups of images" if in_groups(evidence.evaluation) else "images"
        subject = "what is said of single models and of these models" if several else "this"
        answer.append(
            f"One seed: {subject} speaks of these trained networks on further {images}; whether training anew would "
            "give the same is not answered by these runs."
        )
    elif seeds == 2 and not several:
        answer.append("Two seeds: their intervals count how much runs differ, but a test needs three seeds.")
    return " ".join([*filter(None, answer), _friedman(evidence)])


def _tally(evidence: Evidence, table: pd.DataFrame, train_set: str, which: str) -> str:
    """How many of the differences after one training are significant, as sentences; empty if there are none."""
    own = table[table["train_set"] == train_set]
    made = own[own["p_holm"].notna()]
    lead, reference = f"After {label(train_set).lower()} training", label(evidence.settings.reference)
    same = own.loc[own["note"].fillna("").str.contains(IDENTICAL, regex=False), "loss"]
    names = listed([label(str(loss)) for loss in dict.fromkeys(same)]) if len(same) else ""
    repeated = f" ({names}: the same images right as {reference}, and not counted)" if names else ""
    if made.empty:
        untested = own[~own.index.isin(same.index)]
        if untested.empty and names:
            return f"{lead}, {which}: {names} got the same images right as {reference}."
        notes = [note for note in untested["note"].dropna().unique() if note]
        return f"{lead}, {which}: no test ({'; '.join(notes) or 'no run has a counterpart'}){repeated}."
    sure = made[made["p_holm"] < ALPHA]
    if len(made) == 1:
        verdict = "is" if len(sure) else "is not"
        p = p_is(made["p"].iloc[0])
        return f"{lead}, {which}, the one difference to {reference} {verdict} significant, p {p}{repeated}."
    if sure.empty:
        return (
            f"{lead}, {which}, none of {len(made)} differences to {reference} is significant after Holm's correction "
            f"over all {len(made)}{repeated}."
        )
    better, worse = int((sure["difference"] > 0).sum()), int((sure["difference"] < 0).sum())
    named = ""
    if len(sure) <= NAMED and ("model" not in own or own["model"].nunique() == 1):
        named = ": " + ", ".join(
            f"{label(row.loss)} {points(row.difference)} on {label(row.test_set).lower()}"
            for row in sure.itertuples()
        )
    return (
        f"{lead}, {which}, {len(sure)} of {len(made)} differences to {reference} are significant after Holm's "
        f"correction over all {len(made)} ({better} better, {worse} worse){named}{repeated}."
    )


def _shares(evidence: Evidence, train_set: str) -> str:
    """How much of the variance on the balanced test set goes with loss, model and both; or why that is not known."""
    table = evidence.statistics["anova"]
    terms = table[(table["train_set"] == train_set) & (table["test_set"] == "balanced")].set_index("term")
    if not {"loss", "model"} <= set(terms.index):
        return f"not answered by these runs ({'; '.join(terms['note'].dropna().unique())})"

    def share(term: str, name: str) -> str:
        of_term = terms.loc[term]
        test = f"F = {of_term['statistic']:.2f}, p {p_is(of_term['p'])}"
        return f"{100 * of_term['omega_squared']:.0f} % with {name} ({test})"

    both = "whether the best loss depends on the model cannot be tested without several seeds of every loss and model"
    if INTERACTION in terms.index:
        both = f"{share(INTERACTION, 'their combination')}; this is said of these models"
        if IN_GENERAL in terms.index and not evidence.unequal:
            both += f", and over models in general the loss has p {p_is(terms.loc[IN_GENERAL, 'p'])}"
    alone = f"{share('loss', 'the loss')}, {share('model', 'the model')}"
    return f"of the variance of top-1 accuracy (ω²), {alone}; {both}"


def _against(evidence: Evidence, loss: str, test_set: str) -> str:
    """The difference to the reference as the end of a sentence, with its interval and whether it is shown."""
    table, reference, key = evidence.differences, label(evidence.settings.reference), (loss, test_set)
    if key not in table.index or pd.isna(table.loc[key, "difference"]):
        return f"not compared with {reference}."
    row = table.loc[key]
    shown = f"{interval(row)} points against {reference}"
    if pd.isna(row["p_holm"]):
        return f"{shown} (not tested: {row['note'] or 'no test'})."
    verdict = "significant" if row["p_holm"] < ALPHA else "not significant"
    made = int(table["p_holm"].notna().sum())
    which = "p" if made == 1 else "Holm p"
    models = f" for these {len(evidence.grid.models)} models" if len(evidence.planned.models) > 1 else ""
    general = _in_general(evidence, loss, test_set)
    return f"{shown}{models} ({verdict}, {which} {p_is(row['p_holm'])}){general}."


def _in_general(evidence: Evidence, loss: str, test_set: str) -> str:
    """The same difference over models in general, as a phrase; empty for one model."""
    table = evidence.statistics["over_models"]
    own = table[table[["train_set", "test_set", "loss"]].eq(["longtailed", test_set, loss]).all(axis=1)]
    if own.empty or pd.isna(own["low"].iloc[0]):
        return ""
    row = own.iloc[0]
    return (
        f", and over models in general [{points(row['low'])}, {points(row['high'])}] "
        f"(p {p_is(row['p_dunnett'])} after Dunnett over the losses)"
    )


def _known(evidence: Evidence, loss: str, test_set: str, column: str, sentence: str, whole: str = "") -> str:
    """A sentence with a number of points about the difference to the reference, after a space; or nothing.

    Where it is all that an accuracy can differ by, `whole` says so.
    """
    table, key = evidence.differences, (loss, test_set)
    if key not in table.index or pd.isna(table.loc[key, column]):
        return ""
    value = table.loc[key, column]
    return f" {(whole if whole and value >= 1 else sentence).format(CLASSES[test_set], 100 * value)}"


def _price_table(evidence: Evidence, means: pd.DataFrame) -> str:
    """Every loss with its accuracies on the priced sets, and their differences to the reference."""
    differences = evidence.differences
    rows = []
    for loss, mean in means.sort_values(evidence.groups[2], ascending=False).iterrows():
        row = {"Loss function": label(str(loss))}
        for test_set in evidence.priced:
            key = (loss, test_set)
            row[label(test_set)] = percent(mean[test_set])
            row[f"{label(test_set)}, less {label(evidence.settings.reference).lower()}"] = (
                interval(differences.loc[key]) if key in differences.index else ""
            )
        rows.append(row)
    return full_columns(pd.DataFrame(rows))


def _friedman(evidence: Evidence) -> str:
    """Friedman's test as a sentence."""
    own = _friedman_rows(evidence).iloc[0]
    if pd.isna(own["p"]):
        return f"Friedman's test: not answered by these runs: {own['note']}."
    critical = own["critical_difference"]
    far = f"critical difference {critical:.2f}"
    if pd.isna(critical):
        far = "no two average ranks could lie far enough apart"
    return (
        f"Friedman's test of the ranks over {count(int(own['blocks']), 'model')} after "
        f"{label(own['train_set']).lower()} training, balanced test set: p {p_is(own['p'])} ({own['method']}; {far})."
    )


def _friedman_rows(evidence: Evidence) -> pd.DataFrame:
    """The rows of friedman.csv for the balanced test set after long-tailed training, or the one that there is."""
    table, train_sets = evidence.statistics["friedman"], evidence.planned.train_sets
    scope = "longtailed" if "longtailed" in train_sets else train_sets[0]
    return table[(table["train_set"] == scope) & (table["test_set"] == "balanced")]


def _worst_group(evidence: Evidence) -> pd.Series:
    """Each loss's accuracy on the worst group of classes after long-tailed training, mean over the models."""
    cells = evidence.competing("longtailed", evidence.groups)
    wide = cells.pivot_table(index=["loss", "model"], columns="test_set", values="mean", sort=False)
    complete = wide.reindex(columns=list(evidence.groups)).min(axis="columns", skipna=False)
    return complete.groupby("loss").mean()
