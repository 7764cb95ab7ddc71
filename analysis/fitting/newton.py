"""Batched damped Newton: every replicate of a fit at once, to the last digit.

The objective is sum_i w_i rho(r_i), r = predicted minus observed log loss (or loss). Its Hessian,
sum w (psi' ∇r ∇rᵀ + psi ∇²r), is exact but indefinite far from the minimum; the Hessian of iteratively
reweighted least squares, sum w (psi/r) ∇r ∇rᵀ, is always positive and majorises the Huber loss, so its steps
descend. Each replicate takes H + lambda IRLS with its own lambda, which goes to 0 as steps succeed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from scipy.linalg.lapack import dposv

from analysis.fitting.chart import Chart
from analysis.fitting.losses import Robust
from analysis.laws.form import Form
from analysis.laws.law import Array

Bools = npt.NDArray[np.bool_]
Space = Literal["log", "raw"]
BLOCK = 16384  # replicates × runs at a time: the working set stays in a core's cache
FEW = 8  # replicates at a time that LAPACK solves faster than elimination written in NumPy
FRESH = 1e-2  # damping below which, as long as steps succeed, the IRLS Hessian of an earlier one will do
TILT = 0.1  # extra damping along the diagonal turns a step in a curved valley towards the gradient
FIRST_DAMPING = 0.03
NEAR_DAMPING = 1e-6  # from the minimum of almost the same losses, where the exact Hessian can be trusted
LEAST_DAMPING = 1e-8  # small enough not to slow a direction that the runs hardly determine
NOISE = (
    1e-14  # to which a sum over runs is known, relative: gradients say more than it does of a flat direction
)
ROUNDING = 1e-28  # objective a run that is rounding error: residuals of 1e-14
PACE = 40  # steps after which it is asked whether a replicate still gets anywhere
SETTLED = 1e-15  # promised decrease of the objective, relative, at which a replicate is done

# glibc gives freed blocks above 128 KB back to the system, and to take their pages anew costs as much as the
# sums over runs. Once it freed a larger block it keeps what is smaller: mallopt(3), M_MMAP_THRESHOLD.
np.empty(31 * 2**20, dtype=np.uint8)


@dataclass(frozen=True)
class Solution:
    """Minima of R replicates."""

    theta: Array  # (R, p)
    objective: Array  # (R,)
    gradient: Array  # (R, p), zero where a bound holds the coordinate
    hessian: Array  # (R, p, p), exact
    iterations: npt.NDArray[np.int64]  # (R,)
    converged: Bools  # (R,), the next step promises no decrease that a float can show

    def reach(self, best: int, tolerance: float) -> Bools:
        """Which rows (R,) of one problem end at minimum `best`, or were stopped on the way down into it.

        On the way: what the row lies above the minimum is, to a half, what the quadratic there says of it.
        """
        away = self.theta - self.theta[best]
        above = self.objective - self.objective[best]
        expected = 0.5 * ((away @ self.hessian[best]) * away).sum(axis=1)
        found: Bools = (above <= tolerance) | (np.abs(above - expected) <= 0.5 * expected)
        return found


def minimise(
    form: Form,
    theta: Array,
    weights: Array,
    log_loss: Array,
    robust: Robust,
    space: Space = "log",
    steps: int = 200,
    quick: float | Array = 0.0,
    first_damping: float = FIRST_DAMPING,
) -> Solution:
    """Minimise from theta (R, p), with weights (R, n) and log losses (R, n), or (1, n) for all alike.

    A replicate is done when the step just taken promised less than SETTLED of its objective; or `quick`, if
    it also kept its promise: convergence is quadratic, so what is left is about the square of that; `quick`
    may differ by replicate, (R,). Most need 6 steps and a few need 30, so who is done leaves the batch, and
    so does who creeps along a plateau, where runs do not fix a parameter.
    """
    problem = _Problem(form, weights, log_loss, robust, space)
    here = np.maximum(form.lower, np.minimum(form.upper, theta))
    R, p = here.shape
    chart = Chart(form)
    tilt = 1 + TILT * np.eye(p)
    floor = ROUNDING * weights.sum(axis=1)
    damping = np.full(R, first_damping)
    active = np.arange(R)
    early = np.broadcast_to(quick, R)
    rough = np.ones(R, dtype=bool)  # where the IRLS Hessian is needed afresh
    value, slope, hessian, safe = problem.derivatives(active, here, rough)
    safe *= tilt
    out = Solution(
        here.copy(), value.copy(), slope.copy(), hessian.copy(), np.zeros(R, int), np.zeros(R, bool)
    )
    hasty = bool(early.any())
    before, creep = value.copy(), form.creep / weights.shape[1]
    for taken in range(1, steps + 1):
        matrix = chart.bend(hessian + damping[:, None, None] * safe, slope)
        step, solvable = newton_step(matrix, slope, held=slope == 0)
        promise = -np.einsum("rp,rp->r", step, slope)
        there, part = chart.move(here, step)
        new = problem.derivatives(active, there, rough)
        gained = value - new[0] + NOISE * value
        better = solvable & (gained >= 0)
        # A step is as good as its quadratic model: what it gained against what the model promised.
        trusted = better & (gained >= promise * (0.25 * part * (1 - 0.5 * part)))
        least = SETTLED * value
        if hasty:
            least = np.where(trusted & (damping < 1e-5), early * value, least)
        settled = solvable & (promise <= np.maximum(least, floor)) & (damping < 1)
        fresh = better & rough
        safe[fresh] = new[3][fresh] * tilt
        if better.all():
            here, (value, slope, hessian) = there, new[:3]
        else:
            for old, now in zip((here, value, slope, hessian), (there, *new[:3]), strict=True):
                old[better] = now[better]
        damping = np.where(trusted, 0.1 * damping, np.maximum(16 * damping, 10 * LEAST_DAMPING))
        damping[damping < LEAST_DAMPING] = 0.0
        rough = ~trusted | (damping >= FRESH)
        leaving = settled | (damping > 1e14) | (taken == steps)
        if taken % PACE == 0:
            leaving |= before - value < creep * value
            before = value.copy()
        if leaving.any():
            gone, stay = active[leaving], ~leaving
            out.theta[gone], out.objective[gone] = here[leaving], value[leaving]
            out.gradient[gone], out.hessian[gone] = slope[leaving], hessian[leaving]
            out.iterations[gone], out.converged[gone] = taken, settled[leaving]
            if len(gone) == len(active):
                break
            active, here, value, slope = active[stay], here[stay], value[stay], slope[stay]
            hessian, safe, damping = hessian[stay], safe[stay], damping[stay]
            rough, floor, early, before = rough[stay], floor[stay], early[stay], before[stay]
    return out


def objective(
    form: Form, theta: Array, weights: Array, log_loss: Array, robust: Robust, space: Space = "log"
) -> Array:
    """The objective (R,) at theta (R, p)."""
    predicted = form.value(theta)
    residual = predicted - log_loss if space == "log" else np.exp(predicted) - np.exp(log_loss)
    total: Array = np.einsum("rn,rn->r", weights, robust.cost(residual))
    return total


def derivatives(
    form: Form, theta: Array, weights: Array, log_loss: Array, robust: Robust, space: Space = "log"
) -> tuple[Array, Array, Array]:
    """Objective (R,), gradient (R, p) and exact Hessian (R, p, p) at theta (R, p)."""
    rows = np.arange(len(theta))
    problem = _Problem(form, weights, log_loss, robust, space)
    value, gradient, hessian, _ = problem.derivatives(rows, theta, np.zeros(len(theta), dtype=bool))
    return value, gradient, hessian


@dataclass(frozen=True)
class _Problem:
    """The objectives of R replicates."""

    form: Form
    weights: Array  # (R, n)
    log_loss: Array  # (R, n) or (1, n)
    robust: Robust
    space: Space

    def derivatives(
        self, rows: npt.NDArray[np.int64], theta: Array, rough: Bools
    ) -> tuple[Array, Array, Array, Array]:
        """Objective (r,), free gradient (r, p), exact and IRLS Hessian (r, p, p) of some replicates at theta.

        The IRLS Hessian only in blocks that hold a rough one; those come first. A block fits a core's cache.
        """
        r, p = theta.shape
        size = max(1, BLOCK // self.weights.shape[1])
        value, gradient = np.empty(r), np.empty((r, p))
        hessian, safe = np.empty((2, r, p, p))
        if r <= size:
            blocks: list[Any] = [slice(None)]
        else:
            order = np.argsort(~rough, kind="stable")
            blocks = [order[i : i + size] for i in range(0, r, size)]
        for block in blocks:
            W = self.weights[rows[block]]
            Y = self.log_loss[rows[block]] if len(self.log_loss) > 1 else self.log_loss
            tape = self.form.tape(theta[block])
            if self.space == "log":
                residual = tape.value - Y
                psi, bend, lever = self.robust.slopes(residual)
                psi *= W
                bend *= W
            else:
                predicted = np.exp(tape.value)
                residual = predicted - np.exp(Y)
                psi, bend, lever = self.robust.slopes(residual)
                lever /= predicted
                psi *= W
                psi *= predicted
                bend *= W
                bend *= predicted * predicted
                bend += psi
            value[block] = np.einsum("rn,rn->r", psi, lever)
            gradient[block], hessian[block] = tape.sums(psi, bend)
            if rough[block].any():
                W *= self.robust.reweighting(residual)
                if self.space == "raw":
                    W *= predicted * predicted
                safe[block] = tape.outer(W)
        down, up = theta <= self.form.lower, theta >= self.form.upper
        if down.any() or up.any():
            gradient[(down & (gradient > 0)) | (up & (gradient < 0))] = 0
        return value, gradient, hessian, safe


def newton_step(matrix: Array, slope: Array, held: Bools) -> tuple[Array, Bools]:
    """Solve matrix · step = -slope (R, p) for the free coordinates; False where matrix is not positive.

    The matrix is scaled to a unit diagonal. A few are solved by LAPACK if all are positive; others by
    elimination without row exchanges, stable for positive matrices, whose pivots show that they are: one
    coordinate at a time for all replicates, for LAPACK spends 4 times as long on calls for each of them.
    """
    R, p = slope.shape
    scale = np.sqrt(np.maximum(np.abs(np.einsum("rii->ri", matrix)), 1e-300))
    free = ~held / scale
    with np.errstate(all="ignore"):  # what is not positive overflows here, and is no step
        right = -slope * free
        matrix = matrix * free[:, :, None] * free[:, None, :]
        # A singular direction gets a finite step, which the objective then judges.
        np.einsum("rii->ri", matrix)[...] += held + 1e-14 * p
        if R <= FEW:
            solved = [dposv(one, side)[1:] for one, side in zip(matrix, right, strict=True)]
            if not any(failed for _, failed in solved):
                step = np.array([x for x, _ in solved])
                if np.isfinite(step).all():
                    return step * free, np.ones(R, dtype=bool)
        system = np.empty((p, p + 1, R))  # the matrix and its right side
        system[:, :p], system[:, p] = matrix.transpose(1, 2, 0), right.T
        pivots = np.empty((p, R))
        for i in range(p):
            pivots[i] = system[i, i]
            row = system[i, i + 1 :] / pivots[i]
            system[i, i] -= 1.0  # the row is divided by its pivot in the sweep in which it leaves the others
            system[:, i + 1 :] -= system[:, i, None] * row
        positive: Bools = np.asarray((pivots > 0).all(axis=0))
        return np.where(positive[:, None], system[:, p].T * free, 0.0), positive
