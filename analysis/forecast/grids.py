"""Where IsoFLOP grids lie around their minima, what is doubtful about that, and the bias of parabolas."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import special

from analysis.fitting.checks import FitWarning
from analysis.fitting.vertex import parabola
from analysis.forecast.approach import Approach
from analysis.forecast.slices import Slices
from analysis.forecast.vertices import Vertices
from analysis.laws.law import FLOPS_PER_PARAM_TOKEN, Array, Law

WIDE, NARROW = 8.0, 2.0  # a grid that reaches 8 times its minimum is wide, one within 1/2 to 2 narrow
OFF_CENTRE = 2.0
DRIFT = 1.5  # change of the centre's offset from the first budget to the last
FEW = 5  # sizes per budget, below which noise is judged by one degree of freedom or none
UNLIKELY = 0.01  # probability of so much scatter about the line by noise alone
SEARCH = 401  # sizes at which a law is evaluated along one budget


def exact_minima(slices: Slices, law: Law) -> tuple[Array, Array]:
    """log N and log D (B,) of a law's least loss along each budget; NaN where it lies far from the sizes."""
    log_n, log_d = np.full((2, len(slices.compute)), np.nan)
    for budget in range(len(slices.compute)):
        log_tokens = slices.log_tokens(budget)
        sizes = np.log(slices.N[slices.at(budget)])
        x = np.linspace(2 * sizes.min() - sizes.max(), 2 * sizes.max() - sizes.min(), SEARCH)
        loss = np.asarray(law(N=np.exp(x), D=np.exp(log_tokens(x))), dtype=float)
        best = int(loss.argmin())
        if 0 < best < SEARCH - 1:
            around = slice(best - 1, best + 2)
            log_n[budget] = parabola(x[around], loss[None, around])[0][0]
            log_d[budget] = log_tokens(log_n[budget])
    return log_n, log_d


def grid_warnings(
    slices: Slices, found: Vertices, kept: npt.NDArray[np.bool_], scatter: float
) -> tuple[FitWarning, ...]:
    """What is doubtful about where the grids lie around the minima of the budgets `kept` (B,).

    Args:
        scatter: chi-squared per degree of freedom of the minima about their line.
    """
    doubts = []
    if not kept.all():
        bad = ", ".join(f"{c:.3g}" for c in slices.compute[~kept])
        doubts.append(
            FitWarning(
                "edge-minimum",
                f"no minimum inside the sizes tried at {bad} FLOP, which are left out. Add sizes there.",
            )
        )
    grids = [np.log(slices.N[slices.at(b)]) for b in np.flatnonzero(kept).tolist()]
    ends = np.array([(grid.min(), grid.max()) for grid in grids])
    doubts += _width_warnings(ends, found.log_n[kept])
    doubts += _centre_warnings(ends.mean(axis=1) - found.log_n[kept], np.log(slices.compute[kept]))
    fewest = min(len(np.unique(grid)) for grid in grids)
    if fewest < FEW:
        doubts.append(
            FitWarning(
                "few-sizes",
                f"{fewest} sizes at a budget hardly show how noisy losses are. Train {FEW} or more at each.",
            )
        )
    if np.isfinite(found.reach):
        doubts.append(
            FitWarning(
                "uneven-curve",
                f"losses {100 * found.reach:g} % above a budget's lowest scatter twice as much as those near "
                "it, so that sizes far from the minimum count little. Add sizes within 3× of it.",
            )
        )
    freedom = int(kept.sum()) - 2
    if freedom > 0 and special.chdtrc(freedom, scatter * freedom) < UNLIKELY:
        doubts.append(
            FitWarning(
                "scatter",
                f"the minima lie {np.sqrt(scatter):.2g} times as far from a power law as noise explains; the "
                "interval allows for it. Check whether budgets differ in more than compute: batch, learning "
                "rate, warm-up.",
            )
        )
    return tuple(doubts)


def _width_warnings(ends: Array, minima: Array) -> list[FitWarning]:
    """Of grids from `ends` (B, 2) in log N."""
    far = float(np.median(np.exp(np.abs(ends - minima[:, None]).max(axis=1))))
    half = float(np.median(np.exp(np.ptp(ends, axis=1) / 2)))
    doubts = []
    if far > WIDE:
        doubts.append(
            FitWarning(
                "wide-grid",
                f"sizes reach {far:.2g}× from the minima, where losses tell little about them. Place the "
                f"next within {WIDE / 2:g}×.",
            )
        )
    if half < NARROW:
        doubts.append(
            FitWarning(
                "narrow-grid",
                f"sizes reach only {half:.2g}× either side of their centre: noise hides the bend. Widen the "
                f"grids to {2 * NARROW:g}×.",
            )
        )
    return doubts


