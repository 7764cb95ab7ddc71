"""Explicit mappings of a source's columns to ours.

A mapping says `ours=theirs`, on the command line, in a dict or in a small YAML or JSON file. Theirs is a
column, or an expression that brings the numbers to our units: `params=Model Size (M)*1e6`, `loss=log(ppl)`.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from analysis.table.cells import Numbers
from analysis.table.columns import KNOWN, TEXTS, plain
from analysis.table.expressions import Expression, parse, scaled
from analysis.table.grammar import ExpressionError
from analysis.table.numbers import role_of
from analysis.table.raw import Raw, excerpt, open_regular

_MOST_BYTES = 8_000  # of a file of mappings

NO_STATUS = "none"  # status=none: rows that say they have no result are rows like others

Columns = Mapping[str, object] | Sequence[str] | str | Path


@dataclass(frozen=True)
class Origin:
    """Where one of our columns comes from: a column of the source as it is, or an expression over columns."""

    expression: Expression

    @classmethod
    def of(cls, column: str) -> Origin:
        """A column as it is."""
        return cls(scaled(column, 1.0))

    @property
    def column(self) -> str | None:
        """The column, where it is taken as it is."""
        return self.expression.column

    def numbers(self, ours: str, raw: Raw) -> Numbers:
        """The numbers of one of our columns in each row of the source."""
        return self.expression.numbers(raw.columns, role=role_of(ours), decimal=raw.decimal)

    def __str__(self) -> str:
        return repr(self.column) if self.column is not None else self.expression.text


def parse_columns(columns: Columns | None, present: Sequence[str]) -> dict[str, Origin]:
    """An explicit mapping {ours: origin} from a dict, `ours=theirs` strings, or a YAML or JSON file.

    Raises:
        ValueError: a name that is not ours, a column that is not there, or a mapping that cannot be read.
    """
    mapping: dict[str, Origin] = {}
    for ours, theirs in plain_pairs(columns):
        if ours not in KNOWN:
            near = difflib.get_close_matches(ours[:100], KNOWN, n=1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            raise ValueError(
                f"column mapping: {excerpt(ours)!r} is not a column of the table.{hint} "
                f"The columns are {', '.join(KNOWN)}."
            )
        if ours in mapping:
            raise ValueError(f"column mapping: {ours!r} is given twice, from {mapping[ours]} and {theirs!r}.")
        if ours == "status" and theirs == NO_STATUS and NO_STATUS not in present:
            mapping[ours] = Origin.of(NO_STATUS)
            continue
        mapping[ours] = _origin(ours, theirs, present)
        if mapping[ours].column is None and ours in TEXTS:
            raise ValueError(
                f"column mapping: {ours!r} holds text and takes a column as it is; got {theirs!r}."
            )
    return mapping


def _origin(ours: str, theirs: object, present: Sequence[str]) -> Origin:
    """`Name`, an expression, or {"column": "Name", "factor": 1e6}."""
    if isinstance(theirs, Mapping):
        extra = sorted(set(theirs) - {"column", "factor"})
        if "column" not in theirs or extra:
            raise ValueError(f"column mapping: an entry is {{column, factor}}; got {_shown(theirs)}.")
        column, factor = str(theirs["column"]), _factor(theirs.get("factor", 1.0), theirs)
        if column in present:
            return Origin(scaled(column, factor))
        theirs = column
    try:
        return Origin(parse(str(theirs), present))
    except ExpressionError as error:
        if plain(str(theirs)) and re.fullmatch(r"[\w ./-]+", str(theirs)):
            near = difflib.get_close_matches(str(theirs)[:100], present, n=1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            raise ValueError(
                f"column mapping: {ours}={excerpt(str(theirs))} names a column that is not there.{hint} "
                f"{describe(present)}"
            ) from error
        raise ValueError(f"column mapping: {ours}={excerpt(str(theirs))}: {error}") from error


def describe(present: Sequence[str]) -> str:
    """The columns present, in one sentence of bounded length."""
    shown = ", ".join(repr(name) for name in present[:40])
    more = f" and {len(present) - 40} more" if len(present) > 40 else ""
    return f"Columns present: {shown or 'none'}{more}."


def _factor(value: Any, entry: object) -> float:
    try:
        factor = float(value)
    except (TypeError, ValueError):
        factor = 0.0
    if not 0.0 < factor < float("inf"):
        raise ValueError(
            f"column mapping: a factor is a positive number, as in NAME*1e6; got {_shown(entry)}."
        )
    return factor


def _shown(entry: object) -> str:
    """An entry as a message shows it; one of a file can refer to itself many times over."""
    if isinstance(entry, Mapping):
        return excerpt(
            ", ".join(
                f"{key}: {value if isinstance(value, str | float) else '…'}" for key, value in entry.items()
            )
        )
    return excerpt(str(entry)) if isinstance(entry, str | float | int) else type(entry).__name__


def plain_pairs(columns: Columns | None) -> Iterable[tuple[str, object]]:
    if columns is None:
        return []
    if isinstance(columns, Mapping):
        return [(str(ours), theirs) for ours, theirs in columns.items()]
    if isinstance(columns, str | Path):
        if Path(columns).suffix in (".yaml", ".yml", ".json"):
            return plain_pairs(_read_mapping(Path(columns)))
        columns = [str(columns)]
    pairs: list[tuple[str, object]] = []
    for text in columns:
        ours, equals, theirs = text.partition("=")
        if not equals or not theirs.strip():
            raise ValueError(
                f"column mapping: write ours=theirs, as in 'params=Model Size'; got {excerpt(text)!r}."
            )
        pairs.append((ours.strip(), theirs.strip()))
    return pairs


def _read_mapping(path: Path) -> Mapping[str, object]:
    text = open_regular(path, _MOST_BYTES).decode("utf-8")
    if path.suffix == ".json":
        try:
            body = json.loads(text)
        except RecursionError as error:
            raise ValueError(f"{path}: objects are nested too deeply for a mapping.") from error
    else:
        try:
            import yaml  # type: ignore[import-untyped]  # lazy: not in the base install
        except ImportError as error:
            raise ValueError(
                f"{path}: reading YAML needs `pip install pyyaml`; a .json file works without."
            ) from error
        try:
            body = yaml.safe_load(text)
        except (yaml.YAMLError, RecursionError) as error:
            raise ValueError(f"{path}: not YAML: {error}") from error
    if not isinstance(body, Mapping):
        raise ValueError(f"{path}: a column mapping is `ours: theirs` lines; got {type(body).__name__}.")
    return body
