"""A table as integers: each column as codes of its distinct values, and the (N, D) cells that runs lie in."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis.table.roles import BOOKKEEPING, QUANTITY, RECIPE, UNKNOWN, role_of

Codes = NDArray[np.intp]

SAME = 1e-6  # numbers that differ by less, relatively, are one: 0.1 and its float32
SAME_BUDGET = 0.02  # steps times batch round D, so budgets that agree to 2 % are one cell


@dataclass(frozen=True)
class Column:
    """One column with at least two values."""

    name: str
    role: str
    number: bool
    codes: Codes  # (n,); equal values have equal codes, in the order of the values; a missing one comes last
    levels: tuple[Any, ...]  # value of each code; None is missing

    @property
    def missing(self) -> NDArray[np.bool_]:
        """Rows that have no value `(n,)`."""
        return np.asarray(self.codes == len(self.levels) - 1) & (self.levels[-1] is None)

    def as_given(self) -> Column:
        """Return the column of whether there is a value at all."""
        return replace(self, number=False, codes=self.missing.astype(np.intp), levels=("given", None))


@dataclass(frozen=True)
class Grid:
    """Where each run lies, as codes `(n,)`."""

    size: Codes  # N
    budget: Codes  # D
    point: Codes  # N, D and, where data are repeated, the unique tokens
    cell: Codes  # the same with D to 2 %
    logs: tuple[NDArray[np.float64], ...]  # ln N and ln D, as far as they vary

    def of(self, chosen: NDArray[np.bool_]) -> Grid:
        """Return the grid of some of the runs."""
        logs = tuple(axis[chosen] for axis in self.logs)
        return Grid(self.size[chosen], self.budget[chosen], self.point[chosen], self.cell[chosen], logs)


def read_columns(rows: pd.DataFrame) -> list[Column]:
    """Read every column that differs between rows and is not N, D, C or the loss."""
    ours = "data_fingerprint" in rows and rows["data_fingerprint"].ne("unstated").any()
    found = []
    for name in rows.columns:
        # A record that a study reused carries the name of the study that made it.
        books = (ours and name == "study") or pd.api.types.is_datetime64_any_dtype(rows[name].dtype)
        role = BOOKKEEPING if books else role_of(str(name))
        if role == QUANTITY or (role == BOOKKEEPING and name in ("run_id", "trunk_id")):
            continue
        column = read_column(str(name), rows[name], role)
        if len(column.levels) > 1:
            found.append(column)
    return found


def read_column(name: str, cells: pd.Series[Any], role: str = UNKNOWN) -> Column:
    """Read one column as numbers if every cell is one, else as text; a vocabulary of 512 is a name."""
    numbers = _numbers(cells)
    if numbers is not None:
        codes, levels = code_numbers(numbers)
        return Column(name, role, role != RECIPE, codes, tuple(levels))
    codes, texts = _code_texts(cells)
    return Column(name, role, False, codes, texts)


def read_grid(rows: pd.DataFrame) -> Grid:
    """Read the cells of a table; where N or D is not there, C takes the place of D."""
    n = len(rows)
    second = "tokens" if "tokens" in rows else "flops"
    axes = {name: _floats(rows, name) for name in ("params", second) if name in rows}
    codes = {name: code_numbers(values)[0] for name, values in axes.items()}
    nowhere = np.zeros(n, dtype=np.intp)
    size, budget = codes.get("params", nowhere), codes.get(second, nowhere)
    near = code_numbers(axes[second], SAME_BUDGET)[0] if second in axes else nowhere
    others = [
        code_numbers(_floats(rows, name), SAME_BUDGET)[0]
        for name in ("tokens_unique", "unique_tokens")
        if name in rows
    ]
    with np.errstate(invalid="ignore", divide="ignore"):
        logs = tuple(np.log(axes[name]) for name in axes if count(codes[name]) > 1)
    return Grid(size, budget, combine([size, budget, *others]), combine([size, near, *others]), logs)


def code_numbers(values: NDArray[np.float64], tolerance: float = SAME) -> tuple[Codes, list[float | None]]:
    """Number the distinct values in ascending order; NaN comes last, as None."""
    present = ~np.isnan(values)
    distinct, inverse = np.unique(values[present], return_inverse=True)
    starts = _starts(distinct, tolerance)
    codes = np.full(len(values), int(starts.sum()), dtype=np.intp)
    codes[present] = (np.cumsum(starts) - 1)[inverse]
    return codes, [*distinct[starts].tolist(), *([] if present.all() else [None])]


def combine(columns: Sequence[Codes]) -> Codes:
    """Number the distinct rows of several columns of codes."""
    joint = _renumber(columns[0])
    for codes in columns[1:]:
        joint = _renumber(joint * (int(codes.max(initial=0)) + 1) + codes)
    return joint


def count(codes: Codes) -> int:
    """Count the distinct codes."""
    return int(np.count_nonzero(np.bincount(codes)))


def determined(codes: Codes, by: Codes) -> bool:
    """Whether rows that are alike in `by` are alike in `codes`."""
    one = np.zeros(int(by.max(initial=0)) + 1, dtype=np.intp)
    one[by] = codes
    return bool((one[by] == codes).all())


def alike(first: Codes, second: Codes) -> bool:
    """Whether two columns part the rows identically."""
    return determined(first, second) and determined(second, first)


def values_within(codes: Codes, groups: Codes) -> NDArray[np.intp]:
    """Count the distinct codes in each group, in the order of the groups."""
    pairs = np.unique(groups * (int(codes.max(initial=0)) + 1) + codes) // (int(codes.max(initial=0)) + 1)
    return np.unique(pairs, return_counts=True)[1].astype(np.intp)


def join(names: Iterable[str], last: str = "and") -> str:
    """`a, b and c`."""
    *head, tail = names
    return f"{', '.join(head)} {last} {tail}" if head else tail


def _floats(rows: pd.DataFrame, name: str) -> NDArray[np.float64]:
    return pd.to_numeric(rows[name], errors="coerce").to_numpy(dtype=float)


def _starts(distinct: NDArray[np.float64], tolerance: float) -> NDArray[np.bool_]:
    """Where among ascending values a new level begins: beyond the tolerance of the level's first value."""
    starts = np.ones(len(distinct), dtype=bool)
    if tolerance <= SAME:  # then levels cannot chain far, and the gap to the neighbour will do
        with np.errstate(invalid="ignore"):
            scale = np.maximum(np.abs(distinct[1:]), np.abs(distinct[:-1]))
            starts[1:] = ~(np.diff(distinct) <= tolerance * scale)
        return starts
    starts[:] = False
    at = 0
    while at < len(distinct):
        starts[at] = True
        reach = distinct[at] + tolerance * abs(distinct[at])
        at = max(at + 1, int(np.searchsorted(distinct, reach, side="right")))
    return starts


