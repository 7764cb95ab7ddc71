"""Losses along curves of equal compute: measured where runs share budgets, else read off their trunks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.interpolate import PchipInterpolator

from analysis.laws.laws import FLOPS_PER_PARAM_TOKEN, Array
from analysis.laws.runs import FitError, Runs

TOLERANCE = 0.1  # runs whose compute agrees to 10 % share a budget: step counts and shapes are whole numbers
SIZES = 4  # a parabola with a residual to judge it by


@dataclass(frozen=True)
class Slices:
    """m points on curves of equal compute. Points of one trunk carry the same group."""

    compute: Array  # (B,) budgets [FLOP], increasing
    budget: npt.NDArray[np.int64]  # (m,) place in `compute`
    N: Array  # (m,)
    D: Array  # (m,)
    loss: Array  # (m,) [nats/token]
    group: npt.NDArray[np.int64]  # (m,)
    interpolated: bool

    def at(self, budget: int) -> npt.NDArray[np.int64]:
        """Points of one budget, in order of size."""
        points = np.flatnonzero(self.budget == budget)
        return points[np.argsort(self.N[points], kind="stable")]


def slice_runs(
    params: npt.ArrayLike,
    tokens: npt.ArrayLike,
    loss: npt.ArrayLike,
    *,
    flops: npt.ArrayLike | None = None,
    groups: npt.ArrayLike | None = None,
    budgets: int | Sequence[float] = 8,
    sizes: int = SIZES,
) -> Slices:
    """Curves of equal compute, each with at least `sizes` sizes.

    Where most runs share their compute with others, those budgets are the slices. Otherwise log loss is
    interpolated along each trunk (one size, several token counts) by monotone cubics of log compute.

    Args:
        flops: compute of each run; 6 × params × tokens where absent.
        budgets: how many budgets to interpolate at, spread over those that enough trunks reach, or which.

    Raises:
        FitError: when the runs contain no curve of equal compute.

    Source: Hoffmann et al. 2022 (arXiv:2203.15556) section 3.2; interpolation as Porian et al. 2024
    (arXiv:2406.19146), who use Akima's instead of monotone cubics.
    """
    runs = Runs.of({"N": params, "D": tokens}, loss, groups)
    compute = FLOPS_PER_PARAM_TOKEN * runs.inputs["N"] * runs.inputs["D"]
    if flops is not None:
        compute = np.asarray(flops, dtype=float)[runs.order]
    if isinstance(budgets, int):
        measured = _shared(runs, compute, sizes)
        if measured is not None:
            return measured
    return _interpolated(runs, compute, budgets, sizes)


def _shared(runs: Runs, compute: Array, sizes: int) -> Slices | None:
    """Slices of runs that were trained on a common budget; None where fewer than half were."""
    order = np.argsort(compute, kind="stable")
    clusters: list[list[int]] = []
    for i in order:
        if clusters and compute[i] <= compute[clusters[-1][0]] * (1 + TOLERANCE):
            clusters[-1].append(int(i))
        else:
            clusters.append([int(i)])
    kept = [c for c in clusters if len(np.unique(runs.inputs["N"][c])) >= sizes]
    if len(kept) < 2 or 2 * sum(map(len, kept)) < runs.n:
        return None
    rows = np.concatenate([np.array(c) for c in kept])
    return Slices(
        compute=np.array([np.exp(np.log(compute[c]).mean()) for c in kept]),
        budget=np.repeat(np.arange(len(kept)), [len(c) for c in kept]),
        N=runs.inputs["N"][rows],
        D=runs.inputs["D"][rows],
        loss=runs.loss[rows],
        group=np.unique(runs.groups[rows], return_inverse=True)[1],
        interpolated=False,
    )


def _interpolated(runs: Runs, compute: Array, budgets: int | Sequence[float], sizes: int) -> Slices:
    curves = []  # (group, N, log C, log D, log loss), increasing in C
    for group in range(runs.n_groups):
        rows = np.flatnonzero(runs.groups == group)
        for N in np.unique(runs.inputs["N"][rows]):
            own = rows[runs.inputs["N"][rows] == N]
            log_c, first = np.unique(np.log(compute[own]), return_index=True)
            if len(log_c) >= 2:
                own = own[first]
                curves.append((group, N, log_c, np.log(runs.inputs["D"][own]), np.log(runs.loss[own])))
    grid = _grid(curves, sizes, budgets) if isinstance(budgets, int) else np.log(np.asarray(budgets, float))
    points = []
    for group, N, log_c, log_d, log_loss in curves:
        inside = np.flatnonzero((grid >= log_c[0] - 1e-9) & (grid <= log_c[-1] + 1e-9))
        at = np.clip(grid[inside], log_c[0], log_c[-1])
        tokens, losses = (np.exp(PchipInterpolator(log_c, y)(at)) for y in (log_d, log_loss))
        points += [(i, N, d, v, group) for i, d, v in zip(inside, tokens, losses, strict=True)]
    table = np.array(points, dtype=float).reshape(-1, 5)
    enough = [i for i in range(len(grid)) if len(np.unique(table[table[:, 0] == i, 1])) >= sizes]
    if len(enough) < 2:
        raise FitError(
            f"no curves of equal compute: fewer than 2 budgets have {sizes} sizes, neither as runs whose "
            f"compute agrees within {100 * TOLERANCE:g} % nor along {len(curves)} trunks of several budgets."
        )
    table = table[np.isin(table[:, 0], enough)]
    return Slices(
        compute=np.exp(grid[enough]),
        budget=np.searchsorted(enough, table[:, 0]),
        N=table[:, 1],
        D=table[:, 2],
        loss=table[:, 3],
        group=np.unique(table[:, 4], return_inverse=True)[1],
        interpolated=True,
    )


def _grid(curves: list[tuple[int, float, Array, Array, Array]], sizes: int, budgets: int) -> Array:
    """Log budgets spread evenly over those that at least `sizes` trunks reach."""
    ends = np.unique(np.concatenate([[c[2][0], c[2][-1]] for c in curves])) if curves else np.empty(0)
    reached = [end for end in ends if sum(c[2][0] <= end <= c[2][-1] for c in curves) >= sizes]
    return np.linspace(min(reached), max(reached), budgets) if reached else np.empty(0)
