"""The score of a column: the way that forecast best is used, and what cannot be done is said."""

import numpy as np
import pandas as pd
import pytest

from analysis.fitting.fit import Fit
from analysis.fitting.fit_columns import fit_loss_surface
from analysis.fitting.runs import FitError
from analysis.forecast.links import Sigmoid
from analysis.forecast.task import forecast_task
from analysis.laws.chinchilla import Chinchilla

SURFACE = Chinchilla(E=1.69, A=406.4, B=410.7, alpha=0.34, beta=0.28)
TASK = Sigmoid(chance=0.25, top=0.95, steepness=2.0, middle=2.6)


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    N, D = (v.ravel() for v in np.meshgrid(np.geomspace(1e7, 1e9, 6), np.geomspace(2e8, 2e10, 5)))
    loss = SURFACE(N, D)
    trunks = [f"t{n:.0f}" for n in N]
    return pd.DataFrame({"params": N, "tokens": D, "loss": loss, "trunk_id": trunks, "score": TASK(loss)})


@pytest.fixture(scope="module")
def basis(table: pd.DataFrame) -> Fit:
    return fit_loss_surface(table["params"], table["tokens"], table["loss"], resamples=20)


def test_the_way_that_forecast_best_is_used(table: pd.DataFrame, basis: Fit) -> None:
    told = forecast_task(table, "score", (5e9, 1e11), basis, chance=0.25, resamples=20)
    assert told.score.how == told.ways["how"][0] == "sigmoid"
    assert told.score.score.value == pytest.approx(float(TASK(SURFACE(5e9, 1e11))), abs=1e-3)
    assert told.to_dict()["how"] == "sigmoid"


def test_no_way_at_all(table: pd.DataFrame, basis: Fit) -> None:
    with pytest.raises(FitError, match="task: no way to forecast 'score'"):
        forecast_task(table.assign(score=table["score"] * 100), "score", (5e9, 1e11), basis, resamples=5)
    few = table.assign(score=table["score"].where(table.index < 3))
    with pytest.raises(FitError, match="no way to forecast"):
        forecast_task(few, "score", (5e9, 1e11), basis, resamples=5)
