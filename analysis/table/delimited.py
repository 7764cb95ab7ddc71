"""CSV, TSV and their relatives to rows of cells. A line that does not fit is set aside, counted."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from analysis.table.columns import SHARES, is_known
from analysis.table.delimiters import WITHOUT_EMPTY_CELLS, choose_delimiter, name_rows, skip_preamble
from analysis.table.headers import count_header_rows, is_index_row, name_columns, names_columns
from analysis.table.nested import flatten_objects
from analysis.table.numbers import is_number, shorten
from analysis.table.raw import Raw, refuse_long_lines, refuse_repeated_names, refuse_too_many_cells
from analysis.table.wide import unpivot_chart

_SAMPLE = 200  # rows that are looked at for names of quantities
_RULE = re.compile(r":?-+:?")  # between header and rows of a Markdown table
_INVISIBLE = str.maketrans({"\u00a0": " ", "\u202f": " ", "\ufeff": "", "\u200b": "", "\u200e": ""})
_TITLES = 5  # lines above a header that may name the table


@dataclass
class _Line:
    label: str
    cells: list[str]


def read_delimited(source: str, text: str) -> tuple[Raw, str]:
    """Rows of a delimited text, and its delimiter.

    The delimiter is the one under which the rows have as many cells as the header, and most of them numbers:
    a comma in a header or in a number decides nothing. Cells may be parted by spaces too, or be LaTeX's.
    Comments (`#`), blank lines and an Excel `sep=;` line are skipped; a header of several rows is joined; a
    W&B chart becomes one row per run and step.

    Raises:
        ValueError: text that is not delimited, or two columns of one name.
    """
    raw = Raw(source, {}, [])
    refuse_long_lines(source, text)
    skipped, delimiter, comments, body = skip_preamble(text)
    if not delimiter:
        delimiter, body = choose_delimiter(body)
    lines = list(_parse(source, body, delimiter, skipped))
    lines = [line for line in lines if not all(cell == "" or _RULE.fullmatch(cell) for cell in line.cells)]
    _restore_commented_header(comments, delimiter, lines)
    if not lines:
        return raw, delimiter
    if delimiter in WITHOUT_EMPTY_CELLS:
        name_rows(lines[0].cells, [line.cells for line in lines[1:]])
    _trim_empty_ends(lines)
    _drop_titles(raw, lines)
    _refuse_transposed(source, lines)
    header, lines = _split_header(raw, lines, body)
    refuse_repeated_names(source, header)
    lines = _check_lines(raw, header, lines)
    if lines and not text.endswith(("\n", "\r")):
        _check_end(raw, lines, text)
    raw.labels = [line.label for line in lines]
    raw.columns = {name: [line.cells[j] for line in lines] for j, name in enumerate(header)}
    _drop_unnamed(raw)
    flatten_objects(raw)
    return unpivot_chart(raw), delimiter


def _parse(source: str, text: str, delimiter: str, skipped: int) -> Iterator[_Line]:
    reader = csv.reader(
        io.StringIO(text, newline=""), delimiter=delimiter, strict=True, skipinitialspace=True
    )
    before = cells = 0
    try:
        for row in reader:
            cells += len(row)
            refuse_too_many_cells(source, len(row), max(1, cells // max(1, len(row))))
            first, last = skipped + before + 1, skipped + reader.line_num
            before = reader.line_num
            label = f"line {last}" if first == last else f"lines {first}–{last}"
            yield _Line(label, [cell.translate(_INVISIBLE).strip() for cell in row])
    except csv.Error as error:
        raise ValueError(f"{source}, line {skipped + reader.line_num}: not CSV: {error}.") from error


def _restore_commented_header(comments: Sequence[str], delimiter: str, lines: list[_Line]) -> None:
    """Take the last comment as the header where it is one.

    NumPy's savetxt writes `# params,tokens`, above rows of numbers; `#,params,tokens` calls an index `#`.
    """
    if not comments or not lines:
        return
    index = None if delimiter == " " else re.match(rf"#\s*{re.escape(delimiter)}", comments[-1])
    if not index and not all(map(is_number, filter(None, lines[0].cells))):
        return
    text = comments[-1] if index else comments[-1].lstrip("# \t")
    header = [name.strip() for name in next(csv.reader([text], delimiter=delimiter, skipinitialspace=True))]
    if len(header) == len(lines[0].cells) and not (index and set(header[1:]) == {""}):
        lines.insert(0, _Line("header", header))


def _trim_empty_ends(lines: list[_Line]) -> None:
    """Drop the empty cell that delimiters at the ends of all lines make."""
    for end in (-1, 0):
        longest = max(len(line.cells) for line in lines[1:]) if len(lines) > 1 else len(lines[0].cells)
        body = [line for line in lines[1:] if len(line.cells) == longest]
        if longest < 2 or any(line.cells[end] for line in body):
            continue
        header = lines[0].cells
        closed = len(header) == longest and not header[end]
        # Only the rows end with a delimiter: all of them have one empty cell more than the header has names.
        if closed or (end == -1 and len(header) == longest - 1 and len(body) == len(lines) - 1):
            for line in lines if closed else body:
                if len(line.cells) == longest:
                    del line.cells[end]


def _drop_titles(raw: Raw, lines: list[_Line]) -> None:
    """Leave out lines of one cell above a header: the name of the table, its date, a remark."""
    while len(lines) > 2 and _is_title(lines):
        raw.notes.append(f"left out: {lines[0].label}, a title: {shorten(lines[0].cells[0])}")
        del lines[0]


def _is_title(lines: Sequence[_Line]) -> bool:
    """Whether the first line is no header: one cell, or a phrase and one more, over a full row of names."""
    first = lines[0].cells
    filled = sum(map(bool, first))
    wide = [line.cells for line in lines[1 : 1 + _TITLES] if sum(map(bool, line.cells)) > 1][:2]
    if not first[0] or len(wide) < 2:
        return False
    if filled == 2 and len(first) > 3:  # `Sweep of November,,by Ada,` over names that need no level above
        names = wide[0]
        apart = all(names) and len(set(names)) == len(names)
        return apart and " " in first[0] and sum(map(is_known, names)) > 1
    many = wide[0] is lines[1].cells or any(map(is_number, wide[1]))
    index = len(first) > 1 and lines[2].cells is wide[0] and any(map(is_number, wide[0]))
    return filled == 1 and many and not (index and is_index_row(lines[1].cells, [first]))


def _refuse_transposed(source: str, lines: Sequence[_Line]) -> None:
    """Refuse a table whose rows are quantities and whose columns are runs.

    Raises:
        ValueError: with what to do.
    """
    first = [line.cells[0] for line in lines[:_SAMPLE]]
    named = [name for name in first if is_known(name) and name not in SHARES]  # r1, r2 … name runs, too
    if len(named) > 1 and not any(is_known(name) for name in lines[0].cells[1:]):
        raise ValueError(
            f"{source}: the quantities ({', '.join(map(repr, named[:4]))}) stand in the first column, so "
            "each run is a column; transpose the table, for example with DataFrame.T in pandas."
        )


def _split_header(raw: Raw, lines: list[_Line], text: str) -> tuple[list[str], list[_Line]]:
    rows = [line.cells for line in lines]
    levels = count_header_rows(rows)
    index = None
    start = levels
    if levels > 1:
        if levels < len(rows) and is_index_row(rows[levels], rows[:levels]):
            index, start = rows[levels], levels + 1
        elif _blank_line_after(text, levels):
            index = []
    header = name_columns(rows[:levels], index)
    if levels > 1:
        joined = ", ".join(header[:6]) + (", …" if len(header) > 6 else "")
        raw.notes.append(f"the first {levels} lines are a header of {levels} levels, joined to {joined}")
    return header, lines[start:]


def _blank_line_after(text: str, levels: int) -> bool:
    """Whether a row of delimiters alone follows the header: pandas' line for an index without a name."""
    lines = text.splitlines()[: levels + 1]
    return len(lines) > levels and bool(lines[levels]) and not lines[levels].strip(",;\t| ")


