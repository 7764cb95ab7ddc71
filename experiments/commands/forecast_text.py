"""What `scaling forecast` found, as text for a terminal and as plain data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pandas as pd

from analysis.forecast.isoflop import Comparison
from analysis.forecast.predict import RunForecast
from analysis.forecast.serving import ServingOptimum
from analysis.forecast.task import TaskForecast
from analysis.table import RunTable
from experiments.commands.fit import plain
from experiments.terminal import Column, plural, table


@dataclass(frozen=True)
class Answer:
    """Everything said about one comparable part of the table."""

    runs: RunTable
    outlook: RunForecast
    approaches: Comparison | None = None
    served: ServingOptimum | None = None
    task: TaskForecast | None = None


def describe(label: str, found: Answer) -> str:
    """One part in words."""
    lines = [f"{label}, {plural(len(found.runs), 'run')}", str(found.outlook)]
    if found.approaches is not None:
        lines += ["", str(found.approaches)]
    if found.task is not None:
        lines += ["", task_text(found.task)]
    if found.served is not None:
        served = found.served
        lines += [
            "",
            f"Cheapest model of loss {found.outlook.loss.value:.4g}, serving included: N {served.N:.4g}, "
            f"D {served.D:.4g}, {served.flops:.4g} FLOP ({served.training_flops:.4g} to train).",
        ]
    return "\n".join(lines)


def task_text(found: TaskForecast) -> str:
    """The score, and how every way forecast held-out compute, by which they are averaged."""
    ways = found.ways
    columns = [
        Column("way", list(ways["how"]), left=True),
        Column("through", list(ways["through"]), rank=1, left=True),
        Column("error", [f"{v:.4f}" for v in ways["error"]]),
        Column("bias", [f"{v:+.4f}" for v in ways["bias"]]),
        Column("inside", [f"{a} of {b}" for a, b in zip(ways["covered"], ways["heldout"], strict=True)]),
        Column("weight", [f"{v:.2f}" for v in ways["weight"]]),
    ]
    lines = [
        f"{found.column}: {found.score}",
        "How each method forecast the runs of largest compute:",
        table(columns),
    ]
    lines += [f"! {doubt.code}: {doubt.message}" for doubt in found.warnings]
    refused = ways[ways["reason"] != ""]
    lines += [
        f"{how} not followed: {why}" for how, why in zip(refused["how"], refused["reason"], strict=True)
    ]
    return "\n".join(lines)


def score_text(scored: pd.DataFrame) -> str:
    """One line per run, and what is doubtful."""
    intervals = [f"[{a:#.5g}, {b:#.5g}]" for a, b in zip(scored["run_lo"], scored["run_hi"], strict=True)]
    scores = scored["interval_score"] / scored["loss"]
    rows = table(
        [
            Column("run", [str(run)[:24] for run in scored["run_id"]], left=True),
            Column("loss", [f"{v:#.5g}" for v in scored["loss"]]),
            Column("forecast", [f"{v:#.5g}" for v in scored["forecast"]]),
            Column("of a run", intervals),
            Column("error", [f"{100 * v:+.2f} %" for v in scored["error"]]),
            Column("inside", ["yes" if v else "no" for v in scored["inside_run"]]),
            Column("score", [f"{100 * v:.3g} %" for v in scores], rank=1),
        ]
    )
    lines = [rows]
    if "score" in scored:
        lines += [
            f"{row['run_id']}: score {row['score']:.4f}, forecast {row['score_forecast']:.4f}, of a run "
            f"[{row['score_lo']:.4f}, {row['score_hi']:.4f}]"
            for _, row in scored.iterrows()
        ]
    early = scored["run_id"][scored["early"]]
    return "\n".join([*lines, *(f"! {run} began before the forecast was registered" for run in early)])


def to_dict(runs: RunTable, answers: dict[str, Answer], refusals: dict[str, str]) -> dict[str, Any]:
    """Everything that `describe` says, as plain data."""
    return {
        "source": runs.source,
        "data_hash": runs.data_hash,
        "counts": dict(runs.counts),
        "columns": dict(runs.columns),
        "warnings": list(runs.warnings),
        "notes": list(runs.notes),
        "refusals": refusals,
        "parts": {
            label: {
                "runs": len(found.runs),
                "forecast": found.outlook.to_dict(),
                "approaches": None if found.approaches is None else _approaches_dict(found.approaches),
                "served": None if found.served is None else vars(found.served),
                "task": None if found.task is None else found.task.to_dict(),
            }
            for label, found in answers.items()
        },
    }


def _approaches_dict(found: Comparison) -> dict[str, Any]:
    return {
        "compute": found.compute,
        "rows": plain(found.table),
        "warnings": [{"approach": a.number, **vars(d)} for a in found.approaches for d in a.warnings],
        "refusals": list(found.refusals),
    }
