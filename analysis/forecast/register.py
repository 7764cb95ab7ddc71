"""A forecast put in writing before its run is trained, and scored after."""

from __future__ import annotations

import hashlib
import json
import platform
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from analysis.forecast.predict import RunForecast
from analysis.forecast.task import TaskForecast
from analysis.laws.law import FLOPS_PER_PARAM_TOKEN, Chinchilla, Coupled, Law
from analysis.laws.surfaces import Kaplan, OverTraining
from analysis.table import RunTable
from scaling.records.record import canonical_json

SCHEMA = 1
KIND = "forecast"
SAME = ("family", "objective", "data", "data_fingerprint", "vocab", "context")  # what makes runs comparable
NEAR = {"params": 0.15, "tokens": 0.05}  # relative: a size that can be built is seldom the size asked for
LAWS: dict[str, type[Law]] = {law.name: law for law in (Chinchilla, Coupled, Kaplan, OverTraining)}


def register(
    outlook: RunForecast,
    table: RunTable,
    path: str | Path,
    *,
    task: TaskForecast | None = None,
    now: datetime | None = None,
) -> str:
    """Write a forecast, and that of a task's score, made from the runs of `table`; returns its sha256.

    Raises:
        FileExistsError: where the file exists: a registered forecast is not rewritten.
    """
    body = {
        "schema": SCHEMA,
        "kind": KIND,
        "registered": (now or datetime.now(UTC)).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "source": table.source,
        "data_hash": table.data_hash,
        "comparable": {name: _plain(table[name].iloc[0]) for name in SAME if name in table},
        "runs": sorted(str(run) for run in table["run_id"]),
        "forecast": outlook.to_dict(),
        "task": None if task is None else task.to_dict(),
        "versions": {
            "python": platform.python_version(),
            **{name: version(name) for name in ("scaling-harness", "numpy", "scipy")},
        },
    }
    digest = hashlib.sha256(canonical_json(body)).hexdigest()
    try:
        with Path(path).open("x", encoding="utf-8") as file:
            file.write(json.dumps({**body, "sha256": digest}, indent=1, allow_nan=False) + "\n")
    except FileExistsError as error:
        raise FileExistsError(
            f"{path}: exists already. A registered forecast is not rewritten; name another file."
        ) from error
    return digest


def read_registered(path: str | Path) -> dict[str, Any]:
    """A registered forecast, exactly as it was written.

    Raises:
        ValueError: for a file that is none, or was changed since.
    """
    try:
        whole = json.loads(Path(path).read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path}: not a registered forecast: {error}.") from error
    if not isinstance(whole, dict) or whole.get("kind") != KIND or whole.get("schema") != SCHEMA:
        raise ValueError(f"{path}: not a registered forecast of schema {SCHEMA}.")
    digest = whole.pop("sha256", None)
    if hashlib.sha256(canonical_json(whole)).hexdigest() != digest:
        raise ValueError(f"{path}: was changed after it was registered (its sha256 does not match).")
    return whole


def score(path: str | Path, table: RunTable) -> pd.DataFrame:
    """Score a registered forecast on the runs of a table that it did not see.

    One row a run: run_id, params, tokens, loss, forecast, error (forecast / loss - 1), lo, hi (of the law),
    run_lo, run_hi (of a new run), inside_law, inside_run, early (began before the forecast was registered).
    A registered task adds score, score_forecast, score_lo, score_hi (of a new run at the N and D asked) and
    inside_score.

    The registered law moves the forecast from the N and D asked to those of the run, and its intervals by the
    same factor. Runs lie within 15 % of the params and 5 % of the tokens asked; for a budget, within 15 % of
    its compute, and only the run of least loss is scored.

    Raises:
        ValueError: when the table holds no such run, saying which is nearest.
    """
    registered = read_registered(path)
    told = registered["forecast"]
    law = LAWS[told["law"]["name"]](**told["law"]["parameters"])
    alike = np.ones(len(table), dtype=bool)
    for name, value in registered["comparable"].items():
        if name in table:
            alike &= np.array([_plain(cell) == value for cell in table[name]])
    new = table.rows[alike & ~table["run_id"].astype(str).isin(registered["runs"])]
    asked = {name: told[name]["value"] for name in NEAR}
    if told["optimal"]:
        compute = FLOPS_PER_PARAM_TOKEN * new["params"] * new["tokens"]
        off = np.abs(compute / told["compute"] - 1) / NEAR["params"]
        what = f"{told['compute']:.4g} FLOP (6 N D, within 15 %)"
    else:
        off = pd.concat([np.abs(new[c] / asked[c] - 1) / near for c, near in NEAR.items()], axis=1).max(
            axis=1
        )
        what = f"{asked['params']:.4g} params (within 15 %) and {asked['tokens']:.4g} tokens (within 5 %)"
    found = new[off <= 1]
    if found.empty:
        nearest = "there is no comparable new run at all"
        if len(new):
            row = new.loc[off.idxmin()]
            nearest = f"the nearest has {row['params']:.4g} params and {row['tokens']:.4g} tokens"
        raise ValueError(f"no run of {what} has come in since {registered['registered']}; {nearest}.")
    if told["optimal"]:
        found = found.loc[[found["loss"].idxmin()]]
    return pd.DataFrame([_scored(row, law, registered) for _, row in found.iterrows()])


def _scored(row: pd.Series[Any], law: Law, registered: dict[str, Any]) -> dict[str, Any]:
    told = registered["forecast"]
    there = float(law(N=row["params"], D=row["tokens"]))
    moved = there / told["loss"]["value"]
    low, high = told["loss"]["low"] * moved, told["loss"]["high"] * moved
    run_low, run_high = (end * moved for end in told["run"])
    loss = float(row["loss"])
    started = row.get("started")
    scored: dict[str, Any] = {}
    task = registered["task"]
    if task is not None and pd.notna(row.get(task["column"])):
        low_score, high_score = task["run"]
        scored = {
            "score": float(row[task["column"]]),
            "score_forecast": task["score"]["value"],
            "score_lo": low_score,
            "score_hi": high_score,
            "inside_score": low_score <= float(row[task["column"]]) <= high_score,
        }
    return {
        "run_id": str(row["run_id"]),
        "params": float(row["params"]),
        "tokens": float(row["tokens"]),
        "loss": loss,
        "forecast": there,
        "error": there / loss - 1,
        "lo": low,
        "hi": high,
        "run_lo": run_low,
        "run_hi": run_high,
        "inside_law": low <= loss <= high,
        "inside_run": run_low <= loss <= run_high,
        "early": isinstance(started, str) and started < registered["registered"],
    } | scored


def _plain(cell: Any) -> Any:
    """A cell of a table as JSON has it: numbers as float, missing as None."""
    if isinstance(cell, str):
        return cell
    number = float(cell) if cell is not None else np.nan
    return None if np.isnan(number) else number
