"""What a report tabulates: forecasts, laws, approaches, other choices, parameters, optima and counts."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from analysis.fitting.fit import Fit, FitError
from analysis.forecast.findings import Findings
from analysis.forecast.select import Ensemble
from analysis.report.formats import Cell, Table
from analysis.report.style import say
from analysis.table import RunTable


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
        for fit in part.fits:
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


def approach_table(findings: Mapping[str, Findings]) -> Table:
    """Chinchilla's three approaches at ten times the largest compute, and what following each would waste."""
    rows: list[tuple[Cell, ...]] = []
    for part in findings.values():
        if part.approaches is not None:
            for row in part.approaches.table.to_dict(orient="records"):
                numbers = tuple(row[name] for name in ("a", "a_lo", "a_hi", "N", "D"))
                rows.append((part.label, f"{row['approach']} {row['name']}", *numbers, 100 * row["regret"]))
    header = ("part", "approach", "a", "a from", "a to", "N", "D", "wasted %")
    note = (
        "N, D: advised at ten times the largest compute; best N grows as compute to the power a. Wasted: "
        "share of that compute lost by following the advice, if the first law is true (approach 3 does). "
        "Source: Hoffmann et al. 2022, sections 3.1 to 3.3; Czech et al. 2026 for the waste."
    )
    return Table("approaches", "Chinchilla's three approaches", header, tuple(rows), note)


def sensitivity_table(findings: Mapping[str, Findings]) -> Table:
    """The first law of each part, refitted under every other reasonable choice."""
    rows: list[tuple[Cell, ...]] = []
    for part in findings.values():
        if part.sensitivity is not None:
            for row in part.sensitivity.to_dict(orient="records"):
                numbers = tuple(row.get(name) for name in ("E", "alpha", "beta", "a", "N*", "L*"))
                rms = None if row["reason"] else 100 * row["rms"]
                rows.append((part.label, row["kind"], row["what"], row["runs"], *numbers, rms, row["reason"]))
    header = ("part", "choice", "what", "runs", "E", "alpha", "beta", "a", "N*", "L*", "rms %", "not fitted")
    note = (
        "N*, L*: best size and loss at ten times the largest compute. A conclusion that moves with a row of "
        "this table rests on that choice."
    )
    return Table("sensitivity", "Other choices", header, tuple(rows), note)


def parameter_table(findings: Mapping[str, Findings]) -> Table:
    """Every parameter of every surface and power law with its interval."""
    rows: list[tuple[Cell, ...]] = []
    for part in findings.values():
        named = [(fit.name, fit) for fit in part.fits]
        named += [(f"along {s.axis} {s.where}", s.fit) for s in part.slices]
        for name, fit in named:
            for parameter, value in fit.law.parameters.items():
                low, high = _interval(fit, parameter)
                rows.append((part.label, name, parameter, value, low, high))
    header = ("part", "law", "parameter", "value", "low", "high")
    note = "Low, high: bootstrap over trunks; empty where all runs are of one trunk, or do not bound it."
    return Table("parameters", "Parameters", header, tuple(rows), note)


def optimum_table(findings: Mapping[str, Findings]) -> Table:
    """Best N, D and loss at the largest measured compute, ten and a hundred times it; also over all forms."""
    rows: list[tuple[Cell, ...]] = []
    for part in findings.values():
        if not part.fits:
            continue
        largest = float(part.runs["flops_6nd"].max())
        bases: list[Fit | Ensemble] = [part.fits[0], *([part.ensemble] if part.ensemble else [])]
        for times in (1, 10, 100):
            C = float(f"{largest * times:.2g}")
            rows += [(part.label, *row) for basis in bases if (row := _best(basis, C))]
    header = ("part", "law", "C", "N", "N from–to", "D", "D from–to", "D/N", "loss", "loss from–to")
    note = (
        "C = 6 N D. Intervals of one law hold the noise of the runs; those of all forms also the choice of "
        "the law, weighted by how well each forecast larger compute. Rows past the first C lie beyond what "
        "was measured."
    )
    return Table("optimum", "Best use of a compute budget", header, tuple(rows), note)


def counts_table(table: RunTable) -> Table:
    """What became of every run."""
    meaning = {
        "used": "finished, believed, in the table",
        "quarantined": "damaged, unreadable or in wrong units; reasons below",
        "diverged": "loss became NaN or infinite; a result, never a number in a fit",
        "failed": "the last try left an error; can be run again",
        "missing": "planned, nothing there yet",
        "checkpoints": "earlier rows of a run whose last row is used",
        "left out": "by --where or --drop",
    }
    counts: Mapping[str, int] = table.counts
    rows = tuple((name, int(number), meaning.get(name, "")) for name, number in counts.items())
    return Table("counts", "Runs", ("runs", "number", "meaning"), rows)


def _interval(fit: Fit, parameter: str) -> tuple[float | None, float | None]:
    try:
        return fit.interval(lambda law: float(law.parameters[parameter]))
    except FitError:
        return None, None


def _best(basis: Fit | Ensemble, C: float) -> tuple[Cell, ...] | None:
    """Optimum and intervals at C; None where a law has no finite one."""

    def log_of(name: str) -> Callable[[Any], float]:
        return lambda law: math.log(getattr(law.optimum(C=C), name))

    try:
        if isinstance(basis, Fit):
            N, D, loss = (math.exp(log_of(name)(basis.law)) for name in ("N", "D", "loss"))
        else:
            N, D, loss = (math.exp(basis.predict(log_of(name))) for name in ("N", "D", "loss"))
    except (ValueError, ZeroDivisionError):  # an optimum at a limit, or of no law
        return None
    spans = []
    for name, words in (("N", say), ("D", say), ("loss", "{:#.4g}".format)):
        try:
            low, high = basis.interval(log_of(name))
            spans.append(f"{words(math.exp(low))}–{words(math.exp(high))}")
        except FitError:
            spans.append("not bounded")
    called = basis.name if isinstance(basis, Fit) else "all forms"
    return called, C, N, spans[0], D, spans[1], D / N, loss, spans[2]
