"""What `import analysis` offers: fit, forecast, compare and report a table of runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from analysis.fitting.bootstrap.replicates import Bootstrap
from analysis.fitting.runs import Runs
from analysis.forecast.advise import Advice, advise_runs
from analysis.forecast.findings import Findings, Question, columns_of, fit_study
from analysis.forecast.predict import RunForecast, forecast_table
from analysis.report.write import write_report
from analysis.sweeps.compare import Comparison, compare_arms
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
        holdout: fraction or number of the runs of largest compute, which each law forecasts unseen.
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
        compute: a budget [FLOP], for the best N and D and the loss there; or the C of a frontier.
        at: inputs of the law by letter, e.g. {"N": 1e9, "D": 2e10}.

    Raises:
        ValueError: unless compute or at asks a complete question.
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
    by: str | Sequence[str] = "family",
    baseline: str | None = None,
    *,
    at: float | Sequence[float] = (),
    per: str = "compute",
    floor: float | None = None,
    resamples: int = 400,
    seed: int = 0,
    level: float = 0.95,
) -> Comparison:
    """Compare the arms that differ in some columns: how much compute does each save over the baseline?

    Args:
        by: these columns; every other setting must be the same in all arms.
        baseline: value of the column, by default that of the first run.
        at: the computes to project to [FLOP]; by default ten times the largest.
        per: compute, or time where throughputs are recorded.
        floor: E [nats/token], where it is to be pinned.

    Raises:
        ValueError: for a column that is absent or has one value, or arms that differ elsewhere.
        FitError: for arms that share neither three budgets nor a grid of N and D.

    Example:
        >>> print(compare("runs/muon", by="optimizer", baseline="adamw", at=1e21))
    """
    names = [by] if isinstance(by, str) else list(by)
    targets = [at] if isinstance(at, int | float) else list(at)
    return compare_arms(
        _table(runs),
        names,
        baseline,
        at=targets,
        per=per,
        floor=floor,
        resamples=resamples,
        seed=seed,
        level=level,
    )


def advise(
    runs: Table,
    *,
    compute: float,
    spend: float | None = None,
    trunks: Mapping[float, float] | None = None,
    tolerance: float = 0.005,
    resamples: int = 200,
    seed: int = 0,
    level: float = 0.95,
) -> Advice:
    """Choose the runs to train next, by the expected reduction of waste per FLOP at a target.

    Args:
        compute: budget 6 N D [FLOP] whose best size is wanted.
        spend: FLOPs for all these runs together; by default a quarter of what the table's largest took.
        trunks: size → tokens up to which a constant-rate trunk of it can be resumed, at the price of what is
            added.
        tolerance: the expected waste, as a share of the target's compute, at which to stop.

    Raises:
        ValueError: for a table of several recipes.
        FitError: for runs that determine no law of N and D.

    Example:
        >>> print(advise("runs/muon", compute=1e15, spend=4e12))
    """
    parts = split_comparable(_table(runs))
    if len(parts) > 1:
        raise ValueError(f"advice is for one recipe; the table has {', '.join(map(repr, parts))}.")
    found = Runs.of_table(next(iter(parts.values())), ("N", "D"))
    return advise_runs(
        found,
        compute,
        spend,
        trunks=trunks,
        tolerance=tolerance,
        resamples=resamples,
        seed=seed,
        level=level,
    )


def report(
    runs: Table, out: str | Path = "report", fits: Mapping[str, Findings] | None = None
) -> dict[str, Path]:
    """Write one HTML page, the same as Markdown, LaTeX and CSV, and every figure; file name → path."""
    source = runs if isinstance(runs, str | Path | RunTable) else _table(runs)
    return write_report(source, fits, out)


def _table(runs: Table) -> RunTable:
    return runs if isinstance(runs, RunTable) else load_runs(runs)
