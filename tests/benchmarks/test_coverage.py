"""The simulation behind docs/statistics.md at toy size."""

import numpy as np
import pytest

from benchmarks.coverage import DESIGNS, Design, draw, printed, simulate

DRAWS = 12
pytestmark = pytest.mark.filterwarnings("error")


@pytest.mark.parametrize(("seeds", "clusters"), [(1, 0), (3, 8)])
def test_a_folder_has_the_truth_that_it_is_said_to_have(seeds, clusters):
    losses, models = DESIGNS["unequal"]
    design, rng = Design(losses, models, seeds, clusters), np.random.default_rng(0)
    apart = []
    for _ in range(DRAWS):
        folder = draw(design, rng)
        found = folder.accuracies.groupby(["model", "loss", "test_set"])["value"].mean()
        apart.append(
            (found - np.array([folder.truth[key] for key in found.index])).groupby("test_set").mean()
        )
    mean, error = np.mean(apart, axis=0), np.std(apart, axis=0) / DRAWS**0.5
    assert (np.abs(mean) < 4.5 * error).all()


@pytest.mark.long
def test_intervals_cover_and_tests_keep_their_level():
    found = simulate(40, [3], kinds=["unequal"])
    shares = found.groupby("what")["errs"].mean()
    assert shares.between(0.005, 0.10).all(), shares
    table = printed(found, intervals=True)
    assert list(table.columns) == ["Interval", "Losses", "Seeds", "38", "169", "1,051", "5,000"]
    assert set(table["Seeds"]) == {"3"}
