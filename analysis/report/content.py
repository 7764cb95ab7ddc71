"""The words of a report: what is known, what is not, on which data, by which conventions."""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np

from analysis.fitting.fit import Fit, FitError
from analysis.forecast.findings import Findings
from analysis.forecast.select import Forecast
from analysis.report.style import say, say_flops
from analysis.table import RunTable

Facts = list[tuple[str, str]]


@dataclass(frozen=True)
class Remark:
    """A doubt and what it is about."""

    where: str
    code: str
    message: str


def known(findings: Mapping[str, Findings]) -> list[str]:
    """The headline: what the runs show, in plain words, the held-out forecast first."""
    said = []
    for part in findings.values():
        lines = [*_surface_sentences(part)] or [f"No law could be fitted. {' '.join(part.refusals)}"]
        of = f"{part.label}: " if len(findings) > 1 else ""
        said += [f"{of}{line}" for line in lines]
    return said


def unknown(findings: Mapping[str, Findings]) -> list[str]:
    """What the runs cannot say."""
    parts = list(findings.values())
    most = {name: max(float(p.runs[name].max()) for p in parts) for name in ("flops", "params", "tokens")}
    said = [
        f"Nothing was measured above {say_flops(most['flops'])} FLOP, {say(most['params'])} parameters or "
        f"{say(most['tokens'])} tokens. Beyond, intervals of one law hold the noise of these runs, not the "
        "chance that the law has another form."
    ]
    if any(part.ensemble for part in parts):
        said[0] += " Those of all forms hold the choice among the laws fitted here, and no other."
    for part in parts:
        if part.fits and _is_few(part.fits[0]):
            fit = part.fits[0]
            of = f"{part.label}: h" if len(parts) > 1 else "H"
            said.append(
                f"{of}ow the best size grows with compute: {fit.n_runs} runs on {fit.n_trunks} trunks are "
                f"too few for an interval of a law of {len(fit.theta)} parameters."
            )
        floor = _interval(part.fits[0], lambda law: law.E) if part.fits else None
        if floor and floor[1] - floor[0] > 0.2 * float(part.runs["loss"].min()):
            of = f"{part.label}: the" if len(parts) > 1 else "The"
            said.append(
                f"{of} irreducible loss E is not pinned down: anything from {floor[0]:.2g} to {floor[1]:.2g} "
                "nats/token agrees with the runs."
            )
    if not any((p.runs.groupby(["params", "tokens"]).size() > 1).any() for p in parts):
        said.append("Every cell was trained once, so the spread between seeds was not measured.")
    return said


def data_facts(table: RunTable) -> Facts:
    """Where the numbers come from."""
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
        facts.append((name, _distinct(table, column)))
    for name, column in (
        ("N", "params"),
        ("D", "tokens"),
        ("C", "flops"),
        ("Loss", "loss"),
        ("Learning rate", "learning_rate"),
    ):
        facts.append((name, _range(table, column)))
    facts.append(("Trunks", f"{table['trunk_id'].nunique()}, with {len(table)} runs"))
    facts.append(("Hash of the rows used", table.data_hash))
    if table.columns:
        facts.append(
            ("Columns read from", ", ".join(f"{ours} ← {theirs}" for ours, theirs in table.columns.items()))
        )
    return facts


def conventions(table: RunTable) -> Facts:
    """What N, D, C and L mean here, and how far the other readings lie off."""
    facts: Facts = [
        ("N", "params: non-embedding parameters (Kaplan et al. 2020). Every law here is in this N."),
        ("D", "tokens: training tokens seen, repeats included."),
        (
            "C",
            "flops: 3 × counted forward FLOPs, a multiply-add is 2. Held-out runs are the largest in this C.",
        ),
        ("L", "loss: held-out, nats per predicted token. Never training loss."),
    ]
    ratios = [
        ("params_matmul", "params", "N with the output layer"),
        ("params_total", "params", "N with everything (Hoffmann et al. 2022)"),
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
    """Every warning: of the table, of every fit, and every fit that was refused."""
    found = [Remark("table", "units", message) for message in table.warnings]
    for part in findings.values():
        found += [Remark(part.label, "refused", reason) for reason in part.refusals]
        fits = [(fit.name, fit) for fit in part.fits]
        fits += [(f"{f.fit.name} without the held-out runs", f.fit) for f in part.forecasts]
        fits += [(f"power law along {s.axis}, {s.where}", s.fit) for s in part.slices]
        for name, fit in fits:
            found += [Remark(f"{part.label}, {name}", d.code, d.message) for d in fit.warnings]
    return found


def versions() -> str:
    """What computed this report."""
    packages = ("scaling-harness", "numpy", "scipy", "pandas", "matplotlib")
    return ", ".join([f"Python {platform.python_version()}", *map(_version, packages)])


def _version(package: str) -> str:
    try:
        return f"{package} {version(package)}"
    except PackageNotFoundError:  # a bare checkout on the path
        return f"{package} (not installed)"


def _surface_sentences(part: Findings) -> Iterator[str]:
    if part.forecasts:
        yield _forecast_sentence(part.forecasts)
    if not part.fits:
        return
    fit = part.fits[0]
    if not part.forecasts:
        yield (
            f"The {fit.name} law describes the {fit.n_runs} runs it was fitted to within "
            f"{100 * fit.rms:.2g} % (rms). No run was held out, so this says nothing about forecasts."
        )
    share = _interval(fit, lambda law: law.growth)
    if share and not _is_few(fit):
        digits = 2 if share[1] - share[0] > 0.02 else 4
        between = "–".join(f"{end:.{digits}f}" for end in share)
        yield (
            f"Of a growing budget, the best size grows as compute to the power {between} "
            f"({100 * fit.level:g} % interval of the {fit.name} law)."
        )


def _forecast_sentence(forecasts: tuple[Forecast, ...]) -> str:
    best = forecasts[0]
    n = len(best.table)
    sentence = (
        f"Fitted to the {best.fit.n_runs} smaller runs alone, the {best.fit.name} law forecast the loss of "
        f"the {n} runs of largest compute (up to {say(best.reach)} times what it had seen) "
        f"with an error of {100 * best.error:.2g} % (rms); {best.covered} of {n} lay inside its "
        f"{100 * best.fit.level:g} % interval."
    )
    if len(forecasts) > 1:
        others = ", ".join(f"{f.fit.name} {100 * f.error:.2g} %" for f in forecasts[1:])
        sentence += f" It is first because it forecast best ({others})."
    return sentence


def _interval(fit: Fit, f: Callable[[Any], float]) -> tuple[float, float] | None:
    try:
        return fit.interval(f)
    except (FitError, AttributeError):
        return None


def _is_few(fit: Fit) -> bool:
    return any(doubt.code == "few-runs" for doubt in fit.warnings)


def _distinct(table: RunTable, column: str, most: int = 6) -> str:
    if column not in table:
        return "not stated"
    values = sorted({str(v) for v in table[column] if v is not None and v == v})
    shown = ", ".join(values[:most]) or "not stated"
    return shown + (f" and {len(values) - most} more" if len(values) > most else "")


def _range(table: RunTable, column: str) -> str:
    if not table.has_numbers(column):
        return _distinct(table, column)
    low, high = float(np.nanmin(table[column])), float(np.nanmax(table[column]))
    words = say_flops if column == "flops" else say
    return words(low) if low == high else f"{words(low)} to {words(high)}"
