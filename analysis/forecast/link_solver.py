"""Least squares of links from loss to score, for all replicates at once, and what is known of their ends."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np
import numpy.typing as npt

from analysis.laws.law import Array

LinkKind = Literal["sigmoid", "exponential"]
STEEPNESS = np.geomspace(0.05, 20.0, 24)  # per standard deviation of the losses
LOG_STEEPNESS = np.log(STEEPNESS[[0, -1]])  # beyond it a link is a jump that no run resolves
MIDDLES = np.linspace(-4.0, 4.0, 17)  # standard deviations from their mean
STEPS = 60
CEILINGS = np.linspace(0.05, 1.0, 8)  # of the way from the best score to 1
FLOORS = np.array([-0.03, 0.0, 0.02])  # about the score of guessing: models prefer some choices
FLOOR_PRIOR = np.array([0.5, 1.0, 0.5])


_Model = Callable[[Array], tuple[Array, Array]]


def solve_link(kind: LinkKind, z: Array, y: Array, weight: Array, chance: float) -> Array:
    """theta (R, 3) of least weighted squares: (height, log steepness, middle or level)."""
    if kind == "sigmoid":
        theta = _best_sigmoid(z, y, weight, chance)
        free = polish(lambda t: sigmoid(t, z, chance), theta, y, weight, np.ones(3, dtype=bool))
        over = free[:, 0] > 1 - chance  # no score is above 1: the top is held there
        theta[over, 0] = 1 - chance
        held = np.array([False, True, True])
        free[over] = polish(lambda t: sigmoid(t, z, chance), theta[over], y, weight[over], held)
        return free
    theta = _best_exponential(z, y, weight)
    return polish(lambda t: _exponential(t, z), theta, y, weight, np.ones(3, dtype=bool))


def believed_ends(free: Array, z: Array, y: Array, chance: float) -> tuple[Array, Array, Array]:
    """theta (G, 3), floor and weight (G,) of sigmoids: that of least squares `free`, then held ends.

    Ceilings lie evenly between the best score and 1, floors about chance; each pair weighs by its prior and
    by rss^(-(n - 2)/2), the likelihood of the rest at its best scale.
    """
    tops = y.max() + CEILINGS * (1 - y.max())
    low = np.maximum(chance + FLOORS, 0.0)
    top, floor = (v.ravel() for v in np.meshgrid(tops, low, indexing="ij"))
    top, floor = np.append(free[0] + chance, top), np.append(chance, floor)
    floor = np.minimum(floor, top)  # of a task at which all score below guessing
    theta = np.column_stack([top - floor, np.full(len(top), free[1]), np.full(len(top), free[2])])
    steep, middle, share = _grid(z)
    height = theta[:, :1]
    miss = height * share.sum(axis=1) * floor[:, None] - height * (share @ y)  # (G, cells)
    cell = np.argmin(height**2 * (share * share).sum(axis=1) + 2 * miss, axis=1)[1:]
    theta[1:, 1:] = np.column_stack([np.log(steep[cell]), middle[cell]])
    held = np.array([False, True, True])
    theta = polish(lambda t: sigmoid(t, z, floor[:, None]), theta, y, np.ones((len(theta), len(y))), held)
    rss = ((y - sigmoid(theta, z, floor[:, None])[0]) ** 2).sum(axis=1)
    prior = np.append(1.0, np.tile(FLOOR_PRIOR, len(tops)))
    log_weight = np.log(prior) - (len(y) - 2) / 2 * np.log(np.maximum(rss, 1e-24))
    believed = np.exp(log_weight - log_weight.max())
    return theta, floor, believed / believed.sum()


def sigmoid(theta: Array, z: Array, chance: float | Array) -> tuple[Array, Array]:
    """Score (R, n) and its derivatives (R, n, 3) by height, log steepness and middle."""
    height, log_steep, middle = theta.T[:, :, None]
    steep = np.exp(log_steep)
    u = np.clip(steep * (z - middle), -700, 700)
    share = 1 / (1 + np.exp(u))
    slope = -height * share * (1 - share)
    return chance + height * share, np.stack([share, slope * u, -slope * steep], axis=2)


def _exponential(theta: Array, z: Array) -> tuple[Array, Array]:
    """Score (R, n) and its derivatives (R, n, 3) by height, log gamma and level."""
    height, log_gamma, level = theta.T[:, :, None]
    u = np.exp(log_gamma) * z
    decay = np.exp(np.clip(-u, -700, 700))
    return level + height * decay, np.stack([decay, -height * decay * u, np.ones_like(decay)], axis=2)


def _grid(z: Array) -> tuple[Array, Array, Array]:
    """Steepness, middle (cells,) and sigmoid (cells, n) of every cell of the grid."""
    steep, middle = (v.ravel() for v in np.meshgrid(STEEPNESS, MIDDLES))
    return steep, middle, 1 / (1 + np.exp(np.clip(steep[:, None] * (z - middle[:, None]), -700, 700)))


def _best_sigmoid(z: Array, y: Array, weight: Array, chance: float) -> Array:
    """The best cell of the grid for each replicate, the height in closed form."""
    steep, middle, share = _grid(z)
    top = weight @ (share * (y - chance)).T
    bottom = weight @ (share * share).T
    height = np.clip(top / np.maximum(bottom, 1e-300), 1e-6, 1 - chance)
    error = height * (height * bottom - 2 * top)
    cell = np.argmin(error, axis=1)
    rows = np.arange(len(weight))
    return np.stack([height[rows, cell], np.log(steep[cell]), middle[cell]], axis=1)


def _best_exponential(z: Array, y: Array, weight: Array) -> Array:
    """The best gamma of the grid for each replicate, height and level in closed form."""
    decay = np.exp(-STEEPNESS[:, None] * z)
    decay /= decay.max(axis=1, keepdims=True)
    total = weight.sum(axis=1, keepdims=True)
    d1, d2, dy = (weight @ v.T for v in (decay, decay * decay, decay * y))
    y1 = (weight @ y)[:, None]
    height = (dy - d1 * y1 / total) / np.maximum(d2 - d1 * d1 / total, 1e-300)
    level = (y1 - height * d1) / total
    error = -(height * dy + level * y1)  # of the normal equations, up to the sum of y²
    cell = np.argmin(error, axis=1)
    rows = np.arange(len(weight))
    scale = np.exp(-STEEPNESS[:, None] * z).max(axis=1)
    return np.stack([height[rows, cell] / scale[cell], np.log(STEEPNESS[cell]), level[rows, cell]], axis=1)


def polish(model: _Model, theta: Array, y: Array, weight: Array, free: npt.NDArray[np.bool_]) -> Array:
    """Levenberg-Marquardt for all replicates at once, along the free coordinates."""
    theta = theta.copy()
    if not len(theta):
        return theta
    damping = np.full(len(theta), 1e-3)
    value, slopes = model(theta)
    error = (weight * (y - value) ** 2).sum(axis=1)
    eye = np.eye(int(free.sum()))
    for _ in range(STEPS):
        J = slopes[:, :, free]
        gradient = np.einsum("rnp,rn->rp", J, weight * (y - value))
        normal = np.einsum("rnp,rn,rnq->rpq", J, weight, J)
        size = np.maximum(np.einsum("rpp->rp", normal), 1e-300)
        damped = normal + (damping[:, None] * size)[:, :, None] * eye
        step = np.zeros_like(theta)
        step[:, free] = np.linalg.solve(damped + 1e-14 * size[:, :, None] * eye, gradient[:, :, None])[
            :, :, 0
        ]
        steeper = np.clip(theta[:, 1] + np.clip(step[:, 1], -1, 1), *LOG_STEEPNESS)
        step[:, 1] = steeper - theta[:, 1]
        new_value, new_slopes = model(theta + step)
        new_error = (weight * (y - new_value) ** 2).sum(axis=1)
        better = new_error <= error
        theta[better] += step[better]
        value[better], slopes[better], error[better] = (
            new_value[better],
            new_slopes[better],
            new_error[better],
        )
        damping = np.where(better, damping * 0.2, damping * 5)
    return theta
