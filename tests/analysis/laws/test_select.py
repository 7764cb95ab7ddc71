"""Forecasts of held-out larger compute."""

import numpy as np
import pytest

from analysis.laws.laws import Chinchilla
from analysis.laws.select import forecast_heldout

TRUTH = Chinchilla(E=1.69, A=406.4, B=410.7, alpha=0.34, beta=0.28)


def test_largest_compute_is_held_out_and_forecast() -> None:
    N, D = (v.ravel() for v in np.meshgrid(np.geomspace(5e7, 5e9, 7), np.geomspace(1e9, 1e11, 5)))
    loss = TRUTH.sample(np.random.default_rng(0), relative_noise=0.002, N=N, D=D)
    forecast = forecast_heldout(N, D, loss, holdout=6, resamples=100)
    table = forecast.table
    assert len(table) >= 6
    assert table["flops"].min() > 6 * forecast.fit.runs.inputs["N"].max() * 1e9
    np.testing.assert_array_equal(table["loss"], loss[table["row"]])
    assert forecast.error < 0.01
    assert forecast.covered >= len(table) - 2
    assert "inside 95 %" in str(forecast)


@pytest.mark.parametrize("holdout", [0, 35, 1.5, 0.0])
def test_impossible_holdout(holdout: float) -> None:
    N, D = (v.ravel() for v in np.meshgrid(np.geomspace(5e7, 5e9, 7), np.geomspace(1e9, 1e11, 5)))
    with pytest.raises(ValueError, match=r"holdout: a fraction between 0 and 1, or a count"):
        forecast_heldout(N, D, TRUTH(N, D), holdout=holdout)
