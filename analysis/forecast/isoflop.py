"""Chinchilla's three approaches to the best split of compute, side by side, and what each would waste."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from analysis.fitting.bootstrap.draws import small_sample
from analysis.fitting.bootstrap.variance import Scatter
from analysis.fitting.checks import FitWarning
from analysis.fitting.fit import Fit
from analysis.fitting.runs import FitError
from analysis.forecast.approach import Approach, power_line
from analysis.forecast.parabola import grid_doubts, inside, minima
from analysis.forecast.regret import deadweight
from analysis.forecast.slices import Slices, slice_runs
from analysis.laws.law import FLOPS_PER_PARAM_TOKEN, Array, Law

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

    def __str__(self) -> str:
        lines = [
            f"Chinchilla's three approaches at {self.compute:.4g} FLOP, N* growing as C^a",
            f"  {'approach':<22}{'a':>5}  {'interval':<16}{'N*':>9}{'D*':>10}{'wastes':>10}",
        ]
        for _, row in self.table.iterrows():
            between = f"[{row['a_lo']:z.3f}, {row['a_hi']:z.3f}]"
            wasted = f"{100 * row['regret']:.2g} %"
            lines.append(
                f"  {row['approach']} {row['name']:<20}{row['a']:z.3f}  {between:<16}"
                f"{row['N']:>9.3g}{row['D']:>10.3g}{wasted:>10}"
            )
        for approach in self.approaches:
            lines += [f"  ! {approach.number}, {d.code}: {d.message}" for d in approach.warnings]
        return "\n".join([*lines, *(f"  not followed: {reason}" for reason in self.refusals)])


def compare_approaches(fit: Fit, compute: float | None = None) -> Comparison:
    """Follow all three approaches on runs (n,) and compare their advice at one compute.

    `table`: one row an approach: approach, name, a, a_lo, a_hi, b, b_lo, b_hi, N, N_lo, N_hi, D, D_lo, D_hi,
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
    return Comparison(tuple(approaches), tuple(refusals), compute, pd.DataFrame(rows))


def approach_1(
    slices: Slices,
    *,
    edges: bool = False,
    resamples: int = 1000,
    seed: int = 0,
    level: float = 0.95,
    judge: Law | None = None,
) -> Approach:
    """The run of least loss at each budget, and a line through its log N and log D against log C.

    N* can only be a size that was tried, so whole trunks are drawn by pairs and the interval is coarse.

    Args:
        edges: keep budgets whose best run is their smallest or largest size.

    Raises:
        FitError: with fewer than 2 budgets to draw a line through.

    Source: Hoffmann et al. 2022 (arXiv:2203.15556) section 3.1.
    """
    B = len(slices.compute)
    groups = int(slices.group.max()) + 1
    drawn = np.random.default_rng(seed).multinomial(groups, np.full(groups, 1 / groups), size=resamples)
    counts = np.concatenate([np.ones((1, groups), dtype=np.int64), drawn])[:, slices.group]
    best_n, best_d = (np.full((len(counts), B), np.nan) for _ in range(2))
    kept = np.zeros(B, dtype=bool)
    for budget in range(B):
        points = slices.at(budget)
        loss = np.where(counts[:, points] > 0, slices.loss[points], np.inf)
        winner = np.argmin(loss, axis=1)
        kept[budget] = edges or 0 < winner[0] < len(points) - 1
        drawn_any = np.isfinite(loss.min(axis=1))
        best_n[drawn_any, budget] = np.log(slices.N[points][winner[drawn_any]])
        best_d[drawn_any, budget] = np.log(slices.D[points][winner[drawn_any]])
    doubts = []
    if not kept.all():
        doubts.append(
            FitWarning(
                "edge-minimum",
                f"the best run is the smallest or largest at {(~kept).sum()} of {B} budgets, now left out.",
            )
        )
    distinct = len(np.unique(best_n[0, kept]))
    if distinct < 4:
        doubts.append(FitWarning("few-sizes", f"the envelope rests on {distinct} sizes."))
    return _lines(1, slices, best_n, best_d, kept, level, tuple(doubts), judge)


