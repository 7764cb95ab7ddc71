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

from analysis.files import write_whole
from analysis.fitting.interval import interval_score
from analysis.fitting.runs import called
from analysis.forecast.predict import RunForecast
from analysis.forecast.task import TaskForecast
from analysis.laws.law import FLOPS_PER_PARAM_TOKEN, Law
from analysis.laws.registry import law_named
from analysis.table import RunTable
from scaling.records.reading import read_json
from scaling.records.record import canonical_json

SCHEMA = 2  # 1 had params and tokens where 2 has inputs
KIND = "forecast"
KINDS = (KIND, "comparison", "watch", "round")  # what can be registered
SAME = ("family", "objective", "data", "data_fingerprint", "vocab", "context")  # what makes runs comparable
NEAR = {"params": 0.15, "flops": 0.15}  # relative: a size that can be built is seldom the size asked for
CLOSE = 0.05  # the same of every other input


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
    comparable = {name: _plain(table[name].iloc[0]) for name in SAME if name in table}
    answer = {"forecast": outlook.to_dict(), "task": None if task is None else task.to_dict()}
    return write_registered(KIND, {"comparable": comparable, **answer}, table, path, now=now)


def write_registered(
    kind: str, answer: dict[str, Any], table: RunTable, path: str | Path, *, now: datetime | None = None
) -> str:
    """Write an answer made from the runs of `table`, chained to the last in its folder; return its sha256.

    The file names the sha256 of the one registered before it in the same folder, so that none can be changed
    or taken away unseen, except the last.

    Raises:
        FileExistsError: where the file exists: a registered forecast is not rewritten.
    """
    path = Path(path)
    body = {
        "schema": SCHEMA,
        "kind": kind,
        "registered": (now or datetime.now(UTC)).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "previous": _last(path.parent),
        "source": table.source,
        "data_hash": table.data_hash,
        "runs": sorted(str(run) for run in table["run_id"]),
        **answer,
        "versions": {
            "python": platform.python_version(),
            **{name: version(name) for name in ("scaling-harness", "numpy", "scipy")},
        },
    }
    digest = hashlib.sha256(canonical_json(body)).hexdigest()
    try:
        text = json.dumps({**body, "sha256": digest}, indent=1, allow_nan=False) + "\n"
        write_whole(path, text.encode(), new=True)
    except FileExistsError as error:
        raise FileExistsError(
            f"{path}: already exists. A registered forecast is never overwritten; name another file."
        ) from error
    return digest


def registered_files(folder: Path) -> dict[Path, dict[str, Any]]:
    """The registered answers of a folder as they were written, oldest first; other files are passed over."""
    found = {}
    for path in sorted(folder.glob("*.json")):
        try:
            body = read_json(path)
        except (ValueError, OSError):
            continue
        if isinstance(body, dict) and body.get("kind") in KINDS and "sha256" in body:
            found[path] = body
    return dict(sorted(found.items(), key=lambda item: str(item[1].get("registered"))))


def check_chain(files: dict[Path, dict[str, Any]]) -> list[str]:
    """What is wrong with the registered answers of a folder: changed files, and links that lead nowhere."""
    wrong = []
    digests = {body["sha256"] for body in files.values()}
    for path, body in files.items():
        rest = {name: value for name, value in body.items() if name != "sha256"}
        if hashlib.sha256(canonical_json(rest)).hexdigest() != body["sha256"]:
            wrong.append(f"{path.name}: was changed after it was registered (its sha256 does not match)")
        before = body.get("previous")
        if before is not None and before not in digests:
            wrong.append(f"{path.name}: follows a forecast that no longer exists (sha256 {before[:12]}…)")
    return wrong


def _last(folder: Path) -> str | None:
    """The sha256 of the answer that no other in the folder follows; the latest where there are several."""
    files = registered_files(folder)
    followed = {body.get("previous") for body in files.values()}
    ends = [body["sha256"] for body in files.values() if body["sha256"] not in followed]
    return ends[-1] if ends else None


def read_registered(path: str | Path) -> dict[str, Any]:
    """A registered forecast, exactly as it was written.

    Raises:
        ValueError: for a file that is none, or was changed since.
    """
    try:
        whole = read_json(path)
    except ValueError as error:
        raise ValueError(f"{path}: not a registered forecast: {error}.") from error
    if not isinstance(whole, dict) or whole.get("kind") != KIND or whole.get("schema") not in (1, SCHEMA):
        raise ValueError(f"{path}: not a registered forecast of this version.")
    digest = whole.pop("sha256", None)
    if hashlib.sha256(canonical_json(whole)).hexdigest() != digest:
        raise ValueError(f"{path}: was changed after it was registered (its sha256 does not match).")
    forecast = whole["forecast"]
    if whole["schema"] == 1:
        forecast["inputs"] = {name: forecast[name] for name in ("params", "tokens")}
    return whole


