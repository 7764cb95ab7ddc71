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
BLOCK = 16384  # replicates × runs at a time: the working set stays in a core's cache
TILT = 0.1  # extra damping along the diagonal turns a step in a curved valley towards the gradient
LONGEST_STEP = 3.0  # in log coefficients and exponents
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
) -> Solution:
    """Minimise from theta (R, p), with weights and log losses (R, n) a replicate."""
    rows = max(1, BLOCK // weights.shape[1])
    parts = [
        _minimise_block(
            form, theta[i : i + rows], weights[i : i + rows], log_loss[i : i + rows], robust, space, steps
        )
        for i in range(0, len(theta), rows)
    ]
    fields = Solution.__dataclass_fields__
    return Solution(**{name: np.concatenate([getattr(part, name) for part in parts]) for name in fields})


def objective(
    form: Form, theta: Array, weights: Array, log_loss: Array, robust: Robust, space: Space = "log"
) -> Array:
    """The objective (R,) at theta (R, p)."""
    predicted = form.value(theta)
    residual = predicted - log_loss if space == "log" else np.exp(predicted) - np.exp(log_loss)
    total: Array = np.einsum("rn,rn->r", weights, robust.cost(residual))
    return total


def _minimise_block(
    form: Form, theta: Array, weights: Array, log_loss: Array, robust: Robust, space: Space, steps: int
) -> Solution:
    theta = np.clip(theta, form.lower, form.upper)
    R = len(theta)
    tilt = 1 + TILT * np.eye(theta.shape[1])
    value, gradient, hessian, safe = _derivatives(form, theta, weights, log_loss, robust, space)
    damping = np.ones(R)
    iterations = np.zeros(R, dtype=int)
    converged = np.zeros(R, dtype=bool)
    active = np.arange(R)
    for _ in range(steps):
        here = theta[active]
        slope = _free_gradient(form, here, gradient[active])
        matrix = hessian[active] + damping[active, None, None] * safe[active] * tilt
        step, solvable = _newton_step(matrix, slope, held=slope == 0)
        promise = -np.einsum("rp,rp->r", step, slope)
        step *= np.minimum(1.0, LONGEST_STEP / np.maximum(np.abs(step).max(axis=1), 1e-300))[:, None]
        there = np.clip(here + step, form.lower, form.upper)
        new = _derivatives(form, there, weights[active], log_loss[active], robust, space)
        better = solvable & (new[0] <= value[active] * (1 + 4e-16))
        settled = solvable & (promise <= SETTLED * value[active]) & (damping[active] < 1)
        taken = active[better]
        theta[taken] = there[better]
        value[taken], gradient[taken], hessian[taken], safe[taken] = (part[better] for part in new)
        damping[taken] *= 0.1
        damping[damping < 1e-3] = 0.0
        refused = active[~better]
        damping[refused] = np.maximum(4 * damping[refused], 1e-2)
        iterations[active] += 1
        converged[active[settled]] = True
        active = active[~settled & (damping[active] < 1e14)]
        if not active.size:
            break
    return Solution(theta, value, _free_gradient(form, theta, gradient), hessian, iterations, converged)


def _derivatives(
    form: Form, theta: Array, weights: Array, log_loss: Array, robust: Robust, space: Space
) -> tuple[Array, Array, Array, Array]:
    """Objective (R,), gradient (R, p), exact Hessian and IRLS Hessian (R, p, p)."""
    tape = form.tape(theta)
    if space == "log":
        rho, psi, bend, irls = robust.slopes(tape.value - log_loss)
        first, second, safe = weights * psi, weights * bend, weights * irls
    else:
        predicted = np.exp(tape.value)
        rho, psi, bend, irls = robust.slopes(predicted - np.exp(log_loss))
        first = weights * psi * predicted
        second = first + weights * bend * predicted * predicted
        safe = weights * irls * predicted * predicted
    G = tape.gradient
    p = G.shape[1]
    stacked = np.concatenate([second[:, None] * G, safe[:, None] * G, first[:, None]], axis=1)
    products = stacked @ G.transpose(0, 2, 1)  # (R, 2p + 1, p): all three sums over runs in one product
    hessian = products[:, :p] + tape.curvature(first)
    return np.einsum("rn,rn->r", weights, rho), products[:, 2 * p], hessian, products[:, p : 2 * p]


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
