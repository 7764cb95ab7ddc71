"""What says that a fit is a minimum: never the optimiser's own word."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.fitting.newton import Solution
from analysis.laws.form import AT_BOUND, LOG_ZERO, Form

EXACT = float(np.exp(2 * LOG_ZERO))  # objective a run of a law through every run, but for terms reported as 0
SINGULAR = 1e-13  # an eigenvalue that is rounding error, and would be positive or negative by chance


@dataclass(frozen=True)
class Certificate:
    """Evidence about one minimum.

    `gradient` is the Newton decrement over the objective: the relative decrease that a full Newton step still
    promises, which is free of units. `condition` is that of the Hessian scaled to a unit diagonal.
    """

    gradient: float
    starts: int  # independent starts
    agree: int  # of them, how many reach this objective to 1e-9 relative, or were on their way to it
    condition: float
    bounds: tuple[str, ...]  # coordinates held by a bound
    iterations: int

    @property
    def ok(self) -> bool:
        """A stationary point with positive curvature in every free direction."""
        return bool(self.gradient < 1e-10 and np.isfinite(self.condition))


def certify(form: Form, solution: Solution, best: int, runs: int) -> Certificate:
    """Certify minimum `best` (an index into `solution`) against those of all other starts; `runs` is n."""
    theta, gradient, hessian = solution.theta[best], solution.gradient[best], solution.hessian[best]
    held = (theta <= form.lower + AT_BOUND) | (theta >= form.upper - AT_BOUND)
    free = ~held
    H, g = hessian[np.ix_(free, free)], gradient[free]
    scale = np.sqrt(np.abs(np.diag(H)))
    condition = np.inf
    decrement = np.inf
    if (scale > 0).all():
        values, vectors = np.linalg.eigh(H / np.outer(scale, scale))
        if values[0] > SINGULAR * values[-1]:
            condition = float(values[-1] / values[0])
            decrement = float(((vectors.T @ (g / scale)) ** 2 / values).sum())
    objective = float(solution.objective[best])
    exact = EXACT * runs
    tolerance = max(1e-9 * objective, exact)
    return Certificate(
        gradient=0.0 if objective < exact else decrement / objective,
        starts=len(solution.objective),
        agree=int(solution.reach(best, tolerance).sum()),
        condition=condition,
        bounds=tuple(name for name, at in zip(form.names, held, strict=True) if at),
        iterations=int(solution.iterations[best]),
    )
