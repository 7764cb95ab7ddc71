"""A table as a value, and as Markdown, LaTeX (booktabs) and CSV that no text in it can break out of."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd

from analysis.report.style import say, say_flops

Cell = str | float | int | bool | None


@dataclass(frozen=True)
class Table:
    """Cells keep their values: CSV writes them in full, the other formats as one says them."""

    name: str  # also the file name
    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    note: str = ""

    @cached_property
    def numeric(self) -> list[bool]:
        """Which columns hold numbers and nothing else. A page asks at every row."""
        return [not _is_text(self, j) for j in range(len(self.header))]

    def shown(self) -> list[list[str]]:
        """The cells as text for people, by what their column holds."""
        return [[_show(name, cell) for name, cell in zip(self.header, row, strict=True)] for row in self.rows]


def to_markdown(table: Table) -> str:
    """A pipe table under a heading."""
    lines = [f"### {escape_markdown(table.title)}", ""]
    lines.append("| " + " | ".join(map(escape_markdown, table.header)) + " |")
    lines.append(
        "|" + "|".join(":--" if _is_text(table, j) else "--:" for j in range(len(table.header))) + "|"
    )
    lines += ["| " + " | ".join(map(escape_markdown, row)) + " |" for row in table.shown()]
    if table.note:
        lines += ["", escape_markdown(table.note)]
    return "\n".join(lines) + "\n"


def to_latex(table: Table) -> str:
    r"""A booktabs table; needs \usepackage{booktabs}."""
    columns = "".join("l" if _is_text(table, j) else "r" for j in range(len(table.header)))
    lines = [r"\begin{table}", r"\centering", rf"\caption{{{escape_latex(table.title)}}}"]
    lines += [rf"\label{{tab:{table.name}}}", rf"\begin{{tabular}}{{{columns}}}", r"\toprule"]
    lines += [" & ".join(map(escape_latex, table.header)) + r" \\", r"\midrule"]
    lines += [" & ".join(map(escape_latex, row)) + r" \\" for row in table.shown()]
    lines += [r"\bottomrule", r"\end{tabular}"]
    if table.note:
        lines.append(rf"\par\smallskip\footnotesize {escape_latex(table.note)}")
    return "\n".join([*lines, r"\end{table}"]) + "\n"


def to_csv(header: Sequence[str], rows: Sequence[Sequence[Cell]]) -> str:
    """CSV with numbers in full, and text that a spreadsheet cannot take for a formula."""
    return _csv([plain_text(name) for name in header], ([_csv_cell(cell) for cell in row] for row in rows))


def frame_to_csv(frame: pd.DataFrame) -> str:
    """A whole table of runs as CSV."""
    columns = [[_csv_cell(cell) for cell in frame[name].tolist()] for name in frame.columns]
    return _csv([plain_text(str(name)) for name in frame.columns], zip(*columns, strict=True))


def _csv(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    # Python before 3.13 quotes what the line ends with and no other: a lone CR would begin a new row.
    lines: list[str] = []
    sink = SimpleNamespace(write=lambda line: lines.append(line.removesuffix("\r\n") + "\n"))
    csv.writer(sink, lineterminator="\r\n").writerows([header, *rows])
    return "".join(lines)


def plain_text(text: str) -> str:
    """Text for a CSV cell: with a leading ' where it would start a formula."""
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r")) else text


def escape_markdown(text: str) -> str:
    """Text that Markdown shows as it is: no markup, no HTML, no end of cell."""
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"[\r\n]+", " ", re.sub(r"([\\`*_\[\]{}|#!~])", r"\\\1", text))


def escape_latex(text: str) -> str:
    """Text that LaTeX sets as it is."""
    special = {
        "\\": r"\textbackslash{}",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        "×": r"$\times$",
        "≥": r"$\geq$",
        "…": r"\dots{}",
        "–": "--",
        "→": r"$\to$",
    } | {c: f"\\{c}" for c in "&%$#_{}"}
    return "".join(special.get(c, c) for c in re.sub(r"[\r\n]+", " ", text))


def _show(column: str, cell: Cell) -> str:
    if cell is None:
        return "–"
    if isinstance(cell, bool):
        return "yes" if cell else "no"
    if isinstance(cell, str):
        return cell
    if not np.isfinite(cell):
        return str(cell)
    if column in ("C", "flops", "flops_6nd"):
        return say_flops(float(cell))
    if column in ("N", "N*", "D", "D/N", "params", "tokens"):
        return say(float(cell))
    if column.endswith("%"):
        return f"{cell:+.2f}" if column == "error %" else f"{cell:.2g}"
    if isinstance(cell, int):
        return str(cell)
    return "0" if abs(cell) < 1e-12 else f"{cell:#.4g}".rstrip(".")


def _is_text(table: Table, j: int) -> bool:
    return any(isinstance(row[j], str | bool) for row in table.rows)


def _csv_cell(cell: Any) -> Any:
    if isinstance(cell, float):
        return repr(float(cell)) if cell == cell else ""
    if isinstance(cell, str):
        return plain_text(cell)
    if cell is None:
        return ""
    return {True: "yes", False: "no"}[cell] if isinstance(cell, bool) else cell
