"""Text and objects to numbers, strictly: what is not plainly a number is a reason, never a guess."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import numpy as np
from numpy.typing import NDArray

# ASCII only. float() would also take '1_000', 'nan', 'infinity' and digits of other scripts.
_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?", re.ASCII)
_EMPTY = frozenset({"", "na", "n/a", "nan", "none", "null", "-"})


def read_numbers(cells: Sequence[Any]) -> tuple[NDArray[np.float64], dict[int, str]]:
    """Numbers of one column `(n,)`, NaN where a cell is empty, and why the others could not be read.

    Returns:
        values: `(n,)`; NaN for an empty cell and for every cell with a reason.
        reasons: position → what is wrong with the cell: text, not finite, a truth value.
    """
    if set(map(type, cells)) <= {int, float}:  # records: the whole column at once
        try:
            values = np.asarray(cells, dtype=np.float64)
        except OverflowError:
            values = np.full(len(cells), np.inf)
        if np.isfinite(values).all():
            return values, {}
    values = np.full(len(cells), np.nan)
    reasons: dict[int, str] = {}
    for i, cell in enumerate(cells):
        value = _read(cell)
        if isinstance(value, str):
            reasons[i] = value
        else:
            values[i] = value
    return values, reasons


def is_empty(cell: Any) -> bool:
    """Whether a cell says nothing: None, NaN, or one of the usual words for it."""
    if cell is None or (isinstance(cell, float) and math.isnan(cell)):
        return True
    return isinstance(cell, str) and cell.strip().casefold() in _EMPTY


def _read(cell: Any) -> float | str:
    if is_empty(cell):
        return math.nan
    if isinstance(cell, bool | np.bool_):
        return f"a truth value, not a number: {cell!r}"
    if isinstance(cell, str):
        text = cell.strip()
        if not _NUMBER.fullmatch(text):
            return f"not a number: {_short(cell)}"
        value = float(text)
    elif isinstance(cell, int | float | Decimal | np.integer | np.floating):
        try:
            value = float(cell)
        except OverflowError:
            value = math.inf
    else:
        return f"not a number: {_short(cell)}"
    return value if math.isfinite(value) else f"not finite: {_short(cell)}"


def _short(cell: Any) -> str:
    text = repr(cell)
    return text if len(text) <= 40 else text[:37] + "…"