def _renumber(codes: Codes) -> Codes:
    top = int(codes.max(initial=0)) + 1
    if top <= 8 * len(codes):  # a table is faster than sorting
        there = np.zeros(top, dtype=bool)
        there[codes] = True
        return (np.cumsum(there) - 1)[codes]
    return np.unique(codes, return_inverse=True)[1].astype(np.intp)


def _code_texts(cells: pd.Series[Any]) -> tuple[Codes, tuple[str | None, ...]]:
    try:
        raw, values = pd.factorize(cells)
    except TypeError:  # lists and dicts
        raw, values = pd.factorize(cells.astype(str))
    words = [str(value).strip() for value in np.asarray(values, dtype=object).tolist()]
    ordered = sorted({word for word in words if word})
    place = {word: at for at, word in enumerate(ordered)} | {"": len(ordered)}
    codes = np.array([*(place[word] for word in words), len(ordered)], dtype=np.intp)[raw]  # −1 is missing
    absent = bool((codes == len(ordered)).any())
    return codes, (*ordered, *([None] if absent else []))


def _numbers(cells: pd.Series[Any]) -> NDArray[np.float64] | None:
    if pd.api.types.is_bool_dtype(cells.dtype):
        return None
    if pd.api.types.is_numeric_dtype(cells.dtype):
        return cells.to_numpy(dtype=float, na_value=np.nan)
    if cells.dtype != object:
        return None
    values = cells.tolist()
    kinds = {type(value) for value in values if value is not None and value is not pd.NA}
    if not kinds or not all(issubclass(kind, int | float | np.number) and kind is not bool for kind in kinds):
        return None
    return np.array([np.nan if v is None or v is pd.NA else float(v) for v in values])
