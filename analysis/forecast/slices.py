"""Losses along curves of equal compute: measured where runs share budgets, else read off their trunks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.interpolate import PchipInterpolator

from analysis.fitting.runs import FitError, Runs
from analysis.laws.law import FLOPS_PER_PARAM_TOKEN, Array

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


@dataclass(frozen=True)
class _Bundle:
    """Trunks of one size whose runs have the same compute, as the seeds of a study have."""

    N: float
    log_c: Array  # (b,) increasing
    group: npt.NDArray[np.int64]  # (t,)
    log_d: Array  # (b, t)
    log_loss: Array  # (b, t)


def _interpolated(runs: Runs, compute: Array, budgets: int | Sequence[float], sizes: int) -> Slices:
    bundles = _bundles(runs, compute)
    grid = _grid(bundles, sizes, budgets) if isinstance(budgets, int) else np.log(np.asarray(budgets, float))
    points = [np.empty((5, 0))]
    for each in bundles:
        inside = np.flatnonzero((grid >= each.log_c[0] - 1e-9) & (grid <= each.log_c[-1] + 1e-9))
        at = np.clip(grid[inside], each.log_c[0], each.log_c[-1])
        D, loss = (np.exp(PchipInterpolator(each.log_c, y)(at)) for y in (each.log_d, each.log_loss))
        budget, N, group = np.broadcast_arrays(inside[:, None], each.N, each.group)
        points.append(np.stack([budget, N, D, loss, group]).transpose(0, 2, 1).reshape(5, -1))
    table = np.concatenate(points, axis=1)
    table = table[:, np.lexsort(table[[0, 1, 4]])]  # trunk by trunk, whoever shares its budgets
    enough = [i for i in range(len(grid)) if len(np.unique(table[1, table[0] == i])) >= sizes]
    if len(enough) < 2:
        trunks = sum(len(each.group) for each in bundles)
        raise FitError(
            f"no curves of equal compute: fewer than 2 budgets have {sizes} sizes, neither as runs whose "
            f"compute agrees within {100 * TOLERANCE:g} % nor along {trunks} trunks of several budgets."
        )
    budget, N, D, loss, group = table[:, np.isin(table[0], enough)]
    return Slices(
        compute=np.exp(grid[enough]),
        budget=np.searchsorted(enough, budget),
        N=N,
        D=D,
        loss=loss,
        group=np.unique(group, return_inverse=True)[1],
        interpolated=True,
    )


def _bundles(runs: Runs, compute: Array) -> list[_Bundle]:
    """Trunks of one size and several budgets, those of the same budgets together."""
    found: dict[tuple[float, ...], list[tuple[int, Array, Array]]] = {}
    log_c, log_d, log_loss = np.log(compute), np.log(runs.inputs["D"]), np.log(runs.loss)
    order = np.lexsort([log_c, runs.inputs["N"], runs.groups])  # stable: of copies the first comes first
    kept = order[_changes(runs.groups[order], runs.inputs["N"][order], log_c[order])]
    ends = np.flatnonzero(_changes(runs.groups[kept], runs.inputs["N"][kept]))
    for own in np.split(kept, ends[1:]):
        if len(own) >= 2:
            key = (runs.inputs["N"][own[0]], *log_c[own])
            found.setdefault(key, []).append((int(runs.groups[own[0]]), log_d[own], log_loss[own]))
    bundles = []
    for (N, *budgets), trunks in found.items():
        group, tokens, losses = zip(*trunks, strict=True)
        stacked = (np.stack(columns, axis=1) for columns in (tokens, losses))
        bundles.append(_Bundle(N, np.array(budgets), np.array(group), *stacked))
    return bundles


def _changes(*columns: Array | npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    """Where a row (n,) differs from the one before; the first does."""
    different = [np.diff(column) != 0 for column in columns]
    return np.append(True, np.any(different, axis=0))


def _grid(bundles: Sequence[_Bundle], sizes: int, budgets: int) -> Array:
    """Log budgets spread evenly over those that at least `sizes` trunks reach."""
    if not bundles:
        return np.empty(0)
    low, high, trunks = np.array([(each.log_c[0], each.log_c[-1], len(each.group)) for each in bundles]).T
    ends = np.unique([low, high])
    reached = ends[((low <= ends[:, None]) & (ends[:, None] <= high)) @ trunks >= sizes]
    return np.linspace(reached[0], reached[-1], budgets) if len(reached) else np.empty(0)
