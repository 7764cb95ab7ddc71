"""Rows to keep and rows to drop, by conditions on the columns of a source or on ours."""

from __future__ import annotations

import re
import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from analysis.table.cells import is_empty
from analysis.table.columns import NUMBERS, plain
from analysis.table.expressions import Expression, parse, truth_of
from analysis.table.grammar import ExpressionError
from analysis.table.mapping import Origin
from analysis.table.raw import Raw, excerpt

Conditions = str | Sequence[str] | None

_FLAGGED = re.compile(r"(is_)?(outliers?|excluded?|ignored?|skip|bad|invalid|flagged|discard)")


def filter_rows(raw: Raw, origins: Mapping[str, Origin], where: Conditions, drop: Conditions) -> Raw:
    """The rows for which all of `where` and none of `drop` hold; the others are counted, with a note each.

    A comparison with an empty cell is false. Conditions name columns of the source, or ours where the source
    has none of that name.

    Raises:
        ValueError: a condition that cannot be read, or rows of which none is left.
    """
    keep = np.ones(len(raw.labels), dtype=bool)
    notes: list[str] = []
    columns: dict[str, Sequence[Any]] | None = None
    for option, conditions in (("where", where), ("drop", drop)):
        for text in [conditions] if isinstance(conditions, str) else conditions or ():
            columns = columns or _columns(raw, origins)
            try:
                expression = parse(text, list(columns), condition=True)
                holds, empty = expression.holds(columns)
            except ExpressionError as error:
                raise ValueError(f"{raw.source}: --{option} {_quoted(text)}: {error}") from error
            chosen = holds if option == "where" else ~holds
            keep &= chosen
            done = "keeps" if option == "where" else "leaves out"
            note = f"--{option} {_quoted(text)} {done} {int(holds.sum())} of {len(holds)} rows"
            notes.append(note + (f"; {int(empty.sum())} have an empty cell there" if empty.any() else ""))
            if not keep.any():
                raise ValueError(
                    f"{raw.source}: no row is left: {'; '.join(notes)}. {_held(expression, columns)}"
                )
    if keep.all():
        return replace(raw, notes=[*raw.notes, *notes])
    rows = np.flatnonzero(keep).tolist()
    return replace(
        raw,
        columns={name: [cells[i] for i in rows] for name, cells in raw.columns.items()},
        labels=[raw.labels[i] for i in rows],
        counts={**raw.counts, "left out": int((~keep).sum())},
        notes=[*raw.notes, *notes],
    )


def flagged_notes(raw: Raw) -> list[str]:
    """A note a column by which a table's owners mark rows to leave out: nothing is left out unasked."""
    notes = []
    for name, cells in raw.columns.items():
        if not _FLAGGED.fullmatch(plain(name)) or not all(
            is_empty(c) or truth_of(c) is not None for c in cells
        ):
            continue
        marked = sum(truth_of(cell) is True for cell in cells)
        if marked:
            option = shlex.quote(f"--drop={name}") if name.startswith("-") else f"--drop {shlex.quote(name)}"
            notes.append(f"{name!r} is true in {marked} rows, which are used; {option} leaves them out")
    return notes


def _quoted(text: str) -> str:
    """A condition as it is typed into a shell, without '"'"' where that can be helped, and cut."""
    text = excerpt(text, 300)
    return f'"{text}"' if "'" in text and not re.search(r'["$`\\!]', text) else shlex.quote(text)


def _columns(raw: Raw, origins: Mapping[str, Origin]) -> dict[str, Sequence[Any]]:
    """The source's columns, and ours under names that it does not have."""
    columns: dict[str, Sequence[Any]] = dict(raw.columns)
    for ours, origin in origins.items():
        if ours in columns:
            continue
        if ours in NUMBERS:
            columns[ours] = origin.numbers(ours, raw).values.tolist()
        elif origin.column is not None:
            columns[ours] = raw.columns[origin.column]
    return columns


def _held(expression: Expression, columns: Mapping[str, Sequence[Any]]) -> str:
    """What the columns of a condition hold, for one that holds nowhere."""
    said = []
    for name in expression.columns:
        common = Counter(str(cell) for cell in columns[name] if not is_empty(cell)).most_common(5)
        said.append(
            f"{name!r} holds {', '.join(repr(cell) for cell, _ in common)}, …"
            if common
            else f"{name!r} is empty"
        )
    return "; ".join(said) + "."
