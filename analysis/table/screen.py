"""Which rows are believed: every cell read strictly, every row that is not used set aside with its reason."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from analysis.table.cells import is_empty, read_numbers
from analysis.table.columns import NON_NEGATIVE, NUMBERS, POSITIVE, TEXTS, Origin
from analysis.table.numbers import role_of
from analysis.table.raw import Raw
from analysis.table.units import check_units

_NEEDED = ("params", "tokens", "flops", "loss")
_COMPARED = ("family", "objective", "data", "data_fingerprint")


@dataclass
class Screened:
    """Columns of ours over all rows of a source, and what was decided about each row."""

    numbers: dict[str, NDArray[np.float64]]  # name → (n,), NaN where empty
    texts: dict[str, list[str | None]]
    derived: str = ""  # "tokens" or "flops" where C = 6 N D gave the column
    without_result: dict[int, str] = field(default_factory=dict)  # row → diverged, failed or missing
    aside: dict[int, str] = field(default_factory=dict)  # row → why it is quarantined
    notes: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def open_rows(self, n: int) -> list[int]:
        """Rows that nothing has been said against yet."""
        return [i for i in range(n) if i not in self.aside and i not in self.without_result]

    def quarantine(self, row: int, reason: str) -> None:
        """Set a row aside; its first reason stands. A row without a result is not a bad row."""
        if row not in self.without_result:
            self.aside.setdefault(row, reason)


def screen(raw: Raw, origins: Mapping[str, Origin], *, external: bool) -> Screened:
    """Read and check all rows.

    Args:
        external: not our own records: look for repeated rows and for rows in wrong units too.
    """
    cells = {name: raw.columns[origins[name].column] for name in origins}
    # A record says None where it has nothing to say; in a file `NA` may be an empty cell.
    texts = {name: _texts(cells[name]) if external else cells[name] for name in TEXTS if name in cells}
    screened = Screened({}, texts)
    if "status" in texts:
        _read_status(texts["status"], screened)
    for name in NUMBERS:
        if name in cells:
            _read_column(name, cells[name], origins[name], raw, screened)
    _derive(screened)
    _check_values(screened)
    if external:
        _set_repeats_aside(raw, screened)
        if {"run_id", "trunk_id"} <= set(origins):
            _set_copies_aside(raw, origins["run_id"].column, screened)
        _set_units_aside(len(raw.labels), screened)
    return screened


def _read_column(name: str, cells: list[object], origin: Origin, raw: Raw, screened: Screened) -> None:
    """Numbers of one column. A cell that is none costs the run only where every fit needs the column."""
    role = role_of(name) if origin.factor == 1.0 else "real"  # a factor and a suffix are two units
    values, reasons, notes = read_numbers(cells, role=role, decimal=raw.decimal)
    values = values * origin.factor
    if name not in _NEEDED:
        wrong, wanted = _outside(name, values)
        reasons |= {int(i): f"{values[i]:g}; it must be {wanted}" for i in np.flatnonzero(wrong)}
        if reasons:
            first = min(reasons)
            screened.texts[name] = _texts(cells)
            screened.notes.append(
                f"{name}: kept as text and not used as numbers, as {len(reasons)} of {len(cells)} cells are "
                f"none, e.g. {raw.labels[first]} is {reasons[first]}"
            )
            return
    screened.numbers[name] = values
    screened.notes += [f"{name}: {note}" for note in notes]
    for i, reason in reasons.items():
        screened.quarantine(i, f"{name} is {reason}")


def _texts(cells: list[object]) -> list[str | None]:
    return [None if is_empty(cell) else str(cell) for cell in cells]


def _read_status(statuses: list[str | None], screened: Screened) -> None:
    """Rows that say themselves that they hold no result."""
    others: Counter[str] = Counter()
    for i, cell in enumerate(statuses):
        status = (cell or "empty").strip().casefold()
        if status in ("done", "finished"):
            continue
        kind = status if status in ("diverged", "missing") else "failed"
        screened.without_result[i] = kind
        if kind == "failed":
            others[status] += 1
    screened.notes += [
        f"{n} rows with status {status!r} count as failed" for status, n in sorted(others.items())
    ]


def _derive(screened: Screened) -> None:
    """The third of N, D and C by C = 6 N D, where the source has only two."""
    numbers = screened.numbers
    with np.errstate(all="ignore"):  # rows that are set aside may hold anything
        if "tokens" not in numbers:
            screened.derived = "tokens"
            numbers["tokens"] = numbers["flops"] / (6 * numbers["params"])
            screened.notes.append("tokens are derived: D = C / (6 N)")
        elif "flops" not in numbers:
            screened.derived = "flops"
            numbers["flops"] = 6 * numbers["params"] * numbers["tokens"]
            screened.notes.append("flops are derived: C = 6 N D")
        if "flops_6nd" not in numbers:
            screened.texts.pop("flops_6nd", None)
            numbers["flops_6nd"] = 6 * numbers["params"] * numbers["tokens"]


def _check_values(screened: Screened) -> None:
    for name, values in screened.numbers.items():
        wrong, wanted = _outside(name, values)
        for i in np.flatnonzero(wrong):
            screened.quarantine(int(i), f"{name} is {values[i]:g}; it must be {wanted}")
    for name in _NEEDED:
        for i in np.flatnonzero(np.isnan(screened.numbers[name])):
            screened.quarantine(int(i), f"{name} is missing")


def _outside(name: str, values: NDArray[np.float64]) -> tuple[NDArray[np.bool_], str]:
    """(n,) which values cannot be of that column, and what it holds."""
    if name in POSITIVE:
        return np.isinf(values) | (values <= 0), "positive and finite"
    if name in NON_NEGATIVE:
        return np.isinf(values) | (values < 0), "0 or more, and finite"
    return np.isinf(values), "finite"


def _set_repeats_aside(raw: Raw, screened: Screened) -> None:
    """A run counted twice pulls a fit: rows that repeat another, and runs that contradict each other."""
    ids = screened.texts.get("run_id")
    rows = _rows(raw, raw.index_columns)
    first: dict[str, int] = {}
    for i in screened.open_rows(len(rows)):
        name = ids[i] if ids else None
        j = first.setdefault(f"id {name}" if name else repr(rows[i]), i)
        if j == i:
            continue
        if rows[i] == rows[j]:
            cure = "" if name else "; give each a run_id or a seed if they are two runs"
            screened.quarantine(i, f"repeats {raw.labels[j]}{cure}")
        else:
            for one, other in ((i, j), (j, i)):
                screened.quarantine(
                    one, f"run_id {name!r} is also that of {raw.labels[other]}, with other values"
                )


def _rows(raw: Raw, without: Collection[str]) -> list[tuple[object, ...]]:
    """The cells of each row, except of columns that are no part of a run."""
    columns = [cells for name, cells in raw.columns.items() if name not in without]
    return list(zip(*columns, strict=True))


def _set_copies_aside(raw: Raw, id_column: str, screened: Screened) -> None:
    """Runs of one trunk that agree in every cell are one run, whatever they are called."""
    rows = _rows(raw, (*raw.index_columns, id_column))
    trunks = screened.texts["trunk_id"]
    first: dict[str, int] = {}
    for i in screened.open_rows(len(rows)):
        j = first.setdefault(repr(rows[i]), i)
        if j != i and trunks[i]:
            screened.quarantine(i, f"is {raw.labels[j]} under another run_id")


def _set_units_aside(n: int, screened: Screened) -> None:
    """Check units within each group of runs whose losses may be compared."""
    compared = [screened.texts[name] for name in _COMPARED if name in screened.texts]
    groups: dict[tuple[str | None, ...], list[int]] = {}
    for i in screened.open_rows(n):
        groups.setdefault(tuple(column[i] for column in compared), []).append(i)
    for members in groups.values():
        params, tokens, flops, loss = (screened.numbers[name][members] for name in _NEEDED)
        rates = screened.numbers.get("learning_rate")
        found = check_units(
            params,
            tokens,
            flops,
            loss,
            derived=screened.derived,
            learning_rate=None if rates is None else rates[members],
        )
        for k, reason in found.quarantine.items():
            screened.quarantine(members[k], reason)
        screened.warnings += [w for w in found.warnings if w not in screened.warnings]
