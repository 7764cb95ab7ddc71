"""Rows that are a run which the table holds already: the same, written differently, or under another name.

Two exports of one table, a second synchronisation, a concatenation: each leaves the same run twice, which
pulls a fit and makes its intervals too narrow. What shows it is the loss: two runs never agree in all of its
digits, if it has enough of them.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analysis.table.cells import is_empty
from analysis.table.raw import Raw
from analysis.table.roles import BOOKKEEPING, MEASURED, REPLICATE, role_of

Array = NDArray[np.float64]

_SAME = 1e-9  # relative difference of losses that arithmetic leaves
_DIGITS = 6  # of a loss, from which two runs do not agree by chance
_LEAST_DIGITS = 4  # of a loss that may be another one, rounded
_DROPPED = 3  # digits by rounding; fewer may be zeros at the end that were not written
_LONG = 17  # digits of a number in full
_BITS = 14  # of a loss, up to which it is a number of low precision, such as bfloat16


def find_copies(
    raw: Raw,
    quantities: Mapping[str, Array],
    taken: Collection[str],
    rows: Collection[int],
    ids: Sequence[str | None] | None,
) -> dict[int, str]:
    """Find the rows that are copies of an earlier one.

    Args:
        quantities: our name → (n,), of those that the source has, the loss among them.
        taken: the source's columns that these are read from.
        rows: positions that may be compared, ascending.
        ids: of the runs, where they have some. A row that shares its id with another contradicts it, or is
            one more checkpoint of it, and no copy under another id.

    Returns:
        position → the reason.
    """
    labels, settings = _part_columns(raw, taken)
    loss = quantities["loss"]
    sizes = [values for name, values in quantities.items() if name != "loss"]
    usable = np.isfinite([*sizes, loss]).all(axis=0) & (loss > 0)
    groups: dict[tuple[str, ...], list[int]] = {}
    for i in rows:
        if usable[i]:
            key = (*(f"{values[i]:.9g}" for values in sizes), *(_plain(cells[i]) for cells in settings))
            groups.setdefault(key, []).append(i)
    trunks = raw.columns.get("trunk_id")
    uses = Counter(ids or ())
    found: dict[int, str] = {}
    for group in (members for members in groups.values() if len(members) > 1):
        for first, again in _alike(group, loss):
            if first in found or again in found:
                continue
            if ids and ids[first] != ids[again] and uses[ids[again]] > 1:
                continue
            differing = [
                name for name, cells in labels.items() if _plain(cells[first]) != _plain(cells[again])
            ]
            one_trunk = trunks is not None and bool(trunks[first]) and trunks[first] == trunks[again]
            if not differing or one_trunk or _is_fine(float(loss[first]), float(loss[again])):
                found[again] = _reason(raw, first, again, differing, ids is not None)
    return found


def _alike(group: list[int], loss: Array) -> list[tuple[int, int]]:
    """Pairs of a group, earlier row first, whose losses are one, in the order of the rows."""
    order = sorted(group, key=lambda i: float(loss[i]))
    values = [float(loss[i]) for i in order]
    digits = [_digits(value) for value in values]
    pairs = set()
    for k, value in enumerate(values):
        short = _LEAST_DIGITS <= digits[k] <= _LONG - _DROPPED
        reach = 0.5001 * _unit(value, digits[k]) if short else 0.0  # of what rounds to it
        for step in (1, -1) if short else (1,):
            other = k + step
            while 0 <= other < len(values):
                apart = abs(values[other] - value)
                same = apart <= _SAME * value
                if not same and apart > reach:
                    break
                if same or digits[other] >= digits[k] + _DROPPED:
                    pairs.add((min(order[k], order[other]), max(order[k], order[other])))
                other += step
    return sorted(pairs)


def _part_columns(raw: Raw, taken: Collection[str]) -> tuple[dict[str, Sequence[Any]], list[Sequence[Any]]]:
    """Columns in which copies of a run may differ (names, dates, seeds, measurements), and all others."""
    labels: dict[str, Sequence[Any]] = {}
    settings: list[Sequence[Any]] = []
    for name, cells in raw.columns.items():
        if name in taken or name in raw.index_columns:
            continue
        own = 2 * len({_plain(cell) for cell in cells}) > len(cells)
        if own or role_of(name) in (BOOKKEEPING, REPLICATE, MEASURED):
            labels[name] = cells
        else:
            settings.append(cells)
    return labels, settings


def _plain(cell: Any) -> str:
    """A cell up to how it is written: 1e9, 1000000000.0 and ' 1000000000 ' are one."""
    if is_empty(cell):
        return ""
    text = str(cell).strip()
    try:
        return f"{float(text):.12g}"
    except ValueError:
        return text


def _digits(loss: float) -> int:
    """Significant digits in which a number is written; trailing zeros say nothing."""
    return len(repr(loss).partition("e")[0].replace(".", "").strip("0"))


def _unit(value: float, digits: int) -> float:
    """What the last of so many significant digits counts."""
    return float(10.0 ** (math.floor(math.log10(abs(value))) + 1 - digits))


def _is_fine(one: float, other: float) -> bool:
    """Whether losses that agree have so many digits that two runs do not share them all."""
    digits = min(_digits(one), _digits(other))
    return digits >= _DIGITS and not (math.frexp(one)[0] * 2**_BITS).is_integer()


def _reason(raw: Raw, first: int, again: int, differing: Sequence[str], has_ids: bool) -> str:
    label = raw.labels[first]
    if differing:
        names = ", ".join(map(repr, differing[:3])) + (", …" if len(differing) > 3 else "")
        return f"is {label} under another {names}: its sizes and all digits of its loss agree"
    cure = "" if has_ids else "; give each a run_id or a seed if they are two runs"
    same = all(str(cells[first]) == str(cells[again]) for cells in _cells(raw))
    return f"repeats {label}{'' if same else ', written differently'}{cure}"


def _cells(raw: Raw) -> list[Sequence[Any]]:
    return [cells for name, cells in raw.columns.items() if name not in raw.index_columns]
