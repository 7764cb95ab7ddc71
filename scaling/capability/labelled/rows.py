"""Rows of a labelled file, each with its place in the file: JSONL, CSV, TSV, Parquet, or a `datasets`
name."""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

LONGEST = 2**20  # bytes of a line
HELD_OUT = 0.25  # of the distinct texts, where no file of their own is given
FEWEST = 8  # rows to learn from, and as many to be asked
SUFFIXES = (".jsonl", ".json", ".csv", ".tsv", ".parquet")


class Row(NamedTuple):
    """The cells of a row, and the words that name it in a message."""

    where: str  # e.g. reviews.csv:7
    cells: dict[str, Any]


class Bad(ValueError):
    """What is wrong with one row; whoever reads the file adds where it stands."""


def read_split(source: str) -> tuple[list[Row], list[Row] | None]:
    """Rows to learn from and, where the source has them apart, held-out rows.

    Args:
        source: a file; TRAIN+TEST, two files; or the name or saved folder of a `datasets` data set, whose
            split `test` (else `validation`) is held out.

    Raises:
        FileNotFoundError: for a file that is not there.
        ValueError: naming file and line, for what cannot be read.
    """
    first, plus, second = source.partition("+")
    if plus:
        return read_rows(first), read_rows(second)
    if first.endswith(SUFFIXES):
        return read_rows(first), None
    return _datasets(first)


def read_rows(path: str) -> list[Row]:
    """Every row of one file, in order. Raises as `read_split` does."""
    file = Path(path).expanduser()
    if not file.is_file():
        raise FileNotFoundError(f"tasks: no file {path!r}. Current folder: {Path.cwd()}.")
    if not path.endswith(SUFFIXES):
        raise ValueError(f"tasks: {path!r} is none of {', '.join(SUFFIXES)}, nor a folder saved by datasets.")
    if path.endswith(".parquet"):
        return _parquet(path, file)
    lines = list(_lines(path, file))
    if path.endswith((".jsonl", ".json")):
        return [Row(where, _json(line, where)) for where, line in lines if line.strip()]
    return _delimited(path, lines, "\t" if path.endswith(".tsv") else ",")


def _lines(path: str, file: Path) -> Iterator[tuple[str, str]]:
    """(where, text) of each line.

    Raises:
        ValueError: for a line that is too long or not UTF-8.
    """
    with file.open("rb") as stream:
        number = 0
        while line := stream.readline(LONGEST + 1):
            number += 1
            where = f"{path}:{number}"
            if len(line) > LONGEST:
                raise ValueError(
                    f"{where}: a line of more than {LONGEST:,} bytes. Cut the text, or write one JSON object "
                    "per line."
                )
            if number == 1 and line[:2] in (b"\xff\xfe", b"\xfe\xff"):
                raise ValueError(f"{where}: the file is UTF-16; save it as UTF-8.")
            try:
                text = line.decode("utf-8-sig" if number == 1 else "utf-8")
            except UnicodeDecodeError as error:
                raise ValueError(
                    f"{where}: byte {line[error.start]:#04x} at column {error.start + 1} is not UTF-8. The "
                    "file mixes encodings, or has another one; save it as UTF-8."
                ) from error
            yield where, text


def _json(line: str, where: str) -> dict[str, Any]:
    try:
        found = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{where}: not JSON ({error}). Write one object per line.") from error
    if not isinstance(found, dict):
        raise ValueError(f"{where}: not a JSON object, but {shown(found)}. Write one object per line.")
    return found


def _delimited(path: str, lines: Sequence[tuple[str, str]], delimiter: str) -> list[Row]:
    """Rows of CSV or TSV with a header; a quoted cell may go over several lines."""
    reader = csv.reader((text for _, text in lines), delimiter=delimiter, strict=True)
    rows: list[Row] = []
    header: list[str] = []
    begin = 0
    try:
        for cells in reader:
            where, begin = f"{path}:{begin + 1}", reader.line_num
            if not header:
                header = [cell.strip() for cell in cells]
            elif cells:
                if len(cells) != len(header):
                    raise ValueError(
                        f"{where}: {len(cells)} cells under {len(header)} column names "
                        f"({', '.join(header)}). Quote a cell that holds a {delimiter!r}."
                    )
                rows.append(Row(where, dict(zip(header, cells, strict=True))))
    except csv.Error as error:
        raise ValueError(f"{path}:{begin + 1}: not a row of cells ({error}).") from error
    return rows


