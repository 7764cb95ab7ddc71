"""A number and how far it can be trusted."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class Interval:
    """A value and the ends of its confidence interval; both ends are the value where it was given."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.4g}   [{self.low:.4g}, {self.high:.4g}]"


def interval_score(
    low: npt.ArrayLike, high: npt.ArrayLike, truth: npt.ArrayLike, level: float
) -> npt.NDArray[np.float64]:
    """The interval score of each forecast, in the unit of the truth; the less the better.

    The width, and 2 / (1 - level) times the distance by which the truth lies outside: intervals that are too
    wide and intervals that miss both lose.

    Source: Gneiting & Raftery 2007 (JASA 102), eq. 43.
    """
    lo, hi, y = (np.asarray(v, dtype=float) for v in (low, high, truth))
    missed = np.maximum(lo - y, 0.0) + np.maximum(y - hi, 0.0)
    score: npt.NDArray[np.float64] = hi - lo + 2 / (1 - level) * missed
    return score
