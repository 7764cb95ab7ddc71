"""Learning curves, one row a logged step: every trunk and cooldown of a study folder, or a W&B chart."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pandas as pd

from analysis.table.cells import read_numbers
from analysis.table.columns import means
from analysis.table.numbers import role_of
from analysis.table.runtable import NotedRows
from analysis.table.sources import read_file
from scaling.records.record import RunRecord, StudyRecords, read_study

METRICS_FILE = "metrics.jsonl"
_NUMBERS = ("step", "tokens", "flops", "train_loss", "loss", "loss_se", "learning_rate")
_COLUMNS = ("trunk_id", "run_id", "part", "family", "params", *_NUMBERS)


def load_curves(source: str | Path) -> NotedRows:
    """Read metrics.jsonl of all trunks and cooldowns that the plan or a record of the study names.

    A run ends with a row for the held-out loss of its record.

    Args:
        source: a study folder, or the file of a chart that W&B exports: one column a run and metric. Its
            runs are named in `trunk_id`, and metrics that are none of ours keep their names.

    Returns:
        trunk_id, run_id (None for a trunk), part (`trunk` or `cooldown`), family, params [count], step,
        tokens, flops [FLOP], train_loss, loss (held-out) and loss_se [nats/token], learning_rate; NaN where
        a line does not say. Ordered by trunk, run and step. The notes count the lines that could not be
        read; the last line of a run that was killed is often half a line.

    Raises:
        FileNotFoundError: no such study folder.
        ValueError: a file that holds no such chart.
    """
    if Path(source).is_file():
        return _read_chart(Path(source))
    study = read_study(source)
    notes: list[str] = []
    rows: list[dict[str, Any]] = []
    runs, done = _runs_of(study), {record.run_id: record for record in study.done}
    for trunk_id, about in _trunks(study).items():
        trunk = {"trunk_id": trunk_id, "run_id": None, "part": "trunk", **about}
        rows += _read(study.folder / trunk_id / METRICS_FILE, trunk, study.folder, notes)
        for run_id in sorted(runs.get(trunk_id, ())):
            run = {"trunk_id": trunk_id, "run_id": run_id, "part": "cooldown", **about}
            rows += _read(study.folder / trunk_id / run_id / METRICS_FILE, run, study.folder, notes)
            if run_id in done:
                rows.append({**run, **_result(done[run_id])})
    curves = pd.DataFrame(rows, columns=list(_COLUMNS))
    curves[list(_NUMBERS)] = curves[list(_NUMBERS)].astype(float)
    return NotedRows(curves, study.name, tuple(notes))


def _read_chart(path: Path) -> NotedRows:
    raw = read_file(path)
    if not raw.chart:
        present = ", ".join(map(repr, list(raw.columns)[:40]))
        raise ValueError(
            f"{path}: learning curves are read from a study folder or a chart that W&B exports (a column "
            f"Step, and one a run and metric). Columns present: {present}."
        )
    notes = [*raw.notes, *(f"{item['row']} is not read: {item['reason']}" for item in raw.quarantine)]
    data: dict[str, Any] = {"trunk_id": raw.columns["run_name"]}
    for name, cells in raw.columns.items():
        if name == "run_name":
            continue
        ours = next((known for known in _NUMBERS if means(name, known)), name)
        ours = name if ours in data else ours
        data[ours], reasons, styles = read_numbers(cells, role=role_of(ours), decimal=raw.decimal)
        notes += [f"{name}: {style}" for style in styles]
        notes += [f"{raw.labels[i]}: {name} is {reason}" for i, reason in sorted(reasons.items())]
    extra = [name for name in data if name not in _COLUMNS]
    rows = pd.DataFrame(data, columns=[*_COLUMNS, *extra])
    rows = rows.assign(part="trunk").astype(dict.fromkeys((*_NUMBERS, "params"), float))
    return NotedRows(rows, path.stem, tuple(notes))


def _trunks(study: StudyRecords) -> dict[str, dict[str, Any]]:
    """trunk_id → family and params, by the plan, completed by the records."""
    about: dict[str, dict[str, Any]] = {}
    for row in study.expected.values():
        if row.get("trunk_id"):
            about[str(row["trunk_id"])] = {k: row.get(k) for k in ("family", "params")}
    for record in study.records:
        about[record.trunk_id] = {"family": record.family, "params": record.params}
    return dict(sorted(about.items()))


def _result(record: RunRecord) -> dict[str, Any]:
    """Where a run's curve ends: at its record."""
    return {name: getattr(record, name) for name in ("tokens", "flops", "loss", "loss_se")} | {
        "step": record.steps
    }


def _runs_of(study: StudyRecords) -> dict[str, set[str]]:
    """trunk_id → its runs, by plan and records."""
    runs: dict[str, set[str]] = {}
    for run_id, row in study.expected.items():
        runs.setdefault(str(row.get("trunk_id")), set()).add(run_id)
    for record in study.records:
        runs.setdefault(record.trunk_id, set()).add(record.run_id)
    return runs


def _read(path: Path, about: dict[str, Any], root: Path, notes: list[str]) -> list[dict[str, Any]]:
    # Names from a plan file must not lead out of the study.
    if not path.resolve().is_relative_to(root.resolve()) or not path.is_file():
        return []
    rows: list[dict[str, Any]] = []
    unread = 0
    for line in path.read_bytes().splitlines():
        try:
            body = json.loads(line)
            numbers = {k: float(body[k]) for k in _NUMBERS if body.get(k) is not None}
        except (ValueError, TypeError, AttributeError):
            unread += 1
            continue
        if "tokens" in numbers and all(map(math.isfinite, numbers.values())):
            rows.append({**about, **numbers})
        else:
            unread += 1
    if unread:
        notes.append(f"{path.relative_to(root)}: {unread} lines could not be read")
    return rows
