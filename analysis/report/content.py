"""The sentences of a report: what is known, what is not, on which data, by which conventions."""

from __future__ import annotations

import math
import platform
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import pandas as pd

from analysis.fitting.fit import Fit, FitError
from analysis.forecast.findings import Findings
from analysis.forecast.floor import STEPS, OpenFloor, open_floor
from analysis.forecast.select import Forecast
from analysis.report.style import say, say_flops
from analysis.table import RunTable

Facts = list[tuple[str, str]]
_UNITS = (
    ("flops_6nd", say_flops, " FLOP (6 N D)"),
    ("params", say, " parameters"),
    ("tokens", say, " tokens"),
    ("x", lambda x: f"x = {say(x)}", ""),
)


@dataclass(frozen=True)
class Remark:
    """A warning, once, and everything that raised it."""

    where: str
    code: str
    message: str


def known(findings: Mapping[str, Findings]) -> list[str]:
    """Return the headline: what the runs show, in plain words, the held-out forecast first."""
    lines = []
    for part in findings.values():
        sentences = [*_law_sentences(part)] or [f"No law could be fitted. {' '.join(part.refusals)}"]
        of = f"{part.label}: " if len(findings) > 1 else ""
        lines += [f"{of}{sentence}" for sentence in sentences]
    return lines


def unknown(findings: Mapping[str, Findings]) -> list[str]:
    """List what the runs cannot show."""
    parts = list(findings.values())
    largest = [
        words(max(float(part.runs[name].max()) for part in parts if name in part.runs)) + unit
        for name, words, unit in _UNITS
        if any(name in part.runs for part in parts)
    ]
    first = f"Nothing was measured above {_listed(largest, 'or')}. " if largest else ""
    lines = [
        f"{first}Beyond the largest runs, the interval of one law covers the noise of these runs, not the "
        "chance that the law has another form."
    ]
    if any(part.ensemble for part in parts):
        lines[0] += " The interval of all forms covers the choice among the laws fitted here, and no others."
    for part in parts:
        fit = part.fits[0] if part.fits else None
        if fit is None:
            continue
        of = f"{part.label}: " if len(parts) > 1 else ""
        if part.forecasts and not part.forecasts[0].holds:
            lines.append(f"{of}Larger runs cannot be forecast: {_failed_sentence(part.forecasts[0])}")
        if _is_few(fit):
            lines.append(
                f"{of}The parameters have no reliable intervals: {count(fit.n_runs, 'run')} on "
                f"{count(fit.n_trunks, 'trunk')} are too few for a law of {len(fit.theta)} parameters."
            )
        floor = open_floor(fit)
        if floor is not None:
            lines.append(f"{of}{_floor_sentence(floor)}")
    if not any(_repeats(part.runs) for part in parts):
        lines.append("Every cell was trained once, so the spread between seeds was not measured.")
    return lines


def data_facts(table: RunTable) -> Facts:
    """Return where the numbers come from."""
    facts: Facts = [("Source", table.source)]
    for name, column in (
        ("Data", "data"),
        ("Data fingerprint", "data_fingerprint"),
        ("Objective", "objective"),
        ("Family", "family"),
        ("Vocabulary", "vocab"),
        ("Context", "context"),
        ("Schedule", "schedule"),
        ("Device", "device"),
        ("Precision", "precision"),
    ):
        facts.append((name, distinct(table, column)))
    for name, column in (
        ("N", "params"),
        ("D", "tokens"),
        ("C", "flops"),
        ("Loss", "loss"),
        ("Learning rate", "learning_rate"),
    ):
        facts.append((name, span(table, column)))
    facts.append(("Trunks", f"{table['trunk_id'].nunique():,}, with {count(len(table), 'run')}"))
    facts.append(("Hash of the rows used", table.data_hash))
    if table.columns:
        facts.append(
            ("Columns read from", ", ".join(f"{ours} ← {theirs}" for ours, theirs in table.columns.items()))
        )
    return facts


def conventions(table: RunTable) -> Facts:
    """Return what N, D, C and L mean here, and how far other conventions differ."""
    meanings = {
        "params": ("N", "non-embedding parameters (Kaplan et al. 2020). Every law here is in this N."),
        "tokens": ("D", "training tokens seen, repeats included."),
        "flops": (
            "C",
            "3 × counted forward FLOPs, a multiply-add as 2. Held-out runs are the largest by this C.",
        ),
        "loss": ("L", "held-out, nats per predicted token. Never training loss."),
    }
    facts = [(letter, f"{name}: {text}") for name, (letter, text) in meanings.items() if name in table]
    ratios = [
        ("params_matmul", "params", "N with the output layer"),
        ("params_total", "params", "N with all parameters (Hoffmann et al. 2022)"),
        ("flops", "flops_6nd", "counted C over 6 N D"),
    ]
    for top, bottom, words in ratios:
        if table.has_numbers(top) and table.has_numbers(bottom):
            ratio = table[top] / table[bottom]
            facts.append((words, f"{ratio.min():.3g} to {ratio.max():.3g} times {bottom}"))
        else:
            facts.append((words, "not stated"))
    return facts


def warnings_of(table: RunTable, findings: Mapping[str, Findings]) -> list[Remark]:
    """List every warning of the table and of every fit, and every fit that was refused; each message once."""
    found: dict[tuple[str, str], list[str]] = {}
    tables = [table, *(part.table for part in findings.values())]
    for message in dict.fromkeys(m for each in tables for m in each.warnings):
        found.setdefault(("table", message), []).append("table")
    for part in findings.values():
        for reason in part.refusals:
            found.setdefault(("refused", reason), []).append(part.label)
        fits = [(fit.name, fit) for fit in part.fits]
        fits += [(f"{f.fit.name} without the held-out runs", f.fit) for f in part.forecasts]
        fits += [(f"power law along {s.axis}, {s.where}", s.fit) for s in part.slices]
        for name, fit in fits:
            for warning in fit.warnings:
                found.setdefault((warning.code, warning.message), []).append(f"{part.label}, {name}")
    return [Remark("; ".join(places), code, message) for (code, message), places in found.items()]


