"""Registered answers and their outcomes: of runs, recipes, runs in flight, and an autopilot's rounds."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from analysis.forecast.calibration import Entry
from analysis.forecast.register import KIND, began_before, score
from analysis.sweeps.compare import compare_arms
from analysis.table import RunTable, load_runs


def entries_of(path: Path, body: dict[str, Any], against: str | RunTable | None) -> list[Entry]:
    """What a file said, scored where its runs have come in."""
    waiting = said(path, body)
    try:
        runs = against if isinstance(against, RunTable) else load_runs(against or body["source"])
        if body["kind"] == KIND:
            return _scored(path, body, runs)
        if body["kind"] == "round":
            return _came_of_round(waiting, body, runs)
        came = _came_of_arms(body, runs) if body["kind"] == "comparison" else _came_of_run(body, runs)
    except (ValueError, OSError, KeyError) as error:
        return [replace(entry, reason=str(error)) for entry in waiting]
    return [replace(entry, came=value) for entry, value in zip(waiting, came, strict=True)]


def said(path: Path, body: dict[str, Any]) -> list[Entry]:
    """The numbers that a file registered, before any of them came."""
    return [Entry(path.name, str(body["registered"]), *each) for each in SAID[body["kind"]](body)]


Said = tuple[str, float, float, float, float]  # question, value, low, high, level


def _said_of_run(body: dict[str, Any]) -> Iterator[Said]:
    found = body["forecast"]
    inputs = " ".join(f"{name} {value['value']:.3g}" for name, value in found["inputs"].items())
    yield f"loss at {inputs}", found["loss"]["value"], *found["run"], found["level"]


def _said_of_arms(body: dict[str, Any]) -> Iterator[Said]:
    level = body["comparison"]["level"]
    for arm in body["comparison"]["arms"]:
        for at in arm["targets"]:
            question = f"{arm['arm']} over {arm['baseline']} at {at['compute']:.3g}"
            yield question, at["speedup"], at["low"], at["high"], level


def _said_of_round(body: dict[str, Any]) -> Iterator[Said]:
    for run in body["round"]["runs"]:
        yield f"loss of {run['run_id']}", run["loss"], run["low"], run["high"], body["round"]["level"]


def _said_in_flight(body: dict[str, Any]) -> Iterator[Said]:
    found = body["watch"]
    ends = found["final"]
    yield f"final loss of {found['run']}", ends["value"], ends["low"], ends["high"], found["level"]


SAID: dict[str, Callable[[dict[str, Any]], Iterator[Said]]] = {
    KIND: _said_of_run,
    "comparison": _said_of_arms,
    "round": _said_of_round,
    "watch": _said_in_flight,
}


def _scored(path: Path, body: dict[str, Any], runs: RunTable) -> list[Entry]:
    level = float(body["forecast"]["level"])
    return [
        Entry(
            path.name,
            str(body["registered"]),
            f"loss of {row['run_id']}",
            float(row["forecast"]),
            float(row["run_lo"]),
            float(row["run_hi"]),
            level,
            float(row["loss"]),
            bool(row["early"]),
        )
        for _, row in score(path, runs).iterrows()
    ]


def _came_of_round(waiting: list[Entry], body: dict[str, Any], runs: RunTable) -> list[Entry]:
    """The losses of the runs that a round of `scaling autopilot` chose, each by its id."""
    rows = {str(row["run_id"]): row for _, row in runs.rows.iterrows()}
    found = []
    for entry, run in zip(waiting, body["round"]["runs"], strict=True):
        row = rows.get(run["run_id"])
        came: dict[str, Any] = {"reason": f"{run['run_id']} has no loss yet"}
        if row is not None:
            early = began_before(row.get("started"), entry.registered)
            came = {"came": float(row["loss"]), "early": early}
        found.append(replace(entry, **came))
    return found


def _came_of_arms(body: dict[str, Any], runs: RunTable) -> list[float | None]:
    """The speed-up by runs that reach the compute that was asked about; None where they do not yet."""
    old = body["comparison"]
    if set(body["runs"]) >= set(map(str, runs["run_id"])):
        return [None for arm in old["arms"] for _ in arm["targets"]]
    found = compare_arms(runs, old["by"], old["baseline"], per=old["per"], floor=old["floor"])
    leads = {lead.arm: lead for lead in found.leads}
    return [
        leads[arm["arm"]].at(at["compute"]).value
        if arm["arm"] in leads and leads[arm["arm"]].largest >= 0.85 * at["compute"]
        else None
        for arm in old["arms"]
        for at in arm["targets"]
    ]


def _came_of_run(body: dict[str, Any], runs: RunTable) -> list[float | None]:
    """The loss of the watched run once it is in the table at its end."""
    found = body["watch"]
    own = runs.rows[runs["trunk_id"].astype(str) == found["run"]]
    own = own[own["tokens"] >= 0.99 * found["end"]]
    return [float(own.sort_values("tokens")["loss"].iloc[-1]) if len(own) else None]
