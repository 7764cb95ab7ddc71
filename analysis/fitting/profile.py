"""The profile of the objective: an interval without replicates, and whether a parameter is identified."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import special

from analysis.fitting.fit import Fit
from analysis.fitting.newton import minimise, objective
from analysis.fitting.runs import FitError
from analysis.laws.form import AT_BOUND
from analysis.laws.law import Array

STEP = 1e-5  # of a coordinate, for central differences of a function of the law
WALKED = np.geomspace(8, 1e4, 12)  # standard errors from the estimate, where runs hardly say anything
BEYOND = 9.0  # times the threshold, at which a value is excluded beyond doubt and the walk ends


@dataclass(frozen=True)
class Profile:
    """How much the objective rises as one parameter is held away from its estimate, the others refitted.

    `statistic` is the likelihood ratio in units in which `threshold` bounds the interval at `level`.
    """

    parameter: str
    estimate: float
    values: Array  # (m,) increasing
    statistic: Array  # (m,)
    threshold: float
    level: float
    interval: tuple[float, float]  # an end is the parameter's limit where the runs never exclude a value
    excludes: tuple[bool, bool]  # whether the runs rule out values that are too small, and too large

    @property
    def identified(self) -> bool:
        """The runs rule out values that are too small and values that are too large."""
        return all(self.excludes)

    def __str__(self) -> str:
        low, high = self.interval
        at = f"{self.parameter} = {self.estimate:.4g}, {100 * self.level:g} % interval by its profile"
        if self.identified:
            return f"{at} [{low:.4g}, {high:.4g}]"
        if not any(self.excludes):
            return f"{self.parameter} is not identified: the runs exclude no value of it"
        side = f"above {high:.4g}" if self.excludes[1] else f"below {low:.4g}"
        return f"{self.parameter} is not identified: the runs exclude only values {side}"

    def to_dict(self) -> dict[str, Any]:
        """Plain data, ready for JSON."""
        ends = [float(end) if np.isfinite(end) else None for end in self.interval]
        return {
            "parameter": self.parameter,
            "estimate": self.estimate,
            "level": self.level,
            "interval": ends,
            "identified": self.identified,
            "values": self.values.tolist(),
            "statistic": self.statistic.tolist(),
            "threshold": self.threshold,
        }


def profile(fit: Fit, parameter: str, *, points: int = 41, level: float | None = None) -> Profile:
    """Profile the objective along any parameter of the law that can be pinned.

    The statistic is 2 (rho(theta) - rho(best)) × mean psi' / mean psi², which has the chi-square distribution
    with one degree of freedom for a robust loss as the likelihood ratio has for squares; the threshold uses
    F(1, n - p) for its estimated scale.

    Raises:
        ValueError: for a parameter that the law does not have, that is fixed, or that cannot be pinned.
        FitError: for a law that passes through every run.

    Source: Heritier & Ronchetti 1994 (robust likelihood ratio tests); Venzon & Moolgavkar 1988 (profiles).
    """
    level = fit.level if level is None else level
    freedom = fit.runs.n_distinct - len(fit.theta)
    if freedom < 1:
        raise FitError(f"no profile: {fit.undrawn}")
    axis = _Axis.of(fit, parameter)
    ratio = _scale(fit)
    threshold = float(special.fdtri(1, freedom, level))
    reach = np.concatenate([np.linspace(0, 6, points // 2 + 1)[1:], WALKED]) * axis.spread
    grid = np.concatenate([axis.centre - reach, [axis.centre], axis.centre + reach])
    grid = np.unique(np.clip(grid, axis.low, axis.high))
    enough = _objective(fit) + BEYOND * threshold / (2 * ratio)
    held = _held_objective(fit, parameter, axis, grid, enough)
    grid, held = grid[np.isfinite(held)], held[np.isfinite(held)]
    statistic = np.maximum(2 * (held - _objective(fit)) * ratio, 0.0)
    low, high = _crossings(grid, statistic, axis.centre, threshold)
    ends = (
        axis.limits[0] if np.isnan(low) else axis.plain(low),
        (axis.limits[1] if np.isnan(high) else axis.plain(high)),
    )
    return Profile(
        parameter,
        axis.plain(axis.centre),
        np.array([axis.plain(v) for v in grid]),
        statistic,
        threshold,
        level,
        ends,
        (not np.isnan(low), not np.isnan(high)),
    )


@dataclass(frozen=True)
class _Axis:
    """A parameter on the scale it is walked along: its logarithm where it is positive."""

    log: bool
    centre: float
    spread: float  # standard error, or a guess where there is none
    low: float
    high: float
    limits: tuple[float, float]  # of the parameter itself

    @classmethod
    def of(cls, fit: Fit, parameter: str) -> _Axis:
        whole = fit.form_of_law
        if parameter in fit.recipe.fixed:
            raise ValueError(f"profile: {parameter} is fixed at {fit.recipe.fixed[parameter]:g} in this fit.")
        if parameter not in whole.readouts:
            raise ValueError(
                f"profile: {parameter!r} is not a parameter of the {fit.name} law; choose from "
                f"{', '.join(whole.readouts)}."
            )
        readout = whole.readouts[parameter]
        theta = fit.form.full(fit.theta[None])

        def at(coordinates: Array) -> Array:
            return whole.read(readout, coordinates, log=True)

        covariance = _covariance(fit)
        slope = np.array(
            [
                (at(fit.form.full((fit.theta + e)[None])) - at(fit.form.full((fit.theta - e)[None])))[0]
                / (2 * STEP)
                for e in STEP * np.eye(len(fit.theta))
            ]
        )
        variance = float(slope @ covariance @ slope) if np.isfinite(covariance).all() else np.inf
        low, high = -np.inf, np.inf
        if len(readout.weights) == 1 and not readout.over:
            ((name, weight),) = readout.weights.items()
            j = whole.names.index(name)
            low, high = sorted(readout.constant + weight * np.array([whole.lower[j], whole.upper[j]]))
        centre = float(at(theta)[0])
        spread = float(np.sqrt(variance)) if 0 < variance < np.inf else 0.1 * min(high - low, 10.0)
        limits = (0.0, np.inf) if readout.log else (0.0 if low == 0 else -np.inf, np.inf)
        return cls(readout.log, centre, spread, max(low, centre - 60), min(high, centre + 60), limits)

    def plain(self, value: float) -> float:
        """The parameter at this place of the axis."""
        return float(np.exp(value)) if self.log else float(value)


def _objective(fit: Fit) -> float:
    return fit.objective * fit.n_runs / float(fit.runs.weights.sum())


def _residuals(fit: Fit) -> Array:
    return fit.recipe.residual(fit.form.value(fit.theta[None])[0], fit.data.log_loss)


def _scale(fit: Fit) -> float:
    """mean psi' / mean psi², with n - p in place of n: what turns the objective into half a chi-square."""
    weights = fit.runs.relative_weights
    robust = fit.recipe.robust
    r = _residuals(fit)
    if robust.kind == "l1":
        # psi² = 1; psi' is twice the density of the residuals at 0, from the middle half of them.
        return 0.5 / max(float(np.median(np.abs(r))), 1e-300)
    psi, bend, _ = robust.slopes(r)
    freedom = max(fit.n_runs - len(fit.theta), 1) / fit.n_runs
    squares = max(float(weights @ psi**2), 1e-300)
    scale: float = float(weights @ bend) / squares * freedom
    return scale