def _centre_warnings(offset: Array, log_c: Array) -> list[FitWarning]:
    """Of grids whose centres lie `offset` (B,) from their minima in log N."""
    doubts = []
    middle = float(np.median(offset))
    if abs(middle) > np.log(OFF_CENTRE):
        doubts.append(
            FitWarning(
                "off-centre",
                f"the grids' centres lie at {np.exp(middle):.2g}× the minima, so that one flank is hardly "
                f"measured. Add {'smaller' if middle > 0 else 'larger'} sizes.",
            )
        )
    if len(offset) > 2:
        drift = float(np.polyfit(log_c, offset, 1)[0] * np.ptp(log_c))
        if abs(drift) > np.log(DRIFT):
            doubts.append(
                FitWarning(
                    "drift",
                    f"the grids' centres move by {np.exp(drift):.2g}× against the minima from the smallest "
                    "budget to the largest, which tilts the exponents. Centre each budget's sizes on its own "
                    "minimum.",
                )
            )
    return doubts


def envelope_warnings(kept: npt.NDArray[np.bool_], sizes: int) -> tuple[FitWarning, ...]:
    """What is doubtful about an envelope of runs over budgets (B,), best at so many different sizes."""
    doubts = []
    if not kept.all():
        doubts.append(
            FitWarning(
                "edge-minimum",
                f"the best run is the smallest or largest at {(~kept).sum()} of {len(kept)} budgets, now "
                "left out. Add smaller or larger sizes there.",
            )
        )
    if sizes < 4:
        doubts.append(
            FitWarning(
                "few-sizes",
                f"the envelope rests on {sizes} sizes. Train sizes closer together, or rely on approach 2.",
            )
        )
    return tuple(doubts)


def slice_warnings(slices: Slices) -> tuple[FitWarning, ...]:
    """What is doubtful about how curves of equal compute were made."""
    if slices.interpolated:
        message = (
            "no runs share a budget: losses were interpolated along trunks. To measure them instead, train "
            "several sizes at equal compute."
        )
        return (FitWarning("interpolated", message),)
    if slices.left_out:
        used = len(slices.loss)
        message = (
            f"{used} of {used + slices.left_out} runs share a budget with enough sizes; the other "
            f"{slices.left_out} are not used here, but the surface uses them."
        )
        return (FitWarning("off-budget", message),)
    return ()


def counted_warnings(slices: Slices, judge: Law, true: Approach) -> tuple[FitWarning, ...]:
    """In which FLOP budgets are counted, and what that alone does to the optima of a law (`true`)."""
    if not slices.counted:
        return ()
    ends = (slices.N.argmin(), slices.N.argmax())
    small, large = (float(slices.ratio[end]) for end in ends)
    message = (
        f"curves are of equal counted FLOP, {small:.3g} × 6 N D at N = {slices.N.min():.3g} and {large:.3g} "
        f"× at {slices.N.max():.3g}; a, N* and D* are given for the compute 6 N* D*, as the surface's are."
    )
    try:
        moved = true.sizes[-1] / judge.optimum(float(true.budgets[-1])).N - 1
    except ValueError:
        moved = 0.0
    if abs(moved) > 0.02:
        message += (
            f" What counts as compute moves N* too: by the surface, the best size for this counted budget is "
            f"{100 * abs(moved):.2g} % {'larger' if moved > 0 else 'smaller'} than for its 6 N D."
        )
    return (FitWarning("counted-flops", message),)


def bias_warning(judge: Law, bias: float, beyond: float) -> FitWarning:
    """That the rule itself is off by a share `bias` of N* where losses are exact."""
    return FitWarning(
        "biased",
        f"on exact losses of the {judge.name} law the same grids give an N* at {beyond:g} times the largest "
        f"budget that is {100 * bias:+.2g} % off; the interval allows for it. Add sizes near the minima, or "
        "rely on approach 3.",
    )


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
    """Relative error of D*(at) by parabolas of exact losses of a law: what no number of seeds can cure.

    Of the published rule, not of `approach_2`, whose curves need not be parabolas.

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
        found.append(parabola(log_d, loss[None])[0][0])
    slope, level = np.polyfit(log_c, found, 1)
    return float(np.exp(slope * np.log(at) + level) / law.optimum(at).D - 1)
