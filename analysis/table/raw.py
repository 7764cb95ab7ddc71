"""Rows of a source as they came, before any cell is read."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

# As pandas, polars (row_nr), R (X, rownames) and people call it.
_INDEX_NAME = re.compile(
    r"(|index|idx|unnamed: \d+(\.\d+)?|level_\d+|__index_level_\d+__|#"
    r"|row|row[ _]?(nr|no|num|number|index|idx|id|names?)|obs|no\.?|nr\.?|n°|lfd\.? ?nr\.?)"
)

_LONGEST_LINE = 4_000_000  # characters
_MOST_CELLS, _MOST_COLUMNS = 50_000_000, 20_000
# What moves a cursor, colours a terminal, or turns the direction of text.
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")


@dataclass
class Raw:
    """Cells by column, one label per row ('line 7'), and what was set aside and why."""

    source: str
    columns: dict[str, list[Any]]
    labels: list[str]
    quarantine: list[dict[str, str]] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    decimal: str = "."  # the decimal mark of the file's text: ".", ",", or "" where the file does not tell
    chart: bool = False  # a W&B chart: rows are steps of runs, not runs
    index_columns: tuple[str, ...] = ()  # columns that only count the rows and are no part of a run
    state_columns: tuple[str, ...] = ()  # columns that say which rows hold no result

    def set_aside(self, row: str, reason: str) -> None:
        """Count a row that cannot be read, with its reason."""
        self.quarantine.append({"row": row, "reason": reason})


def refuse_repeated_names(source: str, header: Sequence[str]) -> None:
    """Refuse two columns of one name: nobody could say which is meant.

    Raises:
        ValueError: naming them.
    """
    twice = sorted(name for name, times in Counter(header).items() if times > 1)
    if twice:
        raise ValueError(
            f"{source}: the column {', '.join(map(repr, twice))} occurs twice; rename or drop one."
        )


def refuse_too_many_cells(source: str, columns: int, rows: int) -> None:
    """Refuse a table that would not fit into memory, whatever the size of its file.

    Raises:
        ValueError: more than 50 million cells, or 20,000 columns.
    """
    if columns > _MOST_COLUMNS:
        raise ValueError(f"{source}: {columns} columns are more than {_MOST_COLUMNS}.")
    if columns * rows > _MOST_CELLS:
        raise ValueError(f"{source}: {rows} rows of {columns} columns are more than {_MOST_CELLS} cells.")


def refuse_long_lines(source: str, text: str) -> None:
    """Refuse text with a line that no table has, before every delimiter is tried on it.

    Raises:
        ValueError: a line of more than 4 million characters.
    """
    start = 0
    while len(text) - start > _LONGEST_LINE:
        end = max(text.rfind(mark, start, start + _LONGEST_LINE) for mark in "\n\r")
        if end < 0:
            number = text.count("\n", 0, start) + 1
            raise ValueError(
                f"{source}, line {number}: more than {_LONGEST_LINE} characters; it is not a table."
            )
        start = end + 1


def open_regular(path: Path, most: int) -> bytes:
    """The bytes of a file that a stranger may have made.

    Raises:
        ValueError: a pipe or a device, which might never end, or a file of more bytes than `most`.
    """
    if path.exists() and not path.is_file():
        raise ValueError(f"{path}: a folder, a pipe or a device; save the text to a file first.")
    size = path.stat().st_size
    if size > most:
        raise ValueError(
            f"{path}: {size:,} bytes are more than the {most:,} that are read; keep only what matters."
        )
    return path.read_bytes()


def printable(text: str) -> str:
    """Text with control characters as escapes, so that a cell cannot write to a terminal."""
    return (
        text if text.isprintable() else _CONTROL.sub(lambda c: c[0].encode("unicode_escape").decode(), text)
    )


def excerpt(text: str, most: int = 120) -> str:
    """Text as a message shows it: printable, and cut where it is long."""
    shown = printable(text[: most + 1])
    return shown if len(text) <= most else f"{shown[:most]}… ({len(text)} characters)"


def escape_controls(raw: Raw) -> None:
    """Make every name and text cell printable, in place; an end of line within a name becomes a space."""
    names = [printable(" ".join(name.split())) if not name.isprintable() else name for name in raw.columns]
    refuse_repeated_names(raw.source, names)
    raw.columns = dict(zip(names, map(_printable_cells, raw.columns.values()), strict=True))


def _printable_cells(cells: list[Any]) -> list[Any]:
    odd = [i for i, cell in enumerate(cells) if isinstance(cell, str) and not cell.isprintable()]
    if odd:
        cells = list(cells)
        for i in odd:
            cells[i] = printable(cells[i].strip())
    return cells


def find_index_columns(raw: Raw) -> tuple[str, ...]:
    """Find the columns that only count rows: named as pandas names an index, holding 0, 1, 2, …

    A filtered or sorted table leaves gaps in its index, a concatenated one starts it again; both still count
    rows. A column that other programs would call `index` but that repeats values otherwise is data.
    """
    names = [name for name in raw.columns if _INDEX_NAME.fullmatch(name.casefold())]
    found = [name for name in names if counts_rows(raw.columns[name])]
    first = next(iter(raw.columns), "")
    if first == "X" and list(map(str, raw.columns[first])) == [str(i + 1) for i in range(len(raw.labels))]:
        found.append(first)  # what R calls a column without a name
    return tuple(found)


def counts_rows(cells: Sequence[Any]) -> bool:
    """Decide whether cells are distinct whole numbers from 0, or runs of 0, 1, 2, … or 1, 2, 3, …"""
    numbers: list[int] = []
    for cell in cells:
        text = str(cell).strip().removesuffix(".0")
        if isinstance(cell, bool) or not (text.isascii() and text.isdecimal() and len(text) < 16):
            return False
        numbers.append(int(text))
    if len(set(numbers)) == len(numbers):
        return True
    previous = [-1, *numbers[:-1]]
    return all(number in (0, 1, before + 1) for number, before in zip(numbers, previous, strict=True))
