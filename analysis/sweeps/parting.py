"""The arms of a comparison: runs that differ in the columns compared, and in nothing else that matters."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from analysis.table import RunTable, split_comparable
from analysis.table.arms import arms
from analysis.table.columns import QUANTITIES
from analysis.table.roles import RATE, UNKNOWN, role_of

OF_SCHEDULE = ("cooldown", "warmup", "decay", "horizon")
BROUGHT = frozenset({"family", "optimizer", "objective", "schedule", "data"})  # that an extension may bring
UNLIKE = ("objective", "data_fingerprint")  # between whose values losses cannot be compared


@dataclass(frozen=True)
class Parted:
    """Arms by label, the baseline first, and what was taken for granted."""

    arms: Mapping[str, RunTable]
    baseline: str
    notes: tuple[str, ...]


def part_arms(table: RunTable, by: Sequence[str], baseline: str | None = None) -> Parted:
    """Part a table by columns, and refuse it where the parts differ in other settings, too.

    A learning rate or batch that is tuned for each arm is no other setting; of a sweep over it the best runs
    of each cell count. Seeds, sizes and measurements never are.

    Args:
        baseline: label of the arm that the others are compared with; by default that of the first row.

    Raises:
        ValueError: for a column that is absent, that is a quantity, or that has one value; for an unknown
            baseline; for arms that differ elsewhere, with the names of the columns.
    """
    missing = [name for name in by if name not in table]
    if missing or not by:
        known = list(map(str, table.rows))
        near = difflib.get_close_matches(missing[0], known, n=1) if missing else []
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise ValueError(
            f"by: the table has no column {', '.join(map(repr, missing)) or 'named'}.{hint} It has "
            f"{', '.join(known)}."
        )
    if measured := [name for name in by if name in (*QUANTITIES, "loss", "flops")]:
        raise ValueError(
            f"by: {measured[0]!r} is what a law relates, not a setting that distinguishes recipes; name a "
            "setting."
        )
    if unlike := [name for name in by if name in UNLIKE]:
        raise ValueError(
            f"by: losses of different {unlike[0]} do not measure the same thing, so none leads another. "
            "Compare another setting, of one of them: --where."
        )
    labels = table.rows[list(by)].apply(_label, axis=1)
    names = list(dict.fromkeys(labels))
    if len(names) < 2:
        raise ValueError(
            f"by: {' and '.join(by)} is {names[0]} in all {len(table)} runs; a comparison needs two arms."
        )
    first = names[0] if baseline is None else _find(baseline, names, by)
    notes = _refuse_others(table, by, labels)
    parts = {
        _label(part.rows[list(by)].iloc[0]): part
        for part in split_comparable(replace(table, by=tuple(by))).values()
    }
    ordered = {name: parts[name] for name in (first, *(n for n in names if n != first))}
    return Parted(ordered, first, notes)


def _label(values: pd.Series[Any]) -> str:
    def word(value: Any) -> str:
        if pd.isna(value):
            return "not given"
        return f"{value:g}" if isinstance(value, float) else str(value)

    return ", ".join(map(word, values))


def _find(baseline: str, names: Sequence[str], by: Sequence[str]) -> str:
    if baseline in names:
        return baseline
    try:
        number = f"{float(baseline):g}"
    except ValueError:
        number = ""
    near = [name for name in names if name == number or baseline == name.partition(", ")[0]]
    if len(near) != 1:
        raise ValueError(
            f"baseline: {baseline!r} is not a value of {' and '.join(by)}; choose from {', '.join(names)}."
        )
    return near[0]


def _refuse_others(table: RunTable, by: Sequence[str], labels: pd.Series[Any]) -> tuple[str, ...]:
    """Notes about rates that differ between arms; a refusal for every other setting that does."""
    rows = table.rows.drop(columns=list(by))
    others, notes = [], []
    for name in arms(rows).keys:
        values = rows[name].astype(str)
        within = values.groupby([labels, *(rows[c] for c in ("params", "tokens") if c in rows)]).nunique()
        alone = values.groupby(labels).nunique().max() == 1 and values.nunique() == labels.nunique()
        if role_of(name) == RATE and within.max() == 1:
            notes.append(f"{name} differs between arms: taken as tuned for each")
        elif name.startswith(tuple(f"{c}_" for c in by)) and values.groupby(labels).nunique().max() == 1:
            notes.append(f"{name} belongs to the {name.partition('_')[0]}")  # other arms have no such setting
        elif name == "extensions" and set(by) & BROUGHT and values.groupby(labels).nunique().max() == 1:
            notes.append("the code of some arms is an extension")
        elif "schedule" in by and name.startswith(OF_SCHEDULE):
            notes.append(f"{name} belongs to the schedule")
        elif role_of(name) == UNKNOWN and alone and not pd.api.types.is_numeric_dtype(rows[name]):
            notes.append(f"{name} is taken as another name of the arms")
        else:
            others.append(name)
    if others:
        stated = rows[others[0]].dropna().iloc[0]  # a missing value cannot be asked for
        word = str(stated) if isinstance(stated, int | float | np.number) else f'"{stated}"'
        apart = set(others) & set(UNLIKE)  # losses under two of their values are not of the same thing
        pairs = "" if apart else f"; or compare the combinations: --by {' '.join([*by, *others])}"
        raise ValueError(
            f"by: the runs differ not only in {' and '.join(by)} but also in {', '.join(others)}, so the "
            f"cause of a difference is unclear. Keep one value: --where '{others[0]} == {word}'{pairs}."
        )
    return tuple(notes)
