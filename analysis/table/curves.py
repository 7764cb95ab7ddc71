"""Learning curves, one row per logged step: every trunk and cooldown of a study folder, or a W&B chart."""

from __future__ import annotations

import json
import math
from array import array
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis.table.cells import read_numbers
from analysis.table.columns import means
from analysis.table.numbers import role_of
from analysis.table.runtable import NotedRows
from analysis.table.sources import read_file
from scaling.records.reading import read_lines
from scaling.records.record import RunRecord, StudyRecords, read_study

METRICS_FILE = "metrics.jsonl"
_NUMBERS = ("step", "tokens", "flops", "train_loss", "loss", "loss_se", "learning_rate")
_STEP, _TOKENS, _LOSS = (_NUMBERS.index(name) for name in ("step", "tokens", "loss"))
_ABOUT = ("trunk_id", "run_id", "part", "family", "params")
_CHUNK = 1 << 20  # bytes of lines that are read at once

Rows = NDArray[np.float64]  # (n, 7), in the order of _NUMBERS
_About = tuple[str, str | None, str, str | None, int | None]


def load_curves(source: str | Path | StudyRecords, *, most: int | None = None) -> NotedRows:
    """Read metrics.jsonl of all trunks and cooldowns that the plan or a record of the study names.

    A run ends with a row for the held-out loss of its record.

    Args:
        source: a study folder, its records, or the file of a chart that W&B exports: one column per run and
            metric. Its runs are named in `trunk_id`, and metrics that are none of ours keep their names.
        most: evaluations to keep of a file that has more than twice as many, and as many lines without one;
            the first and the last always stay. By default every line is kept: 100 bytes each.

    Returns:
        trunk_id, run_id (None for a trunk), part (`trunk` or `cooldown`), family, params [count], step,
        tokens, flops [FLOP], train_loss, loss (held-out) and loss_se [nats/token], learning_rate; NaN where
        a line does not say. Ordered by trunk, run and step. The notes count the lines that could not be
        read; the last line of a run that was killed is often half a line.

    Raises:
        FileNotFoundError: no such study folder.
        ValueError: a file that holds no such chart.
    """
    if not isinstance(source, StudyRecords) and Path(source).is_file():
        return _read_chart(Path(source))
    study = source if isinstance(source, StudyRecords) else read_study(source)
    found = _Curves(study.folder, most)
    runs, done = _runs_of(study), {record.run_id: record for record in study.done}
    for trunk_id, about in _trunks(study).items():
        found.read(trunk_id, (trunk_id, None, "trunk", *about))
        for run_id in sorted(runs.get(trunk_id, ())):
            run = (trunk_id, run_id, "cooldown", *about)
            found.read(f"{trunk_id}/{run_id}", run)
            if run_id in done:
                found.add(run, _result(done[run_id]))
    return NotedRows(found.frame(), study.name, tuple(found.notes))


