"""Every logged row of a study as one CSV table, for those who use neither W&B nor TensorBoard."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any

from analysis.report.formats import plain_text
from experiments.terminal import plural
from scaling.records.reading import read_lines
from scaling.records.record import StudyRecords, read_study
from scaling.records.storage import write_atomic

METRICS = "metrics.jsonl"
FIRST = ("run_id", "trunk_id", "kind", "family", "params", "step", "tokens", "flops", "train_loss", "loss")
FINAL = ("tokens", "flops", "loss", "loss_se", "bits_per_byte")


def export_metrics(study: Path, to: Path) -> str:
    """Write the rows of all trunks and runs of a study, and the final loss of each finished run.

    Returns:
        How many rows were written, and how many could not be read.

    Raises:
        FileNotFoundError: where the folder is not there, or has no row.
    """
    records = read_study(study)
    rows, damaged = [], 0
    for about, path in _logs(study, records):
        for line in chain.from_iterable(read_lines(path)):
            row = _parse(line)
            damaged += row is None
            rows += [] if row is None else [{**about, **row}]
    rows += [_final(record) for record in map(vars, records.done)]
    if not rows:
        raise FileNotFoundError(f"{study}: no {METRICS} of a trunk or a run in it. Give a study's folder.")
    names = list(dict.fromkeys([*FIRST, *(name for row in rows for name in row)]))
    out = io.StringIO()
    table = csv.DictWriter(out, names, lineterminator="\n")
    table.writeheader()
    table.writerows({key: _cell(value) for key, value in row.items()} for row in rows)
    write_atomic(to, out.getvalue().encode())
    lost = f"; {plural(damaged, 'damaged line')} left out" if damaged else ""
    return f"{to}: {plural(len(rows), 'row')}{lost}"


def _logs(study: Path, records: StudyRecords) -> Iterator[tuple[dict[str, Any], Path]]:
    """What is known of each log's trunk or run, and where it lies."""
    known = {run_id: dict(row) for run_id, row in records.expected.items()}
    for record in records.records:
        known[record.run_id] = {key: getattr(record, key) for key in ("trunk_id", "family", "params")}
    trunks = {str(row["trunk_id"]): row for row in known.values() if "trunk_id" in row}
    for path in sorted([*study.glob(f"*/{METRICS}"), *study.glob(f"*/*/{METRICS}")]):
        id = path.parent.name
        row = known.get(id) or trunks.get(id)
        if row is None or path.is_symlink() or not path.is_file():
            continue  # set aside, or none of ours
        kind = "run" if id in known else "trunk"
        about = {key: row.get(key) for key in ("trunk_id", "family", "params")}
        yield {"run_id": id if kind == "run" else None, "kind": kind, **about}, path


def _cell(value: Any) -> Any:
    return plain_text(value.replace("\r", " ")) if isinstance(value, str) else value


def _parse(line: bytes) -> dict[str, Any] | None:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return row if isinstance(row, dict) else None


def _final(record: dict[str, Any]) -> dict[str, Any]:
    about = {key: record[key] for key in ("run_id", "trunk_id", "family", "params")}
    return {**about, "kind": "run", "step": record["steps"], **{key: record[key] for key in FINAL}}
