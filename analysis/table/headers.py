"""Where the header of a delimited file ends, and what its columns are called."""

from __future__ import annotations

import re
from collections.abc import Sequence, Set

from analysis.table.cells import is_empty
from analysis.table.nested import join_levels
from analysis.table.numbers import is_number

_MOST_LEVELS = 4
_SAMPLE = 50  # rows under a header that show which columns hold numbers
_BLANK_LEVEL = re.compile(r"unnamed: \d+_level_\d+", re.IGNORECASE)


def count_header_rows(rows: Sequence[Sequence[str]]) -> int:
    """Count the rows, from the first, that are a header: more than 1 for columns of several levels."""
    levels = 1
    while levels < min(_MOST_LEVELS, len(rows) - 1) and _is_header(rows, levels):
        levels += 1
    return levels


def name_columns(header: Sequence[Sequence[str]], index: Sequence[str] | None) -> list[str]:
    """One name per column, from header rows of equal length.

    Args:
        header: one row, or one a level.
        index: the row under several levels in which pandas names the index, if there is one; empty where
            the index has no name, so that what stands above it are the names of the levels.
    """
    if len(header) == 1:
        names = list(header[0])
    else:
        names = join_levels(list(zip(*map(_filled, header), strict=True)))
        for j, name in enumerate([""] if index == [] else index or []):
            names[j] = name or ("" if index == [] else names[j])
    blanks = [j for j, name in enumerate(names) if not name]
    for j in blanks[1:]:  # two columns cannot share the empty name
        names[j] = f"Unnamed: {j}"
    return names


def is_index_row(row: Sequence[str], header: Sequence[Sequence[str]]) -> bool:
    """Whether a row under several header levels names the index: names, and then nothing."""
    filled = [j for j, cell in enumerate(row) if cell]
    outside = {j for level in header for j, cell in enumerate(level) if cell}
    named = filled == list(range(len(filled))) and len(filled) < len(row)
    # pandas writes the names of the levels above the first column of the index.
    return named and not is_number(row[0]) and not outside & set(filled[1:])


def names_columns(cells: Sequence[str], names: Set[str]) -> bool:
    """Whether a row below the header shares these names with it, and holds no number."""
    filled = [cell for cell in cells if cell]
    shared = names & set(filled)
    return len(shared) >= 2 and 2 * len(shared) >= len(filled) and not any(map(is_number, filled))


def _is_header(rows: Sequence[Sequence[str]], levels: int) -> bool:
    """Whether the row after `levels` header rows is one more: text, over columns that hold numbers."""
    header, row = rows[:levels], rows[levels]
    if len(row) != len(header[0]) or list(row) == list(header[0]):
        return False
    named = [j for j, cell in enumerate(row) if not is_empty(cell)]
    if levels > 1 and is_index_row(row, header):
        return False
    if len(named) < 2 or any(is_number(row[j]) for j in named):
        return False
    below = [r for r in rows[levels + 1 : levels + 1 + _SAMPLE] if len(r) == len(row)]
    numeric = 0
    for j in named:
        cells = [r[j] for r in below if not is_empty(r[j])]
        numeric += bool(cells) and sum(map(is_number, cells)) > len(cells) / 2
    if not numeric:
        return False
    top = [cell for cell in header[0] if cell]
    repeats = len(set(top)) < len(top) or "" in header[0][1:] or any(map(_BLANK_LEVEL.fullmatch, top))
    # Over distinct names, only a row without a single number where all others have theirs: units, or a level.
    full = len(named) >= len(row) - 1 and numeric >= 2 and len({row[j] for j in named}) > 1
    return repeats or (full and numeric == _numeric_columns(below))


def _numeric_columns(rows: Sequence[Sequence[str]]) -> int:
    columns = ([cell for cell in column if not is_empty(cell)] for column in zip(*rows, strict=True))
    return sum(bool(cells) and sum(map(is_number, cells)) > len(cells) / 2 for cells in columns)


def _filled(level: Sequence[str]) -> list[str]:
    """A level with the blanks filled from the left: spreadsheets write a merged cell once."""
    names: list[str] = []
    for cell in level:
        cell = "" if _BLANK_LEVEL.fullmatch(cell) else cell
        names.append(cell or (names[-1] if names else ""))
    return names
