"""Tables that try many recipes at each size and budget: recognised, and reduced to the best of each."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pandas.api.types import is_numeric_dtype

from analysis.table.codes import (
    Codes,
    Column,
    Grid,
    code_numbers,
    combine,
    join,
    read_column,
    read_grid,
    values_within,
)
from analysis.table.columns import LAW_INPUTS, QUANTITIES

WIDE = 0.04  # log range of the losses of one cell that seeds do not make
NOTABLE = 0.01  # the same, where it is about the same in every cell
CONSTANT = 0.3  # relative spread of that range over cells; seeds give 0.75 for two runs and 0.5 for three
FEW_CELLS = 6


@dataclass(frozen=True)
class Sweep:
    """Which settings were swept, and how widely."""

    keys: tuple[str, ...]
    cells: int  # sizes and budgets
    recipes: int  # settings tried in the median cell

    def __str__(self) -> str:
        return f"a sweep over {join(self.keys)}: a median of {self.recipes} recipes in {self.cells} cells"


def find_sweep(swept: Sequence[Column], part: Codes, grid: Grid) -> Sweep:
    """Describe a sweep over the columns `swept` of a table parted into `part`."""
    cells = combine([part, grid.cell])
    recipes = values_within(combine([column.codes for column in swept]), cells)
    return Sweep(tuple(column.name for column in swept), len(recipes), int(np.median(recipes)))


def envelope(rows: pd.DataFrame, sweep: Sweep) -> tuple[NDArray[np.intp], tuple[str, ...]]:
    """Keep the best recipe of each cell (N, D), with all of its seeds.

    Recipes are compared by their mean loss, so that of many seeds the luckiest does not choose.

    Args:
        rows: the runs of one arm.

    Returns:
        positions: rows of the best recipe of each cell, ascending.
        warnings: one a swept setting whose best lies at an edge of the values tried in a cell, where the true
            best may lie beyond; and one where cells hold a single recipe.
    """
    cell = read_grid(rows).cell
    columns = [read_column(name, rows[name]) for name in sweep.keys]
    recipe = combine([cell, *(column.codes for column in columns)])
    loss = rows["loss"].to_numpy(dtype=float)
    finite = np.isfinite(loss)
    number = np.bincount(recipe, weights=finite)
    total = np.bincount(recipe, weights=np.where(finite, loss, 0.0))
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.where(number > 0, total / number, np.inf)
    first = np.unique(recipe, return_index=True)[1]  # a row of each recipe
    order = np.lexsort((np.arange(len(first)), mean, cell[first]))
    best = order[np.unique(cell[first][order], return_index=True)[1]]  # recipe of each cell
    kept = np.flatnonzero(np.isin(recipe, best) & finite)
    recipes = np.bincount(cell[first])
    warnings = [warning for column in columns for warning in _edges(column, cell, first[best], recipes > 1)]
    single = int((recipes == 1).sum())
    if single and len(recipes) > single:
        warnings.append(
            f"{single} of {len(recipes)} sizes and budgets were run with one setting of {join(sweep.keys)}: "
            "what is fitted there is not the best of several"
        )
    return kept, tuple(warnings)


def _edges(column: Column, cell: Codes, chosen: NDArray[np.intp], swept: NDArray[np.bool_]) -> Iterable[str]:
    """Warn where the best value of a cell is the lowest or the highest that the cell tried."""
    low = np.full(len(chosen), np.iinfo(np.intp).max)
    high = np.full(len(chosen), -1)
    np.minimum.at(low, cell, column.codes)
    np.maximum.at(high, cell, column.codes)
    tried = swept & (low < high)
    at_low = int((tried & (column.codes[chosen] == low)).sum())
    at_high = int((tried & (column.codes[chosen] == high)).sum())
    if at_low + at_high:
        where = join([f"the {word} in {n}" for word, n in (("lowest", at_low), ("highest", at_high)) if n])
        yield (
            f"{column.name}: the best lies at an edge of the values tried in {at_low + at_high} of "
            f"{int(tried.sum())} cells ({where}): a better one may lie beyond; widen the sweep there"
        )


def disagreement(rows: pd.DataFrame) -> tuple[str, ...]:
    """Warn of runs of one arm, size and data whose losses differ as those of two recipes do.

    Seeds differ by little, and now more, now less. Two recipes that no column tells apart differ by about as
    much everywhere.
    """
    told = (*QUANTITIES, *LAW_INPUTS)
    inputs = [name for name in told if name in rows and is_numeric_dtype(rows[name])]
    loss = rows["loss"].to_numpy(dtype=float)
    if not inputs or not (loss > 0).all():
        return ()
    cell = combine([code_numbers(rows[name].to_numpy(dtype=float))[0] for name in inputs])
    if "seed" in rows:  # what seeds differ by is the noise, however large
        cell = combine([cell, pd.factorize(rows["seed"].astype(str))[0]])
    order = np.lexsort((loss, cell))
    starts = np.flatnonzero(np.diff(cell[order], prepend=-1))
    ends = np.append(starts[1:], len(order)) - 1
    several = ends > starts
    spread = np.log(loss[order[ends]] / loss[order[starts]])[several]
    if len(spread) < FEW_CELLS:
        return ()
    middle = float(np.median(spread))
    constant = float(spread.std()) < CONSTANT * middle
    if not (middle > WIDE or (constant and middle > NOTABLE)):
        return ()
    return (
        f"runs of equal {join(inputs)} differ by {100 * np.expm1(middle):.2g} % in loss (median of "
        f"{len(spread)} such groups): do they use different recipes that no column distinguishes? Add a "
        "column that does.",
    )


def typical(codes: Codes, cells: Codes) -> int:
    """Return how many values a cell holds: the median of the cells with more than one, or 1."""
    counts = values_within(codes, cells)
    several = counts[counts > 1]
    return int(np.median(several)) if len(several) else 1
