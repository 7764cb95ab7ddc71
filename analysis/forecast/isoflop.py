"""Chinchilla's three approaches to the best split of compute, side by side, and what each would waste."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from analysis.fitting.fit import Fit
from analysis.fitting.runs import FitError
from analysis.forecast.approach import Approach
from analysis.forecast.grids import (
    bias_warning,
    counted_warnings,
    envelope_warnings,
    exact_minima,
    grid_warnings,
    slice_warnings,
)
from analysis.forecast.lines import power_lines, scatter_about_line
from analysis.forecast.regret import deadweight
from analysis.forecast.slices import Slices, slice_runs
from analysis.forecast.vertices import fit_vertices
from analysis.laws.law import FLOPS_PER_PARAM_TOKEN, Law

if TYPE_CHECKING:  # half a second, and a plan needs none of it
    import pandas as pd

BINS = 100  # budgets at which approach 1 looks for the best trunk
DECADE = 10.0
BIAS = 0.02  # relative error of N* worth a warning


@dataclass(frozen=True)
class Comparison:
    """The three approaches on the same runs; those that could not be followed leave their reason."""

    approaches: tuple[Approach, ...]
    refusals: tuple[str, ...]
    compute: float  # [FLOP] at which N*, D* and the regret are given
    table: pd.DataFrame
    judge: str  # the law of approach 3, which regret is judged by

    def __str__(self) -> str:
        lines = [f"Chinchilla's three approaches at {self.compute:.4g} FLOP, N* growing as C^a"]
        if len(self.table):
            lines += [f"  {'approach':<22}{'a':>5}  {'interval':<16}{'N*':>9}{'D*':>10}{'wastes':>10}"]
        for _, row in self.table.iterrows():
            between = f"[{row['a_lo']:z.3f}, {row['a_hi']:z.3f}]"
            if np.isnan(row["a_lo"]):
                between = "none"
            elif np.isclose(row["a_lo"], row["a_hi"], rtol=1e-9):
                between = "set by the law"
            wasted = f"{100 * row['regret']:.2g} %"
            lines.append(
                f"  {row['approach']} {row['name']:<20}{row['a']:z.3f}  {between:<16}"
                f"{row['N']:>9.3g}{row['D']:>10.3g}{wasted:>10}"
            )
        if len(self.table):
            lines.append(f"  the surface is the {self.judge} law's, by which waste is judged")
        for approach in self.approaches:
            lines += [f"  ! {approach.number}, {d.code}: {d.message}" for d in approach.warnings]
        return "\n".join([*lines, *(f"  not followed: {reason}" for reason in self.refusals)])


def compare_approaches(fit: Fit, compute: float | None = None) -> Comparison:
    """Follow all three approaches on runs (n,) and compare their advice at one compute.

    `table`: one row per approach: approach, name, a, a_lo, a_hi, b, b_lo, b_hi, N, N_lo, N_hi, D, D_lo, D_hi,
    regret (share of compute lost if the fitted surface is true), regret_hi (its upper bound over the
    surface's replicates). Approach 3 has regret 0 by construction; its regret_hi says what it may cost.

    Args:
        fit: the surface for approach 3, and the judge of regret; its runs are those that are followed.
        compute: where to compare, by default 10 times the largest run [FLOP].

    Source: Hoffmann et al. 2022 (arXiv:2203.15556) sections 3.1 to 3.3.
    """
    if compute is None:
        compute = 10 * float(np.max(FLOPS_PER_PARAM_TOKEN * fit.runs.inputs["N"] * fit.runs.inputs["D"]))
    approaches, refusals = [], []
    for number in (1, 2):
        try:
            slices = slice_runs(
                fit.runs.inputs["N"],
                fit.runs.inputs["D"],
                fit.runs.loss,
                flops=fit.runs.compute,
                groups=fit.runs.groups,
                budgets=BINS if number == 1 else 8,
            )
            follow = approach_1 if number == 1 else approach_2
            approaches.append(
                follow(
                    slices,
                    resamples=fit.bootstrap.resamples,
                    seed=fit.bootstrap.seed,
                    level=fit.level,
                    judge=fit.law,
                )
            )
        except FitError as error:
            refusals.append(f"approach {number}: {error}")
    try:
        approaches.append(approach_3(fit))
    except ValueError as error:
        refusals.append(f"approach 3: {error}")
    import pandas as pd

    rows = []
    for approach in approaches:
        try:
            rows.append(_row(approach, fit, compute))
        except ValueError as error:
            refusals.append(f"approach {approach.number}: {error}")
    return Comparison(tuple(approaches), tuple(refusals), compute, pd.DataFrame(rows), fit.name)


def approach_1(
    slices: Slices,
    *,
    edges: bool = False,
    resamples: int = 1000,
    seed: int = 0,
    level: float = 0.95,
    judge: Law | None = None,
) -> Approach:
    """The run of lowest loss at each budget, and a line through its log N and log D against log C.

    N* can only be a size that was tried, so whole trunks are drawn by pairs and the interval is coarse.

    Args:
        edges: keep budgets whose best run is their smallest or largest size.

    Raises:
        FitError: with fewer than 2 budgets to draw a line through, or one size best at all of them.

    Source: Hoffmann et al. 2022 (arXiv:2203.15556) section 3.1.
    """
    B = len(slices.compute)
    groups = int(slices.group.max()) + 1
    drawn = np.random.default_rng(seed).multinomial(groups, np.full(groups, 1 / groups), size=resamples)
    among = np.concatenate([np.ones((1, groups), dtype=bool), drawn > 0])  # (1 + R, trunks)
    best_n, best_d = (np.full((len(among), B), np.nan) for _ in range(2))
    kept = np.zeros(B, dtype=bool)
    for budget in range(B):
        points = slices.at(budget)
        ranked = points[np.argsort(slices.loss[points], kind="stable")]
        drawn_of = among[:, slices.group[ranked]]  # (1 + R, points), best first
        winner, drawn_any = ranked[drawn_of.argmax(axis=1)], drawn_of.any(axis=1)
        kept[budget] = edges or slices.N[points[0]] < slices.N[winner[0]] < slices.N[points[-1]]
        best_n[drawn_any, budget] = np.log(slices.N[winner[drawn_any]])
        best_d[drawn_any, budget] = np.log(slices.D[winner[drawn_any]])
    _need_two(kept)
    best = np.unique(best_n[0, kept])
    if len(best) == 1:
        raise FitError(
            f"unusable here: of the sizes tried, N = {np.exp(best[0]):.4g} is the best at all {kept.sum()} "
            "budgets, which shows nothing about how the best size grows. Train sizes closer together, or "
            "budgets further apart."
        )
    doubts = envelope_warnings(kept, len(best)) + slice_warnings(slices)
    x = np.log(slices.compute[kept])
    lines = power_lines(x - x.mean(), best_n[:, kept], best_d[:, kept], np.ones(len(x)))
    found = Approach.through(1, lines, best_n[0, kept], best_d[0, kept], level=level, warnings=doubts)
    return found if judge is None else _judged(found, slices, kept, judge, approach_1)


def approach_2(
    slices: Slices,
    *,
    edges: bool = False,
    resamples: int = 1000,
    seed: int = 0,
    level: float = 0.95,
    judge: Law | None = None,
) -> Approach:
    """The minimum of loss along each curve of equal compute, and a line through their log N and log D.

    How minima are found: `fit_vertices`. Each weighs by its precision, tempered by the mean of all, since how
    precise it is was estimated too; replicates get the noise of the losses and what minima scatter about the
    line beyond it. With a `judge` the same grids are filled with its exact losses; what the rule is off there
    widens the interval, and a warning says so where it matters.

    Raises:
        FitError: with fewer than 2 budgets whose minimum lies inside the sizes tried.

    Source: Hoffmann et al. 2022 (arXiv:2203.15556) section 3.2; Porian et al. 2024 (arXiv:2406.19146) weigh
    the line.
    """
    found = fit_vertices(slices)
    known = np.isfinite(found.log_n) & np.isfinite(found.variance)
    kept = known if edges else known & found.inside
    _need_two(kept)
    x, minima, variance = np.log(slices.compute[kept]), found.log_n[kept], found.variance[kept]
    x -= x.mean()
    beyond, ratio = scatter_about_line(x, minima, variance)
    drawn = found.draws(resamples, seed)
    drawn += np.sqrt(beyond) * np.random.default_rng([seed, 1]).standard_normal(drawn.shape)
    log_n = np.concatenate([found.log_n[None], drawn])
    weights = 1 / (variance + max(beyond, float(variance.mean())))
    lines = power_lines(x, log_n[:, kept], found.tokens(log_n)[:, kept], weights)
    doubts = grid_warnings(slices, found, kept, ratio) + slice_warnings(slices)
    approach = Approach.through(2, lines, minima, found.log_d[kept], level=level, warnings=doubts)
    return approach if judge is None else _judged(approach, slices, kept, judge, approach_2)


def approach_3(fit: Fit) -> Approach:
    """The optimum of the fitted surface, which is a power law of compute for every surface here.

    Raises:
        ValueError: when the fitted law has no finite optimum.
    """
    compute = FLOPS_PER_PARAM_TOKEN * fit.runs.inputs["N"] * fit.runs.inputs["D"]
    reference = float(np.exp(np.log(compute).mean()))

    def line(law: object) -> list[float]:
        try:
            near, far = (law.optimum(reference * s) for s in (1.0, DECADE))  # type: ignore[attr-defined]
        except ValueError:
            return [np.nan] * 4
        if not all(0 < v < np.inf for v in (near.N, far.N, near.D, far.D)):
            return [np.nan] * 4  # exponents so near 0 that the best size is past what a float holds
        span = np.log(DECADE)
        return [np.log(far.N / near.N) / span, np.log(near.N), np.log(far.D / near.D) / span, np.log(near.D)]

    fit.law.optimum(reference)  # says by itself why there is none
    a, log_n, b, log_d = (float(v) for v in line(fit.law))
    draws = np.array([line(law) for law in fit.draws]).reshape(-1, 4)
    budgets = np.geomspace(compute.min(), compute.max(), 5)
    sizes = np.exp(log_n + a * np.log(budgets / reference))
    return Approach(3, a, b, log_n, log_d, reference, fit.level, fit.warnings, draws, budgets, sizes)


def _need_two(kept: npt.NDArray[np.bool_]) -> None:
    if kept.sum() < 2:
        raise FitError(
            f"{kept.sum()} of {len(kept)} budgets have their best size inside those tried; a line needs 2. "
            "Widen or re-centre the grids of sizes."
        )


def _judged(
    found: Approach,
    slices: Slices,
    kept: npt.NDArray[np.bool_],
    judge: Law,
    follow: Callable[..., Approach],
) -> Approach:
    """With what the approach is off on the exact losses of a law in its warnings and its interval."""
    log_n, log_d = (minima[kept] for minima in exact_minima(slices, judge))
    x = np.log(slices.compute[kept])
    line = power_lines(x - x.mean(), log_n[None], log_d[None], np.ones(len(x)))
    true = Approach.through(found.number, line, log_n, log_d, level=found.level)
    doubts = found.warnings + counted_warnings(slices, judge, true)
    exact = replace(slices, loss=np.asarray(judge(N=slices.N, D=slices.D), dtype=float))
    try:
        on_exact = follow(exact, resamples=0)
    except (FitError, ValueError):
        return replace(found, warnings=doubts)
    largest = DECADE * float(found.budgets.max())
    bias = on_exact.optimum(largest)[0] / true.optimum(largest)[0] - 1
    if abs(bias) >= BIAS:
        doubts += (bias_warning(judge, bias, DECADE),)
    if not len(found.draws):
        return replace(found, warnings=doubts)
    pairs = zip(on_exact.optimum(found.reference), true.optimum(found.reference), strict=True)
    by_size, by_data = (np.log(ours / exactly) for ours, exactly in pairs)
    off = np.array([on_exact.a - true.a, by_size, on_exact.b - true.b, by_data])
    side = np.random.default_rng(len(found.draws)).standard_normal((len(found.draws), 1))
    return replace(found, warnings=doubts, draws=found.draws + side * off)


def _row(approach: Approach, fit: Fit, compute: float) -> dict[str, float | str]:
    N, D = approach.optimum(compute)
    row: dict[str, float | str] = {"approach": approach.number, "name": approach.name}
    for quantity, value in (("a", approach.a), ("b", approach.b), ("N", N), ("D", D)):
        low, high = np.nan, np.nan
        if len(approach.draws):
            low, high = approach.interval(quantity, compute)
        row |= {quantity: value, f"{quantity}_lo": low, f"{quantity}_hi": high}
    wasted = []
    for law in fit.draws:
        try:
            wasted.append(deadweight(law, N, D))
        except ValueError:  # this replicate has no optimum
            continue
    upper = float(np.quantile(wasted, fit.level)) if len(wasted) >= 0.9 * len(fit.draws) > 0 else np.nan
    return row | {"regret": deadweight(fit.law, N, D), "regret_hi": upper}
