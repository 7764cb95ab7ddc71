"""Files of tables to rows of raw cells, by suffix: delimited text, JSON, JSON lines, Parquet; gzip too."""

from __future__ import annotations

import codecs
import gzip
import zlib
from pathlib import Path
from typing import Any

import pandas as pd

from analysis.table.delimited import read_delimited
from analysis.table.json_tables import read_json, read_jsonl
from analysis.table.nested import flatten_objects, join_levels
from analysis.table.numbers import decimal_mark
from analysis.table.raw import (
    Raw,
    escape_controls,
    find_index_columns,
    open_regular,
    refuse_repeated_names,
    refuse_too_many_cells,
)

_SUFFIXES = (".csv", ".tsv", ".txt", ".json", ".jsonl", ".ndjson", ".parquet")
_IN_MEMORY = "a DataFrame"
_PIECE = 1 << 20
# A table compresses 3 to 50 times; gzip reaches 1032 on what only a bomb holds.
_MOST_BYTES, _MOST_RATIO, _ALWAYS_FINE = 1 << 28, 200, 1 << 24
_MOST_JSON = 1 << 26  # bytes; as objects they take twenty times the memory


def read_file(path: Path) -> Raw:
    """Rows of one table file, by its suffix.

    Raises:
        ValueError: a suffix that is not read, or a file that cannot be parsed, saying where.
    """
    name = path.name.lower().removesuffix(".gz")
    suffix = Path(name).suffix
    packed = path.name.lower().endswith(".gz")
    if suffix not in _SUFFIXES or (packed and suffix == ".parquet"):
        raise ValueError(
            f"{path}: a table is a runs folder, {', '.join(_SUFFIXES)} or wandb://entity/project; "
            f"got the suffix {path.suffix!r}. Text may be packed: .csv.gz."
        )
    delimiter = ""
    if suffix == ".parquet":
        raw = _read_parquet(path)
    else:
        most = _MOST_BYTES if suffix in (".csv", ".tsv", ".txt") else _MOST_JSON
        text = _decode(path, _unpack(path) if packed else open_regular(path, most))
        if suffix == ".json":
            raw = read_json(str(path), text)
        elif suffix in (".jsonl", ".ndjson"):
            raw = read_jsonl(str(path), text)
        else:
            raw, delimiter = read_delimited(str(path), text)
    if not raw.columns or not (raw.labels or raw.quarantine):
        why = f" {raw.quarantine[0]['row']}: {raw.quarantine[0]['reason']}." if raw.quarantine else ""
        raise ValueError(f"{path}: holds no rows.{why}")
    return _finished(raw, delimiter)


def read_frame(frame: pd.DataFrame) -> Raw:
    """Rows of a pandas table in memory, as a file of them would be read.

    An index that has a name, or holds something else than numbers, becomes a column.

    Raises:
        ValueError: a table without rows, or two columns of one name.
    """
    named = any(name is not None for name in frame.index.names)
    if named or not pd.api.types.is_numeric_dtype(frame.index.dtype):
        frame = frame.reset_index()
    several = isinstance(frame.columns, pd.MultiIndex)
    levels = [[str(part) for part in (name if several else [name])] for name in frame.columns.tolist()]
    names = join_levels(levels) if several else [name for [name] in levels]
    refuse_repeated_names(_IN_MEMORY, names)
    refuse_too_many_cells(_IN_MEMORY, len(names), len(frame))
    columns = {name: _cells(frame.iloc[:, j]) for j, name in enumerate(names)}
    raw = Raw(_IN_MEMORY, columns, [f"row {i}" for i in range(1, len(frame) + 1)])
    flatten_objects(raw)
    if not raw.columns or not raw.labels:
        raise ValueError(f"{_IN_MEMORY}: holds no rows.")
    return _finished(raw, "")


def _cells(column: pd.Series[Any]) -> list[Any]:
    """Python values of one column, None where pandas has NaN, NaT or NA."""
    absent = column.isna().tolist()
    return [None if gone else cell for cell, gone in zip(column.tolist(), absent, strict=True)]


def _finished(raw: Raw, delimiter: str) -> Raw:
    """The rows with what only all of them together tell: the decimal mark, and columns that count rows."""
    escape_controls(raw)
    raw.decimal = decimal_mark(raw.columns, delimiter)
    raw.index_columns = find_index_columns(raw)
    if raw.index_columns:
        listed = ", ".join(map(repr, raw.index_columns))
        raw.notes.append(f"{listed}: counts the rows, so it is not part of a run")
    return raw


def _read_parquet(path: Path) -> Raw:
    try:
        import pyarrow  # lazy: 170 MB that only Parquet needs
        from pyarrow import parquet
    except ImportError as error:
        raise ValueError(
            f"{path}: reading Parquet needs `pip install 'scaling-harness[parquet]'`."
        ) from error
    try:
        about = parquet.read_metadata(path)
        refuse_too_many_cells(str(path), about.num_columns, about.num_rows)
        table = parquet.read_table(path, page_checksum_verification=True)
        refuse_repeated_names(str(path), list(table.column_names))
        columns = {name: table.column(name).to_pylist() for name in table.column_names}
    except (pyarrow.ArrowException, OSError) as error:
        raise ValueError(f"{path}: not a readable Parquet file: {error}.") from error
    raw = Raw(str(path), columns, [f"row {i}" for i in range(1, table.num_rows + 1)])
    flatten_objects(raw)
    return raw


def _unpack(path: Path) -> bytes:
    """The bytes of a gzip file, in pieces, so that a bomb is refused before it fills the memory."""
    most = min(_MOST_BYTES, max(_ALWAYS_FINE, _MOST_RATIO * path.stat().st_size))
    pieces, size = [], 0
    try:
        with gzip.open(path) as file:
            while piece := file.read(_PIECE):
                size += len(piece)
                if size > most:
                    raise ValueError(
                        f"{path}: unpacks to more than {most} bytes; unpack it with gunzip first."
                    )
                pieces.append(piece)
    except (OSError, EOFError, zlib.error) as error:
        raise ValueError(f"{path}: not a complete gzip file: {error}.") from error
    return b"".join(pieces)


def _decode(path: Path, content: bytes) -> str:
    """Text in UTF-8, or in UTF-16 with the mark that Excel writes before it."""
    marked = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    name, encoding = ("UTF-16", "utf-16") if marked else ("UTF-8", "utf-8-sig")
    try:
        return content.decode(encoding)
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: not {name} text at byte {error.start}; save it as UTF-8.") from error