def approach_2(
    slices: Slices,
    *,
    edges: bool = False,
    resamples: int = 1000,
    seed: int = 0,
    level: float = 0.95,
    judge: Law | None = None,
) -> Approach:
    """A parabola of loss in log N at each budget, and a line through the minima's log N and log D.

    Biased without any noise where alpha and beta differ or grids are off centre; with a `judge` the same
    grids are filled with its exact losses, and a warning says how far off they come out.

    Raises:
        FitError: with fewer than 2 budgets whose minimum lies inside the sizes tried.

    Source: Hoffmann et al. 2022 (arXiv:2203.15556) section 3.2; Czech et al. 2026 (arXiv:2603.22339) for the
    bias. Replicates weight trunks by exponentials and are stretched as in
    `analysis.fitting.bootstrap.draws.small_sample`.
    """
    groups = int(slices.group.max()) + 1
    weights = np.random.default_rng(seed).exponential(size=(resamples, groups))
    weights = np.concatenate([np.ones((1, groups)), weights])[:, slices.group]
    log_n, log_d = minima(slices, weights)
    kept = np.isfinite(log_n[0]) if edges else inside(slices, log_n[0])
    doubts = grid_doubts(slices, log_n[0])
    if slices.interpolated:
        doubts += (
            FitWarning("interpolated", "no runs share a budget: losses were interpolated along trunks."),
        )
    m, B = len(slices.loss), len(slices.compute)
    left = groups * (1 - 3 * B / m)  # degrees of freedom: a parabola a budget
    spread = Scatter(np.sqrt(groups / max(left, 1.0)), max(left, 1.0))
    stretch = small_sample(groups, spread, 1.0)
    return _lines(2, slices, log_n, log_d, kept, level, doubts, judge, stretch)


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


def _lines(
    number: int,
    slices: Slices,
    log_n: Array,
    log_d: Array,
    kept: npt.NDArray[np.bool_],
    level: float,
    doubts: tuple[FitWarning, ...],
    judge: Law | None,
    stretch: float = 1.0,
) -> Approach:
    """Lines through the optima (1 + R, B) of the data, first, and its replicates."""
    if kept.sum() < 2:
        raise FitError(
            f"{kept.sum()} of {len(kept)} budgets have their best size inside those tried; a line needs 2. "
            "Widen or re-centre the grids of sizes."
        )
    budgets = slices.compute[kept]
    reference = float(np.exp(np.log(budgets).mean()))
    x = np.log(budgets / reference)
    lines = np.concatenate([power_line(x, log_n[:, kept]), power_line(x, log_d[:, kept])], axis=1)
    a, level_n, b, level_d = (float(v) for v in lines[0])
    draws = lines[0] + stretch * (lines[1:] - lines[0])
    sizes = np.exp(log_n[0, kept])
    approach = Approach(number, a, b, level_n, level_d, reference, level, doubts, draws, budgets, sizes)
    if judge is None:
        return approach
    exact = replace(slices, loss=np.asarray(judge(N=slices.N, D=slices.D), dtype=float))
    follow = approach_1 if number == 1 else approach_2
    try:
        bias = _bias(follow(exact, resamples=0), judge, float(budgets.max()))
    except (FitError, ValueError):
        return approach
    if abs(bias) < BIAS:
        return approach
    biased = FitWarning(
        "biased",
        f"on exact losses of the {judge.name} law the same grids give an N* at {DECADE:g} times the largest "
        f"budget that is {100 * bias:+.2g} % off.",
    )
    return replace(approach, warnings=(*doubts, biased))


def _bias(approach: Approach, judge: Law, largest: float) -> float:
    """Relative error of N* at ten times the largest budget, for the compute that N* and D* come to."""
    N, D = approach.optimum(DECADE * largest)
    return N / judge.optimum(FLOPS_PER_PARAM_TOKEN * N * D).N - 1


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
