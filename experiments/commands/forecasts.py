"""`scaling forecasts FOLDER`: every registered forecast of a folder, what was said, what came, and the score.

Exit status 1 where a registered file was changed or taken away.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from pathlib import Path
from typing import Any

from analysis.forecast.calibration import Calibration, Entry, calibrate
from analysis.forecast.register import KIND, check_chain, registered_files, score
from analysis.sweeps.compare import compare_arms
from analysis.table import RunTable, load_runs
from experiments.terminal import Column, table, wrapped


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="scaling forecasts", description=__doc__)
    parser.add_argument("folder", type=Path, help="where forecasts were registered")
    parser.add_argument(
        "--against", metavar="TABLE", help="runs to score them on (default: the source that each file names)"
    )
    parser.add_argument("--json", action="store_true", help="one JSON object on standard output")
    asked = parser.parse_args(arguments)
    if not asked.folder.is_dir():
        raise ValueError(f"{asked.folder}: no such folder; name the one that --register wrote to.")
    files = registered_files(asked.folder)
    if not files:
        raise ValueError(
            f"{asked.folder}: holds no registered forecast; scaling forecast … --register FILE makes one."
        )
    entries = [entry for path, body in files.items() for entry in entries_of(path, body, asked.against)]
    wrong, together = check_chain(files), calibrate(entries)
    if asked.json:
        print(json.dumps(to_dict(entries, together, wrong), indent=1, allow_nan=False))
    else:
        print(describe(entries, together, wrong))
    return 1 if wrong else 0


def entries_of(path: Path, body: dict[str, Any], against: str | None) -> list[Entry]:
    """What a file said, scored where its runs have come in."""
    waiting = said(path, body)
    try:
        runs = load_runs(against or body["source"])
        if body["kind"] == KIND:
            return _scored(path, body, runs)
        came = _came_of_arms(body, runs) if body["kind"] == "comparison" else _came_of_run(body, runs)
    except (ValueError, OSError, KeyError) as error:
        return [Entry(**{**vars(entry), "reason": str(error)}) for entry in waiting]
    return [Entry(**{**vars(entry), "came": value}) for entry, value in zip(waiting, came, strict=True)]


def said(path: Path, body: dict[str, Any]) -> list[Entry]:
    """The numbers that a file registered, before any of them came."""
    known: dict[str, Any] = {"file": path.name, "registered": str(body["registered"])}
    if body["kind"] == KIND:
        found = body["forecast"]
        inputs = " ".join(f"{name} {value['value']:.3g}" for name, value in found["inputs"].items())
        low, high = found["run"]
        question = f"loss at {inputs}"
        return [
            Entry(
                **known,
                question=question,
                said=found["loss"]["value"],
                low=low,
                high=high,
                level=found["level"],
            )
        ]
    if body["kind"] == "comparison":
        return [
            Entry(
                **known,
                question=f"{arm['arm']} over {arm['baseline']} at {at['compute']:.3g}",
                said=at["speedup"],
                low=at["low"],
                high=at["high"],
                level=body["comparison"]["level"],
            )
            for arm in body["comparison"]["arms"]
            for at in arm["targets"]
        ]
    found = body["watch"]
    ends = found["final"]
    question = f"final loss of {found['run']}"
    return [
        Entry(
            **known,
            question=question,
            said=ends["value"],
            low=ends["low"],
            high=ends["high"],
            level=found["level"],
        )
    ]


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


def describe(entries: list[Entry], together: Calibration, wrong: list[str]) -> str:
    """A line a number, why some have not come, and how they did together."""
    rows = table(
        [
            Column("file", [entry.file for entry in entries], left=True),
            Column("registered", [entry.registered for entry in entries], rank=2),
            Column("question", [entry.question for entry in entries], left=True, rank=1),
            Column("said", [f"{e.said:.4g} [{e.low:.4g}, {e.high:.4g}]" for e in entries]),
            Column("came", ["–" if e.came is None else f"{e.came:.4g}" for e in entries]),
            Column("inside", ["" if e.inside is None else "yes" if e.inside else "no" for e in entries]),
            Column("score", ["" if e.score is None else f"{100 * e.score:.2g} %" for e in entries]),
        ]
    )
    lines = [rows, "", str(together)]
    lines += [f"{e.file}: pending: {e.reason}" for e in entries if e.came is None and e.reason]
    lines += [f"! {e.file}: its run began before it was registered; not counted" for e in entries if e.early]
    lines += [f"! {each}" for each in wrong] or ["every file is as it was registered, and none is missing"]
    return "\n".join([lines[0], *map(wrapped, lines[1:])])


def to_dict(entries: list[Entry], together: Calibration, wrong: list[str]) -> dict[str, Any]:
    """The same as plain data."""
    totals = {k: None if isinstance(v, float) and math.isnan(v) else v for k, v in vars(together).items()}
    return {"forecasts": [entry.to_dict() for entry in entries], "together": totals, "tampered": wrong}


if __name__ == "__main__":
    from experiments.cli import run_verb

    sys.exit(run_verb("forecasts", sys.argv[1:]))
