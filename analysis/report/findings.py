"""What a report shows of each part of a table: its laws, its forecast, and what was refused."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from analysis.fitting.fit import Fit, FitError, fit_loss_surface, fit_power_law
from analysis.fitting.sensitivity import sensitivity
from analysis.forecast.isoflop import Comparison, compare_approaches
from analysis.forecast.select import Ensemble, Forecast, forecast_heldout, rank_laws
from analysis.table import split_comparable

LAWS = ("chinchilla", "coupled")


@dataclass(frozen=True)
class Slice:
    """A power law along one axis (params, tokens or flops), the rest held or at its best."""

    axis: str
    where: str  # e.g. "at D = 4M tokens"
    fit: Fit


@dataclass(frozen=True)
class Findings:
    """One comparable part of a table and everything fitted to it."""

    label: str
    runs: pd.DataFrame
    surfaces: tuple[Fit, ...] = ()  # best first: by forecast where there is one
    forecasts: tuple[Forecast, ...] = ()  # best first
    slices: tuple[Slice, ...] = ()
    ensemble: Ensemble | None = None  # of the surfaces, weighted by rolling forecasts of larger compute
    approaches: Comparison | None = None  # Chinchilla's three, judged by the first surface
    sensitivity: pd.DataFrame | None = None  # the first surface under every other choice
    refusals: tuple[str, ...] = ()  # fits that could not be made, and why

    @property
    def family(self) -> str:
        return str(self.runs["family"].iloc[0])


def fit_study(
    table: pd.DataFrame,
    *,
    laws: Sequence[str] = LAWS,
    holdout: float | int = 0.25,
    resamples: int = 1000,
    seed: int = 0,
) -> dict[str, Findings]:
    """Fit every comparable part of a table: surfaces, forecasts of the largest-compute runs, power laws.

    Args:
        laws: surfaces to fit, by name; the one that forecast best comes first.
        holdout: fraction, or number, of runs of largest compute that the forecast does not see.
        resamples: bootstrap replicates, which draw whole trunks.

    Returns:
        label of the part, as `split_comparable` gives it → findings. A fit that is refused raises nothing
        here: it leaves its reason.
    """
    return {
        label: _fit_part(label, part, laws, holdout, resamples, seed)
        for label, part in split_comparable(table).items()
    }


def _fit_part(
    label: str, runs: pd.DataFrame, laws: Sequence[str], holdout: float | int, resamples: int, seed: int
) -> Findings:
    surfaces: dict[str, Fit] = {}
    forecasts: dict[str, Forecast] = {}
    refusals: list[str] = []
    columns = [runs[name].to_numpy(dtype=float) for name in ("params", "tokens", "loss")]
    trunks = runs["trunk_id"].to_numpy(dtype=str)
    for law in laws:
        try:
            surfaces[law] = fit_loss_surface(*columns, law=law, groups=trunks, resamples=resamples, seed=seed)
        except FitError as error:
            refusals.append(f"{law}: {error}")
            continue
        try:
            forecasts[law] = forecast_heldout(
                *columns,
                law=law,
                holdout=holdout,
                flops=runs["flops"].to_numpy(dtype=float),
                groups=trunks,
                resamples=resamples,
                seed=seed,
            )
        except (FitError, ValueError) as error:
            refusals.append(f"{law}, forecast of held-out runs: {error}")
    slices: list[Slice] = []
    for axis, where, rows in _slices(runs):
        try:
            fit = fit_power_law(
                rows[axis].to_numpy(dtype=float),
                rows["loss"].to_numpy(dtype=float),
                groups=rows["trunk_id"].to_numpy(dtype=str),
                # Runs of one trunk move together: drawing trunks from one trunk would show no doubt at all.
                resamples=resamples if len(set(rows["trunk_id"])) > 1 else 0,
                seed=seed,
            )
            slices.append(Slice(axis, where, fit))
        except FitError as error:
            refusals.append(f"power law along {axis}, {where}: {error}")
    best = sorted(forecasts, key=lambda law: forecasts[law].error)
    order = [*best, *(law for law in surfaces if law not in forecasts)]
    ensemble, approaches = None, None
    if len(order) > 1:
        try:
            flops = runs["flops"].to_numpy(dtype=float)
            ranking = rank_laws(*columns, laws=order, flops=flops, groups=trunks, fits=surfaces)
            weights = ranking["weight"].to_numpy()
            ensemble = Ensemble(tuple(surfaces[law] for law in ranking["law"]), ranking, weights, level=0.95)
        except FitError as error:
            refusals.append(f"ensemble of laws: {error}")
    if order:
        try:
            approaches = compare_approaches(
                *columns,
                fit=surfaces[order[0]],
                flops=runs["flops"].to_numpy(dtype=float),
                groups=trunks,
                resamples=resamples,
                seed=seed,
            )
        except (FitError, ValueError) as error:
            refusals.append(f"approaches 1 to 3: {error}")
    return Findings(
        label,
        runs,
        tuple(surfaces[law] for law in order),
        tuple(forecasts[law] for law in best),
        tuple(slices),
        ensemble,
        approaches,
        _other_choices(surfaces[order[0]], runs) if order else None,
        tuple(refusals),
    )


def _other_choices(fit: Fit, runs: pd.DataFrame) -> pd.DataFrame:
    """Refits under other losses, runs and conventions of N and C, with what they do to the optimum."""
    compute = 10 * float(runs["flops"].max())
    quantities: dict[str, Callable[[Any], float]] = {
        "a": lambda law: law.growth,
        "N*": lambda law: law.optimum(C=compute).N,
        "L*": lambda law: law.optimum(C=compute).loss,
    }
    kept = [name for name in ("params_matmul", "params_total") if name in runs and runs[name].notna().all()]
    conventions = {name: runs[name].to_numpy(dtype=float) for name in kept}
    flops = {"counted": runs["flops"].to_numpy(dtype=float)}
    return sensitivity(fit, quantities, conventions=conventions, flops=flops)


def _slices(runs: pd.DataFrame) -> list[tuple[str, str, pd.DataFrame]]:
    """Rows to fit along N at the largest D, along D at the largest N, and along C on the frontier."""
    found = []
    for axis, held, letter in (("params", "tokens", "D"), ("tokens", "params", "N")):
        # Step counts round tokens, so budgets that agree to 2 % are one.
        for value in sorted(runs[held].unique(), reverse=True):
            rows = runs[np.abs(np.log(runs[held] / value)) < 0.02]
            if rows[axis].nunique() >= 4:
                found.append((axis, f"at {letter} = {value:,.0f}", rows))
                break
    frontier = pareto(runs)
    if frontier["flops"].nunique() >= 4:
        found.append(("flops", "on the frontier of the runs", frontier))
    return found


def pareto(runs: pd.DataFrame) -> pd.DataFrame:
    """The runs that no run of equal or less compute beats, in order of compute."""
    ordered = runs.sort_values(["flops", "loss"], kind="stable")
    return ordered[ordered["loss"] < ordered["loss"].cummin().shift(fill_value=np.inf)]
