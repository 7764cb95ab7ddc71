"""JSON and JSON lines to rows: lists of objects, and every orientation that pandas writes."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from analysis.table.columns import is_known
from analysis.table.nested import flatten_objects, join_levels, split_tuple_names
from analysis.table.raw import Raw, counts_rows, refuse_repeated_names, refuse_too_many_cells

_WANTED = (
    "a JSON table is a list of objects, one per run; got {}. "
    "From pandas, DataFrame.to_json(path, orient='records') writes one; other orientations are read too."
)
_SECTIONS = {"config", "summary"}


class Twice(ValueError):
    """An object says a key twice."""


class _Pairs(list[tuple[str, Any]]):
    """A JSON object before anything is lost: two equal keys are still two."""


def read_json(source: str, text: str) -> Raw:
    """Rows of one JSON document.

    Raises:
        ValueError: text that is not JSON, or a document in which no table is recognised.
    """
    try:
        body = json.loads(text, object_pairs_hook=_Pairs)
        if isinstance(body, str):  # json.dumps(frame.to_json())
            body = json.loads(body, object_pairs_hook=_Pairs)
    except (ValueError, RecursionError) as error:
        if _looks_like_lines(text):
            return read_jsonl(source, text)
        raise ValueError(f"{source}: not JSON: {error}.") from error
    try:
        return _from_body(source, body)
    except Twice as error:
        raise ValueError(f"{source}: {error}; rename or drop one.") from error
    except RecursionError as error:
        raise ValueError(f"{source}: objects are nested too deeply for a table.") from error


def _looks_like_lines(text: str) -> bool:
    """Whether each of the first lines is an object: Ray Tune and others call JSON lines `.json`."""
    lines = [line.strip() for line in text.split("\n", 3)[:3] if line.strip()]
    return len(lines) > 1 and all(line[0] == "{" and line[-1] == "}" for line in lines[:2])


def read_jsonl(source: str, text: str) -> Raw:
    """Rows of JSON lines; a line that cannot be read is set aside."""

    def objects() -> Iterator[tuple[str, Any]]:
        # Not splitlines(): a JSON string may hold U+2028 and other ends of a line.
        for i, line in enumerate(text.split("\n"), start=1):
            if not line.strip():
                continue
            try:
                yield f"line {i}", json.loads(line, object_pairs_hook=_Pairs)
            except (ValueError, RecursionError) as error:
                yield f"line {i}", ValueError(f"not JSON: {error}")

    return _from_objects(source, objects())


def _from_body(source: str, body: Any) -> Raw:
    if not isinstance(body, _Pairs):
        if not isinstance(body, list):
            raise ValueError(f"{source}: {_WANTED.format(_kind(body))}")
        if body and all(type(item) is list for item in body):
            return _from_lists(source, body)
        return _from_objects(source, ((f"row {i}", item) for i, item in enumerate(body, start=1)))
    table = _shallow(body)
    if {"columns", "data"} <= set(table) and isinstance(table["data"], list):
        return _from_split(source, table)
    if list(table) == ["columns"] and _all_objects(table["columns"]):  # polars before 1.0
        series = [_shallow(one) for one in table["columns"]]
        if all({"name", "values"} <= set(one) and type(one["values"]) is list for one in series):
            lists = {str(one["name"]): one["values"] for one in series}
            return _from_lists(source, [list(lists), *_transpose(source, lists)])
    tables = [key for key, value in table.items() if type(value) is list and _all_objects(value)]
    others = [key for key in table if [key] != tables]
    if len(tables) == 1 and not any(map(is_known, others)):  # orient='table', {"runs": [...]}
        raw = _from_body(source, table[tables[0]])
        others = [key for key in others if key != "schema"]
        if others:
            raw.notes.append(f"the rows are those of {tables[0]!r}; not read: {', '.join(map(repr, others))}")
        return raw
    if table and all(isinstance(value, _Pairs) for value in table.values()):
        if set(table) <= _SECTIONS:
            return _from_objects(source, [("row 1", body)])
        return _from_nested(source, {key: _shallow(value) for key, value in table.items()})
    if table and all(type(value) is list for value in table.values()):  # frame.to_dict("list")
        return _from_lists(source, [list(table), *_transpose(source, table)])
    raise ValueError(f"{source}: {_WANTED.format(_kind(body))}")


def _from_objects(source: str, objects: Iterable[tuple[str, Any]]) -> Raw:
    raw = Raw(source, {}, [])
    rows: list[dict[str, Any]] = []
    for label, item in objects:
        if not isinstance(item, _Pairs):
            raw.set_aside(
                label, str(item) if isinstance(item, ValueError) else f"not an object: {_kind(item)}"
            )
            continue
        try:
            rows.append(_deep(item))
        except (Twice, RecursionError) as error:
            raw.set_aside(label, str(error) if isinstance(error, Twice) else "nested too deeply")
        else:
            raw.labels.append(label)
    names = list(dict.fromkeys(name for row in rows for name in row))
    refuse_too_many_cells(source, len(names), len(rows))
    _fill(raw, names, [[row.get(name) for name in names] for row in rows])
    return raw


def _from_split(source: str, table: dict[str, Any]) -> Raw:
    """orient='split' and 'tight': names, index and rows apart."""
    names = table["columns"]
    if names and all(type(name) is list for name in names):
        names = join_levels([[str(part) for part in name] for name in names])
    index = table.get("index") or []
    rows = [*zip(index, table["data"], strict=False)] if len(index) == len(table["data"]) else []
    if rows and not counts_rows(index):
        names = ["index", *names]
        return _from_lists(source, [names, *([i, *row] if type(row) is list else row for i, row in rows)])
    return _from_lists(source, [names, *table["data"]])


def _from_lists(source: str, lists: Sequence[Any]) -> Raw:
    header, *rows = lists
    if not all(isinstance(name, str) for name in header):
        raise ValueError(f"{source}: {_WANTED.format('lists without names (orient=' + repr('values') + ')')}")
    raw, good = Raw(source, {}, []), []
    for i, row in enumerate(rows, start=1):
        if type(row) is not list or len(row) != len(header):
            said = f"{len(row)} cells" if type(row) is list else _kind(row)
            raw.set_aside(f"row {i}", f"{said} where the header has {len(header)} cells")
            continue
        raw.labels.append(f"row {i}")
        good.append([_deep(cell) if isinstance(cell, _Pairs) else cell for cell in row])
    _fill(raw, header, good)
    return raw


def _from_nested(source: str, table: dict[str, dict[str, Any]]) -> Raw:
    """orient='columns' ({column: {index: cell}}) or 'index' ({index: {column: cell}})."""
    inner = list(dict.fromkeys(key for value in table.values() for key in value))
    refuse_too_many_cells(source, len(table), len(inner))
    by_column = counts_rows(inner) - counts_rows(list(table)) or _known(list(table)) - _known(inner)
    if by_column == 0:
        raise ValueError(f"{source}: {_WANTED.format('an object of objects, columns or rows')}")
    if by_column > 0:
        index, names = inner, list(table)
        rows = [[table[name].get(i) for name in names] for i in index]
    else:
        index, names = list(table), inner
        rows = [[table[i].get(name) for name in names] for i in index]
    if not counts_rows(index):
        names, rows = ["index", *names], [[i, *row] for i, row in zip(index, rows, strict=True)]
    return _from_lists(source, [names, *rows])


def _known(keys: Sequence[str]) -> int:
    """How many keys name columns that we know, on any level."""
    return sum(is_known(name) for name in split_tuple_names(keys))


def _transpose(source: str, table: dict[str, list[Any]]) -> list[list[Any]]:
    lengths = {name: len(cells) for name, cells in table.items()}
    if len(set(lengths.values())) > 1:
        raise ValueError(f"{source}: columns of different lengths: {lengths}.")
    return [list(row) for row in zip(*table.values(), strict=True)]


def _fill(raw: Raw, names: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    names = split_tuple_names(names)
    refuse_repeated_names(raw.source, names)
    raw.columns = {name: [row[j] for row in rows] for j, name in enumerate(names)}
    flatten_objects(raw)


def _all_objects(items: Sequence[Any]) -> bool:
    return bool(items) and all(isinstance(item, _Pairs) for item in items)


def _shallow(item: _Pairs) -> dict[str, Any]:
    keys = [key for key, _ in item]
    found = dict(item)
    if len(found) < len(keys):
        twice = sorted(key for key in found if keys.count(key) > 1)
        raise Twice(f"says {', '.join(map(repr, twice))} twice")
    return found


def _deep(item: _Pairs) -> dict[str, Any]:
    return {key: _deep(v) if isinstance(v, _Pairs) else v for key, v in _shallow(item).items()}


def _kind(value: Any) -> str:
    return "an object" if isinstance(value, _Pairs) else f"{type(value).__name__} {str(value)[:40]!r}"
