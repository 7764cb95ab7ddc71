"""Power laws along one axis of a table: size, data, or compute on the frontier of its runs."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis.fitting.bootstrap.replicates import Bootstrap
from analysis.fitting.checks import FitWarning
from analysis.fitting.fit import Fit, FitError, fit_runs
from analysis.fitting.recipe import Recipe
from analysis.fitting.runs import Runs
from analysis.laws.registry import FITTED
from analysis.table import RunTable

AGREE = 0.02  # relative: step counts round tokens, so budgets that agree to this are one
EDGES = 0.25  # share of a frontier at an end of the sizes that is worth a warning
SLICED = 4  # values along an axis from which a power law is fitted to it


@dataclass(frozen=True)
class Slice:
    """A power law along one axis (params, tokens or flops), the rest held or at its best."""

    axis: str
    where: str  # e.g. "at D = 4M tokens"
    fit: Fit


def slices_of(table: RunTable, bootstrap: Bootstrap, refusals: list[str]) -> tuple[Slice, ...]:
    """Fit each axis that has enough values; reasons why one cannot be fitted are appended to `refusals`."""
    found = []
    for axis, where, rows in _slices(table.rows):
        trunks = rows["trunk_id"].to_numpy(dtype=str)
        runs = Runs.of({"x": rows[axis].to_numpy(float)}, rows["loss"].to_numpy(float), trunks)
        # Runs of one trunk move together: drawing trunks from one trunk would show no doubt at all.
        how = replace(bootstrap, resamples=0) if len(set(trunks)) == 1 else bootstrap
        try:
            fit = fit_runs(runs, Recipe(FITTED[("x",)][0]), how)
            if axis == "flops":
                fit = replace(fit, warnings=(*_edge_warning(rows, table.rows), *fit.warnings))
            found.append(Slice(axis, where, fit))
        except FitError as error:
            refusals.append(f"power law along {axis}, {where}: {error}")
    return tuple(found)


def _slices(runs: pd.DataFrame) -> list[tuple[str, str, pd.DataFrame]]:
    """Rows to fit along N at the largest D, along D at the largest N, and along C on the frontier."""
    found = []
    for axis, held, letter in (("params", "tokens", "D"), ("tokens", "params", "N")):
        for value in sorted(runs[held].unique(), reverse=True):
            rows = runs[np.abs(np.log(runs[held] / value)) < AGREE]
            if rows[axis].nunique() >= SLICED:
                found.append((axis, f"at {letter} = {value:,.0f}", rows))
                break
    frontier = pareto(runs)
    if frontier["flops"].nunique() >= SLICED:
        found.append(("flops", "on the frontier of the runs", frontier))
    return found


def pareto(runs: pd.DataFrame) -> pd.DataFrame:
    """The runs that no run of equal or less compute beats, in order of compute."""
    return runs.iloc[pareto_places(runs)]


def pareto_places(runs: pd.DataFrame) -> NDArray[np.intp]:
    """Their places among the rows, in order of compute."""
    compute, loss = (runs[name].to_numpy(dtype=float) for name in ("flops", "loss"))
    order = np.lexsort([loss, compute])
    before = np.append(np.inf, np.minimum.accumulate(loss[order])[:-1])
    return order[loss[order] < before]


def _edge_warning(frontier: pd.DataFrame, runs: pd.DataFrame) -> tuple[FitWarning, ...]:
    """A warning where the frontier is one of the sizes that were tried, not of compute well spent."""
    ends = frontier["params"].isin([runs["params"].min(), runs["params"].max()])
    if ends.mean() < EDGES:
        return ()
    message = (
        f"{int(ends.sum())} of {len(frontier)} runs on the frontier are of the smallest or the largest size: "
        "the true frontier lies below. Add sizes, or rely on the optimum of a surface."
    )
    return (FitWarning("edge-frontier", message),)
