"""Intervals that need no replicates, and the verdict that a parameter cannot be identified.

The bootstrap lives with the fit (`Fit.interval`). Here: the profile of the objective, and Gauss-Newton-t.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import special

from analysis.fitting.fit import Fit
from analysis.fitting.newton import minimise, objective
from analysis.fitting.runs import FitError
from analysis.laws.form import AT_BOUND, Restricted
from analysis.laws.law import Array

LOGARITHMIC = ("E", "k")  # parameters whose coordinate is their logarithm
STEP = 1e-5  # of a coordinate, for central differences of a function of the law


@dataclass(frozen=True)
class Profile:
    """How much the objective rises as one parameter is held away from its estimate, the others refitted.

    `statistic` is the likelihood ratio in units in which `threshold` bounds the interval at `level`.
    """

    parameter: str
    values: Array  # (m,) increasing
    statistic: Array  # (m,)
    threshold: float
    level: float
    interval: tuple[float, float]  # an end is 0 or infinite where the statistic never reaches the threshold

    @property
    def identified(self) -> bool:
        """Both ends exist: the runs rule out values that are too small and values that are too large."""
        return self.interval[0] > 0 and bool(np.isfinite(self.interval[1]))

    def __str__(self) -> str:
        low, high = self.interval
        if self.identified:
            return f"{self.parameter}: {100 * self.level:g} % [{low:.4g}, {high:.4g}] by its profile"
        if low == 0 and np.isinf(high):
            return f"{self.parameter} is unidentified: the runs exclude no value of it"
        side = f"above {high:.4g}" if low == 0 else f"below {low:.4g}"
        return f"{self.parameter} is unidentified: the runs exclude only values {side}"


def profile(fit: Fit, parameter: str, *, points: int = 41, level: float | None = None) -> Profile:
    """Profile the objective along one parameter: an exponent, E or k.

    The statistic is 2 (rho(theta) - rho(best)) × mean psi' / mean psi², which has the chi-square distribution
    with one degree of freedom for a robust loss as the likelihood ratio has for squares; the threshold uses
    F(1, n - p) for its estimated scale.

    Raises:
        ValueError: for a parameter without a coordinate of its own.

    Source: Heritier & Ronchetti 1994 (robust likelihood ratio tests); Venzon & Moolgavkar 1988 (profiles).
    """
    level = fit.level if level is None else level
    form = fit.form
    coordinate = f"log_{parameter}" if parameter in LOGARITHMIC else parameter
    if coordinate not in form.names:
        can = [
            n.removeprefix("log_")
            for n in form.names
            if n.removeprefix("log_") in LOGARITHMIC or "log" not in n
        ]
        raise ValueError(f"profile: {parameter!r} has no coordinate; choose from {', '.join(can)}.")
    j = form.names.index(coordinate)
    n, p = fit.n_runs, len(form.names)
    ratio = _scale(fit)
    threshold = float(special.fdtri(1, max(n - p, 1), level))
    low, high = form.lower[j], form.upper[j]
    centre = fit.theta[j]
    spread = _standard_errors(fit)[j]
    spread = spread if np.isfinite(spread) and spread > 0 else 0.1 * (high - low)
    reach = np.concatenate(
        [spread * np.linspace(0, 6, points // 2 + 1)[1:], np.geomspace(8, 1e4, 12) * spread]
    )
    grid = np.unique(np.clip(np.concatenate([centre - reach, [centre], centre + reach]), low, high))
    statistic = np.maximum(2 * (_held_objective(fit, coordinate, grid) - _objective(fit)) * ratio, 0.0)
    ends = _crossings(grid, statistic, centre, threshold)
    shift = fit.data.centre if parameter == "E" else 0.0
    logarithmic = parameter in LOGARITHMIC

    def plain(value: float, at_bound: float) -> float:
        if np.isnan(value):
            return at_bound
        return float(np.exp(value + shift)) if logarithmic else float(value)

    values = np.exp(grid + shift) if logarithmic else grid
    interval = (plain(ends[0], 0.0), plain(ends[1], np.inf))
    return Profile(parameter, values, statistic, threshold, level, interval)


def gauss_newton_interval(
    fit: Fit, f: Callable[[Any], float], *, level: float | None = None
) -> tuple[float, float]:
    """Interval of f(law) by linearisation: f ± t × standard error, with n - p degrees of freedom.

    Close to nominal where the law is right and f nearly linear; blind to skewness and to trunks.

    Raises:
        FitError: when the runs leave a direction of the law free, so that there is no standard error.

    Source: Seber & Wild 1989, section 5.1; the scale is Huber's 1981 (psi²/psi'²) for robust losses.
    """
    level = fit.level if level is None else level
    covariance = _covariance(fit)
    if not np.isfinite(covariance).all():
        raise FitError("no Gauss-Newton interval: the runs leave a direction of the law free.")
    gradient = np.empty(len(fit.theta))
    for j in range(len(fit.theta)):
        step = np.zeros(len(fit.theta))
        step[j] = STEP
        ahead, behind = f(fit.form.law(fit.theta + step)), f(fit.form.law(fit.theta - step))
        gradient[j] = (ahead - behind) / (2 * STEP)
    centre = float(f(fit.law))
    freedom = max(fit.n_runs - len(fit.theta), 1)
    half = float(special.stdtrit(freedom, (1 + level) / 2) * np.sqrt(gradient @ covariance @ gradient))
    return centre - half, centre + half


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


def _standard_errors(fit: Fit) -> Array:
    errors: Array = np.sqrt(np.diag(_covariance(fit)))
    return errors


def _held_objective(fit: Fit, coordinate: str, grid: Array) -> Array:
    """The least objective with one coordinate held at each value of the grid, walking from the estimate."""
    j = fit.form.names.index(coordinate)
    weights, log_loss = fit.runs.relative_weights[None], fit.data.log_loss[None]
    out = np.empty(len(grid))
    start = int(np.argmin(np.abs(grid - fit.theta[j])))
    for walk in (range(start, len(grid)), range(start, -1, -1)):
        theta = np.delete(fit.theta, j)[None]
        for i in walk:
            held = Restricted.of(fit.form, {coordinate: float(grid[i])})
            for robust in fit.recipe.robust.smooth():
                solution = minimise(held, theta, weights, log_loss, robust, fit.recipe.space)
                theta = solution.theta
            exact = objective(held, theta, weights, log_loss, fit.recipe.robust, fit.recipe.space)
            out[i] = exact[0]
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
