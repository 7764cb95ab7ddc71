"""A registered forecast cannot be rewritten, changed unnoticed, or scored on what it had seen."""

import json
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from analysis.fitting.fit import Fit
from analysis.fitting.fit_columns import fit_loss_surface
from analysis.forecast.predict import forecast_budget, forecast_run
from analysis.forecast.register import read_registered, register, score
from analysis.laws.chinchilla import Chinchilla
from analysis.table import RunTable

TRUTH = Chinchilla(E=1.69, A=406.4, B=410.7, alpha=0.34, beta=0.28)
WHEN = datetime(2026, 11, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def table() -> RunTable:
    N, D = (v.ravel() for v in np.meshgrid(np.geomspace(1e7, 1e9, 6), np.geomspace(2e8, 2e10, 5)))
    loss = TRUTH.sample(np.random.default_rng(0), relative_noise=0.003, N=N, D=D)
    rows = pd.DataFrame({"params": N, "tokens": D, "loss": loss, "family": "decoder"})
    return RunTable.of(rows.assign(run_id=[f"r{i}" for i in range(len(N))]))


@pytest.fixture(scope="module")
def fit(table: RunTable) -> Fit:
    return fit_loss_surface(table["params"], table["tokens"], table["loss"], resamples=200)


def after(table: RunTable, **run: object) -> RunTable:
    new = {"family": "decoder", "run_id": "new", "started": "2026-11-02T00:00:00Z"} | run
    return RunTable.of(pd.concat([table.rows, pd.DataFrame([new])], ignore_index=True))


def test_scored_at_the_run_that_came(table: RunTable, fit: Fit, tmp_path: Path) -> None:
    file = tmp_path / "forecast.json"
    digest = register(forecast_run(fit, {"N": 4e9, "D": 1e11}), table, file, now=WHEN)
    assert json.loads(file.read_text())["sha256"] == digest
    loss = float(TRUTH(3.8e9, 1.02e11))
    scored = score(file, after(table, params=3.8e9, tokens=1.02e11, loss=loss))
    assert len(scored) == 1
    row = scored.iloc[0]
    assert row["forecast"] == pytest.approx(float(fit.law(N=3.8e9, D=1.02e11)))
    assert row["error"] == pytest.approx(row["forecast"] / loss - 1)
    assert row["inside_run"]
    assert not row["early"]
    assert not score(file, after(table, params=4e9, tokens=1e11, loss=loss * 1.2))["inside_run"].any()


def test_of_a_budget_the_best_run_is_scored(table: RunTable, fit: Fit, tmp_path: Path) -> None:
    file = tmp_path / "forecast.json"
    register(forecast_budget(fit, 1e22), table, file, now=WHEN)
    best = TRUTH.optimum(1e22)
    two = after(
        after(table, params=best.N, tokens=best.D, loss=best.loss),
        params=best.N * 3,
        tokens=best.D / 3,
        loss=3.0,
    )
    scored = score(file, two)
    assert scored["loss"].tolist() == pytest.approx([best.loss])


def test_early_run_is_told(table: RunTable, fit: Fit, tmp_path: Path) -> None:
    file = tmp_path / "forecast.json"
    register(forecast_run(fit, {"N": 4e9, "D": 1e11}), table, file, now=WHEN)
    run = after(table, params=4e9, tokens=1e11, loss=2.1, started="2026-10-30T00:00:00Z")
    assert score(file, run)["early"].all()


def test_never_rewritten_nor_changed(table: RunTable, fit: Fit, tmp_path: Path) -> None:
    file = tmp_path / "forecast.json"
    register(forecast_run(fit, {"N": 4e9, "D": 1e11}), table, file)
    with pytest.raises(FileExistsError, match=r"already exists\. A registered forecast is never overwritten"):
        register(forecast_run(fit, {"N": 4e9, "D": 1e11}), table, file)
    text = file.read_text()
    value = json.loads(text)["forecast"]["loss"]["value"]
    file.write_text(text.replace(repr(value), repr(value * 1.01)))
    with pytest.raises(ValueError, match="was changed after it was registered"):
        read_registered(file)
    file.write_text("{}")
    with pytest.raises(ValueError, match="not a registered forecast of this version"):
        read_registered(file)
    file.write_text("nonsense")
    with pytest.raises(ValueError, match="not a registered forecast: not JSON"):
        read_registered(file)


def test_no_run_has_come(table: RunTable, fit: Fit, tmp_path: Path) -> None:
    file = tmp_path / "forecast.json"
    register(forecast_run(fit, {"N": 1e9, "D": 2e10}), table, file, now=WHEN)
    with pytest.raises(ValueError, match="there is no comparable new run at all"):
        score(file, table)
    with pytest.raises(ValueError, match=r"the nearest has 5e\+08 params and 2e\+10 tokens"):
        score(file, after(table, params=5e8, tokens=2e10, loss=2.5))
    with pytest.raises(ValueError, match="there is no comparable new run at all"):
        score(file, after(table, params=1e9, tokens=2e10, loss=2.5, family="lstm"))