def score(path: str | Path, table: RunTable) -> pd.DataFrame:
    """Score a registered forecast on the runs of a table that it did not see.

    One row per run: run_id, the inputs of the law, loss, forecast, error (forecast / loss - 1), lo, hi (of
    the law), run_lo, run_hi (of a new run), inside_law, inside_run, interval_score (of a new run,
    nats/token), early (began before the forecast was registered). A registered task adds score,
    score_forecast, score_lo, score_hi (of a new run at the N and D of the forecast) and inside_score.

    The registered law moves the forecast from its inputs to those of the run, and its intervals by the same
    factor. Runs lie within 15 % of its params or compute and 5 % of other inputs; for a budget, within 15 %
    of its compute, and only the run of lowest loss is scored.

    Raises:
        ValueError: when the table holds no such run, saying which is nearest.
    """
    registered = read_registered(path)
    forecast = registered["forecast"]
    law = law_named(forecast["law"]["name"])(**forecast["law"]["parameters"])
    alike = np.ones(len(table), dtype=bool)
    for name, value in registered["comparable"].items():
        if name in table:
            alike &= np.array([_plain(cell) == value for cell in table[name]])
    new = table.rows[alike & ~table["run_id"].astype(str).isin(registered["runs"])]
    wanted = {name: value["value"] for name, value in forecast["inputs"].items()}
    if missing := [name for name in wanted if name not in table]:
        raise ValueError(f"the forecast depends on {', '.join(missing)}, which the table does not have.")
    off, what = _distance(new, forecast, wanted)
    found = new[off <= 1]
    if found.empty:
        nearest = "there is no comparable new run at all"
        if len(new):
            row = new.iloc[int(np.argmin(off))]
            nearest = f"the nearest has {_listed({name: row[name] for name in wanted})}"
        raise ValueError(f"no run of {what} has come in since {registered['registered']}; {nearest}.")
    if forecast["optimal"]:
        found = found.iloc[[int(np.argmin(found["loss"]))]]
    return pd.DataFrame([_scored(row, law, registered) for _, row in found.iterrows()])


def _distance(
    new: pd.DataFrame, forecast: dict[str, Any], wanted: dict[str, float]
) -> tuple[pd.Series[float], str]:
    """How far each run lies from the forecast, 1 at the limit; and what is looked for, in words."""
    if forecast["optimal"]:
        compute = FLOPS_PER_PARAM_TOKEN * new["params"] * new["tokens"]
        near = NEAR["flops"]
        words = f"{forecast['compute']:.4g} FLOP (6 N D, within {100 * near:g} %)"
        return np.abs(compute / forecast["compute"] - 1) / near, words
    limits = {name: NEAR.get(name, CLOSE) for name in wanted}
    away = [np.abs(new[name] / value - 1) / limits[name] for name, value in wanted.items()]
    said = [f"{v:.4g} {name} (within {100 * limits[name]:g} %)" for name, v in wanted.items()]
    return pd.concat(away, axis=1).max(axis=1), " and ".join(said)


def _listed(values: dict[str, float]) -> str:
    return " and ".join(f"{value:.4g} {name}" for name, value in values.items())


def _scored(row: pd.Series[Any], law: Law, registered: dict[str, Any]) -> dict[str, Any]:
    forecast = registered["forecast"]
    inputs = {called(name): float(row[called(name)]) for name in law.inputs}
    there = float(law(**{name: inputs[called(name)] for name in law.inputs}))
    moved = there / forecast["loss"]["value"]
    low, high = forecast["loss"]["low"] * moved, forecast["loss"]["high"] * moved
    run_low, run_high = (end * moved for end in forecast["run"])
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
        **inputs,
        "loss": loss,
        "forecast": there,
        "error": there / loss - 1,
        "lo": low,
        "hi": high,
        "run_lo": run_low,
        "run_hi": run_high,
        "inside_law": low <= loss <= high,
        "inside_run": run_low <= loss <= run_high,
        "interval_score": float(interval_score(run_low, run_high, loss, forecast["level"])),
        "early": began_before(started, registered["registered"]),
    } | scored


def began_before(started: Any, registered: str) -> bool:
    """Whether a run began before its forecast was registered; not known of a run without a start."""
    if not isinstance(started, str):
        return False
    try:
        return datetime.fromisoformat(started) < datetime.fromisoformat(registered)
    except (ValueError, TypeError):  # no time, or one without its zone
        return started < registered


def _plain(cell: Any) -> Any:
    """A cell of a table as JSON has it: numbers as float, missing as None."""
    if isinstance(cell, str):
        return cell
    number = float(cell) if cell is not None else np.nan
    return None if np.isnan(number) else number
