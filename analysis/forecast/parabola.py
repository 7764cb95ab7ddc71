"""Minima of IsoFLOP parabolas, and how wrong they are before any noise."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from analysis.fitting.checks import FitWarning
from analysis.forecast.slices import Slices
from analysis.laws.law import FLOPS_PER_PARAM_TOKEN, Array, Law

WIDE, NARROW = 8.0, 2.0  # a grid from 1/8 to 8 times its centre is wide, one within 1/2 to 2 narrow
OFF_CENTRE = 2.0
DRIFT = 1.5  # change of the centre's offset from the first budget to the last


def vertices(x: Array, loss: Array, weights: Array) -> Array:
    """Where a parabola through n points has its minimum, for weights (R, n): (R,); NaN where it has none."""
    centre, scale = float(x.mean()), float(np.ptp(x)) or 1.0
    z = (x - centre) / scale
    design = np.stack([np.ones_like(z), z, z * z], axis=1)
    products = (design[:, :, None] * design[:, None, :]).reshape(len(z), 9)
    normal = (weights @ products).reshape(-1, 3, 3)
    right = (weights * (loss - loss.mean())) @ design
    solvable = np.linalg.cond(normal) < 1e12
    out = np.full(len(weights), np.nan)
    _, slope, bend = np.linalg.solve(normal[solvable], right[solvable, :, None])[:, :, 0].T
    with np.errstate(divide="ignore", invalid="ignore"):
        out[solvable] = np.where(bend > 0, centre - scale * slope / (2 * bend), np.nan)
    return out


def minima(slices: Slices, weights: Array) -> tuple[Array, Array]:
    """log N and log D of the parabola's minimum at each budget, (R, B) each, for weights (R, m)."""
    found = []
    for budget in range(len(slices.compute)):
        points = slices.at(budget)
        loss, own = slices.loss[points], weights[:, points]
        found.append([vertices(np.log(v[points]), loss, own) for v in (slices.N, slices.D)])
    both = np.array(found)  # (B, 2, R)
    return both[:, 0].T, both[:, 1].T


def inside(slices: Slices, log_n: Array) -> npt.NDArray[np.bool_]:
    """Which budgets have their minimum strictly between their smallest and largest size; log_n is (B,)."""
    low, high = (np.array([f(slices.N[slices.at(b)]) for b in range(len(log_n))]) for f in (np.min, np.max))
    return np.asarray((np.log(low) < log_n) & (log_n < np.log(high)))


def grid_doubts(slices: Slices, log_n: Array) -> tuple[FitWarning, ...]:
    """What is doubtful about where the grids lie around the minima log_n (B,)."""
    doubts = []
    good = inside(slices, log_n)
    if not good.all():
        bad = ", ".join(f"{c:.3g}" for c in slices.compute[~good])
        doubts.append(
            FitWarning(
                "edge-minimum",
                f"no minimum inside the sizes tried at {bad} FLOP, which are left out. Add sizes there.",
            )
        )
    grids = [np.log(slices.N[slices.at(b)]) for b in np.flatnonzero(good).tolist()]
    if not grids:
        return tuple(doubts)
    reach = np.exp([np.ptp(g) / 2 for g in grids])
    offset = np.array([(g.min() + g.max()) / 2 for g in grids]) - log_n[good]
    if np.median(reach) > WIDE:
        doubts.append(
            FitWarning(
                "wide-grid", f"sizes reach {np.median(reach):.2g}× either side, where loss is no parabola."
            )
        )
    if np.median(reach) < NARROW:
        doubts.append(
            FitWarning(
                "narrow-grid", f"sizes reach only {np.median(reach):.2g}× either side: noise hides the bend."
            )
        )
    if np.abs(np.median(offset)) > np.log(OFF_CENTRE):
        doubts.append(
            FitWarning(
                "off-centre",
                f"the grids' centres lie at {np.exp(np.median(offset)):.2g}× the minima, which shifts them.",
            )
        )
    if len(offset) > 2:
        log_c = np.log(slices.compute[good])
        drift = float(np.polyfit(log_c, offset, 1)[0] * np.ptp(log_c))
        if abs(drift) > np.log(DRIFT):
            doubts.append(
                FitWarning(
                    "drift",
                    f"the grids' centres move by {np.exp(drift):.2g}× against the minima from the smallest "
                    "budget to the largest, which tilts the exponents.",
                )
            )
    return tuple(doubts)


def noise_free_bias(
    law: Law,
    *,
    reach: float,
    points: int = 15,
    budgets: tuple[float, ...] = (1e17, 1e18, 1e19, 1e20, 1e21),
    at: float = 1e24,
    offset: float = 1.0,
    drift: float = 1.0,
) -> float:
    """Relative error of D*(at) by approach 2 on exact losses of a law: what no number of seeds can cure.

    Args:
        reach: each grid goes from 1/reach to reach times its centre in D, in `points` even steps of log D.
        offset: centre over true optimum, at every budget.
        drift: factor by which the centre is further off at the last budget than at the first.

    Source: Czech et al. 2026 (arXiv:2603.22339), sections 3 and 4: budgets 1e17 to 1e21, 15 points a curve.
    """
    log_c = np.log(np.array(budgets))
    moved = offset * drift ** ((log_c - log_c[0]) / np.ptp(log_c))
    found = []
    for compute, shift in zip(budgets, moved, strict=True):
        log_d = np.log(law.optimum(compute).D * shift) + np.linspace(-1, 1, points) * np.log(reach)
        D = np.exp(log_d)
        loss = np.asarray(law(N=compute / (FLOPS_PER_PARAM_TOKEN * D), D=D))
        found.append(vertices(log_d, loss, np.ones((1, points)))[0])
    slope, level = np.polyfit(log_c, found, 1)
    return float(np.exp(slope * np.log(at) + level) / law.optimum(at).D - 1)