def _check_lines(raw: Raw, header: list[str], lines: list[_Line]) -> list[_Line]:
    """Lines that are rows; comments and repeated headers are noted, others that do not fit are set aside."""
    comments = {id(line): len(line.cells) == len(header) > 1 for line in lines if line.cells[0][:1] == "#"}
    if 2 * sum(comments.values()) > len(lines):  # a column of colours, say
        comments = {key: False for key, like_row in comments.items() if not like_row}
    left_out: list[str] = []
    good: list[_Line] = []
    order: list[int] | None = None  # of the header, in the rows below one that turns it round
    names = {name for name in header if name and not is_number(name)}
    for line in lines:
        if id(line) in comments:
            if comments[id(line)]:
                left_out.append(f"{line.label} is a comment that looks like a row")
        elif not names.isdisjoint(line.cells) and sorted(line.cells) == sorted(header):
            order = None if line.cells == header else [line.cells.index(name) for name in header]
            if order is None:
                left_out.append(f"{line.label} repeats the header")
            else:
                raw.notes.append(
                    f"{line.label} is a header in another order; the rows below it are read in that order"
                )
        elif not names.isdisjoint(line.cells) and names_columns(line.cells, names):
            raise ValueError(
                f"{raw.source}, {line.label}: the header of another table; put each table into its own file."
            )
        elif len(line.cells) != len(header):
            raw.set_aside(line.label, f"{len(line.cells)} cells where the header has {len(header)}")
        elif any("\0" in cell for cell in line.cells):
            raw.set_aside(line.label, "holds a NUL character: the file is damaged")
        else:
            good.append(_Line(line.label, [line.cells[j] for j in order]) if order else line)
    if left_out:
        more = f" and {len(left_out) - 5} more" if len(left_out) > 5 else ""
        raw.notes.append(f"left out: {'; '.join(left_out[:5])}{more}")
    return good


