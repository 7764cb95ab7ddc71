"""Losses along curves of equal compute: measured where runs share budgets, else read off their trunks."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy  # its submodules load when they are used

from analysis.fitting.runs import FitError, Runs
from analysis.laws.law import FLOPS_PER_PARAM_TOKEN, Array

GAPS = (0.003, 0.01, 0.03, 0.1, 0.2, 0.3)  # in log compute: runs of one budget may lie this far apart …
WIDEST = 0.3  # … a budget's runs spread over at most this …
APART = 3.0  # … and budgets lie at least this many times their own width from each other
EXACT = 0.01  # counted FLOP within 1 % of 6 N D are 6 N D
SIZES = 4  # a curve with a residual to judge it by


@dataclass(frozen=True)
class Slices:
    """m points on curves of equal compute. Points of one trunk carry the same group."""

    compute: Array  # (B,) budgets [FLOP], increasing
    budget: npt.NDArray[np.int64]  # (m,) place in `compute`
    N: Array  # (m,)
    D: Array  # (m,)
    loss: Array  # (m,) [nats/token]
    group: npt.NDArray[np.int64]  # (m,)
    flops: Array  # (m,) compute of each point itself, as the budgets are counted
    interpolated: bool
    left_out: int = 0  # runs that share a budget with too few others

    def at(self, budget: int) -> npt.NDArray[np.int64]:
        """Points of one budget, in order of size."""
        points = np.flatnonzero(self.budget == budget)
        return points[np.argsort(self.N[points], kind="stable")]

    @property
    def ratio(self) -> Array:
        """Counted FLOP (m,) over 6 N D."""
        return self.flops / (FLOPS_PER_PARAM_TOKEN * self.N * self.D)

    @property
    def counted(self) -> bool:
        """Whether budgets are FLOP that differ from 6 N D."""
        return bool((np.abs(np.log(self.ratio)) > EXACT).any())

    def log_tokens(self, budget: int) -> Callable[[Array], Array]:
        """log D as a function of log N along a budget, of the ratio of counted FLOP to 6 N D in between.

        Beyond the sizes tried the ratio stays as it is at the last one.
        """
        points = self.at(budget)
        log_n, first = np.unique(np.log(self.N[points]), return_index=True)
        between = scipy.interpolate.PchipInterpolator(log_n, np.log(self.ratio[points][first]))
        total = float(np.log(self.compute[budget] / FLOPS_PER_PARAM_TOKEN))
        return lambda x: np.asarray(total - x - between(np.clip(x, log_n[0], log_n[-1])))


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

    Where most runs share their compute with others, those budgets are the slices: how closely runs of one
    budget agree is read off the distance between budgets, since step counts are whole numbers and real tables
    round. Otherwise log loss is interpolated along each trunk (one size, several token counts) by monotone
    cubics of log compute; without such trunks, the budgets that fewer than half of the runs share must do.

    Args:
        flops: compute of each run; 6 × params × tokens where absent.
        budgets: how many budgets to interpolate at, spread over those that enough trunks reach, or which.

    Raises:
        FitError: when the runs contain no curve of equal compute.

    Source: Hoffmann et al. 2022 (arXiv:2203.15556) section 3.2; interpolation as Porian et al. 2024
    (arXiv:2406.19146), who use Akima's instead of monotone cubics.
    """
    runs = Runs.of({"N": params, "D": tokens}, loss, groups, compute=flops)
    _check_flops(runs)
    measured = _shared(runs, runs.compute, sizes) if isinstance(budgets, int) else None
    if measured is not None and 2 * len(measured.loss) >= runs.n:
        return measured
    try:
        return _interpolated(runs, runs.compute, budgets, sizes)
    except FitError:
        if measured is None:
            raise
        return measured


def _check_flops(runs: Runs) -> None:
    """Refuse counted FLOP that are missing or not positive.

    Raises:
        FitError: naming the first such run.
    """
    bad = ~(np.isfinite(runs.compute) & (runs.compute > 0))
    if bad.any():
        first = int(np.flatnonzero(bad)[0])
        raise FitError(
            f"flops must be positive and finite; {int(bad.sum())} of {runs.n} runs have none, the first with "
            f"params {runs.inputs['N'][first]:.6g} and tokens {runs.inputs['D'][first]:.6g}: "
            f"{float(runs.compute[first])!r}. Fill them in, or drop the column flops to use 6 N D."
        )


