"""CSV, JSON, JSON lines and Parquet to rows of raw cells. A line that does not fit is set aside, counted."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass
class Raw:
    """Rows as they came: cells by column, a label a row ('line 7'), and what was set aside and why."""

    source: str
    columns: dict[str, list[Any]]
    labels: list[str]
    quarantine: list[dict[str, str]] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def read_file(path: Path) -> Raw:
    """Rows of one table file, by its suffix.

    Raises:
        ValueError: a suffix that is not read, or a file that cannot be parsed, saying where.
    """
    readers: dict[str, Callable[[Path], Raw]] = {
        ".csv": _read_csv,
        ".tsv": _read_csv,
        ".json": _read_json,
        ".jsonl": _read_jsonl,
        ".parquet": _read_parquet,
    }
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise ValueError(
            f"{path}: a table is a runs folder, {', '.join(readers)} or wandb://entity/project; "
            f"got the suffix {path.suffix!r}."
        )
    raw = reader(path)
    if not raw.columns or not (raw.labels or raw.quarantine):
        raise ValueError(f"{path}: holds no rows.")
    return raw


def _read_csv(path: Path) -> Raw:
    text = _text(path)
    header_line = text.partition("\n")[0]
    # A comma in the header decides; else what spreadsheets of other locales write.
    delimiter = next((d for d in (",", "\t", ";") if d in header_line), ",")
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    raw = Raw(str(path), {}, [])
    try:
        header = [name.strip() for name in next(reader, [])]
        _check_header(path, header)
        rows: list[tuple[str, list[str]]] = []
        before = reader.line_num
        for row in reader:
            lines = (
                f"line {reader.line_num}"
                if reader.line_num == before + 1
                else f"lines {before + 1}–{reader.line_num}"
            )
            before = reader.line_num
            if not row:
                continue
            if len(row) != len(header):
                reason = f"{len(row)} cells where the header has {len(header)}"
                raw.quarantine.append({"row": lines, "reason": reason})
            elif any("\0" in cell for cell in row):
                raw.quarantine.append({"row": lines, "reason": "holds a NUL character: the file is damaged"})
            else:
                rows.append((lines, row))
    except csv.Error as error:
        raise ValueError(f"{path}, line {reader.line_num}: not CSV: {error}.") from error
    if rows and not text.endswith(("\n", "\r")) and rows[-1][0] == f"line {reader.line_num}":
        # A file that was cut short ends like this, and its last number may have lost digits.
        label, _ = rows.pop()
        reason = "the file ends without a newline, as a file cut short does; add one if it is complete"
        raw.quarantine.append({"row": label, "reason": reason})
    raw.labels = [label for label, _ in rows]
    raw.columns = {name: [row[j] for _, row in rows] for j, name in enumerate(header)}
    return raw


def _read_json(path: Path) -> Raw:
    try:
        body = json.loads(_text(path), object_pairs_hook=_Pairs)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path}: not JSON: {error}.") from error
    if not isinstance(body, list) or isinstance(body, _Pairs):
        raise ValueError(f"{path}: a JSON table is a list of objects, one a run; got {_kind(body)}.")
    return _from_objects(path, ((f"row {i}", item) for i, item in enumerate(body, start=1)))


def _read_jsonl(path: Path) -> Raw:
    def objects() -> Iterator[tuple[str, Any]]:
        for i, line in enumerate(_text(path).splitlines(), start=1):
            if not line.strip():
                continue
            try:
                yield f"line {i}", json.loads(line, object_pairs_hook=_Pairs)
            except (ValueError, RecursionError) as error:
                yield f"line {i}", f"not JSON: {error}"

    return _from_objects(path, objects())


def _read_parquet(path: Path) -> Raw:
    try:
        import pyarrow  # lazy: 170 MB that only Parquet needs
        from pyarrow import parquet
    except ImportError as error:
        raise ValueError(
            f"{path}: reading Parquet needs `pip install 'scaling-harness[parquet]'`."
        ) from error
    try:
        table = parquet.read_table(path, page_checksum_verification=True)
        _check_header(path, list(table.column_names))
        columns = {name: table.column(name).to_pylist() for name in table.column_names}
    except (pyarrow.ArrowException, OSError) as error:
        raise ValueError(f"{path}: not a readable Parquet file: {error}.") from error
    return Raw(str(path), columns, [f"row {i}" for i in range(1, table.num_rows + 1)])


class _Pairs(list[tuple[str, Any]]):
    """A JSON object before anything is lost: two equal keys are still two."""


def _from_objects(path: Path, objects: Iterator[tuple[str, Any]]) -> Raw:
    raw = Raw(str(path), {}, [])
    rows: list[dict[str, Any]] = []
    for label, item in objects:
        keys = [key for key, _ in item] if isinstance(item, _Pairs) else []
        twice = sorted({key for key in keys if keys.count(key) > 1})
        if not isinstance(item, _Pairs):
            reason = (
                item
                if isinstance(item, str) and item.startswith("not JSON")
                else f"not an object: {_kind(item)}"
            )
        elif twice:
            reason = f"says {', '.join(map(repr, twice))} twice"
        else:
            rows.append(dict(item))
            raw.labels.append(label)
            continue
        raw.quarantine.append({"row": label, "reason": reason})
    names = list(dict.fromkeys(name for row in rows for name in row))
    _check_header(path, names)
    raw.columns = {name: [row.get(name) for row in rows] for name in names}
    return raw


def _check_header(path: Path, header: list[str]) -> None:
    twice = sorted({name for name in header if header.count(name) > 1})
    if twice:
        raise ValueError(
            f"{path}: the column {', '.join(map(repr, twice))} is there twice; rename or drop one."
        )


def _text(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: not UTF-8 text at byte {error.start}; save it as UTF-8.") from error


def _kind(value: Any) -> str:
    return "an object" if isinstance(value, _Pairs) else f"{type(value).__name__} {str(value)[:40]!r}"
