"""`scaling watch RUN --against TABLE`: where a run in progress will end, and whether it is on course.

Exit status 0 without an alarm, 1 with one, 2 for an error.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

import numpy as np

from analysis.forecast.inflight import FALSE_ALARM, Curve, Watch, curves_of, watch
from analysis.forecast.register import write_registered
from analysis.table import load_curves, load_runs
from analysis.table.cells import read_numbers
from analysis.table.columns import means
from analysis.table.sources import read_file
from experiments.commands.forecast import number
from experiments.terminal import wrapped


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="scaling watch", description=__doc__)
    parser.add_argument(
        "run", metavar="RUN", help="runs/NAME, or a file with tokens and loss, one row per evaluation"
    )
    parser.add_argument(
        "--against", required=True, metavar="TABLE", help="finished runs: runs/NAME or a file"
    )
    parser.add_argument("--id", metavar="TRUNK", help="which trunk of RUN (default: the only unfinished one)")
    parser.add_argument(
        "--tokens", type=number, help="tokens D at which the run will end (default: as planned)"
    )
    parser.add_argument("--level", type=float, default=0.95, help="level of the interval (default 0.95)")
    parser.add_argument(
        "--false-alarm",
        type=float,
        default=FALSE_ALARM,
        metavar="P",
        help="probability of a false alarm at each look (default .01)",
    )
    parser.add_argument(
        "--follow", action="store_true", help="look again until the run ends or an alarm is raised"
    )
    parser.add_argument(
        "--every", type=float, default=60, metavar="SECONDS", help="time between looks (default 60)"
    )
    parser.add_argument(
        "--register",
        type=Path,
        metavar="FILE",
        help="write this look's forecast into a file that is never overwritten",
    )
    parser.add_argument(
        "--json", action="store_true", help="one JSON object for each look on standard output"
    )
    asked = parser.parse_args(arguments)
    for name in ("level", "false_alarm"):
        if not 0 < getattr(asked, name) < 1:
            raise ValueError(f"--{name.replace('_', '-')}: between 0 and 1; got {getattr(asked, name)!r}.")
    finished = finished_of(asked.against)
    while True:
        run = in_flight(asked.run, asked.id, asked.tokens)
        found = watch(
            run, [c for c in finished if c.name != run.name], level=asked.level, false_alarm=asked.false_alarm
        )
        show(found, asked.json)
        if asked.register:
            body = {"watch": {**found.to_dict(), "end": run.end}}
            write_registered("watch", body, load_runs(asked.against), asked.register)
            asked.register = None
        if found.alarms or not asked.follow or run.tokens[-1] >= run.end:
            return 1 if found.alarms else 0
        time.sleep(asked.every)


def show(found: Watch, as_json: bool) -> None:
    """Print one look."""
    print(json.dumps(found.to_dict(), allow_nan=False) if as_json else wrapped(str(found)), flush=True)


def finished_of(source: str) -> list[Curve]:
    """The finished curves of a runs folder, or of a table with several rows per run.

    Raises:
        ValueError: for a table without curves.
    """
    if Path(source).is_dir():
        rows = load_curves(source).rows
        return curves_of(rows[rows["trunk_id"].isin(rows["trunk_id"][rows["part"] == "cooldown"])])
    table = load_runs(source)
    if table.curves is None:
        raise ValueError(f"--against: {source} has one row per run; curves need every evaluation of each.")
    return curves_of(table.curves)


def in_flight(source: str, name: str | None, end: float | None) -> Curve:
    """The run that is watched, as far as it has come.

    Raises:
        ValueError: where it is not clear which run is meant, or where it ends.
    """
    if Path(source).is_dir():
        return _of_folder(Path(source), name, end)
    raw = read_file(Path(source))
    columns = {}
    for ours in ("tokens", "loss"):
        theirs = [column for column in raw.columns if means(column, ours)]
        if len(theirs) != 1:
            raise ValueError(
                f"{source}: {'no' if not theirs else 'more than one'} column for {ours}; columns present: "
                f"{', '.join(map(repr, raw.columns))}."
            )
        columns[ours] = np.asarray(
            read_numbers(raw.columns[theirs[0]], role="size" if ours == "tokens" else "real")[0]
        )
    keep = np.isfinite(columns["tokens"]) & np.isfinite(columns["loss"]) & (columns["tokens"] > 0)
    tokens, first = np.unique(columns["tokens"][keep], return_index=True)
    if end is None:
        raise ValueError(f"{source}: does not say where its run ends; add --tokens D.")
    return Curve(Path(source).stem, tokens, columns["loss"][keep][first], end, None)


def _of_folder(folder: Path, name: str | None, end: float | None) -> Curve:
    from scaling.records.record import read_study

    study = read_study(folder)
    rows = load_curves(study).rows
    rows = rows[(rows["part"] == "trunk") & rows["loss"].notna()]
    planned: dict[str, float] = {}
    for row in study.expected.values():
        planned[str(row["trunk_id"])] = max(planned.get(str(row["trunk_id"]), 0.0), float(row["tokens"]))
    done = {record.run_id for record in study.done}
    open_trunks = {str(row["trunk_id"]) for run, row in study.expected.items() if run not in done}
    choices = sorted(set(map(str, rows["trunk_id"])) & open_trunks)
    if name is None and len(choices) == 1:
        name = choices[0]
    if name is None or name not in set(map(str, rows["trunk_id"])):
        what = "no run in flight has an evaluation" if not choices else f"in flight: {', '.join(choices)}"
        raise ValueError(f"{folder}: name one run with --id; {what}.")
    if name not in open_trunks and end is None and study.expected:
        last = max((r for r in study.done if r.trunk_id == name), key=lambda record: record.tokens)
        raise ValueError(
            f"{folder}: {name} is done, with loss {last.loss:.4f} after {last.tokens:,} tokens. To see where "
            f"a longer run would end, give --tokens D; in flight: {', '.join(choices) or 'none'}."
        )
    own = (
        rows[rows["trunk_id"].astype(str) == name]
        .sort_values("tokens")
        .drop_duplicates("tokens", keep="last")
    )
    own = own[own["tokens"] > 0]
    ends = end or planned.get(name)
    if ends is None:
        raise ValueError(f"{folder}: the plan does not say where {name} ends; add --tokens D.")
    return Curve(name, own["tokens"].to_numpy(float), own["loss"].to_numpy(float), ends, None)


if __name__ == "__main__":
    from experiments.cli import run_verb

    sys.exit(run_verb("watch", sys.argv[1:]))