def _check_end(raw: Raw, lines: list[_Line], text: str) -> None:
    """Judge the last row of a text without a newline at its end: exported so, or cut short?

    A closing quote says that the cell is complete. Otherwise it is taken as complete unless it looks like the
    beginning of a longer one: the first digits of another of its column, or shorter than all others and seen
    nowhere else; or no number in a column of numbers.
    """
    last = lines[-1]
    if last.label.rpartition("–")[2].split()[-1] != str(_count_lines(text)):
        return  # what the text ends with is set aside already
    cell, others = last.cells[-1], [line.cells[-1] for line in lines[:-1]]
    numbers = sum(map(is_number, others[-50:])) > len(others[-50:]) / 2
    begins = any(other != cell and other.startswith(cell) for other in others)
    alone = cell not in others and len(others) > 1
    if numbers:
        cut = not is_number(cell) or begins or (alone and all(len(cell) < len(other) for other in others))
    else:
        cut = alone and begins
    if cut and not text.endswith('"'):
        lines.pop()
        raw.set_aside(
            last.label,
            f"the file ends without a newline, as a file cut short does, and {cell!r} may have lost its end; "
            "add a newline if it is complete",
        )
    else:
        raw.notes.append(
            f"the file ends without a newline; its last row, {last.label}, looks whole and is read"
        )


def _count_lines(text: str) -> int:
    return sum(1 for _ in io.StringIO(text, newline=""))


def _drop_unnamed(raw: Raw) -> None:
    """Drop columns that have neither a name nor a cell."""
    for name in [n for n in raw.columns if not n or n.startswith("Unnamed: ")]:
        if raw.labels and not any(raw.columns[name]):
            del raw.columns[name]
