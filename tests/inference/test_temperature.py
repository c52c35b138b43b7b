"""Temperature scaling: the best temperature, found by another optimiser too, makes confidence honest."""

import numpy as np
import pytest
import torch
from scipy.optimize import minimize_scalar
from torch.nn.functional import cross_entropy

from longtail.analysis.calibration import expected_calibration_error
from longtail.inference.temperature import fit_temperature


def overconfident(factor: float, images: int = 4000, classes: int = 6) -> tuple[np.ndarray, np.ndarray]:
    """Logits that are `factor` times those that the labels were drawn from."""
    rng = np.random.default_rng(3)
    logits = rng.normal(0, 1.5, (images, classes))
    # The Gumbel trick: the argmax of logits plus Gumbel noise is a draw from their softmax.
    labels = (logits + rng.gumbel(size=logits.shape)).argmax(axis=1)
    return factor * logits, labels


def nll(logits: np.ndarray, labels: np.ndarray, temperature: float) -> float:
    return float(cross_entropy(torch.from_numpy(logits) / temperature, torch.from_numpy(labels)))


def ece(logits: np.ndarray, labels: np.ndarray, temperature: float) -> float:
    chances = (torch.from_numpy(logits) / temperature).softmax(1).numpy()
    return expected_calibration_error(chances.max(axis=1), chances.argmax(axis=1) == labels)


@pytest.mark.parametrize("factor", [0.25, 1.0, 5.0])
def test_it_finds_the_temperature_of_the_draw_and_that_of_another_optimiser(factor):
    logits, labels = overconfident(factor)
    found = fit_temperature(logits, labels)
    assert found == pytest.approx(factor, rel=0.05)
    other = minimize_scalar(
        lambda log: nll(logits, labels, np.exp(log)),
        bounds=(-5, 5),
        method="bounded",
        options={"xatol": 1e-8},
    )
    assert found == pytest.approx(np.exp(other.x), rel=1e-4)


@pytest.mark.parametrize("factor", [0.25, 5.0])
def test_it_lowers_cross_entropy_and_calibration_error(factor):
    logits, labels = overconfident(factor)
    found = fit_temperature(logits, labels)
    assert nll(logits, labels, found) < nll(logits, labels, 1) - 0.05
    assert ece(logits, labels, found) < 0.03 < ece(logits, labels, 1)


def test_it_depends_on_differences_of_logits_alone_and_grows_with_them():
    logits, labels = overconfident(2.0, images=200)
    found = fit_temperature(logits, labels)
    assert fit_temperature(3 * logits - 1000, labels) == pytest.approx(3 * found, rel=1e-8)


@pytest.mark.parametrize(
    ("labels", "message"),
    [([0, 1, 2], "every validation image is recognised"), ([1, 2, 0], "no better than chance")],
)
def test_where_no_temperature_is_best_it_says_why(labels, message):
    with pytest.raises(ValueError, match=message):
        fit_temperature(5.0 * np.eye(3), np.array(labels))
