"""The results of an experiment as tidy frames."""

import warnings
from functools import cached_property
from pathlib import Path

import pandas as pd

from longtail.analysis.frames import (
    evaluated_models,
    read_evaluation,
    read_histories,
    read_per_class,
    read_records,
)
from longtail.experiment.runs import HISTORY, MODEL, RECORD, RUN, Run
from longtail.models.card import digest_of, read_card


def load_results(folder: str | Path = "results") -> "Results":
    """The frames of a results folder, each read when it is first asked for.

    A warning names the runs that were trained anew after the evaluation, whose history and record are of other weights.

    Raises:
        FileNotFoundError: the folder holds no evaluation.
    """
    results = Results(folder)
    if not (results.folder / "evaluation.parquet").exists():
        raise FileNotFoundError(
            f"{results.folder / 'evaluation.parquet'} does not exist. Give the folder that the workflow wrote its "
            "results to, or make the file: snakemake results/evaluation.parquet"
        )
    if anew := results.trained_anew:
        more = f" and {len(anew) - 1:,} more" if len(anew) > 1 else ""
        warnings.warn(
            f"{results.folder / 'evaluation.parquet'} is older than {anew[0]}{more}, which was trained anew since; run "
            "the workflow again before you compare the two",
            stacklevel=2,
        )
    return results


class Results:
    """The frames of a results folder, as `load_results` returns them.

    Every frame also holds the runs that failed or were not run, with NaN in place of their numbers. `missing` lists
    them; check it, because pandas leaves NaN out of a mean silently. Variants are not trained, so they are left out
    of `history` and `runs`. Only a variant that failed is still there, since nothing shows that it is one.
    """

    def __init__(self, folder: str | Path):
        self.folder = Path(folder)

    @cached_property
    def evaluation(self) -> pd.DataFrame:
        """Columns model, loss, train_set, seed, test_set, metric, value (fraction), n (test images), clusters."""
        return read_evaluation(self.folder / "evaluation.parquet")

    @cached_property
    def per_class(self) -> pd.DataFrame:
        """One row per run and class: label, class_name, group, n_train, n_test, acc, f1 on the balanced test set."""
        return read_per_class(self.folder / "per_class.parquet")

    @cached_property
    def history(self) -> pd.DataFrame:
        """One row per run and epoch: train_loss, train_acc1, val_loss, val_acc1, …"""
        return read_histories(self._trained_files(HISTORY))

    @cached_property
    def runs(self) -> pd.DataFrame:
        """One row per run: seconds, images_per_second, peak_memory_mb, device. The run's run.json holds the rest."""
        return read_records(self._trained_files(RECORD))

    @cached_property
    def missing(self) -> pd.DataFrame:
        """Model, loss, train_set and seed of the runs without any number."""
        measured = self.evaluation.groupby(RUN, sort=False)["value"].count()
        return measured[measured == 0].index.to_frame(index=False)

    @cached_property
    def trained_anew(self) -> list[Run]:
        """The runs whose model is not the one that was evaluated."""
        models = {
            run: (self.folder / "runs" / str(run) / MODEL, digest)
            for run, digest in evaluated_models(self.folder / "evaluation.parquet").items()
        }
        return [run for run, (model, own) in models.items() if model.is_file() and digest_of(model) != own]

    def _trained_files(self, name: str) -> list[Path]:
        def is_variant(folder: Path) -> bool:
            model = folder / MODEL
            return not (folder / name).is_file() and model.is_file() and read_card(model).variant is not None

        folders = [self.folder / "runs" / str(run) for run in self._runs]
        return [folder / name for folder in folders if not is_variant(folder)]

    @property
    def _runs(self) -> list[Run]:
        return [Run(*run) for run in self.evaluation[RUN].drop_duplicates().itertuples(index=False)]

    def __repr__(self) -> str:
        return f"<{len(self._runs)} runs in {self.folder}, {len(self.missing)} of them missing>"