def _read_chart(path: Path) -> NotedRows:
    raw = read_file(path)
    if not raw.chart:
        present = ", ".join(map(repr, list(raw.columns)[:40]))
        raise ValueError(
            f"{path}: learning curves are read from a study folder or a chart that W&B exports (a column "
            f"Step, and one per run and metric). Columns present: {present}."
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
    extra = [name for name in data if name not in (*_ABOUT, *_NUMBERS)]
    rows = pd.DataFrame(data, columns=[*_ABOUT, *_NUMBERS, *extra])
    rows = rows.assign(part="trunk").astype(dict.fromkeys((*_NUMBERS, "params"), float))
    return NotedRows(rows, path.stem, tuple(notes))


class _Curves:
    """Rows of numbers as they are read, and what each stretch of them belongs to."""

    def __init__(self, root: Path, most: int | None) -> None:
        self.root, self.most = root, most
        self.values = array("d")  # row by row; a list of dicts would take eight times the memory
        self.about: list[_About] = []
        self.lengths: list[int] = []
        self.notes: list[str] = []

    def add(self, about: _About, rows: Rows) -> None:
        self.values.frombytes(rows.tobytes())
        self.about.append(about)
        self.lengths.append(len(rows))

    def read(self, place: str, about: _About) -> None:
        path = self.root / place / METRICS_FILE
        # Names from a plan file must not lead out of the study.
        if not path.resolve().is_relative_to(self.root.resolve()) or not path.is_file():
            return
        thinned = _Thinned(self.most) if self.most else None
        unread = 0
        for lines in read_lines(path, _CHUNK):
            rows = _parse(lines)
            unread += len(lines) - len(rows)
            if thinned is None:
                self.add(about, rows)
            else:
                thinned.add(rows)
        where = path.relative_to(self.root)
        if thinned is not None:
            self.add(about, thinned.rows())
            seen, kept = thinned.evaluations.seen, len(thinned.evaluations.kept())
            if kept < seen:
                self.notes.append(f"{where}: {kept} of {seen} evaluations are shown, evenly spaced")
        if unread:
            self.notes.append(f"{where}: {unread} lines could not be read")

    def frame(self) -> pd.DataFrame:
        numbers = np.frombuffer(self.values, dtype=np.float64).reshape(-1, len(_NUMBERS))
        frame = pd.DataFrame(numbers, columns=list(_NUMBERS), copy=False)
        for k, name in enumerate(_ABOUT):
            values = [about[k] for about in self.about]
            # Objects: a column of pandas' own strings would hold a copy of the text in every row.
            column = np.array(values, dtype=object) if name != "params" else pd.Series(values).to_numpy()
            frame.insert(k, name, pd.Series(np.repeat(column, self.lengths), dtype=column.dtype, copy=False))
        return frame


class _Thinned:
    """Rows of one file, thinned evenly while they are read: evaluations by themselves, and other lines."""

    def __init__(self, most: int) -> None:
        self.evaluations, self.others = _Every(most), _Every(most)

    def add(self, rows: Rows) -> None:
        evaluated = np.isfinite(rows[:, _LOSS])
        self.evaluations.add(rows[evaluated])
        self.others.add(rows[~evaluated])

    def rows(self) -> Rows:
        """What is kept, in order of tokens."""
        rows = np.concatenate([self.evaluations.kept(), self.others.kept()])
        return rows[np.lexsort([rows[:, _STEP], rows[:, _TOKENS]])]


class _Every:
    """Every so many-th row, half as many whenever there are too many; always the first and the last."""

    def __init__(self, most: int) -> None:
        self.most, self.seen, self.stride = most, 0, 1
        self.order = np.empty(0, dtype=np.int64)
        self.rows: Rows = np.empty((0, len(_NUMBERS)))
        self.last: Rows = self.rows

    def add(self, rows: Rows) -> None:
        if not len(rows):
            return
        order = np.concatenate([self.order, np.arange(self.seen, self.seen + len(rows))])
        every: Rows = np.concatenate([self.rows, rows])
        self.seen, self.last = self.seen + len(rows), rows[-1:].copy()
        while np.count_nonzero(order % self.stride == 0) > 2 * self.most:
            self.stride *= 2
        keep = order % self.stride == 0
        self.order, self.rows = order[keep], every[keep]

    def kept(self) -> Rows:
        is_last = self.seen == 0 or self.order[-1] == self.seen - 1
        return self.rows if is_last else np.concatenate([self.rows, self.last])


def _trunks(study: StudyRecords) -> dict[str, tuple[str | None, int | None]]:
    """trunk_id → family and params, by the plan, completed by the records."""
    about: dict[str, tuple[str | None, int | None]] = {}
    for row in study.expected.values():
        if row.get("trunk_id"):
            about[str(row["trunk_id"])] = (row.get("family"), row.get("params"))
    for record in study.records:
        about[record.trunk_id] = (record.family, record.params)
    return dict(sorted(about.items()))


def _result(record: RunRecord) -> Rows:
    """Where a run's curve ends: at its record."""
    said = {"step": record.steps, "tokens": record.tokens, "flops": record.flops, "loss": record.loss}
    said |= {"loss_se": record.loss_se}
    return np.array([[said.get(name) for name in _NUMBERS]], dtype=float)


def _runs_of(study: StudyRecords) -> dict[str, set[str]]:
    """trunk_id → its runs, by plan and records."""
    runs: dict[str, set[str]] = {}
    for run_id, row in study.expected.items():
        runs.setdefault(str(row.get("trunk_id")), set()).add(run_id)
    for record in study.records:
        runs.setdefault(record.trunk_id, set()).add(record.run_id)
    return runs


def _parse(lines: list[bytes]) -> Rows:
    """The numbers of the lines that can be read, (n, 7), NaN where a line does not say."""
    text = b",".join(lines)
    plain = all(line.startswith(b"{") and line.rstrip().endswith(b"}") for line in lines)
    if plain and b"NaN" not in text and b"Infinity" not in text:
        try:  # all lines at once take a third less time
            bodies = json.loads(b"[" + text + b"]")
            if len(bodies) == len(lines):
                rows: Rows = np.array([[body.get(name) for name in _NUMBERS] for body in bodies], dtype=float)
                usable: Rows = rows[np.isfinite(rows[:, _TOKENS]) & ~np.isinf(rows).any(axis=1)]
                return usable
        except (ValueError, TypeError, AttributeError, RecursionError):
            pass  # some line is damaged: find it
    found = [row for row in map(_parse_line, lines) if row is not None]
    return np.array(found, dtype=float).reshape(-1, len(_NUMBERS))


def _parse_line(line: bytes) -> list[float] | None:
    try:
        body = json.loads(line)
        row = [math.nan if body.get(name) is None else float(body[name]) for name in _NUMBERS]
        said = [value for name, value in zip(_NUMBERS, row, strict=True) if body.get(name) is not None]
    except (ValueError, TypeError, AttributeError, RecursionError):
        return None
    return row if math.isfinite(row[_TOKENS]) and all(map(math.isfinite, said)) else None
