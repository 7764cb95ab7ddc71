"""Tables as values, and as Markdown, LaTeX (booktabs) and CSV that no text in them can break out of."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from analysis.laws.fit import Fit, FitError
from analysis.report.findings import Findings
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

    @property
    def numeric(self) -> list[bool]:
        """Which columns hold numbers and nothing else."""
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
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow([plain_text(name) for name in header])
    writer.writerows([[_csv_cell(cell) for cell in row] for row in rows])
    return buffer.getvalue()


def frame_to_csv(frame: pd.DataFrame) -> str:
    """A whole table of runs as CSV."""
    columns = [frame[name].tolist() for name in frame.columns]
    return to_csv([str(name) for name in frame.columns], list(zip(*columns, strict=True)))


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


def forecast_table(findings: Mapping[str, Findings], *, most: int | None = None) -> Table:
    """What was forecast of every held-out run, and what was measured.

    Args:
        most: only the first law of a part, and only so many of its runs, the largest; None for all.
    """
    rows: list[tuple[Cell, ...]] = []
    columns = ("params", "tokens", "flops", "loss", "predicted", "lo", "hi", "error")
    left_out = 0
    for part in findings.values():
        for forecast in part.forecasts if most is None else part.forecasts[:1]:
            name = forecast.fit.name
            runs = forecast.table if most is None else forecast.table.tail(most)
            left_out += len(forecast.table) - len(runs)
            for N, D, C, loss, said, low, high, error in zip(
                *(runs[column].tolist() for column in columns), strict=True
            ):
                inside = bool(low <= loss <= high)
                rows.append((part.label, name, N, D, C, loss, said, low, high, 100 * error, inside))
    levels = sorted({f.fit.level for p in findings.values() for f in p.forecasts})
    level = ", ".join(f"{100 * level:g} %" for level in levels)
    header = ("part", "law", "N", "D", "C", "loss", "forecast", "low", "high", "error %", "inside")
    note = f"Low, high: {level} prediction interval of one new run. Error: forecast / measured − 1."
    if left_out:
        note += f" The largest runs; {left_out} more are in forecast.csv."
    return Table(
        "forecast", "Held-out runs of largest compute: forecast and truth", header, tuple(rows), note
    )


def fits_table(findings: Mapping[str, Findings]) -> Table:
    """One row a fitted surface: what it rests on, how it fits, how it forecast, how sure its minimum is."""
    rows: list[tuple[Cell, ...]] = []
    for part in findings.values():
        forecasts = {f.fit.name: f for f in part.forecasts}
        for fit in part.surfaces:
            forecast = forecasts.get(fit.name)
            row: tuple[Cell, ...] = (
                part.label,
                fit.name,
                fit.n_runs,
                fit.n_trunks,
                100 * fit.rms,
                100 * forecast.error if forecast else None,
                f"{forecast.covered} of {len(forecast.table)}" if forecast else "–",
                f"{fit.certificate.agree} of {fit.certificate.starts}",
                len(fit.warnings),
            )
            rows.append(row)
    header = (
        "part",
        "law",
        "runs",
        "trunks",
        "rms %",
        "forecast error %",
        "inside",
        "starts agree",
        "warnings",
    )
    note = "Rms: of the law on its own runs. Forecast error: rms relative error on the held-out runs."
    return Table("fits", "Fitted laws", header, tuple(rows), note)


def parameter_table(findings: Mapping[str, Findings]) -> Table:
    """Every parameter of every surface and power law with its interval."""
    rows: list[tuple[Cell, ...]] = []
    for part in findings.values():
        named = [(fit.name, fit) for fit in part.surfaces]
        named += [(f"along {s.axis} {s.where}", s.fit) for s in part.slices]
        for name, fit in named:
            for parameter, value in fit.law.parameters.items():
                low, high = _interval(fit, parameter)
                rows.append((part.label, name, parameter, value, low, high))
    header = ("part", "law", "parameter", "value", "low", "high")
    note = "Low, high: bootstrap over trunks; empty where all runs are of one trunk, or do not bound it."
    return Table("parameters", "Parameters", header, tuple(rows), note)


def optimum_table(findings: Mapping[str, Findings]) -> Table:
    """The first law's best N, D and loss at the largest measured compute, ten and a hundred times it."""
    rows: list[tuple[Cell, ...]] = []
    for part in findings.values():
        if not part.surfaces:
            continue
        fit, largest = part.surfaces[0], float(part.runs["flops_6nd"].max())
        for times in (1, 10, 100):
            C = float(f"{largest * times:.2g}")
            try:
                best = fit.law.optimum(C=C)
            except ValueError:
                continue
            spans = [_span(fit, C, name) for name in ("N", "D", "loss")]
            rows.append(
                (
                    part.label,
                    fit.name,
                    C,
                    best.N,
                    spans[0],
                    best.D,
                    spans[1],
                    best.D / best.N,
                    best.loss,
                    spans[2],
                )
            )
    header = ("part", "law", "C", "N", "N from–to", "D", "D from–to", "D/N", "loss", "loss from–to")
    note = (
        "C = 6 N D. Intervals hold the noise of the runs, not a wrong form of the law; rows past the first "
        "lie beyond what was measured."
    )
    return Table("optimum", "Best use of a compute budget, by the first law", header, tuple(rows), note)


def counts_table(table: pd.DataFrame) -> Table:
    """What became of every run."""
    meaning = {
        "used": "finished, believed, in the table",
        "quarantined": "damaged, unreadable or in wrong units; reasons below",
        "diverged": "loss became NaN or infinite; a result, never a number in a fit",
        "failed": "the last try left an error; can be run again",
        "missing": "planned, nothing there yet",
    }
    counts: Mapping[str, int] = table.attrs.get("counts", {"used": len(table)})
    rows = tuple((name, int(number), meaning.get(name, "")) for name, number in counts.items())
    return Table("counts", "Runs", ("runs", "number", "meaning"), rows)


def _interval(fit: Fit, parameter: str) -> tuple[float | None, float | None]:
    try:
        return fit.interval(lambda law: float(law.parameters[parameter]))
    except FitError:
        return None, None


def _span(fit: Fit, C: float, name: str) -> str:
    def value(law: Any) -> float:
        try:
            return float(getattr(law.optimum(C=C), name))
        except ValueError:  # a replicate without a finite optimum
            return float("nan")

    try:
        low, high = fit.interval(value)
    except FitError:
        return "not bounded"
    return f"{low:#.4g}–{high:#.4g}" if name == "loss" else f"{say(low)}–{say(high)}"


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
    if column in ("N", "D", "D/N", "params", "tokens"):
        return say(float(cell))
    if column.endswith("%"):
        return f"{cell:+.2f}" if column == "error %" else f"{cell:.2g}"
    return str(cell) if isinstance(cell, int) else f"{cell:#.4g}".rstrip(".")


def _is_text(table: Table, j: int) -> bool:
    return any(isinstance(row[j], str | bool) for row in table.rows)


def _csv_cell(cell: Any) -> Any:
    if cell is None or (isinstance(cell, float) and np.isnan(cell)):
        return ""
    if isinstance(cell, bool):
        return "yes" if cell else "no"
    return (
        plain_text(cell)
        if isinstance(cell, str)
        else (repr(float(cell)) if isinstance(cell, float) else cell)
    )
