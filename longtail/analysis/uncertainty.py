"""Which pictures to label next: those of whose class a model is least sure.

Source: Settles, Active Learning Literature Survey, University of Wisconsin-Madison, 2009, section 3.1: margin sampling
(Scheffer et al., 2001) and entropy.
"""

import numpy as np
import pandas as pd

MEASURES = ("margin", "entropy")
COMPLETE = 0.999
"""The probabilities of a row have to add up to so much, or the entropy is not known."""


def uncertainty(predictions: pd.DataFrame, measure: str) -> np.ndarray:
    """How unsure a model is of each picture, float64, N; the larger, the less sure.

    Args:
        predictions: columns probability_1, probability_2, …, the largest first, as `longtail predict` writes them.
        measure: `margin`, 1 less the difference of the two largest probabilities, or `entropy`, in nats.

    Raises:
        ValueError: an unknown measure, too few columns, or no probabilities; says what to do.
    """
    if measure not in MEASURES:
        raise ValueError(f"the measure {measure!r} is unknown; there are {' and '.join(MEASURES)}")
    count = sum(str(name).startswith("probability_") for name in predictions)
    names = [f"probability_{rank}" for rank in range(1, count + 1)]
    if count < 2:
        raise ValueError(
            f"the predictions have {count} columns probability_1, probability_2, …; two are needed: run "
            "`longtail predict` with --top 2 or more"
        )
    if lacking := [name for name in names if name not in predictions]:
        raise ValueError(
            f"the predictions have {count} columns of probabilities and lack {', '.join(lacking)}; make them anew"
        )
    values = predictions[names].apply(pd.to_numeric, errors="coerce").to_numpy(dtype=float)
    if not (np.isfinite(values).all() and (values >= 0).all() and (values <= 1.000001).all()):
        raise ValueError("the probabilities are not numbers from 0 to 1; make the predictions anew")
    if (np.diff(values, axis=1) > 0).any():
        raise ValueError(
            "the probabilities of a picture do not fall from one to the next; make the predictions anew"
        )
    if len(values) and (most := values.sum(axis=1).max()) > 2 - COMPLETE:
        raise ValueError(f"the probabilities of a picture add up to {most:.3f}; make the predictions anew")
    if measure == "margin":
        return 1 - (values[:, 0] - values[:, 1])
    if len(values) and (least := values.sum(axis=1).min()) < COMPLETE:
        raise ValueError(
            f"the entropy needs the probabilities of all classes, but those of a picture add up to {least:.3f}: run "
            "`longtail predict` with a --top that is the number of classes, or choose the margin"
        )
    return -np.sum(values * np.log(np.where(values > 0, values, 1)), axis=1)


def to_label_next(
    predictions: pd.DataFrame, measure: str, groups: pd.Series | None = None, number: int | None = None
) -> pd.DataFrame:
    """The pictures of which the model is least sure, the least sure first, with the column `measure`.

    Args:
        groups: the group (a night, an individual, a folder) of each row, by the index of the predictions; of each
            group only the least sure picture is taken, since a second one would teach little more. None: all are.
        number: how many at most.
    """
    table = predictions.assign(**{measure: uncertainty(predictions, measure)})
    table = table.sort_values(measure, ascending=False, kind="stable")
    if groups is not None:
        table = table[~groups.reindex(table.index).duplicated()]
    return table.head(number).reset_index(drop=True) if number else table.reset_index(drop=True)
