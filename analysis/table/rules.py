"""Whether a column is a rule of N and D, as a learning rate that falls with size is."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from analysis.table.codes import Codes, Column, Grid, combine, count, determined

POINTS = 400  # that are compared pairwise; every value of a column keeps some of them
COMPARABLE = 0.25  # part of the pairs that a direction must be able to contradict


def follows(column: Column, part: Codes, grid: Grid) -> str:
    """Name what the column is a function of within each part: `N`, `D`, `N and D`, or nothing.

    A column that has one value at each N is a function of N unless two of its values alternate along N: then
    it is two recipes of different sizes. The same holds along D. Along both, numbers are a function if they
    only rise or only fall along N at given D, and along D at given N: power laws, tables, caps, rounding to
    three digits or to powers of two all do, and two recipes interleaved do not.
    """
    # The shape of a model zigzags along N, in whole numbers: that takes more evidence to be two recipes.
    whole = column.number and all(level is None or float(level).is_integer() for level in column.levels)
    least = 3 if whole or len(column.levels) > 3 else 2
    for axis, name in ((grid.size, "N"), (grid.budget, "D")):
        if count(axis) < 2 or not _in_stretches(column.codes, part, axis, least):
            continue
        if not _is_vacuous(column, part, axis, grid):
            return name
    if column.number and determined(column.codes, combine([part, grid.point])):
        return "N and D" if _monotone(column.codes, part, grid) else ""
    return ""


def names_of(codes: Codes, part: Codes, grid: Grid) -> bool:
    """Whether each value lies at one N only, or at one D only: names of runs, each of which is no arm."""
    by_value = combine([part, codes])
    return any(count(axis) > 1 and determined(axis, by_value) for axis in (grid.size, grid.budget))


def log_linear(column: Column, others: list[NDArray[np.float64]], tolerance: float = 0.02) -> bool:
    """Whether a column is a product of powers of others to a tolerance, as steps are D / batch."""
    levels = np.array([np.nan if level is None else level for level in column.levels], dtype=float)
    design = np.column_stack([np.ones(len(column.codes)), *others])
    if not (levels > 0).all() or not np.isfinite(design).all() or len(design) <= 2 * design.shape[1]:
        return False
    target = np.log(levels)[column.codes]
    left = target - design @ np.linalg.lstsq(design, target, rcond=None)[0]
    return bool(left.std() < tolerance * min(1.0, float(target.std())))


def _in_stretches(codes: Codes, part: Codes, axis: Codes, least: int) -> bool:
    """One value at each position along the axis, and no two values of `least` positions alternate."""
    places, first = np.unique(combine([part, axis]), return_index=True)
    if count(combine([part, axis, codes])) != len(places):
        return False
    group = combine([part[first], codes[first]])  # a value in a part
    number = np.bincount(group)
    low = np.full(len(number), np.iinfo(np.intp).max)
    high = np.full(len(number), -1)
    home = np.zeros(len(number), dtype=np.intp)
    np.minimum.at(low, group, axis[first])
    np.maximum.at(high, group, axis[first])
    home[group] = part[first]
    wide = number >= least
    order = np.lexsort((low[wide], home[wide]))
    apart = home[wide][order] * (int(axis.max()) + 1)  # parts one after another on one line
    reached = np.maximum.accumulate(high[wide][order] + apart)
    return bool((low[wide][order][1:] + apart[1:] > reached[:-1]).all())


def _is_vacuous(column: Column, part: Codes, axis: Codes, grid: Grid) -> bool:
    """Whether one value at each position says nothing: each run has a position and a value of its own."""
    places = count(combine([part, axis]))
    if not column.number or places < count(combine([part, grid.point])) or 2 * len(column.levels) < places:
        return False
    order = np.lexsort((column.codes, axis, part))
    steps = np.diff(column.codes[order])[np.diff(part[order]) == 0]
    return bool((steps > 0).any() and (steps < 0).any())


def _monotone(codes: Codes, part: Codes, grid: Grid) -> bool:
    """The codes only rise or only fall along N, and along D, over all pairs of points that can tell."""
    chosen = _sample(codes, np.unique(combine([part, grid.point]), return_index=True)[1])
    x, n, d, p = codes[chosen], grid.size[chosen], grid.budget[chosen], part[chosen]
    pair = p[:, None] == p[None, :]
    np.fill_diagonal(pair, False)
    more_n = pair & (n[:, None] <= n[None, :])
    rises, falls = x[:, None] < x[None, :], x[:, None] > x[None, :]
    for direction in (d[:, None] <= d[None, :], d[:, None] >= d[None, :]):
        compared = more_n & direction
        enough = compared.sum() >= COMPARABLE * pair.sum() / 2
        if enough and not ((compared & falls).any() and (compared & rises).any()):
            return True
    return False


def _sample(codes: Codes, points: Codes) -> Codes:
    """At most about `POINTS` points, evenly from each value: a rare value is never lost."""
    if len(points) <= POINTS:
        return points
    ordered = points[np.argsort(codes[points], kind="stable")]
    level = codes[ordered]
    starts = np.searchsorted(level, level)
    size = np.bincount(level)[level]
    share = max(1, POINTS // count(level))
    rank = np.arange(len(level)) - starts
    kept = (rank * share) // size != ((rank - 1) * share) // size
    thinned = ordered[kept]
    few: Codes = thinned[:: max(1, len(thinned) // POINTS)]
    return few
