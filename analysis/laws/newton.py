"""Batched damped Newton: every replicate of a fit at once, to the last digit.

The objective is sum_i w_i rho(r_i), r = predicted minus observed log loss (or loss). Its Hessian,
sum w (psi' ∇r ∇rᵀ + psi ∇²r), is exact but indefinite far from the minimum; the Hessian of iteratively
reweighted least squares, sum w (psi/r) ∇r ∇rᵀ, is always positive and majorises the Huber loss, so its steps
descend. Each replicate takes H + lambda IRLS with its own lambda, which goes to 0 as steps succeed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from analysis.laws.forms import Form
from analysis.laws.laws import Array
from analysis.laws.losses import Robust

Bools = npt.NDArray[np.bool_]
Space = Literal["log", "raw"]
BLOCK = 32768  # replicates × runs at a time: the working set stays in a core's cache
FIRST_PASS = 10
TILT = 0.1  # extra damping along the diagonal turns a step in a curved valley towards the gradient
FIRST_DAMPING = 0.03
LEAST_DAMPING = 1e-8  # small enough not to slow a direction that the runs hardly determine
LONGEST_STEP = 3.0  # in log coefficients and exponents
ROUNDING = 1e-28  # objective a run that is rounding error: residuals of 1e-14
SETTLED = 1e-15  # promised decrease of the objective, relative, at which a replicate is done


@dataclass(frozen=True)
class Solution:
    """Minima of R replicates."""

    theta: Array  # (R, p)
    objective: Array  # (R,)
    gradient: Array  # (R, p), zero where a bound holds the coordinate
    hessian: Array  # (R, p, p), exact
    iterations: npt.NDArray[np.int64]  # (R,)
    converged: Bools  # (R,), the next step promises no decrease that a float can show


def minimise(
    form: Form,
    theta: Array,
    weights: Array,
    log_loss: Array,
    robust: Robust,
    space: Space = "log",
    steps: int = 200,
    quick: float = 0.0,
) -> Solution:
    """Minimise from theta (R, p), with weights (R, n) and log losses (R, n), or (1, n) for all alike.

    In blocks that fit a core's cache. Most replicates need 8 steps and a few need 30, so those that are not
    done after FIRST_PASS go on together, not each in its own block.

    A replicate is done when the step just taken promised less than SETTLED of its objective; or `quick`, if
    it also kept its promise: convergence is quadratic, so what is left is about the square of that.
    """
    rows = max(1, BLOCK // weights.shape[1])
    first = min(steps, FIRST_PASS) if len(theta) > rows else steps
    parts = []
    for i in range(0, len(theta), rows):
        block = slice(i, i + rows)
        Y = log_loss[block] if len(log_loss) > 1 else log_loss
        parts.append(_minimise_block(form, theta[block], weights[block], Y, robust, space, first, quick))
    fields = Solution.__dataclass_fields__
    solution = Solution(**{name: np.concatenate([getattr(part, name) for part in parts]) for name in fields})
    late = np.flatnonzero(~solution.converged)
    if first == steps or not late.size:
        return solution
    Y = log_loss[late] if len(log_loss) > 1 else log_loss
    rest = minimise(form, solution.theta[late], weights[late], Y, robust, space, steps - first, quick)
    for name in fields:
        getattr(solution, name)[late] = getattr(rest, name)
    solution.iterations[late] += first
    return solution


def objective(
    form: Form, theta: Array, weights: Array, log_loss: Array, robust: Robust, space: Space = "log"
) -> Array:
    """The objective (R,) at theta (R, p)."""
    predicted = form.value(theta)
    residual = predicted - log_loss if space == "log" else np.exp(predicted) - np.exp(log_loss)
    total: Array = np.einsum("rn,rn->r", weights, robust.cost(residual))
    return total


def _minimise_block(
    form: Form,
    theta: Array,
    weights: Array,
    log_loss: Array,
    robust: Robust,
    space: Space,
    steps: int,
    quick: float,
) -> Solution:
    R, tilt = len(theta), 1 + TILT * np.eye(theta.shape[1])
    theta = np.clip(theta, form.lower, form.upper)
    value, gradient, hessian, safe = _derivatives(form, theta, weights, log_loss, robust, space)
    damping = np.full(R, FIRST_DAMPING)
    iterations = np.zeros(R, dtype=int)
    converged = np.zeros(R, dtype=bool)
    done = np.zeros(R, dtype=bool)
    floor = ROUNDING * weights.sum(axis=1)
    active = np.arange(R)
    W, Y = weights, log_loss
    for _ in range(steps):
        if done[active].sum() > 0.2 * len(active):  # copying the runs of the rest costs less than solving on
            active = active[~done[active]]
            W, Y = weights[active], log_loss[active] if len(log_loss) > 1 else log_loss
        here = theta[active]
        slope = _free_gradient(form, here, gradient[active])
        damped = damping[active]
        matrix = hessian[active] + damped[:, None, None] * safe[active] * tilt
        step, solvable = _newton_step(matrix, slope, held=slope == 0)
        promise = -np.einsum("rp,rp->r", step, slope)
        part = np.minimum(1.0, LONGEST_STEP / np.maximum(np.abs(step).max(axis=1), 1e-300))
        step *= part[:, None]
        there = np.clip(here + step, form.lower, form.upper)
        new = _derivatives(form, there, W, Y, robust, space, with_safe=bool(damped.any()))
        better = solvable & (new[0] <= value[active] * (1 + 4e-16)) & ~done[active]
        gained = value[active] - new[0]
        taken = active[better]
        theta[taken], value[taken], gradient[taken], hessian[taken] = (
            there[better],
            *(v[better] for v in new[:3]),
        )
        if damped.any():  # undamped, the last IRLS Hessian stays: positive, which is all that damping needs
            safe[taken] = new[3][better]
        # A step is as good as its quadratic model: what it gained against what the model promised.
        trusted = gained >= 0.25 * promise * part * (1 - 0.5 * part)
        well = active[better & trusted]
        damping[well] *= 0.1
        damping[damping < LEAST_DAMPING] = 0.0
        badly = active[~(better & trusted) & ~done[active]]
        damping[badly] = np.maximum(16 * damping[badly], 10 * LEAST_DAMPING)
        iterations[active] += ~done[active]
        least = np.where(better & trusted & (damped < 1e-5), max(quick, SETTLED), SETTLED) * value[active]
        settled = solvable & (promise <= np.maximum(least, floor[active])) & (damped < 1)
        converged[active[settled]] = True
        done[active[settled | (damping[active] > 1e14)]] = True
        if done[active].all():
            break
    return Solution(theta, value, _free_gradient(form, theta, gradient), hessian, iterations, converged)


def _derivatives(
    form: Form,
    theta: Array,
    weights: Array,
    log_loss: Array,
    robust: Robust,
    space: Space,
    with_safe: bool = True,
) -> tuple[Array, Array, Array, Array]:
    """Objective (R,), gradient (R, p), exact Hessian and, if asked, IRLS Hessian (R, p, p)."""
    tape = form.tape(theta)
    if space == "log":
        rho, psi, bend, irls = robust.slopes(tape.value - log_loss)
        first, second = weights * psi, weights * bend
        safe = np.multiply(weights, irls, out=irls)
    else:
        predicted = np.exp(tape.value)
        rho, psi, bend, irls = robust.slopes(predicted - np.exp(log_loss))
        first = weights * psi * predicted
        second = first + weights * bend * predicted * predicted
        safe = weights * irls * predicted * predicted
    gradient, hessian = tape.sums(first, second)
    value = np.einsum("rn,rn->r", weights, rho)
    return value, gradient, hessian, tape.outer(safe) if with_safe else hessian


def _free_gradient(form: Form, theta: Array, gradient: Array) -> Array:
    """The gradient, 0 where a bound holds the coordinate against it."""
    below, above = theta <= form.lower, theta >= form.upper
    return np.where((below & (gradient > 0)) | (above & (gradient < 0)), 0.0, gradient)


def _newton_step(matrix: Array, slope: Array, held: Bools) -> tuple[Array, Bools]:
    """Solve matrix · step = -slope (R, p) for the free coordinates; False where matrix is not positive."""
    p = slope.shape[1]
    scale = np.sqrt(np.maximum(np.abs(np.einsum("rii->ri", matrix)), 1e-300))
    scaled = matrix / (scale[:, :, None] * scale[:, None, :])
    off = held[:, :, None] | held[:, None, :]
    scaled = np.where(off, 0.0, scaled)
    diagonal = np.einsum("rii->ri", scaled)
    diagonal[held] = 1.0
    diagonal += 1e-14 * p  # a singular direction gets a finite step, which the objective then judges
    try:
        np.linalg.cholesky(scaled)
        positive = np.ones(len(slope), dtype=bool)
    except np.linalg.LinAlgError:
        positive = np.linalg.eigvalsh(scaled)[:, 0] > 0
    step = np.zeros_like(slope)
    if positive.any():
        right = (-slope / scale)[positive, :, None]
        step[positive] = np.linalg.solve(scaled[positive], right)[:, :, 0] / scale[positive]
    return step, positive
