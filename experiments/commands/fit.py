"""`scaling fit TABLE`: laws with intervals and warnings, and how well they forecast the largest runs."""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from dataclasses import asdict
from importlib.metadata import version
from math import isfinite
from typing import Any

import numpy as np
import pandas as pd

from analysis.fitting.fit import Fit
from analysis.fitting.profile import Profile, profile
from analysis.fitting.runs import FitError, called
from analysis.forecast.findings import Findings
from analysis.forecast.select import Forecast
from analysis.report.equation import as_text
from analysis.table import RunTable
from analysis.table.raw import printable
from experiments.commands.source import add_fit, add_table, describe_table, read
from experiments.terminal import Column, plural, table, wrapped


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="scaling fit", description=__doc__)
    add_table(parser)
    add_fit(parser)
    parser.add_argument("--sensitivity", action="store_true", help="refit the first law under other choices")
    parser.add_argument(
        "--profile",
        action="append",
        default=[],
        metavar="NAME",
        help="how much each law's fit worsens as this parameter is held away from its estimate",
    )
    parser.add_argument("--json", action="store_true", help="one JSON object on standard output")
    parser.add_argument("--draws", action="store_true", help="with --json: also every bootstrap replicate")
    asked = parser.parse_args(arguments)
    runs, findings = read(asked)
    profiles = profiles_of(findings, asked.profile)
    if asked.json:
        found = to_dict(runs, findings, asked.draws, asked.sensitivity)
        if asked.profile:
            found["profiles"] = [{"part": p, "law": law, **each.to_dict()} for p, law, each in profiles]
        print(json.dumps(found, indent=1, allow_nan=False))
    else:
        text = describe(runs, findings, asked.sensitivity)
        print(wrapped(text) if sys.stdout.isatty() else text)
        for part, law, each in profiles:
            print(f"\n{part}, {law}: {each}\n{profile_text(each)}")
    return 0 if any(part.fits for part in findings.values()) else 1


def profiles_of(findings: dict[str, Findings], names: list[str]) -> list[tuple[str, str, Profile]]:
    """The profile of each named parameter in each law that has it: part, law, profile.

    Raises:
        ValueError: for a parameter that no fitted law has.
    """
    found = []
    for name in names:
        having = []
        whole: list[str] = []
        for part in findings.values():
            for fit in part.fits:
                if name in fit.form_of_law.readouts and name not in fit.recipe.fixed:
                    try:
                        having.append((part.label, fit.name, profile(fit, name)))
                    except FitError as error:
                        whole.append(str(error))
        if whole and not having:
            raise ValueError(f"--profile: {' '.join(whole)}")
        if not having:
            can = sorted({n for part in findings.values() for f in part.fits for n in f.form_of_law.readouts})
            if not can:
                reasons = (reason for part in findings.values() for reason in part.refusals)
                raise ValueError(f"--profile: no law could be fitted: {' '.join(reasons)}")
            raise ValueError(f"--profile: no fitted law has a free {name!r}; choose from {', '.join(can)}.")
        found += having
    return found


def profile_text(found: Profile) -> str:
    """The rise of the objective at values across the interval, thinned to what a screen holds."""
    near = np.flatnonzero(found.statistic <= 4 * found.threshold)
    picked = near[np.unique(np.linspace(0, len(near) - 1, 15).astype(int))]
    rows = [
        Column(found.parameter, [f"{value:.4g}" for value in np.take(found.values, picked)]),
        Column("rise", [f"{found.statistic[i]:.2f}" for i in picked]),
        Column("", ["inside" if found.statistic[i] <= found.threshold else "" for i in picked]),
    ]
    return table(rows)


def describe(runs: RunTable, findings: dict[str, Findings], with_sensitivity: bool = False) -> str:
    """What was read, then for each comparable part its forecast, its laws and what was refused."""
    lines = [describe_table(runs, (part.table for part in findings.values()))]
    for part in findings.values():
        lines += ["", f"{part.label}, {plural(len(part.runs), 'run')}"]
        if part.forecasts:
            lines += ["", forecast_text(part.forecasts[0])]
            lines += [str(other) for other in part.forecasts[1:]]
        if part.ranking is not None:
            lines += ["", ranking_text(part.ranking)]
        for fit in part.fits:
            lines += ["", f"{fit}\n  {as_text(fit.law.formula, fit.law.parameters)}"]
        for line in part.slices:
            lines += ["", f"along {line.axis}, {line.where}: {line.fit}"]
        if part.approaches is not None:
            lines += ["", str(part.approaches)]
        if with_sensitivity and part.sensitivity is not None:
            lines += ["", f"{part.fits[0].name} under other choices:", frame_text(part.sensitivity)]
        lines += [f"not fitted: {reason}" for reason in part.refusals]
    if any(part.fits for part in findings.values()):
        source = shlex.quote(printable(runs.source))
        lines += ["", f"figures, what to train, other choices: scaling report {source}"]
        if any(part.fits and {"N", "D"} <= set(part.fits[0].law.inputs) for part in findings.values()):
            lines.append(f"the runs to train next:                scaling next {source} --compute C")
    return "\n".join(lines)


