"""From loss to the score of a task: the two links in use, fitted for all bootstrap replicates at once."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from analysis.fitting.bootstrap.draws import small_sample
from analysis.fitting.bootstrap.variance import Scatter
from analysis.fitting.checks import FitWarning
from analysis.fitting.runs import FitError, Runs
from analysis.forecast.link_solver import LOG_STEEPNESS, LinkKind, believed_ends, polish, sigmoid, solve_link
from analysis.laws.law import Array

KINDS: tuple[LinkKind, ...] = ("sigmoid", "exponential")


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
class Candidates:
    """Links of every floor and ceiling that the scores allow, and how much each is believed."""

    links: tuple[Link, ...]
    weights: Array  # (links,), adding up to 1

    def __call__(self, loss: npt.ArrayLike) -> Array:
        return np.asarray(np.tensordot(self.weights, [link(loss) for link in self.links], 1))[()]


@dataclass(frozen=True)
class LinkFit:
    """A link, its replicates, and how runs scatter about it."""

    kind: LinkKind
    link: Link  # of least squares
    expected: Link | Candidates  # score of a loss, over what is not known of floor and ceiling
    draws: tuple[Link, ...] = field(repr=False)
    residuals: Array = field(repr=False)  # score minus link (n,), in the order of the runs
    spread: float  # standard deviation of a run about the link beyond the binomial noise of the task
    items: int | None  # of the task; None where its noise is part of the spread
    range: tuple[float, float]  # least and largest loss fitted
    best: float  # largest score fitted
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

    A sigmoid's ceiling, and its floor about `chance`, are seldom seen in the scores: `expected` and the draws
    average over both, by how well each pair fits.

    Args:
        chance: score of guessing, about which the floor of a sigmoid lies (not used by the exponential).
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
        raise FitError(f"score has shape {y.shape}, loss has {runs.n} rows; give one score per run.")
    if not (np.isfinite(y) & (y >= 0) & (y <= 1)).all():
        row = int(np.flatnonzero(~(np.isfinite(y) & (y >= 0) & (y <= 1)))[0])
        raise FitError(
            f"score must lie in 0 … 1; row {row} is {float(y[row])!r}. Give a fraction, not a percentage."
        )
    if runs.n < 4:
        raise FitError(f"a link of 3 parameters needs 4 runs or more; got {runs.n}.")
    if np.ptp(runs.loss) == 0:
        raise FitError(f"loss is {runs.loss[0]:.6g} in every run: no link to the score can be learnt.")
    x, y = runs.loss, y[runs.order]
    mean, scale = float(x.mean()), float(x.std())
    weight = np.random.default_rng(seed).exponential(size=(resamples, runs.n_groups))
    weight = np.concatenate([np.ones((1, runs.n_groups)), weight])[:, runs.groups]
    z = (x - mean) / scale
    theta = solve_link(kind, z, y, weight[:1] if kind == "sigmoid" else weight, chance)
    centre, floors = np.repeat(theta[:1], len(weight), axis=0), np.full(len(weight), chance)
    ends: Candidates | None = None
    if kind == "sigmoid":
        pairs, floor, share = believed_ends(theta[0], z, y, chance)
        ends = Candidates(
            tuple(_link(kind, row, mean, scale, at) for row, at in zip(pairs, floor, strict=True)), share
        )
        which = np.random.default_rng(seed + 1).choice(len(pairs), size=len(weight), p=share)
        which[0] = 0
        centre, floors = pairs[which], floor[which]
        held = np.array([False, True, True])
        theta = polish(lambda t: sigmoid(t, z, floors[:, None]), centre, y, weight, held)
    if resamples:
        spread = Scatter.of_runs(runs.n_distinct, theta.shape[1])
        theta[1:] = centre[1:] + small_sample(runs.n_groups, spread, 1.0) * (theta[1:] - centre[1:])
        theta[:, 1] = np.clip(theta[:, 1], *LOG_STEEPNESS)
    links = tuple(_link(kind, row, mean, scale, at) for row, at in zip(theta, floors, strict=True))
    fitted = links[0](x)
    doubts = []
    if np.ptp(fitted) < 2 * np.sqrt(np.mean((y - fitted) ** 2)):
        doubts.append(FitWarning("flat", "the score hardly depends on the loss over these runs."))
    return LinkFit(
        kind=kind,
        link=links[0],
        expected=ends or links[0],
        draws=links[1:],
        residuals=runs.in_table_order(y - fitted),
        spread=excess_spread(y - fitted, fitted, 3, items),
        items=items,
        range=(float(x.min()), float(x.max())),
        best=float(y.max()),
        warnings=tuple(doubts),
    )


def _link(kind: LinkKind, theta: Array, mean: float, scale: float, chance: float) -> Link:
    height, log_steep, last = (float(v) for v in theta)
    steep = float(np.exp(log_steep)) / scale
    if kind == "sigmoid":
        return Sigmoid(chance, min(chance + height, 1.0), steep, mean + scale * last)
    return Exponential(1 - last, height * float(np.exp(steep * mean)), steep)
