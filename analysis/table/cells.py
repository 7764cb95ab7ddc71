"""Text and objects to numbers, strictly: what is not plainly a number is a reason, never a guess."""

from __future__ import annotations

import math
from collections.abc import Sequence
from decimal import Decimal
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from analysis.table.numbers import Column, Role, all_plain, shorten

_EMPTY = frozenset({"", "na", "n/a", "nan", "none", "null", "-", "<na>", "#n/a"})


class Numbers(NamedTuple):
    """What reading one column gave."""

    values: NDArray[np.float64]  # (n,), NaN for an empty cell and for every cell with a reason
    reasons: dict[int, str]  # position → what is wrong with the cell: text, not finite, a truth value
    notes: list[str]  # how cells that are not plain numbers were read: at most one


def read_numbers(cells: Sequence[Any], *, role: Role = "real", decimal: str = ".") -> Numbers:
    """Numbers of one column `(n,)`, with a reason for every cell that holds something else.

    Thousands separators, a decimal comma and, for sizes, suffixes (`125M`, `1.3 B`, `300B tokens`) are read
    where the whole column is written so; see `analysis.table.numbers`.

    Args:
        role: what the column holds, by `role_of(name)`. A column under a factor is "real": its unit is said.
        decimal: the decimal mark of the source, `Raw.decimal`.
    """
    if set(map(type, cells)) <= {int, float}:  # records: the whole column at once
        try:
            values = np.asarray(cells, dtype=np.float64)
        except OverflowError:
            values = np.full(len(cells), np.inf)
        if np.isfinite(values).all():
            return Numbers(values, {}, [])
    natives, texts, reasons = _sort(cells)
    if decimal == "." and all_plain(texts.values(), role):
        read, notes = {i: float(text) for i, text in texts.items()}, []
    else:
        column = Column(texts, natives, role, decimal)
        column.read()
        read, reasons = column.values, reasons | column.reasons
        notes = [note] if (note := column.note()) else []
    values = np.full(len(cells), np.nan)
    for i, value in {**natives, **read}.items():
        if not math.isfinite(value):
            reasons[i] = f"not finite: {shorten(cells[i])}"
        elif i not in reasons:
            values[i] = value
    return Numbers(values, reasons, notes)


def is_empty(cell: Any) -> bool:
    """Whether a cell says nothing: None, NaN, or one of the usual words for it."""
    if cell is None or (isinstance(cell, float) and math.isnan(cell)):
        return True
    return isinstance(cell, str) and cell.strip().casefold() in _EMPTY


def _sort(cells: Sequence[Any]) -> tuple[dict[int, float], dict[int, str], dict[int, str]]:
    """Numbers, stripped texts, and reasons against everything else, by position; empty cells in none."""
    natives: dict[int, float] = {}
    texts: dict[int, str] = {}
    reasons: dict[int, str] = {}
    for i, cell in enumerate(cells):
        if is_empty(cell):
            continue
        if isinstance(cell, bool | np.bool_):
            reasons[i] = f"a truth value, not a number: {cell!r}"
        elif isinstance(cell, str):
            texts[i] = cell.strip()
        elif isinstance(cell, int | float | Decimal | np.integer | np.floating):
            try:
                natives[i] = float(cell)
            except OverflowError:
                natives[i] = math.inf
        else:
            reasons[i] = f"not a number: {shorten(cell)}"
    return natives, texts, reasons
