"""What separates the cells of a text: a comma, a tab, a semicolon, a bar, spaces, or LaTeX's ampersand."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence

from analysis.table.decorations import strip_tex
from analysis.table.numbers import is_number

_DELIMITERS = (",", "\t", ";", "|")
WITHOUT_EMPTY_CELLS = " "  # a delimiter between two of which no empty cell stands
_SAMPLE = 200  # rows that decide
_SEPARATOR_LINE = re.compile(r'"?sep=(?P<delimiter>.)"?[ \t,;]*', re.IGNORECASE)


def skip_preamble(text: str) -> tuple[int, str, list[str], str]:
    """Lines skipped, the delimiter that a `sep=` line names, comments, and the rest of the text."""
    delimiter, comments, skipped, start = "", [], 0, 0
    for line in io.StringIO(text, newline=""):
        separator = _SEPARATOR_LINE.fullmatch(line.rstrip("\r\n")) if not delimiter else None
        if separator:
            delimiter = separator["delimiter"]
        elif line.startswith("#"):
            comments.append(line.rstrip("\r\n"))
        elif line.strip():
            break
        skipped, start = skipped + 1, start + len(line)
    if start == len(text) and comments:  # nothing but lines with '#': they are no comments
        return 0, delimiter, [], text
    return skipped, delimiter, comments, text[start:]


def choose_delimiter(text: str) -> tuple[str, str]:
    """The delimiter under which most cells are numbers in rows that are as long as the header, and the text.

    Only where no other delimiter parts the header, cells may be parted by spaces, or by LaTeX's `&`.
    """
    if "\\\\" in text and (table := _without_tex(text)):
        return "&", table
    scores: dict[str, float] = {}
    for delimiter in _DELIMITERS:
        rows = _sample(text, delimiter)
        if not rows or len(rows[0]) < 2:
            continue
        body = rows[1:]
        fitting = [row for row in body if len(row) == len(rows[0])]
        cells = [cell.strip() for row in fitting for cell in row]
        share = sum(bool(cell) and is_number(cell) for cell in cells) / max(len(cells), 1)
        scores[delimiter] = len(fitting) / max(len(body), 1) * (0.01 + share)
    if not scores and _is_aligned(aligned := "\n".join(map(str.strip, text.splitlines()))):
        return " ", aligned + "\n"
    return (max(scores, key=lambda d: scores[d]) if scores else ","), text


def name_rows(header: list[str], rows: Sequence[Sequence[str]]) -> None:
    """Give the first column an empty name where all rows have one cell more, as R's write.table leaves it."""
    if rows and all(len(row) == len(header) + 1 for row in rows):
        header.insert(0, "")


def _is_aligned(text: str) -> bool:
    """Whether lines are cells parted by spaces: as many in each, and most of them numbers."""
    rows = _sample(text, " ")
    header, body = (rows[0], rows[1:]) if rows else ([], [])
    fitting = [row for row in body if len(row) - len(header) in (0, 1)]
    cells = [cell for row in fitting for cell in row]
    numbers = sum(map(is_number, cells))
    return len(header) > 1 and 0 < len(body) <= 1.25 * len(fitting) and 3 * numbers >= len(cells)


def _without_tex(text: str) -> str:
    """The rows of a LaTeX table, one a line, or nothing where there is none; other lines become empty."""
    lines = [line.strip() for line in text.splitlines()]
    rows = [line.partition("\\\\")[0].strip() if "&" in line and "\\\\" in line else "" for line in lines]
    if sum(map(bool, rows)) < 3:
        return ""
    return "\n".join("&".join(strip_tex(cell) for cell in row.split("&")) for row in rows) + "\n"


def _sample(text: str, delimiter: str) -> list[list[str]]:
    rows: list[list[str]] = []
    try:
        for row in csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=True):
            if any(row):
                rows.append(row)
            if len(rows) > _SAMPLE:
                break
    except csv.Error:
        pass  # a cell beyond csv's limit of length, under a delimiter that may be the wrong one
    return rows
