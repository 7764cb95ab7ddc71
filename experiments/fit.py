"""`scaling fit TABLE`: laws with intervals and warnings, and how well they foretold the largest runs."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from importlib.metadata import version
from math import isfinite
from typing import Any

import pandas as pd

from analysis.fitting.fit import Fit
from analysis.forecast.select import Forecast
from analysis.report.findings import Findings
from analysis.table import RunTable
from experiments.source import add_fit, add_table, describe_table, read
from experiments.terminal import Column, table


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="scaling fit", description=__doc__)
    add_table(parser)
    add_fit(parser)
    parser.add_argument("--sensitivity", action="store_true", help="the first law under every other choice")
    parser.add_argument("--json", action="store_true", help="one JSON object on standard output")
    parser.add_argument("--draws", action="store_true", help="with --json: every bootstrap replicate too")
    asked = parser.parse_args(arguments)
    runs, findings = read(asked)
    print(
        json.dumps(to_dict(runs, findings), indent=1, allow_nan=False)
        if asked.json
        else describe(runs, findings)
    )
    return 0 if any(part.surfaces for part in findings.values()) else 1


def describe(runs: RunTable, findings: dict[str, Findings]) -> str:
    """What was read, then for each comparable part its forecast, its laws and what was refused."""
    lines = [describe_table(runs)]
    for part in findings.values():
        lines += ["", f"{part.label}, {len(part.runs)} runs"]
        if part.forecasts:
            lines += ["", forecast_text(part.forecasts[0])]
            lines += [str(other) for other in part.forecasts[1:]]
        for fit in part.surfaces:
            lines += ["", str(fit)]
        for line in part.slices:
            lines += ["", f"along {line.axis}, {line.where}: {line.fit}"]
        if part.approaches is not None:
            lines += ["", str(part.approaches)]
        lines += [f"not fitted: {reason}" for reason in part.refusals]
    return "\n".join(lines)


def forecast_text(forecast: Forecast) -> str:
    """The headline and one line a held-out run."""
    held = forecast.table
    intervals = [f"[{low:.4f}, {high:.4f}]" for low, high in zip(held["lo"], held["hi"], strict=True)]
    rows = table(
        [
            Column("N", [f"{v:,.0f}" for v in held["params"]]),
            Column("D", [f"{v:,.0f}" for v in held["tokens"]]),
            Column("loss", [f"{v:.4f}" for v in held["loss"]]),
            Column("forecast", [f"{v:.4f}" for v in held["predicted"]]),
            Column("interval", intervals, rank=1),
            Column("error", [f"{100 * v:+.2f} %" for v in held["error"]]),
        ]
    )
    return f"{forecast}\n{rows}"


def to_dict(runs: RunTable, findings: dict[str, Findings], draws: bool = False) -> dict[str, Any]:
    """Everything that `describe` says, as plain data; with `draws`, the parameters of every replicate."""

    def law(fit: Fit) -> dict[str, Any]:
        return {**fit.to_dict(), **({"draws": [d.parameters for d in fit.draws]} if draws else {})}

    return {
        "versions": {name: version(name) for name in ("numpy", "scipy", "pandas")},
        "source": runs.source,
        "data_hash": runs.data_hash,
        "counts": dict(runs.counts),
        "columns": dict(runs.columns),
        "warnings": list(runs.warnings),
        "notes": list(runs.notes),
        "quarantine": [asdict(item) for item in runs.set_aside],
        "parts": {
            label: {
                "runs": len(part.runs),
                "laws": [law(fit) for fit in part.surfaces],
                "forecasts": [
                    {
                        "law": forecast.fit.name,
                        "error": forecast.error,
                        "covered": forecast.covered,
                        "reach": forecast.reach,
                        "runs": forecast.table.to_dict(orient="records"),
                    }
                    for forecast in part.forecasts
                ],
                "slices": [
                    {"axis": line.axis, "where": line.where, **line.fit.to_dict()} for line in part.slices
                ],
                "approaches": plain(None if part.approaches is None else part.approaches.table),
                "sensitivity": plain(part.sensitivity),
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
