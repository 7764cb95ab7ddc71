"""`scaling forecasts FOLDER`: every registered forecast in a folder, its outcome, and its score.

Exit status 1 if a registered file was changed or removed.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from pathlib import Path
from typing import Any

from analysis.forecast.calibration import Calibration, Entry, calibrate
from analysis.forecast.register import check_chain, registered_files
from analysis.report.registered import entries_of
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


def describe(entries: list[Entry], together: Calibration, wrong: list[str]) -> str:
    """One line per number, why some have not come, and how they did together."""
    rows = table(
        [
            Column("file", [entry.file for entry in entries], left=True),
            Column("registered", [entry.registered for entry in entries], rank=2),
            Column("question", [entry.question for entry in entries], left=True, rank=1),
            Column("forecast", [f"{e.said:.4g} [{e.low:.4g}, {e.high:.4g}]" for e in entries]),
            Column("outcome", ["–" if e.came is None else f"{e.came:.4g}" for e in entries]),
            Column("inside", ["" if e.inside is None else "yes" if e.inside else "no" for e in entries]),
            Column("score", ["" if e.score is None else f"{100 * e.score:.3g} %" for e in entries]),
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
