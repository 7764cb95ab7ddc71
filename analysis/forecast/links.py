"""From loss to the score of a task: the two links in use, fitted for all bootstrap replicates at once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import numpy.typing as npt

from analysis.fitting.bootstrap.draws import small_sample
from analysis.fitting.bootstrap.variance import Scatter
from analysis.fitting.checks import FitWarning
from analysis.fitting.runs import FitError, Runs
from analysis.laws.law import Array

LinkKind = Literal["sigmoid", "exponential"]
KINDS: tuple[LinkKind, ...] = ("sigmoid", "exponential")
STEEPNESS = np.geomspace(0.05, 20.0, 24)  # per standard deviation of the losses
LOG_STEEPNESS = np.log(STEEPNESS[[0, -1]])  # beyond it a link is a jump that no run resolves
MIDDLES = np.linspace(-4.0, 4.0, 17)  # standard deviations from their mean
STEPS = 60

_Model = Callable[[Array], tuple[Array, Array]]


@dataclass(frozen=True)
class Sigmoid:
    """score = chance + (top - chance) / (1 + exp(steepness (L - middle))).

    Source: Bhagia et al. 2024 (arXiv:2412.04403), step 2; `chance` is known here, and they estimate it.
    """

    chance: float
    top: float
    steepness: float  # per nat
    middle: float  # [nats/token]

    def __call__(self, loss: npt.ArrayLike) -> Array:
        u = np.clip(self.steepness * (np.asarray(loss, float) - self.middle), -700, 700)
        return np.asarray(self.chance + (self.top - self.chance) / (1 + np.exp(u)))[()]


@dataclass(frozen=True)
class Exponential:
    """error = eps - k exp(-gamma L), and score = 1 - error.

    Source: Gadre et al. 2024 (arXiv:2403.08540) eq. 5.
    """

    eps: float
    k: float
    gamma: float  # per nat

    def __call__(self, loss: npt.ArrayLike) -> Array:
        return np.asarray(1 - self.eps + self.k * np.exp(-self.gamma * np.asarray(loss, float)))[()]


Link = Sigmoid | Exponential


@dataclass(frozen=True)
class LinkFit:
    """A link, its replicates, and how runs scatter about it."""

    kind: LinkKind
    link: Link
    draws: tuple[Link, ...] = field(repr=False)
    residuals: Array = field(repr=False)  # score minus link (n,), in the order of the runs
    spread: float  # standard deviation of a run about the link beyond the binomial noise of the task
    items: int | None  # of the task; None where its noise is part of the spread
    range: tuple[float, float]  # least and largest loss fitted
    warnings: tuple[FitWarning, ...]

    @property
    def rms(self) -> float:
        """Root mean square of the residuals [score]."""
        return float(np.sqrt(np.mean(self.residuals**2)))

    def measured(self, score: Array, rng: np.random.Generator) -> Array:
        """Scores that new runs of these expected scores would be measured at."""
        return measure(score, self.spread, self.items, rng)


def measure(score: Array, spread: float, items: int | None, rng: np.random.Generator) -> Array:
    """Measured scores: each run scatters by `spread`, and its task by the binomial noise of so many items."""
    expected = np.clip(score + spread * rng.standard_normal(np.shape(score)), 0.0, 1.0)
    if items is None:
        return expected
    return np.asarray(rng.binomial(items, expected) / items)


def excess_spread(residuals: Array, fitted: Array, parameters: int, items: int | None) -> float:
    """Standard deviation of scores about a law beyond the binomial noise of the task."""
    variance = float(np.sum(residuals**2)) / max(len(residuals) - parameters, 1)
    if items is not None:
        expected = np.clip(fitted, 0, 1)
        variance -= float(np.mean(expected * (1 - expected))) / items
    return float(np.sqrt(max(variance, 0.0)))


def fit_link(
    loss: npt.ArrayLike,
    score: npt.ArrayLike,
    *,
    kind: LinkKind = "sigmoid",
    chance: float = 0.0,
    items: int | None = None,
    groups: npt.ArrayLike | None = None,
    resamples: int = 1000,
    seed: int = 0,
) -> LinkFit:
    """Least squares of score (n,) in [0, 1] on loss (n,): a grid, then damped Gauss-Newton to convergence.

    Args:
        chance: score of guessing, the floor of a sigmoid (not used by the exponential).
        items: of the task, for its binomial noise.

    Raises:
        FitError: for too few runs, a score outside [0, 1], or losses that are all alike.
        ValueError: for another kind, or a chance or number of items out of range.
    """
    if kind not in KINDS:
        raise ValueError(f"kind: one of {', '.join(KINDS)}; got {kind!r}.")
    if not 0 <= chance < 1:
        raise ValueError(f"chance: a score from 0 to below 1; got {chance!r}.")
    if items is not None and items < 1:
        raise ValueError(f"items: 1 or more questions in the task; got {items!r}.")
    y = np.asarray(score, dtype=float)
    runs = Runs.of({"x": loss}, np.asarray(loss, dtype=float), groups)
    if y.shape != (runs.n,):
        raise FitError(f"score has shape {y.shape}, loss has {runs.n} rows; give one score a run.")
    if not (np.isfinite(y) & (y >= 0) & (y <= 1)).all():
        row = int(np.flatnonzero(~(np.isfinite(y) & (y >= 0) & (y <= 1)))[0])
        raise FitError(
            f"score must lie in 0 … 1; row {row} is {float(y[row])!r}. Give a fraction, not per cent."
        )
    if runs.n < 4:
        raise FitError(f"a link of 3 parameters needs 4 runs or more; got {runs.n}.")
    if np.ptp(runs.loss) == 0:
        raise FitError(f"loss is {runs.loss[0]:.6g} in every run: no link to the score can be learnt.")
    x, y = runs.loss, y[runs.order]
    mean, scale = float(x.mean()), float(x.std())
    weight = np.random.default_rng(seed).exponential(size=(resamples, runs.n_groups))
    weight = np.concatenate([np.ones((1, runs.n_groups)), weight])[:, runs.groups]
    theta = _solve(kind, (x - mean) / scale, y, weight, chance)
    if resamples:
        spread = Scatter.of_runs(runs.n_distinct, theta.shape[1])
        theta[1:] = theta[0] + small_sample(runs.n_groups, spread, 1.0) * (theta[1:] - theta[0])
        theta[:, 1] = np.clip(theta[:, 1], *LOG_STEEPNESS)
    links = tuple(_link(kind, row, mean, scale, chance) for row in theta)
    fitted = links[0](x)
    doubts = []
    if np.ptp(fitted) < 2 * np.sqrt(np.mean((y - fitted) ** 2)):
        doubts.append(FitWarning("flat", "the score hardly depends on the loss over these runs."))
    return LinkFit(
        kind=kind,
        link=links[0],
        draws=links[1:],
        residuals=runs.in_table_order(y - fitted),
        spread=excess_spread(y - fitted, fitted, 3, items),
        items=items,
        range=(float(x.min()), float(x.max())),
        warnings=tuple(doubts),
    )


def _solve(kind: LinkKind, z: Array, y: Array, weight: Array, chance: float) -> Array:
    """theta (R, 3) of least weighted squares: (height, log steepness, middle or level)."""
    if kind == "sigmoid":
        theta = _best_sigmoid(z, y, weight, chance)
        free = _polish(lambda t: _sigmoid(t, z, chance), theta, y, weight, np.ones(3, dtype=bool))
        over = free[:, 0] > 1 - chance  # no score is above 1: the top is held there
        theta[over, 0] = 1 - chance
        held = np.array([False, True, True])
        free[over] = _polish(lambda t: _sigmoid(t, z, chance), theta[over], y, weight[over], held)
        return free
    theta = _best_exponential(z, y, weight)
    return _polish(lambda t: _exponential(t, z), theta, y, weight, np.ones(3, dtype=bool))


def _sigmoid(theta: Array, z: Array, chance: float) -> tuple[Array, Array]:
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


def _best_sigmoid(z: Array, y: Array, weight: Array, chance: float) -> Array:
    """The best cell of the grid for each replicate, the height in closed form."""
    steep, middle = (v.ravel() for v in np.meshgrid(STEEPNESS, MIDDLES))
    share = 1 / (1 + np.exp(np.clip(steep[:, None] * (z - middle[:, None]), -700, 700)))  # (cells, n)
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


def _polish(model: _Model, theta: Array, y: Array, weight: Array, free: npt.NDArray[np.bool_]) -> Array:
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


def _link(kind: LinkKind, theta: Array, mean: float, scale: float, chance: float) -> Link:
    height, log_steep, last = (float(v) for v in theta)
    steep = float(np.exp(log_steep)) / scale
    if kind == "sigmoid":
        return Sigmoid(chance, min(chance + height, 1.0), steep, mean + scale * last)
    return Exponential(1 - last, height * float(np.exp(steep * mean)), steep)
