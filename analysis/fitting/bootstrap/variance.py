"""How far new runs scatter about a law, where all that is known of it are the residuals of a fit.

Runs of one trunk share its weights and the order of its data, and so a part of what they miss. A law fitted
to few sizes bends towards that part, and its residuals hide it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import special

from analysis.fitting.runs import Runs
from analysis.laws.form import Form
from analysis.laws.law import Array

STEP = 1e-5  # in a law's coordinates, logs and exponents, for its derivatives
LEAST = 1e-9  # relative; below it, what trunks share and what runs do not cannot be told apart


@dataclass(frozen=True)
class Scatter:
    """The standard deviation of new runs, each of a trunk of its own, and how well it is known."""

    widening: float  # times that of the residuals
    freedom: float  # degrees of freedom of its square

    @classmethod
    def of_runs(cls, n: int, parameters: int) -> Scatter:
        """Of n runs that share nothing."""
        freedom = max(n - parameters, 1)
        return cls(float(np.sqrt(n / freedom)), freedom)

    def quantile(self, most: float = np.inf) -> float:
        """`student`, with at most so many degrees of freedom."""
        return student(min(self.freedom, most))


def student(freedom: float) -> float:
    """Student's t over the normal's quantile at 97.5 %: how much wider few degrees make a 95 % interval."""
    return float(special.stdtrit(freedom, 0.975) / special.ndtri(0.975))


def scatter(form: Form, theta: Array, runs: Runs, residual: Array) -> Scatter:
    """Of the log residuals (n,) of a fit at theta (p,), ordered as `runs`.

    The variances of trunks and of runs follow from two sums of squares, of residuals and of their sums over
    trunks, and from what a least squares fit takes of each: with M = 1 - J (JᵀJ)⁺ Jᵀ for the derivatives J of
    the law and Z which run is of which trunk, E[rᵀr] = trunk² tr K + run² (n - p) and E[|Zᵀr|²] =
    trunk² |K|² + run² tr K, K = ZᵀMZ. A negative estimate is zero. Degrees of freedom are Satterthwaite's.

    Source: expected values of quadratic forms; Searle, Casella & McCulloch 1992 (Variance Components) for the
    method; Satterthwaite 1946 (Biometrics Bulletin 2).
    """
    used = runs.distinct
    n, p = int(used.sum()), len(theta)
    freedom = max(n - p, 1)
    r = np.where(used, residual - np.median(residual[used]), 0.0)
    squares = float(r @ r)
    members = np.bincount(runs.groups, used)
    if not (squares > 0 and members.max() > 1):
        return Scatter.of_runs(n, p)
    sums = float((np.bincount(runs.groups, r) ** 2).sum())
    step = STEP * np.eye(p)
    slope = (form.value(theta + step) - form.value(theta - step)) / (2 * STEP) * used
    shared = np.stack([np.bincount(runs.groups, row) for row in slope])  # (p, G): Jᵀ Z
    inverse = np.linalg.pinv(slope @ slope.T, hermitian=True)
    taken = ((inverse @ shared) * shared).sum(axis=0)  # (G,): the diagonal of Zᵀ J (JᵀJ)⁺ Jᵀ Z
    both = inverse @ (shared @ shared.T)
    trace = float(members.sum() - taken.sum())
    square = float((members**2).sum() - 2 * members @ taken + np.trace(both @ both))
    determinant = freedom * square - trace**2
    trunk, run = 0.0, squares / freedom
    if trace > LEAST * n and determinant > LEAST * freedom * square:
        trunk = (freedom * sums - trace * squares) / determinant
        run = (square * squares - trace * sums) / determinant
        if trunk < 0:
            trunk, run = 0.0, squares / freedom
        elif run < 0:
            trunk, run = squares / trace, 0.0
    known = (trunk + run) ** 2 / (trunk**2 * square / max(trace, LEAST) ** 2 + run**2 / freedom)
    return Scatter(float(np.sqrt((trunk + run) * n / squares)), max(known, 1.0))