def _shared(runs: Runs, compute: Array, sizes: int) -> Slices | None:
    """Slices of runs that were trained on a common budget; None without two such budgets."""
    log_c = np.log(compute)
    order = np.argsort(log_c, kind="stable")
    kept: list[npt.NDArray[np.int64]] = []
    for gap in GAPS:
        parts = np.split(order, 1 + np.flatnonzero(np.diff(log_c[order]) > gap))
        full = [part for part in parts if len(np.unique(runs.inputs["N"][part])) >= sizes]
        narrow = _distinct([log_c[part] for part in full])
        found = [part for part, ok in zip(full, narrow, strict=True) if ok]
        if sum(map(len, found)) > sum(map(len, kept)):
            kept = found
    if len(kept) < 2:
        return None
    rows = np.concatenate(kept)
    return Slices(
        compute=np.array([np.exp(np.log(compute[c]).mean()) for c in kept]),
        budget=np.repeat(np.arange(len(kept)), [len(c) for c in kept]),
        N=runs.inputs["N"][rows],
        D=runs.inputs["D"][rows],
        loss=runs.loss[rows],
        group=np.unique(runs.groups[rows], return_inverse=True)[1],
        flops=compute[rows],
        interpolated=False,
        left_out=runs.n - len(rows),
    )


def _distinct(budgets: Sequence[Array]) -> npt.NDArray[np.bool_]:
    """Which clusters of log compute, in increasing order, are narrow against the distance to the next."""
    middle = np.array([cluster.mean() for cluster in budgets])
    width = np.array([np.ptp(cluster) for cluster in budgets])
    distance = np.diff(middle, prepend=-np.inf, append=np.inf)
    nearest = np.minimum(distance[:-1], distance[1:])
    return np.asarray(width <= np.minimum(WIDEST, nearest / APART))


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
    points = [np.empty((5, 0)), *_at_budgets(bundles, grid)]
    table = np.concatenate(points, axis=1)
    table = table[:, np.lexsort(table[[0, 1, 4]])]  # trunk by trunk, whoever shares its budgets
    enough = [i for i in range(len(grid)) if len(np.unique(table[1, table[0] == i])) >= sizes]
    if len(enough) < 2:
        trunks = sum(len(each.group) for each in bundles)
        raise FitError(
            f"no curves of equal compute: fewer than 2 budgets have {sizes} sizes, neither as runs whose "
            f"compute agrees nor along {trunks} trunks of several budgets. Train {sizes} sizes or more at 2 "
            "budgets or more; where budgets were set in counted FLOP, give the column flops."
        )
    budget, N, D, loss, group = table[:, np.isin(table[0], enough)]
    return Slices(
        compute=np.exp(grid[enough]),
        budget=np.searchsorted(enough, budget),
        N=N,
        D=D,
        loss=loss,
        group=np.unique(group, return_inverse=True)[1],
        flops=np.exp(grid[enough])[np.searchsorted(enough, budget)],
        interpolated=True,
    )


def _at_budgets(bundles: Sequence[_Bundle], grid: Array) -> Iterator[Array]:
    """Budget, N, D, loss and group (5, m) of each trunk at every budget of a log grid that it reaches.

    Monotone cubics know distances only, so bundles whose budgets lie equally far apart, as those of many
    sizes on one grid of tokens do, share one computation.
    """
    alike: dict[bytes, list[_Bundle]] = {}
    for each in bundles:
        alike.setdefault(np.round(each.log_c - each.log_c[0], 9).tobytes(), []).append(each)
    for members in alike.values():
        x = members[0].log_c - members[0].log_c[0]
        y = [np.stack([each.log_d, each.log_loss], axis=1) for each in members]
        cubics = scipy.interpolate.PchipInterpolator(x, np.concatenate(y, axis=2)).c  # (4, b - 1, 2, trunks)
        trunks = [len(each.group) for each in members]
        N, low, high = np.repeat(
            [(each.N, each.log_c[0], each.log_c[-1]) for each in members], trunks, axis=0
        ).T
        trunk, budget = np.nonzero((grid >= low[:, None] - 1e-9) & (grid <= high[:, None] + 1e-9))
        at = np.clip(grid[budget] - low[trunk], 0.0, x[-1])
        piece = np.clip(np.searchsorted(x, at, side="right") - 1, 0, len(x) - 2)
        powers = (at - x[piece])[:, None] ** np.arange(3, -1, -1)
        D, loss = np.exp(np.einsum("mk,mkq->qm", powers, cubics.transpose(1, 3, 0, 2)[piece, trunk]))
        group = np.concatenate([each.group for each in members])
        yield np.stack([budget, N[trunk], D, loss, group[trunk]])


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
