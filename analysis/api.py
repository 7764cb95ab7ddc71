"""What `import analysis` offers: fit, forecast, compare and report a table of runs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from analysis.fitting.bootstrap.replicates import Bootstrap
from analysis.forecast.findings import Findings, Question, columns_of, fit_study
from analysis.forecast.predict import RunForecast, forecast_table
from analysis.report.write import write_report
from analysis.sweeps.families import FamilyComparison, compare_families
from analysis.table import RunTable, load_runs, split_comparable

Table = RunTable | pd.DataFrame | str | Path


class Fits(dict[str, Findings]):
    """Label of each arm → its findings; printed as laws with intervals and warnings."""

    def __str__(self) -> str:
        blocks = []
        for part in self.values():
            lines = [f"{part.label}, {len(part.runs)} runs", *map(str, part.forecasts), *map(str, part.fits)]
            blocks.append("\n".join([*lines, *(f"not fitted: {reason}" for reason in part.refusals)]))
        return "\n\n".join(blocks)


class Forecasts(dict[str, RunForecast]):
    """Label of each arm → its forecast."""

    def __str__(self) -> str:
        return "\n\n".join(f"{label}: {found}" for label, found in self.items())


def fit(
    runs: Table,
    *laws: str,
    fix: Mapping[str, float | str] | None = None,
    holdout: float | int = 0.25,
    resamples: int = 1000,
    seed: int = 0,
    level: float = 0.95,
) -> Fits:
    """Fit laws to every arm of a table, never one law to two arms.

    Args:
        runs: a table, or what `load_runs` reads one from.
        laws: names of laws; by default those of the registry for the columns of the table.
        fix: parameters to hold: a value, or the name of another parameter that it equals.
        holdout: fraction, or number, of runs of largest compute that each law forecasts unseen.
        resamples: bootstrap replicates.

    Raises:
        ValueError: for a law or parameter that does not exist, or a table without a usable run.

    Example:
        >>> print(fit("runs.csv", "chinchilla", fix={"E": 1.6}))
    """
    held = fix or {}
    fixed = {name: value for name, value in held.items() if not isinstance(value, str)}
    ties = tuple((name, value) for name, value in held.items() if isinstance(value, str))
    question = Question(laws, fixed, ties, holdout, Bootstrap("bayes", resamples, seed, level))
    return Fits(fit_study(_table(runs), question))


def forecast(
    runs: Table,
    *laws: str,
    compute: float | None = None,
    at: Mapping[str, float] | None = None,
    resamples: int = 1000,
    seed: int = 0,
    level: float = 0.95,
) -> Forecasts:
    """Forecast, for every arm, a run that does not exist yet.

    Args:
        compute: a budget [FLOP]: the best N and D for it, and the loss there; or the C of a frontier.
        at: inputs of the law by letter, e.g. {"N": 1e9, "D": 2e10}.

    Raises:
        ValueError: unless one of compute and at asks a whole question.
        FitError: for an arm whose runs determine no law.

    Example:
        >>> print(forecast("runs.csv", at={"N": 1e9, "D": 2e10}))
    """
    bootstrap = Bootstrap("bayes", resamples, seed, level)
    found = Forecasts()
    for label, part in split_comparable(_table(runs), columns_of(laws)).items():
        found[label], _ = forecast_table(part, laws, at=at or {}, compute=compute, bootstrap=bootstrap)
    return found


def compare(
    runs: Table,
    by: str = "family",
    baseline: str | None = None,
    *,
    resamples: int = 200,
    seed: int = 0,
    level: float = 0.95,
) -> FamilyComparison:
    """Compare the arms that a column tells apart: one floor, laws of their own, and compute multipliers.

    Raises:
        ValueError: for a column that is absent or has one value.
        FitError: for an arm with fewer than three sizes or budgets.
    """
    table = _table(runs)
    if by not in table:
        raise ValueError(f"by: the table has no column {by!r}; it has {', '.join(map(str, table.rows))}.")
    reference = str(table[by].iloc[0]) if baseline is None else baseline
    return compare_families(
        table.rows, by=by, reference=reference, resamples=resamples, seed=seed, level=level
    )


def report(
    runs: Table, out: str | Path = "report", fits: Mapping[str, Findings] | None = None
) -> dict[str, Path]:
    """Write one HTML page, the same as Markdown, LaTeX and CSV, and every figure; file name → path."""
    source = runs if isinstance(runs, str | Path | RunTable) else _table(runs)
    return write_report(source, fits, out)


def _table(runs: Table) -> RunTable:
    return runs if isinstance(runs, RunTable) else load_runs(runs)
