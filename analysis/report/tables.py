"""The tables of a report: forecasts, laws, approaches, other choices, parameters, optima and counts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from analysis.fitting.fit import Fit, FitError
from analysis.forecast.findings import Findings
from analysis.forecast.select import Ensemble
from analysis.report.best import BestUse, best_use, largest_compute
from analysis.report.formats import Cell, Table
from analysis.report.style import say
from analysis.table import RunTable
from analysis.table.runtable import say_count

_PLACES = {"x": "x", "params": "N", "tokens": "D", "flops": "C"}  # where a held-out run lies


def forecast_table(findings: Mapping[str, Findings], *, most: int | None = None) -> Table:
    """Set the forecast of every held-out run beside its measured loss.

    Args:
        most: only the first law of a part, and only so many of its runs, the largest; None for all.
    """
    rows: list[tuple[Cell, ...]] = []
    left_out = 0
    shown = [f for p in findings.values() for f in (p.forecasts if most is None else p.forecasts[:1])]
    inputs = {key: letter for key, letter in _PLACES.items() if any(key in f.table for f in shown)}
    for part in findings.values():
        for forecast in part.forecasts if most is None else part.forecasts[:1]:
            name = forecast.fit.name
            runs = forecast.table if most is None else forecast.table.tail(most)
            left_out += len(forecast.table) - len(runs)
            for run in runs.to_dict(orient="records"):
                place = tuple(run.get(key) for key in inputs)
                losses = tuple(run[key] for key in ("loss", "predicted", "lo", "hi"))
                inside = bool(run["lo"] <= run["loss"] <= run["hi"])
                error = 100 * run["error"]
                rows.append((part.label, name, *place, *losses, error, inside, run["interval_score"]))
    levels = sorted({f.fit.level for p in findings.values() for f in p.forecasts})
    level = ", ".join(f"{100 * level:g} %" for level in levels)
    header = ("arm", "law", *inputs.values(), "loss", "forecast", "low", "high", "error %", "inside", "score")
    note = (
        f"Low, high: {level} prediction interval of one new run. Error: forecast / measured − 1. Score: the "
        "interval score, the width plus a penalty for each miss; lower is better."
    )
    if "flops" in inputs:
        note += " C: the FLOPs of the table, counted ones if it has them; budgets are given as 6 N D."
    if left_out:
        note += f" Only the largest runs are shown; forecast.csv has {left_out:,} more."
    by = shown[0].ordered_by if shown else "compute"
    title = f"Held-out runs of largest {by}: forecast and measured loss"
    return Table("forecast", title, header, tuple(rows), note)


def fits_table(findings: Mapping[str, Findings]) -> Table:
    """Give each fitted law a row: its data, its fit, its forecast, and how many starts found its minimum."""
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
                forecast.interval_score if forecast else None,
                f"{fit.certificate.agree} of {fit.certificate.starts}",
                len(fit.warnings),
            )
            rows.append(row)
    header = (
        "arm",
        "law",
        "runs",
        "trunks",
        "rms %",
        "forecast error %",
        "inside",
        "score",
        "starts agree",
        "warnings",
    )
    note = (
        "Rms: relative error of the law on the runs it was fitted to. Forecast error: rms on held-out runs. "
        "Score: mean interval score of these; lower is better. The report prints the values of the first law."
    )
    return Table("fits", "Fitted laws", header, tuple(rows), note)


def approach_table(findings: Mapping[str, Findings]) -> Table:
    """Compare the three approaches at ten times the largest compute, and what following each would waste."""
    rows: list[tuple[Cell, ...]] = []
    for part in findings.values():
        if part.approaches is not None:
            for row in part.approaches.table.to_dict(orient="records"):
                numbers = tuple(row[name] for name in ("a", "a_lo", "a_hi", "N", "D"))
                rows.append((part.label, f"{row['approach']} {row['name']}", *numbers, 100 * row["regret"]))
    header = ("arm", "approach", "a", "a from", "a to", "N", "D", "wasted %")
    note = (
        "N, D: advice for ten times the largest compute; best N grows as compute to the power a. Wasted: "
        "share of that compute lost by following the advice if the first law is true, as approach 3 assumes. "
        "Source: Hoffmann et al. 2022, sections 3.1 to 3.3; Czech et al. 2026 for the waste."
    )
    return Table("approaches", "Approaches to the best size", header, tuple(rows), note)


def sensitivity_table(findings: Mapping[str, Findings]) -> Table:
    """Refit the first law of each part under every other reasonable choice."""
    rows: list[tuple[Cell, ...]] = []
    made = [part.sensitivity for part in findings.values() if part.sensitivity is not None]
    asked = ("E", "alpha", "beta", "a", "N*", "L*")
    names = [name for name in asked if any(name in each and each[name].notna().any() for each in made)]
    for part in findings.values():
        if part.sensitivity is not None:
            for row in part.sensitivity.to_dict(orient="records"):
                numbers = tuple(row.get(name) for name in names)
                rms = None if row["reason"] else 100 * row["rms"]
                rows.append((part.label, row["kind"], row["what"], row["runs"], *numbers, rms, row["reason"]))
    header = ("arm", "choice", "what", "runs", *names, "rms %", "not fitted")
    note = "A conclusion that changes from row to row depends on that choice."
    if "N*" in names:
        note = f"N*, L*: best size and loss at ten times the largest compute. {note}"
    return Table("sensitivity", "Other choices", header, tuple(rows), note)


def parameter_table(findings: Mapping[str, Findings]) -> Table:
    """List every parameter of every law with its interval."""
    rows: list[tuple[Cell, ...]] = []
    for part in findings.values():
        named = [(fit.name, fit) for fit in part.fits]
        named += [(f"along {s.axis} {s.where}", s.fit) for s in part.slices]
        for name, fit in named:
            for parameter, value in fit.law.parameters.items():
                low, high = fit.intervals[parameter] or (None, None)
                rows.append((part.label, name, parameter, value, low, high))
    header = ("arm", "law", "parameter", "value", "low", "high")
    note = (
        "Low, high: bootstrap over trunks; empty for a law that was passed over, where there is one trunk, "
        "and where nothing bounds the parameter."
    )
    return Table("parameters", "Parameters", header, tuple(rows), note)


def optimum_table(findings: Mapping[str, Findings]) -> Table:
    """Give the best N, D and loss at 1, 10 and 100 times the largest compute."""
    rows: list[tuple[Cell, ...]] = []
    for part in findings.values():
        if not part.fits or "flops_6nd" not in part.runs:
            continue
        bases: list[Fit | Ensemble] = [part.fits[0], *([part.ensemble] if part.ensemble else [])]
        for C in budgets_of(part):
            rows += [(part.label, *best_row(found)) for basis in bases if (found := best_use(basis, C))]
    header = ("arm", "law", "C", "N", "N from–to", "D", "D from–to", "D/N", "loss", "loss from–to")
    note = (
        "C = 6 N D. The intervals of one law cover the noise of the runs; those of all forms also cover the "
        "choice of law, weighted by how well each forecast larger compute. No run had more than the first C."
    )
    return Table("optimum", "Best use of a compute budget", header, tuple(rows), note)


def budgets_of(part: Findings) -> list[float]:
    """1, 10 and 100 times the largest compute, in two digits [FLOP]."""
    return [float(f"{largest_compute(part) * times:.2g}") for times in (1, 10, 100)]


def counts_table(table: RunTable) -> Table:
    """Count the runs by what became of them."""
    meaning = {
        "used": "finished and in the table",
        "quarantined": "damaged, unreadable or in wrong units; the reasons are listed below",
        "diverged": "the loss became NaN or infinite; reported, never fitted",
        "failed": "the last attempt ended in an error; can be run again",
        "missing": "planned, not started yet",
        "checkpoints": "earlier rows of a run whose last row is used",
        "left out": "excluded by --where or --drop",
    }
    counts: Mapping[str, int] = table.counts
    rows = tuple((say_count(name), int(number), meaning.get(name, "")) for name, number in counts.items())
    return Table("counts", "Runs", ("runs", "number", "meaning"), rows)


def reach_table(findings: Mapping[str, Findings]) -> Table:
    """Predict the loss of laws of one input at 1, 10 and 100 times the largest run."""
    rows: list[tuple[Cell, ...]] = []
    for part in findings.values():
        for fit in part.fits:
            if len(fit.law.inputs) > 1:
                continue
            name = fit.law.inputs[0]
            largest = float(fit.runs.inputs[name].max())
            for x in (largest * times for times in (1, 10, 100)):
                at = {name: x}
                low, high = _interval(fit, lambda law, at=at: float(law(**at)))  # type: ignore[misc]
                rows.append((part.label, fit.name, x, float(fit.law(**at)), low, high))
    header = ("arm", "law", "at", "loss", "low", "high")
    note = (
        "At: 1, 10 and 100 times the largest input of the runs. The interval covers the noise of the runs, "
        "not the choice of the law."
    )
    return Table("reach", "Loss beyond the runs", header, tuple(rows), note)


def _interval(fit: Fit, quantity: Callable[[Any], float]) -> tuple[float | None, float | None]:
    try:
        return fit.interval(quantity)
    except FitError:
        return None, None


def best_row(found: BestUse) -> tuple[Cell, ...]:
    """Law, C, and the best N, D and loss, each with its interval in words."""
    value = found.value
    spans = [
        "not bounded" if span is None else "–".join(map(words, span))
        for span, words in ((found.N, say), (found.D, say), (found.loss, "{:#.4g}".format))
    ]
    return (
        *(found.law, found.C, value.N, spans[0]),
        *(value.D, spans[1], value.D / value.N, value.loss, spans[2]),
    )
