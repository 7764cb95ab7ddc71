"""Rows below a table that sum it up: its mean, total or median, as spreadsheets and pandas write them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from analysis.table.raw import Raw

Array = NDArray[np.float64]

_WORDS = frozenset(
    [
        "mean",
        "average",
        "avg",
        "total",
        "totals",
        "sum",
        "std",
        "stdev",
        "sd",
        "median",
        "min",
        "max",
        "minimum",
        "maximum",
        "count",
        "overall",
        "summary",
        "25%",
        "50%",
        "75%",
    ]
)
_MOST = 10  # rows of a summary
_SUMS: Mapping[str, Callable[[Array], float]] = {
    "mean": lambda values: float(values.mean()),
    "sum": lambda values: float(values.sum()),
    "median": lambda values: float(np.median(values)),
    "maximum": lambda values: float(values.max()),
    "minimum": lambda values: float(values.min()),
}
_ROUNDING = 1e-4  # relative, of a written mean


def find_summaries(raw: Raw, quantities: Mapping[str, Array], rows: Sequence[int]) -> dict[int, str]:
    """Find the last rows that say what the rows above them are on average, in sum or at most.

    A row is one if it is called so (`mean`, `total`), or if all its quantities at once are the same statistic
    of the rows above: no run has the mean size, the mean data and the mean loss, nor the most of each.

    Args:
        quantities: our name → (n,), of those that the source has, the loss among them.
        rows: positions that hold something, ascending.

    Returns:
        position → the reason.
    """
    called = _called(raw, rows)
    found = {i: f"says {word!r}: a summary of the rows above, not a run" for i, word in called.items()}
    above = [i for i in rows if i not in found]
    while len(quantities) > 1 and len(above) > 3 and len(found) < _MOST:
        last = above.pop()
        name = _statistic(quantities, above, last)
        if name is None:
            break
        found[last] = f"is the {name} of the rows above in every quantity: a summary, not a run"
    return found


def _called(raw: Raw, rows: Sequence[int]) -> dict[int, str]:
    """Rows at the end with a word for a statistic, in a column that holds none above them."""
    for cells in raw.columns.values():
        words = [str(cells[i]).strip(" :").casefold() for i in rows]
        start = len(words)
        while start and words[start - 1] in _WORDS:
            start -= 1
        if 0 < len(words) - start <= min(_MOST, start) and not _WORDS & set(words[:start]):
            return {rows[k]: str(cells[rows[k]]).strip() for k in range(start, len(words))}
    return {}


def _statistic(quantities: Mapping[str, Array], above: Sequence[int], last: int) -> str | None:
    for name, of in _SUMS.items():
        # A mean is rounded; a maximum is one of the values.
        near = _ROUNDING if name in ("mean", "sum") else 1e-9
        if all(_close(of(values[above]), float(values[last]), near) for values in quantities.values()):
            alike = [i for i in above if all(values[i] == values[last] for values in quantities.values())]
            return None if alike else name
    return None


def _close(one: float, other: float, near: float) -> bool:
    return abs(one - other) <= near * abs(one)  # false for NaN
