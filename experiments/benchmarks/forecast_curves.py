"""One automatic choice of law on the public learning curves of Alabdulmohsin et al. 2022."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from analysis.fitting.fit import fit_runs
from analysis.fitting.recipe import Recipe
from analysis.fitting.runs import FitError, Runs
from analysis.forecast.rolling import ALONE
from analysis.forecast.select import rank_curves, robust_for
from experiments.benchmarks.row import Row

TARGETS = {"IC": 0.0275, "NMT": 0.0060, "LM": 0.0008, "BB": 0.0068}  # geometric mean of RMSLE


def curve_rows(folder: Path, simulations: int) -> Iterator[Row]:
    """One row per domain: geometric mean over its curves of the RMSLE of the last third."""
    files = sorted((folder / "curves").glob("*.csv"))
    if not files:
        return
    table = pd.concat([pd.read_csv(file) for file in files]).drop_duplicates()
    for domain, curves in table.groupby("Domain"):
        errors: list[float] = []
        refused = 0
        for _, curve in curves.groupby(["Task", "Model"]):
            error = _forecast(curve)
            refused += error is None
            errors += [] if error is None else [error]
        if not errors:
            yield Row(f"curves, {domain}", "", f"all {refused} refused")
            continue
        found = float(np.exp(np.mean(np.log(errors))))
        target = next((value for name, value in TARGETS.items() if str(domain).startswith(name)), np.inf)
        ours = f"{found:.4f}, {len(errors)} certified, {refused} refused"
        yield Row(f"curves, {domain}: RMSLE", f"<= {target:.4f}", ours, found, found <= target)


def _forecast(curve: pd.DataFrame) -> float | None:
    """RMSLE of the points to forecast; None where no law is certified."""
    known = curve["Training"] == 1
    x, loss = curve["Seen Examples"].to_numpy(float), curve["Loss"].to_numpy(float)
    runs = Runs.of({"x": x[known]}, loss[known])
    try:
        law = rank_curves(runs)["law"][0]
    except FitError:
        return None
    fit = fit_runs(runs, Recipe(law, robust_for(runs)), ALONE)
    error = np.log(fit.law(x=x[~known])) - np.log(loss[~known])
    return float(np.sqrt(np.mean(error**2)))