def versions() -> str:
    """Return the versions of what computed this report."""
    packages = ("scaling-harness", "numpy", "scipy", "pandas", "matplotlib")
    return ", ".join([f"Python {platform.python_version()}", *map(_version, packages)])


def _version(package: str) -> str:
    try:
        return f"{package} {version(package)}"
    except PackageNotFoundError:  # a bare checkout on the path
        return f"{package} (not installed)"


def _law_sentences(part: Findings) -> Iterator[str]:
    if part.forecasts and part.forecasts[0].holds:
        yield _forecast_sentence(part.forecasts)
    if not part.fits:
        return
    fit = part.fits[0]
    if part.forecasts and not part.forecasts[0].holds:
        yield (
            f"The {fit.name} law fits its {count(fit.n_runs, 'run')} with an rms error of "
            f"{100 * fit.rms:.2g} %; its forecast of the held-out runs failed, see below."
            + (" Rolling forecasts within all runs chose the law." if len(part.forecasts) > 1 else "")
        )
    if not part.forecasts:
        yield (
            f"The {fit.name} law fits its {count(fit.n_runs, 'run')} with an rms error of "
            f"{100 * fit.rms:.2g} %. No run was held out, so this does not measure how well it forecasts."
        )
    share = _interval(fit, lambda law: law.growth)
    if share and math.isclose(*share, rel_tol=1e-9):
        yield (
            f"That the best model size grows as compute to the power {share[0]:.3g} is the form of the "
            f"{fit.name} law; these runs did not measure it."
        )
    elif share and not _is_few(fit):
        digits = 2 if share[1] - share[0] > 0.02 else 4
        between = "–".join(f"{end:.{digits}f}" for end in share)
        yield (
            f"The best model size grows as compute to the power {between} "
            f"({100 * fit.level:g} % interval of the {fit.name} law)."
        )


def _forecast_sentence(forecasts: tuple[Forecast, ...]) -> str:
    best = forecasts[0]
    fit, n, by = best.fit, len(best.table), best.ordered_by
    sentence = (
        f"The {fit.name} law, fitted to the {count(fit.n_runs, 'run')} of smaller {by}, predicted the "
        f"loss of the {count(n, 'run')} of largest {by} (up to {say(best.reach)} times that of the fit) "
        f"with an rms error of {100 * best.error:.2g} %; {best.covered} of {n} lie inside the "
        f"{100 * fit.level:g} % interval."
    )
    if len(forecasts) > 1:
        others = ", ".join(f"{f.fit.name} {100 * f.error:.2g} %" for f in forecasts[1:])
        sentence += f" Errors of the other laws: {others}. Rolling forecasts within all runs chose the law."
    return sentence


def _failed_sentence(forecast: Forecast) -> str:
    fit, n = forecast.fit, len(forecast.table)
    return (
        f"the {fit.name} law, fitted to the {count(fit.n_runs, 'run')} of smaller compute, missed the "
        f"{count(n, 'run')} of largest compute by {100 * forecast.error:.2g} % (rms), with only "
        f"{forecast.covered} of {n} inside the {100 * fit.level:g} % interval."
    )


def count(number: int, thing: str) -> str:
    """A number with its noun: 1 run, 12 runs."""
    return f"{number:,} {thing}" if number == 1 else f"{number:,} {thing}s"


def _listed(items: Sequence[str], word: str) -> str:
    return f" {word} ".join(filter(None, (", ".join(items[:-1]), items[-1])))


def _repeats(runs: pd.DataFrame) -> bool:
    """Whether any cell, which is one place of the inputs, holds several runs."""
    inputs = [name for name in ("params", "tokens", "flops", "x") if name in runs]
    return bool(inputs) and bool(runs.duplicated(inputs[:2]).any())


def _interval(fit: Fit, f: Callable[[Any], float]) -> tuple[float, float] | None:
    try:
        return fit.interval(f)
    except (FitError, AttributeError):
        return None


def _floor_sentence(floor: OpenFloor) -> str:
    found = (
        f"The irreducible loss E is not identified: any value from {floor.low:.2g} to {floor.high:.2g} "
        "nats/token agrees with the runs."
    )
    if floor.run is None:
        return f"{found} No single run at up to {2**STEPS:,} times the largest compute would settle it."
    where = f"{floor.run.times:g} times" if floor.run.times > 1 else "at"
    return (
        f"{found} A run of {say(floor.run.N)} parameters on {say(floor.run.D)} tokens, {where} the largest "
        f"compute, should narrow that to a width of {floor.run.width:.2g}."
    )


def _is_few(fit: Fit) -> bool:
    return any(warning.code == "few-runs" for warning in fit.warnings)


def distinct(table: RunTable, column: str, most: int = 6) -> str:
    """The values of a column in words, the first few of many."""
    if column not in table:
        return "not stated"
    values = sorted(str(value) for value in table[column].dropna().unique())
    shown = ", ".join(values[:most]) or "not stated"
    return shown + (f" and {len(values) - most:,} more" if len(values) > most else "")


def span(table: RunTable, column: str) -> str:
    """The least and largest value of a column in words."""
    if not table.has_numbers(column) or table[column].isna().all():
        return distinct(table, column)
    words: Callable[[float], str] = say_flops if column == "flops" else say
    low, high = words(float(table[column].min())), words(float(table[column].max()))
    return low if low == high else f"{low} to {high}"
