"""Which rows are believed: every cell read strictly, every row that is not used set aside with its reason."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from analysis.table.cells import is_empty
from analysis.table.checkpoints import Choice, Trails, find_checkpoints
from analysis.table.columns import NON_NEGATIVE, NUMBERS, POSITIVE, TEXTS
from analysis.table.copies import find_copies
from analysis.table.growth import Sizes
from analysis.table.mapping import Origin
from analysis.table.raw import Raw
from analysis.table.status import read_states
from analysis.table.summaries import find_summaries
from analysis.table.units import UnitFindings, check_one_input, check_units

_NEEDED = ("params", "tokens", "flops", "x", "loss")  # those that the source has
_ONE_DIGIT = re.compile(r"[1-9]\.?E[+-][0-9]{2,3}")  # as spreadsheets write it, and no program does
_COMPARED = ("family", "objective", "data", "data_fingerprint")


@dataclass
class Screened:
    """Columns of ours over all rows of a source, and what was decided about each row."""

    numbers: dict[str, NDArray[np.float64]]  # name → (n,), NaN where empty
    texts: dict[str, list[str | None]]
    derived: str = ""  # "tokens" or "flops" where C = 6 N D gave the column
    without_result: dict[int, str] = field(default_factory=dict)  # row → what it is, rather than a result
    trails: Trails = field(default_factory=Trails)
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


def screen(
    raw: Raw, origins: Mapping[str, Origin], *, external: bool, checkpoints: Choice | None = None
) -> Screened:
    """Read and check all rows.

    Args:
        external: not our own records: look for checkpoints, repeated rows and rows in wrong units too.
        checkpoints: `last` or `all` rows of a run that has several; by default as the rows look.
    """
    # A record says None where it has nothing to say; in a file `NA` may be an empty cell.
    cells = {name: raw.columns[origins[name].column or ""] for name in TEXTS if name in origins}
    texts = {name: _texts(column) if external else column for name, column in cells.items()}
    screened = Screened({}, texts)
    bad = {name: _read_column(name, raw, origins[name], screened) for name in NUMBERS if name in origins}
    _derive(screened)
    if raw.state_columns:
        states = {name: raw.columns[name] for name in raw.state_columns}
        screened.without_result, notes = read_states(states)
        screened.notes += notes
    if external:
        _set_copies_aside(raw, origins, screened)
    if external and {"params", "tokens"} <= set(screened.numbers):
        _find_checkpoints(raw, origins, screened, checkpoints)
    for name, reasons in bad.items():
        for i, reason in reasons.items():
            screened.quarantine(i, f"{name} is {reason}")
    _check_values(screened)
    if external:
        if "run_id" in screened.texts:
            _set_contradictions_aside(raw, screened)
        if {"params", "tokens", "flops"} <= set(screened.numbers):
            _set_units_aside(len(raw.labels), origins, screened)
        elif one := next((name for name in ("flops", "x") if name in screened.numbers), None):
            rows = screened.open_rows(len(raw.labels))
            typed = {name: origin.expression.text for name, origin in origins.items()}
            values, loss = (screened.numbers[name][rows] for name in (one, "loss"))
            screened.warnings += check_one_input(one, values, loss, typed)
        _warn_of_shown_digits(raw, origins, screened)
    return screened


def _read_column(name: str, raw: Raw, origin: Origin, screened: Screened) -> dict[int, str]:
    """Read one column, and return the reasons against rows; only a column that every fit needs has some."""
    values, reasons, notes = origin.numbers(name, raw)
    if name not in _NEEDED:
        wrong, wanted = _outside(name, values)
        reasons |= {int(i): f"{values[i]:g}; it must be {wanted}" for i in np.flatnonzero(wrong)}
        if reasons:
            first = min(reasons)
            if origin.column is not None:
                screened.texts[name] = _texts(raw.columns[origin.column])
            screened.notes.append(
                f"{name}: kept as text and not used as numbers, as {len(reasons)} of {len(values)} cells are "
                f"not numbers, e.g. {raw.labels[first]} is {reasons[first]}"
            )
            return {}
    screened.numbers[name] = values
    screened.notes += [f"{name}: {note}" for note in notes]
    return reasons


def _find_checkpoints(
    raw: Raw, origins: Mapping[str, Origin], screened: Screened, choice: Choice | None
) -> None:
    """Count the rows of runs that have several, and give each row its run as its trunk."""
    sizes = Sizes(*(screened.numbers[name].copy() for name in ("params", "tokens", "loss")))
    sizes.tokens[list(screened.aside)] = np.nan  # a copy is no other checkpoint
    settings = [screened.texts[name] for name in _COMPARED if name in screened.texts]
    if "seed" in screened.numbers:
        settings.append([str(seed) for seed in screened.numbers["seed"]])
    trails = find_checkpoints(
        raw,
        sizes,
        id_column=origins["run_id"].column if "run_id" in origins else None,
        settings=settings,
        has_trunks="trunk_id" in screened.texts,
        choice=choice,
    )
    screened.trails = trails
    screened.without_result |= dict.fromkeys(trails.earlier, "checkpoints")
    screened.notes += trails.notes
    screened.warnings += trails.warnings
    if trails.run_of:
        n = len(raw.labels)
        trunks = screened.texts.setdefault("trunk_id", [None] * n)
        ids = screened.texts.setdefault("run_id", [None] * n)
        for row, run in trails.run_of.items():
            trunks[row] = trunks[row] or run
            if trails.earlier:
                ids[row] = ids[row] or run
            elif ids[row] == run:  # all are fitted, and an id names one run
                ids[row] = f"{run}@{sizes.tokens[row]:g}"


def _texts(cells: list[object]) -> list[str | None]:
    return [None if is_empty(cell) else str(cell) for cell in cells]


def _derive(screened: Screened) -> None:
    """The third of N, D and C by C = 6 N D, where the source has only two."""
    numbers = screened.numbers
    have = {"params", "tokens", "flops"} & set(numbers)
    with np.errstate(all="ignore"):  # rows that are set aside may hold anything
        if have == {"params", "flops"}:
            numbers["tokens"] = numbers["flops"] / (6 * numbers["params"])
            screened.notes.append("tokens are derived: D = C / (6 N)")
        elif have == {"params", "tokens"}:
            numbers["flops"] = 6 * numbers["params"] * numbers["tokens"]
            screened.notes.append("flops are derived: C = 6 N D")
        if {"params", "tokens"} <= set(numbers) and "flops_6nd" not in numbers:
            screened.texts.pop("flops_6nd", None)
            numbers["flops_6nd"] = 6 * numbers["params"] * numbers["tokens"]
    screened.derived = next(iter({"tokens", "flops"} - have), "") if "params" in have else ""


def _check_values(screened: Screened) -> None:
    for name, values in screened.numbers.items():
        wrong, wanted = _outside(name, values)
        for i in np.flatnonzero(wrong):
            screened.quarantine(int(i), f"{name} is {values[i]:g}; it must be {wanted}")
    for name in (name for name in _NEEDED if name in screened.numbers):
        for i in np.flatnonzero(np.isnan(screened.numbers[name])):
            screened.quarantine(int(i), f"{name} is missing")


def _outside(name: str, values: NDArray[np.float64]) -> tuple[NDArray[np.bool_], str]:
    """(n,) which values cannot be of that column, and what it holds."""
    if name in POSITIVE:
        return np.isinf(values) | (values <= 0), "positive and finite"
    if name in NON_NEGATIVE:
        return np.isinf(values) | (values < 0), "0 or more, and finite"
    return np.isinf(values), "finite"


def _set_copies_aside(raw: Raw, origins: Mapping[str, Origin], screened: Screened) -> None:
    """A run counted twice pulls a fit."""
    read = {name: screened.numbers[name] for name in _NEEDED if name in origins}
    taken = [origins[name].column or "" for name in read]
    rows = screened.open_rows(len(raw.labels))
    for i, reason in find_summaries(raw, read, rows).items():
        screened.quarantine(i, reason)
    rows = screened.open_rows(len(raw.labels))
    for i, reason in find_copies(raw, read, taken, rows, screened.texts.get("run_id")).items():
        screened.quarantine(i, reason)


def _set_contradictions_aside(raw: Raw, screened: Screened) -> None:
    """Runs of one id with different values: nobody can say which is right."""
    first: dict[str, int] = {}
    for i in screened.open_rows(len(raw.labels)):
        name = screened.texts["run_id"][i]
        if name is None or (j := first.setdefault(name, i)) == i:
            continue
        for one, other in ((i, j), (j, i)):
            screened.quarantine(
                one, f"run_id {name!r} is also that of {raw.labels[other]}, with other values"
            )


def _set_units_aside(n: int, origins: Mapping[str, Origin], screened: Screened) -> None:
    """Check units within each group of runs whose losses may be compared."""
    compared = [screened.texts[name] for name in _COMPARED if name in screened.texts]
    groups: dict[tuple[str | None, ...], list[int]] = {}
    for i in screened.open_rows(n):
        groups.setdefault(tuple(column[i] for column in compared), []).append(i)
    for members in groups.values():
        found = _units_of(members, origins, screened)
        for k, reason in found.quarantine.items():
            screened.quarantine(members[k], reason)
        screened.warnings += [w for w in found.warnings if w not in screened.warnings]


def _warn_of_shown_digits(raw: Raw, origins: Mapping[str, Origin], screened: Screened) -> None:
    """Warn of sizes that a spreadsheet saved as a narrow column shows them: 1.5e9 as 2E+09."""
    for name in (name for name in _NEEDED if name in origins and name != "loss"):
        cells = raw.columns.get(origins[name].column or "", [])
        shown = [str(cell) for cell in cells if not is_empty(cell)]
        if len(shown) > 2 and all(_ONE_DIGIT.fullmatch(cell) for cell in shown):
            screened.warnings.append(
                f"{name}: every cell has one digit, as {shown[0]} does: a spreadsheet saves narrow columns "
                "like this, and sizes may be off by up to a third. Save it with its cells formatted as "
                "numbers."
            )


def _units_of(members: list[int], origins: Mapping[str, Origin], screened: Screened) -> UnitFindings:
    numbers = {name: values[members] for name, values in screened.numbers.items()}
    unique = numbers.get("tokens_unique")
    if unique is None and "epochs" in numbers:
        unique = numbers["tokens"] / np.maximum(numbers["epochs"], 1)
    return check_units(
        numbers["params"],
        numbers["tokens"],
        numbers["flops"],
        numbers["loss"],
        derived=screened.derived,
        learning_rate=numbers.get("learning_rate"),
        unique=unique,
        columns={name: origin.expression.text for name, origin in origins.items()},
    )