def _parquet(path: str, file: Path) -> list[Row]:
    try:
        from pyarrow import ArrowInvalid
        from pyarrow.parquet import read_table
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"{path} needs the package pyarrow: pip install 'scaling-harness[parquet]'."
        ) from error
    try:
        table = read_table(io.BytesIO(file.read_bytes()))
    except ArrowInvalid as error:
        raise ValueError(f"{path}: not a Parquet file ({error}).") from error
    return [Row(f"{path}, row {i}", cells) for i, cells in enumerate(table.to_pylist(), start=1)]


def _datasets(name: str) -> tuple[list[Row], list[Row] | None]:
    try:
        import datasets
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"tasks: {name!r} is not a file, and a data set of that name needs the package datasets: "
            "pip install 'scaling-harness[huggingface]'."
        ) from error
    try:
        found = datasets.load_from_disk(name) if Path(name).is_dir() else datasets.load_dataset(name)
    except Exception as error:  # of any kind: the library and its network
        raise ValueError(
            f"tasks: {name!r} is not a file ({', '.join(SUFFIXES)}), and datasets cannot open it: {error}"
        ) from error
    if not isinstance(found, dict):
        return _named(name, found), None
    test = next((split for split in ("test", "validation") if split in found), None)
    if "train" not in found:
        raise ValueError(f"tasks: data set {name!r} has no split 'train', but {', '.join(found)}.")
    return _named(f"{name} train", found["train"]), _named(f"{name} {test}", found[test]) if test else None


def _named(name: str, rows: Any) -> list[Row]:
    """Rows with labels by name, not by number, where the data set knows names."""
    names: dict[str, Callable[[Any], Any]] = {}
    for column, feature in rows.features.items():
        inner = getattr(feature, "feature", feature)
        if hasattr(inner, "int2str"):
            names[column] = inner.int2str
    found = []
    for i, row in enumerate(rows, start=1):
        cells = {key: names[key](value) if key in names else value for key, value in row.items()}
        if "tags" not in cells and "ner_tags" in cells:
            cells["tags"] = cells["ner_tags"]
        found.append(Row(f"{name}, row {i}", cells))
    return found


def text_of(cells: dict[str, Any], key: str) -> str:
    """A cell that is text and not empty.

    Raises:
        Bad: where it is missing, empty or something else.
    """
    value = cell_of(cells, key)
    if not isinstance(value, str):
        raise Bad(f"{key!r} is text; got {shown(value)}")
    if not value.strip():
        raise Bad(f"{key!r} is empty")
    return value


def cell_of(cells: dict[str, Any], key: str) -> Any:
    """A cell that is there.

    Raises:
        Bad: where it is not.
    """
    if key not in cells:
        raise Bad(f"no {key!r}; there is {', '.join(map(repr, cells)) or 'nothing'}")
    if cells[key] is None:
        raise Bad(f"{key!r} is missing")
    return cells[key]


def shown(value: Any) -> str:
    """A value as a message quotes it."""
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}…"


def digest(text: str) -> str:
    """What decides the split and the order of examples: the text, not its place in the file."""
    return hashlib.sha256(text.encode()).hexdigest()


def hold_out(rows: Sequence[Any], key: Callable[[Any], str]) -> tuple[list[Any], list[Any]]:
    """Rows to learn from, and a quarter of the distinct texts, chosen by their digest, to be asked."""
    texts = sorted({key(row) for row in rows}, key=digest)
    held = set(texts[: max(1, round(HELD_OUT * len(texts)))])
    return [row for row in rows if key(row) not in held], [row for row in rows if key(row) in held]
