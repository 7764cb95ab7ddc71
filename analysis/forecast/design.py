"""What a set of runs could tell, before any is trained: conditioning, grids, and the intervals to expect."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from analysis.fitting.bootstrap.quantiles import quantiles
from analysis.fitting.checks import FitWarning
from analysis.fitting.fit_columns import fit_loss_surface
from analysis.fitting.interval import Interval
from analysis.fitting.runs import FitError
from analysis.forecast.isoflop import approach_2
from analysis.forecast.slices import slice_runs
from analysis.laws.law import FLOPS_PER_PARAM_TOKEN, Array, Law
from analysis.laws.registry import PUBLISHED
from analysis.laws.surface import Surface

# Besiroglu et al. 2024 (arXiv:2404.10102): the exact minimum on their 240 points.
PRIOR = PUBLISHED
RAY = 2.0  # tokens per parameter that differ by less than this are one ray
LOST = 0.1  # of simulated studies without an optimum
VAGUE = 3.0  # N* known only to a factor of this, either side


@dataclass(frozen=True)
class DesignCheck:
    """What to expect of a design if the prior law is true; intervals hold estimates of simulated studies."""

    runs: int
    tokens_per_param: tuple[float, float]  # least and largest
    condition: float  # of the normal equations of E, A and B at the prior exponents
    compute: float  # [FLOP] of N* and the loss below
    a: Interval  # exponent of N*
    N: Interval
    loss: Interval
    lost: float  # share of simulated studies that found no finite optimum
    level: float
    warnings: tuple[FitWarning, ...]

    def __str__(self) -> str:
        low, high = self.tokens_per_param
        percent = f"{100 * self.level:g} %"
        return "\n".join(
            [
                f"{self.runs} runs, {low:.3g} to {high:.3g} tokens per param, condition {self.condition:.2g}",
                f"if the prior is true, {percent} of such studies would find, at {self.compute:.3g} FLOP,",
                f"  a     {self.a}",
                f"  N*    {self.N}",
                f"  loss  {self.loss}",
                *(f"  ! {doubt.code}: {doubt.message}" for doubt in self.warnings),
            ]
        )


def check_design(
    params: npt.ArrayLike,
    tokens: npt.ArrayLike,
    *,
    prior: Surface = PRIOR,
    noise: float = 0.004,
    trunk_noise: float = 0.0,
    groups: npt.ArrayLike | None = None,
    compute: float | None = None,
    simulations: int = 200,
    seed: int = 0,
    level: float = 0.95,
) -> DesignCheck:
    """Simulate the study that trains runs of these params and tokens, (n,) each, and fit it many times.

    Args:
        noise: relative spread of the loss of a run; `trunk_noise` that which runs of one trunk share.
        compute: where N* and the loss are wanted, by default 10 times the largest run [FLOP].

    Raises:
        FitError: when the runs could not determine a law at all.
        ValueError: for a noise that is negative.
    """
    if noise < 0 or trunk_noise < 0:
        raise ValueError(f"noise: a relative spread, 0 or more; got {noise!r} and {trunk_noise!r} of trunks.")
    N, D = (np.asarray(v, dtype=float) for v in (params, tokens))
    exact = np.asarray(prior(N=N, D=D), dtype=float)
    if compute is None:
        compute = 10 * FLOPS_PER_PARAM_TOKEN * float((N * D).max())
    labels = np.arange(len(N)) if groups is None else np.unique(np.asarray(groups), return_inverse=True)[1]
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(simulations):
        shared = rng.standard_normal(labels.max() + 1)[labels]
        loss = exact * np.exp(noise * rng.standard_normal(len(N)) + trunk_noise * shared)
        estimate = _advice(fit_loss_surface(N, D, loss, resamples=0).law, compute)
        if estimate is not None:
            found.append(estimate)
    lost = 1 - len(found) / simulations
    best = prior.optimum(compute)
    truth = (prior.growth, best.N, best.loss)
    columns = np.array(found).reshape(-1, 3).T if found else np.full((3, 1), np.nan)
    a, size, reached = (
        Interval(value, *quantiles(column, level).tolist())
        for value, column in zip(truth, columns, strict=True)
    )
    condition, doubts = check_grid(N, D, prior)
    doubts += _vague_doubts(size, lost, level, compute)
    return DesignCheck(
        runs=len(N),
        tokens_per_param=(float((D / N).min()), float((D / N).max())),
        condition=condition,
        compute=compute,
        a=a,
        N=size,
        loss=reached,
        lost=lost,
        level=level,
        warnings=doubts,
    )


def check_grid(
    params: npt.ArrayLike, tokens: npt.ArrayLike, prior: Surface = PRIOR
) -> tuple[float, tuple[FitWarning, ...]]:
    """What can be said of a design without simulating it: its condition number, and what is wrong with it.

    A single ray of tokens per parameter; IsoFLOP grids that are too narrow or off their centre.
    """
    N, D = (np.asarray(v, dtype=float) for v in (params, tokens))
    exact = np.asarray(prior(N=N, D=D), dtype=float)
    condition = linear_condition(N, D, prior)
    return condition, _ray_doubts(N, D, prior, condition) + _isoflop_doubts(N, D, exact, prior)


def _advice(law: Law, compute: float) -> tuple[float, float, float] | None:
    """a, N* and the loss at a compute; None where the law has no finite optimum."""
    try:
        best, further = law.optimum(compute), law.optimum(2 * compute)
    except ValueError:
        return None
    return float(np.log2(further.N / best.N)), best.N, best.loss


def linear_condition(N: Array, D: Array, prior: Surface) -> float:
    """Condition number of the normal equations of E, A and B, each column scaled to length 1.

    On a ray D = k N it grows as (alpha - beta)^-2 when the exponents come close: the two terms become one.

    Source: Kricheli et al. 2026 (arXiv:2605.08541).
    """
    columns = np.stack([np.ones_like(N), N**-prior.alpha, D**-prior.beta], axis=1)
    return float(np.linalg.cond(columns / np.linalg.norm(columns, axis=0)) ** 2)


def _ray_doubts(N: Array, D: Array, prior: Surface, condition: float) -> tuple[FitWarning, ...]:
    ratio = D / N
    if ratio.max() >= RAY * ratio.min():
        return ()
    spread = 4.0 ** np.where(np.arange(len(N)) % 2, 0.5, -0.5)  # the same compute, ratios 16 times apart
    better = linear_condition(N * spread, D / spread, prior)
    return (
        FitWarning(
            "ray",
            f"tokens per parameter are {ratio.min():.3g} to {ratio.max():.3g} in every run, so size and data "
            f"cannot be told apart (condition {condition:.2g}); the same compute spread over 16 times that "
            f"ratio has {better:.2g}.",
        ),
    )


def _isoflop_doubts(N: Array, D: Array, exact: Array, prior: Surface) -> tuple[FitWarning, ...]:
    """What approach 2 would be told by these runs without noise, where they share budgets."""
    try:
        slices = slice_runs(N, D, exact)
        return () if slices.interpolated else approach_2(slices, resamples=0, judge=prior).warnings
    except FitError:  # no budgets are shared: no IsoFLOP design
        return ()


def _vague_doubts(N: Interval, lost: float, level: float, compute: float) -> tuple[FitWarning, ...]:
    doubts = []
    if lost > LOST:
        doubts.append(
            FitWarning(
                "no-optimum", f"{100 * lost:.0f} % of simulated studies find no finite optimum at all."
            )
        )
    if not (N.high < VAGUE * N.value and N.low > N.value / VAGUE):
        doubts.append(
            FitWarning(
                "vague",
                f"N* at {compute:.3g} FLOP would be known only to {N.low:.2g} … {N.high:.2g} "
                f"({100 * level:g} %).",
            )
        )
    return tuple(doubts)
