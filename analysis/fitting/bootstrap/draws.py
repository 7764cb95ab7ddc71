"""Bootstrap draws of a fit: each replicate solved globally, and what replicates miss put right."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from analysis.fitting.bootstrap.bandwidth import smooth_loss
from analysis.fitting.bootstrap.replicates import Bootstrap, replicates, trunk_weights
from analysis.fitting.bootstrap.variance import Scatter, scatter, student
from analysis.fitting.chart import Chart
from analysis.fitting.losses import Robust
from analysis.fitting.newton import derivatives, minimise, newton_step
from analysis.fitting.recipe import Recipe, solve, solve_near
from analysis.fitting.runs import SEEN, Runs, spread_out
from analysis.laws.form import AT_BOUND, LOG_ZERO, Data, Form
from analysis.laws.law import Array

BLOCK = 1 << 20  # replicates × runs at a time
MANY = 2_000_000  # replicates × runs from which replicates are first tried by one step each
TRIED = 8  # of them, how many are solved to see whether a step is enough
CLOSE = 0.1  # of their spread, by how much a step may miss the losses that they predict
TOGETHER = 192  # runs whose trunks are differentiated at a time
FEWEST = 2  # degrees of freedom that are granted to the fewest trunks: with one, nothing would be known
LOYAL = 0.2  # of how far a replicate lies from the fit, by how much stretched coordinates may miss that
NEAR = 1e-3  # promised decrease, of what misses them, at which such a replicate has been put right


def draw(runs: Runs, recipe: Recipe, data: Data, theta: Array, bootstrap: Bootstrap) -> tuple[Array, int]:
    """Coordinates (R, p) of the replicates of a fit at theta (p,), and how many draws were redrawn.

    Random weights (bayes) leave every run where it is, so three things are put right: replicates are solved
    with a smoother loss, and spread for its sharpness (`smooth_loss`) and for few runs (`small_sample`).
    """
    form = recipe.form(data)
    parameters = len(form.names)
    weights, log_loss = runs.relative_weights[None], data.log_loss[None]
    predicted = form.value(theta[None])
    kind, size, seed = bootstrap.kind, bootstrap.resamples, bootstrap.seed
    if kind != "bayes":
        drawn = replicates(kind, runs, data.log_loss, predicted[0], parameters, size, seed)
        return solve(recipe, form, drawn.counts * weights, drawn.log_loss, theta[None]).theta, drawn.redrawn
    residual = recipe.residual(predicted, log_loss)[0][runs.weights > 0]
    smooth, sharpness = smooth_loss(recipe.robust, residual, parameters)
    smoother, about = recipe, theta[None]
    many = size * runs.n > MANY
    if smooth != recipe.robust:
        smoother = replace(recipe, robust=smooth)
        solver = solve_near if many else solve
        about = solver(smoother, form, weights, log_loss, about).theta
    shares = trunk_weights(runs, size, seed)
    draws = None
    if many:
        draws = one_step(smoother, runs, data, about[0], shares)
    if draws is None:
        draws = solve(smoother, form, shares[:, runs.groups] * weights, log_loss, about).theta
    spread = scatter(form, theta, runs, log_loss[0] - predicted[0])
    factor = sharpness * small_sample(runs.n_groups, spread, recipe.quadratic_share(residual))
    moved = stretch(draws, about[0], theta, factor, form)
    seen = None
    if runs.n > SEEN:
        some = spread_out(runs.n)
        seen = recipe.form_by_run(data.take(some)), weights[:, some]
    return faithful(moved, draws, about[0], theta, factor, form, weights, seen), 0


def one_step(recipe: Recipe, runs: Runs, data: Data, about: Array, shares: Array) -> Array | None:
    """Replicates (R, p) by one Newton step each from the minimum `about` (p,); None where that is too far.

    A replicate's gradient and Hessian at the minimum are sums of those of its trunks, so those of each trunk
    are all that is needed: a fit of 10,000 runs has its 1,000 replicates in the time of one. The step leaves
    an error of the square of what it moves, which many runs make small. Whether they do is tried: the first
    replicates are also solved from there, and the losses that both predict must agree to a tenth of their
    spread.

    Source: Davidson & MacKinnon 1999 (International Economic Review 40), Andrews 2002 (Econometrica 70), the
    k-step bootstrap.
    """
    form = recipe.form(data)
    if ((about <= form.lower + AT_BOUND) | (about >= form.upper - AT_BOUND)).any():
        return None
    gradient, hessian = by_trunk(recipe, runs, data, about)
    slope = shares @ gradient
    bend = (shares @ hessian.reshape(len(hessian), -1)).reshape(-1, *hessian.shape[1:])
    chart = Chart(form)
    step, solved = newton_step(chart.bend(bend, slope), slope, held=np.zeros_like(slope, dtype=bool))
    if not solved.all():
        return None
    draws, _ = chart.move(np.repeat(about[None], len(slope), axis=0), step)
    counts = shares[:TRIED, runs.groups] * runs.relative_weights
    exact = solve_near(recipe, form, counts, data.log_loss[None], about[None]).theta
    there = form.value(about[None])
    missed = form.value(draws[:TRIED]) - form.value(exact)
    spread = np.sqrt(np.mean((form.value(exact) - there) ** 2))
    return draws if np.sqrt(np.mean(missed**2)) < CLOSE * spread else None


def by_trunk(recipe: Recipe, runs: Runs, data: Data, theta: Array) -> tuple[Array, Array]:
    """Gradient (G, p) and Hessian (G, p, p) at theta (p,) that each trunk adds to the objective."""
    order = np.argsort(runs.groups, kind="stable")
    G, p = runs.n_groups, len(theta)
    gradient, hessian = np.empty((G, p)), np.empty((G, p, p))
    ends = np.append(np.unique(runs.groups[order], return_index=True)[1], runs.n)
    start = 0
    while start < G:
        stop = start + max(1, int(np.searchsorted(ends, ends[start] + TOGETHER, side="right")) - 1 - start)
        rows = order[ends[start] : ends[stop]]
        own = recipe.form_by_run(data.take(rows))
        weights = (runs.groups[rows] == np.arange(start, stop)[:, None]) * runs.relative_weights[rows]
        here = np.repeat(theta[None], stop - start, axis=0)
        _, gradient[start:stop], hessian[start:stop] = derivatives(
            own, here, weights, data.log_loss[rows][None], recipe.robust, recipe.space
        )
        start = stop
    return gradient, hessian


def small_sample(trunks: int, spread: Scatter, quadratic: float) -> float:
    """The factor on the spread of random-weight draws that few runs and few trunks call for.

    With G trunks, sqrt(G / (G - 1)) and the quantile of Student's t with G - 1 degrees of freedom. And where
    the loss is quadratic, a fit shrinks each residual by its leverage, p / n on average, which the weights do
    not see: n / (n - p), the jackknife's (HC3) correction, or what trunks make of it (`scatter`), known by as
    few degrees of freedom. An L1 fit instead goes through p runs and leaves the others, so the correction
    applies to the share of runs whose loss is quadratic. Coverage by simulation:
    `experiments/benchmarks/fitting.py --coverage`.

    Source: MacKinnon & White 1985 (HC3); Cameron & Miller 2015 (Journal of Human Resources 50), on few
    clusters.
    """
    free = max(trunks - 1, FEWEST)
    few = student(free)
    leverage = spread.widening**2 * spread.quantile(free)
    factor: float = np.sqrt(trunks / max(trunks - 1, 1)) * (few + quadratic * (leverage - few))
    return factor


def faithful(
    moved: Array,
    draws: Array,
    about: Array,
    centre: Array,
    factor: float,
    form: Form,
    weights: Array,
    seen: tuple[Form, Array] | None = None,
) -> Array:
    """Stretched draws (R, p), those put right whose log losses at the runs are not stretched likewise.

    A law bends in its coordinates. Where few runs leave it free, `about` and `centre` are far apart, and what
    was moved from one to the other may contradict every run: so it is solved for the log losses f that it
    should have, f(centre) + factor × (f(draw) - f(about)).

    Args:
        weights: (1, n) of the runs.
        seen: the form on some of the runs, and their weights, by which draws are judged; by default on all.
    """
    moved = moved.copy()
    form, weights, _ = form.merged(weights, weights)
    judge, shares = seen if seen and weights.shape[1] > SEEN else (form, weights)
    bad = np.empty(len(draws), dtype=bool)
    for block in _blocks(len(draws), shares.shape[1]):
        wanted, there = _stretched_losses(draws[block], about, centre, factor, judge)
        away = (judge.value(moved[block]) - wanted, wanted - there)
        missed, size = (np.sqrt(v**2 @ shares[0]) for v in away)
        bad[block] = missed > LOYAL * size
    rows = np.flatnonzero(bad)
    for block in _blocks(len(rows), weights.shape[1]):
        here = draws[rows[block]]
        wanted, _ = _stretched_losses(here, about, centre, factor, form)
        W = np.repeat(weights, len(here), axis=0)
        moved[rows[block]] = minimise(form, here, W, wanted, Robust("squared"), steps=100, quick=NEAR).theta
    return moved


def _blocks(replicates: int, runs: int) -> list[slice]:
    rows = max(1, BLOCK // runs)
    return [slice(i, i + rows) for i in range(0, replicates, rows)]


def _stretched_losses(
    draws: Array, about: Array, centre: Array, factor: float, form: Form
) -> tuple[Array, Array]:
    """The log losses (R, n) of draws, stretched about those of `centre`; and those (n,)."""
    here, there = form.value(np.stack([about, centre]))
    return there + factor * (form.value(draws) - here), there


def stretch(draws: Array, about: Array, centre: Array, factor: float, form: Form) -> Array:
    """Draws (R, p) that scatter about one point (p,), scattered `factor` times as far about another.

    The floor, and what vanished in the estimate, is stretched on its own scale and stays above zero: in logs,
    the way from E = 0 to E = 1 has no length to stretch.
    """
    stretched: Array = centre + factor * (draws - about)
    amount = np.array([name == form.floor for name in form.names]) | (centre <= LOG_ZERO)
    away = np.exp(draws[:, amount]) - np.exp(about[amount])
    stretched[:, amount] = np.log(np.maximum(np.exp(centre[amount]) + factor * away, np.finfo(float).tiny))
    return np.clip(stretched, form.lower, form.upper)
