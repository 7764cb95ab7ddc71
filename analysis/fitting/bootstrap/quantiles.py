"""The one rule by which draws become an interval."""

from __future__ import annotations

import numpy as np

from analysis.fitting.runs import FitError
from analysis.laws.law import Array

KNOWN = 0.9  # share of the draws, by weight, on which a quantity must be finite to have an interval


def interval_of(
    values: Array, level: float, weights: Array | None = None, what: str = "the quantity"
) -> tuple[float, float]:
    """The central interval of draws (R,), each with a weight; draws without a finite value are left out.

    Quantiles interpolate between draws at the middles of their weights (Hazen's rule for equal weights).

    Raises:
        FitError: when the quantity is not finite on a tenth of the draws or more: the runs do not bound it.
        ValueError: for a level that is not a probability.
    """
    check_level(level)
    share = np.ones(len(values)) if weights is None else weights
    finite = np.isfinite(values)
    lacking = float(share[~finite].sum() / share.sum()) if len(values) else 1.0
    if lacking > 1 - KNOWN:
        raise FitError(
            f"no interval: {what} is not finite on {int((~finite).sum())} of {len(values)} bootstrap draws, "
            f"{100 * lacking:.0f} % of their weight, so the runs do not bound it."
        )
    low, high = quantiles(values[finite], level, share[finite])
    return float(low), float(high)


def quantiles(values: Array, level: float, weights: Array | None = None) -> Array:
    """Both ends (2, …) of the central interval of finite draws (R, …); weights are for draws (R,)."""
    ends = [(1 - level) / 2, (1 + level) / 2]
    if weights is None or np.ptp(weights) == 0:
        return np.asarray(np.quantile(values, ends, axis=0, method="hazen"))
    order = np.argsort(values)
    cumulative = (np.cumsum(weights[order]) - 0.5 * weights[order]) / weights.sum()
    return np.asarray(np.interp(ends, cumulative, values[order]))


def check_level(level: float) -> None:
    """Refuse a confidence level that is not a probability.

    Raises:
        ValueError: naming it.
    """
    if not 0 < level < 1:
        raise ValueError(f"level: a probability between 0 and 1, e.g. 0.95; got {level!r}.")
