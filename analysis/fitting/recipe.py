"""How a fit is made: which law, which loss, what is fixed. A recipe and runs determine a fit entirely."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from analysis.fitting.cells import by_cell
from analysis.fitting.losses import Robust
from analysis.fitting.newton import FIRST_DAMPING, NEAR_DAMPING, Solution, Space, minimise, objective
from analysis.fitting.runs import Runs
from analysis.laws.form import Data, Form, LawForm, Pins
from analysis.laws.law import Array, Law
from analysis.laws.registry import law_named
from analysis.laws.restricted import Restricted

QUICK = 1e-7  # promised decrease at which a replicate, unlike the fit itself, may stop
JOINING = 1e-2  # the same, where it is only asked whether a start leads to a minimum that is known
HEATS = 40  # Newton steps after which many starts are compared
FINALISTS = 6  # of them, how many go on
SCREEN = 65536  # replicates × runs whose grids are computed at a time


@dataclass(frozen=True)
class Recipe:
    """Everything about a fit except its runs."""

    law: str
    robust: Robust = field(default_factory=Robust)
    space: Space = "log"
    fixed: Mapping[str, float] = field(default_factory=dict)  # parameters at values, by name
    ties: tuple[tuple[str, str], ...] = ()  # pairs of parameters that are equal

    def __post_init__(self) -> None:
        law_named(self.law)
        if self.space not in ("log", "raw"):
            raise ValueError(f"space: log or raw loss; got {self.space!r}.")

    def data(self, runs: Runs) -> Data:
        """The runs in the solver's coordinates."""
        return Data.of(runs.inputs, runs.loss, centred=self.space == "log")

    @property
    def law_type(self) -> type[Law]:
        """The law that is fitted."""
        return law_named(self.law)

    def holding(self, name: str, value: float) -> Recipe:
        """The same recipe with one more parameter at a value."""
        return replace(self, fixed={**self.fixed, name: value})

    def form(self, data: Data) -> Form:
        """The law on these data, in the solver's coordinates.

        Raises:
            ValueError: for a fixed parameter that the law does not have, or a value out of range.
        """
        return by_cell(self.form_by_run, data)

    def form_by_run(self, data: Data) -> Form:
        """The same without regard to runs that share their inputs."""
        pins = Pins(self.fixed, self.ties)
        whole = self.law_type.form(data, pins)
        pins = Pins(self.fixed, (*self.ties, *getattr(whole, "ties", ())))
        return Restricted(whole, pins) if pins and isinstance(whole, LawForm) else whole

    def quadratic_share(self, residual: Array) -> float:
        """The share of residuals (n,) whose loss is quadratic: 1 for squares, 0 for L1."""
        if self.robust.kind in ("squared", "l1"):
            return float(self.robust.kind == "squared")
        return float(np.mean(np.abs(residual) <= self.robust.delta))

    def residual(self, predicted: Array, log_loss: Array) -> Array:
        """Predicted minus observed, of log losses given, in the space that the recipe minimises in."""
        return predicted - log_loss if self.space == "log" else np.exp(predicted) - np.exp(log_loss)


def solve(recipe: Recipe, form: Form, weights: Array, log_loss: Array, hints: Array) -> Solution:
    """The global minimum for each of R replicates; weights (R, n), log_loss (R, n) or (1, n).

    Each replicate starts from the best of its own grid minima and the hints (H, p), minima of the data
    themselves. A second start each took more time than the first, and hardly moved the intervals of public
    learning curves at 3 times the data; far beyond, it widened some.
    """
    rows = max(64, SCREEN // weights.shape[1])
    loss = recipe.robust.smooth()[0]
    chosen = []
    for i in range(0, len(weights), rows):
        W = weights[i : i + rows]
        Y = log_loss[i : i + rows] if len(log_loss) > 1 else log_loss
        own = form.starts(W, np.broadcast_to(Y, W.shape), thorough=False)
        candidates = np.concatenate([own, np.broadcast_to(hints[:, None], (len(hints), *own.shape[1:]))])
        candidates = np.clip(candidates, form.lower, form.upper)
        value = np.stack([objective(form, theta, W, Y, loss, recipe.space) for theta in candidates])
        chosen.append(candidates[value.argmin(axis=0), np.arange(len(W))])
    return _polish(recipe, form, np.concatenate(chosen), weights, log_loss, quick=QUICK)


def solve_near(recipe: Recipe, form: Form, weights: Array, log_loss: Array, theta: Array) -> Solution:
    """The minimum next to theta (1, p) for each of R replicates of so many runs that all minima lie close."""
    start = np.repeat(theta, len(weights), axis=0)
    return _polish(recipe, form, start, weights, log_loss, quick=QUICK, first_damping=NEAR_DAMPING)


def _polish(
    recipe: Recipe,
    form: Form,
    theta: Array,
    weights: Array,
    log_loss: Array,
    steps: int = 200,
    quick: float | Array = 0.0,
    first_damping: float = FIRST_DAMPING,
) -> Solution:
    for robust in recipe.robust.smooth():
        solution = minimise(form, theta, weights, log_loss, robust, recipe.space, steps, quick, first_damping)
        theta = solution.theta
    theta = form.canonical(solution.theta)
    rows = (theta != solution.theta).any(axis=1)
    if rows.any():
        Y = log_loss[rows] if len(log_loss) > 1 else log_loss
        early = np.broadcast_to(quick, len(rows))[rows]
        again = minimise(form, theta[rows], weights[rows], Y, robust, recipe.space, steps, early)
        for name in ("theta", "objective", "gradient", "hessian"):
            getattr(solution, name)[rows] = getattr(again, name)
    if recipe.robust.kind != "l1":
        return solution
    return replace(solution, objective=objective(form, theta, weights, log_loss, recipe.robust, recipe.space))


def solve_from(
    recipe: Recipe, form: Form, starts: Array, weights: Array, log_loss: Array, patience: int
) -> Solution:
    """The minima reached from each of S starts (S, p) on one data set; weights and log_loss (1, n).

    Of many starts, those that lead after a few steps go on. The first goes to the end, and so does each that
    is not on its way there: see `Solution.reach`.
    """
    if len(starts) > FINALISTS:
        W = np.repeat(weights, len(starts), axis=0)
        raced = _polish(recipe, form, starts, W, log_loss, HEATS, JOINING)
        starts = raced.theta[np.argsort(raced.objective, kind="stable")[:FINALISTS]]
    quick = np.full(len(starts), JOINING)
    quick[0] = 0.0
    W = np.repeat(weights, len(starts), axis=0)
    solution = _polish(recipe, form, starts, W, log_loss, patience, quick)
    lost = ~solution.reach(0, tolerance=0.0)
    if lost.any():
        rest = _polish(recipe, form, solution.theta[lost], W[lost], log_loss, patience)
        for name in ("theta", "objective", "gradient", "hessian", "converged"):
            getattr(solution, name)[lost] = getattr(rest, name)
        solution.iterations[lost] += rest.iterations
    return solution


def near_minima(recipe: Recipe, form: Form, starts: Array, weights: Array, log_loss: Array) -> Array:
    """Where S starts (S, p) lead on some of the runs, the lowest first and `FINALISTS` at most."""
    W = np.repeat(weights, len(starts), axis=0)
    raced = _polish(recipe, form, starts, W, log_loss, quick=JOINING)
    found: Array = raced.theta[np.argsort(raced.objective, kind="stable")[:FINALISTS]]
    return found
