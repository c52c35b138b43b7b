"""The evidence for the answers: the evaluation, its statistics, and the numbers to compare with."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from types import MappingProxyType
from typing import NamedTuple

import pandas as pd

from longtail.analysis.grid import Grid, missing_runs, scores
from longtail.analysis.statistics.holm import holm
from longtail.data.split.sets import groups_of
from longtail.report.labels import label


class Settings(NamedTuple):
    """What the runs were trained on, which decides what they may be compared with, and the loss to compare with."""

    source: str
    imbalance_factor: float
    seed: int | None
    """The seed of the data split; None: it is not known."""
    reference: str
    pretrained: Mapping[str, bool] = MappingProxyType({})
    """Whether each model starts from pretrained weights."""
    imbalance: str = "exponential"
    thesis_data: bool = False
    """Whether the images are divided as the thesis's."""
    model_files: bool = True
    """Whether the results hold the trained models."""


@dataclass(frozen=True)
class Evidence:
    """All that the answers rest on."""

    evaluation: pd.DataFrame
    statistics: dict[str, pd.DataFrame]
    """The tables of `results/statistics` that `longtail.analysis.tables.STATISTICS` describes, by name."""
    thesis: pd.DataFrame
    """Columns model, train_set, loss, test_set, metric, value."""
    published: pd.DataFrame
    """Columns model and loss (our names, where we have what the row is of), dataset, top1 (percent)."""
    settings: Settings

    @cached_property
    def groups(self) -> tuple[str, ...]:
        """The three groups of classes, from the most frequent to the rarest."""
        return groups_of(self.evaluation["test_set"])

    @property
    def priced(self) -> tuple[str, ...]:
        """The test set of the rarest classes, and those that a gain there is weighed against."""
        return (self.groups[2], self.groups[0], "balanced")

    @cached_property
    def planned(self) -> Grid:
        """The runs there should be."""
        return Grid.of(self.evaluation)

    @cached_property
    def grid(self) -> Grid:
        """The models, losses, training sets and seeds that have any run at all."""
        found = scores(self.evaluation, self.planned)
        if found.empty:
            raise ValueError("the evaluation holds no top-1 accuracy: not one run has been evaluated")
        return Grid.of(found)

    @cached_property
    def unequal(self) -> str:
        """Why the models are no equals, whose mean would say nothing, as a sentence; empty where they are."""
        starts = {model: self.settings.pretrained.get(model, False) for model in self.grid.models}
        if len(set(starts.values())) < 2:
            return ""
        scratch = [label(model) for model, pretrained in starts.items() if not pretrained]
        learned = [label(model) for model, pretrained in starts.items() if pretrained]
        return (
            f"Not averaged over the models, which are no equals: {', '.join(learned)} started from pretrained weights, "
            f"{', '.join(scratch)} from random ones."
        )

    def of_model(self, model: str) -> "Evidence":
        """What there is of one model alone."""
        tables = {
            name: table[table["model"] == model].reset_index(drop=True)
            if name in ("descriptive", "paired_differences")
            else table
            for name, table in self.statistics.items()
        }
        own = self.evaluation[self.evaluation["model"] == model]
        return replace(self, evaluation=own, statistics=tables)

    @cached_property
    def cells(self) -> pd.DataFrame:
        """Mean top-1 accuracy over the seeds, by training set, model, loss and test set; with the interval."""
        table = self.statistics["descriptive"]
        there = {"metric": ["acc1"], "model": self.grid.models, "loss": self.grid.losses}
        there["train_set"] = self.grid.train_sets
        chosen = [table[column].isin(names) for column, names in there.items()]
        return table[pd.concat(chosen, axis=1).all(axis=1)].reset_index(drop=True)

    @cached_property
    def incomplete(self) -> list[str]:
        """Losses that lack a run; they do not compete, as a mean without its worst model would flatter them."""
        absent = {run.loss for run in missing_runs(scores(self.evaluation, self.grid), self.grid)}
        return [loss for loss in self.grid.losses if loss in absent]

    def competing(self, train_set: str, test_sets: tuple[str, ...] | None = None) -> pd.DataFrame:
        """Cells of the losses without missing runs, on some test sets: None takes the groups and the balanced one."""
        own = self.cells[self.cells["train_set"] == train_set]
        chosen = own["test_set"].isin(test_sets or ("balanced", *self.groups))
        return own[chosen & ~own["loss"].isin(self.incomplete)]

    @cached_property
    def differences(self) -> pd.DataFrame:
        """Differences to the reference over these models, or of the one model there is, on the sets of the price table.

        Their `p_holm` is corrected over all of them, since the table shows them all. The index is loss and test set.
        """
        name = "pooled_differences" if len(self.planned.models) > 1 else "paired_differences"
        table = self.statistics[name]
        shown = table["loss"].isin(self.grid.losses) & ~table["loss"].isin(self.incomplete)
        shown &= (table["train_set"] == "longtailed") & table["test_set"].isin(self.priced)
        own = table[shown].set_index(["loss", "test_set"])
        return own.assign(p_holm=holm(own["p"]))

    @property
    def left_out(self) -> str:
        """A sentence that names what the answers leave out because runs are missing; empty if nothing is left out."""
        started = {*self.grid.models, *self.grid.losses}
        gone = [str(name) for name in (*self.planned.models, *self.planned.losses) if name not in started]
        gone += [f"seed {seed}" for seed in self.planned.seeds if seed not in self.grid.seeds]
        names = dict.fromkeys([*gone, *self.incomplete])
        return f" Left out because runs are missing: {', '.join(map(label, names))}." if names else ""
