"""Power laws through the optima of several budgets: N* and D* against the compute 6 N* D*."""

from __future__ import annotations

import numpy as np

from analysis.laws.law import FLOPS_PER_PARAM_TOKEN, Array


def power_lines(x: Array, log_n: Array, log_d: Array, weights: Array) -> Array:
    """Slope and level at x = 0 of the weighted lines through log N* and log D*: (R, 4), as in `Approach`.

    Args:
        x: log budgets (B,).
        log_n: (R, B), as `log_d`; NaN is left out.
        weights: (B,).
    """
    return np.concatenate([_line(x, log_n, weights), _line(x, log_d, weights)], axis=1)


def _line(x: Array, y: Array, weights: Array) -> Array:
    known = np.isfinite(y)
    w = np.where(known, weights, 0.0)
    total = np.where(known.any(axis=1), w.sum(axis=1), np.nan)
    middle = (w * x).sum(axis=1) / total
    height = (w * np.where(known, y, 0.0)).sum(axis=1) / total
    dx = np.where(known, x - middle[:, None], 0.0)
    spread = (w * dx * dx).sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        slope = (w * dx * np.where(known, y, 0.0)).sum(axis=1) / np.where(spread > 0, spread, np.nan)
    return np.stack([slope, height - slope * middle], axis=1)


def scatter_about_line(x: Array, y: Array, variance: Array) -> tuple[float, float]:
    """Variance of y (B,) about its line beyond their own `variance` (B,), and the reduced chi-squared.

    0 and 1 with fewer than 3 points, where a line has no residual.

    Source: DerSimonian & Laird 1986 (Controlled Clinical Trials 7), for a line instead of a mean.
    """
    if len(x) < 3:
        return 0.0, 1.0
    design = np.stack([np.ones_like(x), x], axis=1)
    weighted = design / variance[:, None]
    inverse = np.linalg.inv(design.T @ weighted)
    residual = y - design @ (inverse @ (weighted.T @ y))
    chi_squared = float((residual**2 / variance).sum())
    freedom = len(x) - 2
    taken = float((1 / variance).sum() - np.trace(inverse @ (weighted.T @ weighted)))
    return max(0.0, (chi_squared - freedom) / taken), chi_squared / freedom


def in_six_nd(lines: Array) -> tuple[Array, float]:
    """The same lines (R, 4) against log(6 N* D* / reference) instead of log budgets; the reference [FLOP].

    Budgets may be counted FLOP; along the optima they are a power of 6 N* D*, so that exponents are divided
    by a + b. For budgets of 6 N D nothing changes.
    """
    a, level_n, b, level_d = lines.T
    total = np.where(a + b > 0, a + b, np.nan)
    log_c = np.log(FLOPS_PER_PARAM_TOKEN) + level_n + level_d
    moved = log_c[0] - log_c
    own_a, own_b = a / total, b / total
    converted = np.stack([own_a, level_n + own_a * moved, own_b, level_d + own_b * moved], axis=1)
    return converted, float(np.exp(log_c[0]))