def _covariance(fit: Fit) -> Array:
    """Covariance of theta: (mean psi² / mean psi'²) (sum w ∇f ∇fᵀ)⁻¹; infinite where it does not exist."""
    tape = fit.form.tape(fit.theta[None])
    weights = fit.runs.relative_weights[None]
    if fit.recipe.space == "raw":
        weights = weights * np.exp(2 * tape.value)
    information = tape.outer(weights)[0]
    held = (fit.theta <= fit.form.lower + AT_BOUND) | (fit.theta >= fit.form.upper - AT_BOUND)
    free = np.flatnonzero(~held)
    covariance = np.zeros_like(information)
    block = information[np.ix_(free, free)]
    size = np.sqrt(np.diag(block))
    if (size <= 0).any() or np.linalg.cond(block / np.outer(size, size)) > 1e13:
        return np.full_like(information, np.inf)
    if fit.recipe.robust.kind == "l1":
        inside = _scale(fit)  # psi² = 1, so the scale is mean psi' itself
    else:
        inside = max(float(np.mean(fit.recipe.robust.slopes(_residuals(fit))[1])), 1e-9)
    covariance[np.ix_(free, free)] = np.linalg.inv(block) / (_scale(fit) * inside)
    return np.asarray(covariance)


def _held_objective(fit: Fit, parameter: str, axis: _Axis, grid: Array, enough: float) -> Array:
    """The lowest objective with the parameter held at each value of the grid, walking from the estimate.

    A side's walk ends at the first objective above `enough`; what lies beyond is NaN.
    """
    weights, log_loss = fit.runs.relative_weights[None], fit.data.log_loss[None]
    out = np.full(len(grid), np.nan)
    start = int(np.argmin(np.abs(grid - axis.centre)))
    for walk in (range(start, len(grid)), range(start, -1, -1)):
        full = fit.form.full(fit.theta[None])
        for i in walk:
            held = fit.recipe.holding(parameter, axis.plain(grid[i])).form(fit.data)
            theta = held.narrowed(full)
            for robust in fit.recipe.robust.smooth():
                theta = minimise(held, theta, weights, log_loss, robust, fit.recipe.space).theta
            full = held.full(theta)
            out[i] = objective(held, theta, weights, log_loss, fit.recipe.robust, fit.recipe.space)[0]
            if out[i] > enough:
                break
    return out


def _crossings(grid: Array, statistic: Array, centre: float, threshold: float) -> tuple[float, float]:
    """Where the statistic first crosses the threshold on each side of the centre; NaN where it does not."""
    ends = []
    for side in (-1, 1):
        order = np.argsort(side * grid)
        order = order[side * grid[order] >= side * centre]
        above = np.flatnonzero(statistic[order] > threshold)
        if not above.size:
            ends.append(np.nan)
            continue
        k = above[0]
        if k == 0:
            ends.append(float(grid[order[0]]))
            continue
        x0, x1 = grid[order[k - 1]], grid[order[k]]
        y0, y1 = np.sqrt(statistic[order[k - 1]]), np.sqrt(statistic[order[k]])  # linear near the minimum
        ends.append(float(x0 + (x1 - x0) * (np.sqrt(threshold) - y0) / (y1 - y0)))
    return ends[0], ends[1]