def ranking_text(ranking: pd.DataFrame) -> str:
    """Which law of a curve was chosen, and what the others have against them."""
    least = ranking["bic"][0]
    others = [
        f"{row['law']} {row['bic'] - least:+.3g}" + ("" if row["certified"] else " not certified")
        for _, row in ranking[1:].iterrows()
    ]
    if not others:
        return f"{ranking['law'][0]} is the only law that these runs determine"
    return f"{ranking['law'][0]} has the lowest BIC of the certified laws (others: {', '.join(others)})"


def forecast_text(forecast: Forecast) -> str:
    """The headline and one line per held-out run."""
    held = forecast.table
    intervals = [f"[{low:#.5g}, {high:#.5g}]" for low, high in zip(held["lo"], held["hi"], strict=True)]
    rows = table(
        [
            *(Column(name, [say_input(v) for v in held[called(name)]]) for name in forecast.fit.law.inputs),
            Column("loss", [f"{v:#.5g}" for v in held["loss"]]),
            Column("forecast", [f"{v:#.5g}" for v in held["predicted"]]),
            Column("interval", intervals, rank=1),
            Column("error", [f"{100 * v:+.2f} %" for v in held["error"]]),
            Column("score", [f"{v:.3g}" for v in held["interval_score"]], rank=2),
        ]
    )
    return f"{forecast}\n{rows}"


def say_input(value: float) -> str:
    """A size or a number of tokens in full, anything past 15 digits by its power of ten."""
    return f"{value:,.0f}" if 10 <= value < 1e15 else f"{value:.4g}"


def frame_text(frame: pd.DataFrame) -> str:
    """A table of numbers and words, numbers to four digits."""
    cells = {name: [f"{v:.4g}" if isinstance(v, float) else str(v) for v in frame[name]] for name in frame}
    return table([Column(str(name), texts, left=not i) for i, (name, texts) in enumerate(cells.items())])


def to_dict(
    runs: RunTable, findings: dict[str, Findings], draws: bool = False, with_sensitivity: bool = False
) -> dict[str, Any]:
    """Everything that `describe` says, as plain data; with `draws`, the parameters of every replicate,
    and with `with_sensitivity` the first fit under every other choice.
    """

    def law(fit: Fit) -> dict[str, Any]:
        return {**fit.to_dict(), **({"draws": [d.parameters for d in fit.draws]} if draws else {})}

    return {
        "versions": {name: version(name) for name in ("numpy", "scipy", "pandas")},
        "source": runs.source,
        "data_hash": runs.data_hash,
        "counts": dict(runs.counts),
        "columns": dict(runs.columns),
        "warnings": list(runs.warnings),
        "notes": list(dict.fromkeys([*runs.notes, *(n for p in findings.values() for n in p.table.notes)])),
        "quarantine": [asdict(item) for item in runs.set_aside],
        "parts": {
            label: {
                "runs": len(part.runs),
                "laws": [law(fit) for fit in part.fits],
                "forecasts": [
                    {
                        "law": forecast.fit.name,
                        "error": forecast.error,
                        "covered": forecast.covered,
                        "holds": forecast.holds,
                        "interval_score": forecast.interval_score,
                        "drift": forecast.drift.rate,
                        "reach": forecast.reach,
                        "runs": forecast.table.to_dict(orient="records"),
                    }
                    for forecast in part.forecasts
                ],
                "slices": [
                    {"axis": line.axis, "where": line.where, **line.fit.to_dict()} for line in part.slices
                ],
                "ranking": plain(part.ranking),
                "approaches": plain(None if part.approaches is None else part.approaches.table),
                **({"sensitivity": plain(part.sensitivity)} if with_sensitivity else {}),
                "refusals": list(part.refusals),
            }
            for label, part in findings.items()
        },
    }


def plain(frame: pd.DataFrame | None) -> list[dict[str, Any]]:
    """Rows without NaN and infinity, which JSON has no number for."""
    rows = [] if frame is None else frame.to_dict(orient="records")
    return [
        {str(k): None if isinstance(v, float) and not isfinite(v) else v for k, v in row.items()}
        for row in rows
    ]


if __name__ == "__main__":
    from experiments.cli import run_verb

    sys.exit(run_verb("fit", sys.argv[1:]))
