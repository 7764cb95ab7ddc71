"""The result that a command has written: one file, of which a few fields are read. Nothing is made up."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from scaling.records.reading import read_small
from scaling.records.record import DamagedRecord
from scaling.study.expression import ExpressionError, evaluate

LARGEST = 64 << 20  # bytes of a result: a log of every step is one too


class ResultError(ValueError):
    """A result that is not there, or that does not say what it must."""


def read_rows(path: Path) -> list[dict[str, Any]]:
    """Return the rows of a result, by field; fields of objects within objects are dotted.

    Args:
        path: .json is an object, or a list of them; .jsonl a line each; .csv and .tsv a row each.

    Raises:
        ResultError: where there is no such file, or it has no row, or is not of its kind.
    """
    rows = _rows(path)
    if not rows:
        raise ResultError(f"{path.name} holds no result")
    return rows


def pick(row: Mapping[str, Any], reads: Mapping[str, str], path: Path) -> dict[str, float]:
    """Return the mapped fields of one row; `loss` is needed, and so is everything that was mapped.

    Args:
        reads: our name → the field's, or arithmetic on fields.

    Raises:
        ResultError: for a field that is missing, no number, or not finite; or a negative loss.
    """
    found = {ours: _number(row, ours, theirs, path) for ours, theirs in reads.items()}
    if found["loss"] < 0:
        raise ResultError(
            f"{path.name}: {reads['loss']} is {found['loss']:g}; a loss in nats is not negative"
        )
    return found


def _number(row: Mapping[str, Any], ours: str, theirs: str, path: Path) -> float:
    value = row.get(theirs)
    if theirs not in row:
        try:
            return evaluate(theirs, {key: _read(value) for key, value in row.items()})
        except ExpressionError as error:
            known = ", ".join(sorted(row)[:20])
            hint = "" if theirs.isidentifier() else f" ({error})"
            raise ResultError(
                f"{path.name} has no field {theirs!r}{hint}; there are {known}. Map it: "
                f"trainer.fields.{ours}=THEIRS"
            ) from error
    number = _read(value)
    if isinstance(number, bool) or not isinstance(number, int | float):
        raise ResultError(f"{path.name}: {theirs} is {value!r}, which is not a number")
    if not math.isfinite(number):
        raise ResultError(f"{path.name}: {theirs} is {number}: the run has diverged, or was not evaluated")
    return float(number)


def _read(value: Any) -> Any:
    """A cell of a CSV as the number that it spells."""
    if not isinstance(value, str):
        return value
    try:
        return float(value)
    except ValueError:
        return value


def _rows(path: Path) -> list[dict[str, Any]]:
    try:
        data = read_small(path, LARGEST)
    except FileNotFoundError:
        raise ResultError(f"it wrote no {path.name} into {path.parent}") from None
    except (DamagedRecord, OSError) as error:
        raise ResultError(f"{path.name}: {error}") from error
    try:
        text = data.decode()
        if path.suffix in (".csv", ".tsv"):
            rows = csv.DictReader(io.StringIO(text), delimiter="\t" if path.suffix == ".tsv" else ",")
            return [{k: v for k, v in row.items() if k is not None} for row in rows]  # None: cells too many
        if path.suffix in (".jsonl", ".ndjson"):
            found = [json.loads(line) for line in text.splitlines() if line.strip()]
        else:
            whole = json.loads(text)
            found = whole if isinstance(whole, list) else [whole]
    except (ValueError, RecursionError, csv.Error) as error:
        raise ResultError(f"{path.name} cannot be read: {error}") from error
    if not all(isinstance(row, dict) for row in found):
        raise ResultError(f"{path.name} holds {type(found[0]).__name__}, not an object with fields")
    return [_flat(row) for row in found]


def _flat(row: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in row.items():
        name = f"{prefix}{key}"
        found |= _flat(value, f"{name}.") if isinstance(value, dict) else {name: value}
    return found
