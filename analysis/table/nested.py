"""Objects inside cells to columns: W&B's config and summary, and names of several levels."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Sequence
from typing import Any

from analysis.table.cells import is_empty
from analysis.table.columns import is_known
from analysis.table.raw import Raw, refuse_too_many_cells

_SECTIONS = {
    "config": "config",
    "summary": "summary",
    "summary_metrics": "summary",
    "summaryMetrics": "summary",
}
_LONGEST = 1_000_000  # characters of an object that a cell holds as text


_SCALE = re.compile(
    r"[(\[]?(in )?([kmbgt]|[bmt]n|mio|mrd|(thousand|million|billion|trillion)s?|[×x]? ?1(e|0\^)\d+)\.?[)\]]?",
    re.IGNORECASE,
)


def flatten_objects(raw: Raw) -> None:
    """Replace columns of objects by one column per key, in place, with dotted names.

    A key of W&B's `config` or `summary` also loses that prefix where it can mean one column only. Keys of
    these two that begin with `_` are W&B's own and are left out. A column that holds objects in some rows and
    other things in others is left as it is.
    """
    while True:
        found = {name: objects for name, cells in raw.columns.items() if (objects := _objects(name, cells))}
        if not found:
            break
        columns: dict[str, list[Any]] = {}
        for name, cells in raw.columns.items():
            for key, values in _spread(name, found[name]).items() if name in found else [(name, cells)]:
                # A key that is there plainly too: the second gets a name that nothing else can have.
                columns[key if key not in columns else f"{key} (nested)"] = values
        raw.columns = columns
    add_short_names(raw)


def add_short_names(raw: Raw) -> None:
    """Rename `config.key` or `summary.key` to `key` where that can mean one column only."""
    for name in list(raw.columns):
        section, _, short = name.partition(".")
        if section not in ("config", "summary") or name not in raw.columns or short in ("", "run_id"):
            continue
        other = ("summary." if section == "config" else "config.") + short
        if any(raw.columns.get(same, raw.columns[name]) != raw.columns[name] for same in (other, short)):
            continue
        raw.columns[short] = raw.columns.pop(name)
        raw.columns.pop(other, None)


def join_levels(names: Sequence[Sequence[str]]) -> list[str]:
    """One name per column from its names on several levels.

    The one level that names a quantity stands alone, if it does so for this column only; otherwise all levels
    are joined by dots: `config`, `params` is `params`; `loss`, `mean` beside `loss`, `std` is `loss.mean`.
    """
    full = [".".join(part for part in parts if part) for parts in names]
    short = []
    for parts, joined in zip(names, full, strict=True):
        known = {part for part in parts if part and is_known(part)}
        scales = [part for part in parts if _SCALE.fullmatch(part)]  # of a row of units: not to be lost
        if len(known) != 1:
            short.append(joined)
        else:
            short.append(f"{known.pop()} ({scales[0].strip('()[]')})" if scales else known.pop())
    return [s if short.count(s) == 1 else f for s, f in zip(short, full, strict=True)]


def split_tuple_names(names: Sequence[str]) -> list[str]:
    """Names that pandas wrote as tuples, `('config', 'params')`, joined; others as they are."""
    if not any(name.startswith("('") for name in names):
        return list(names)
    return join_levels([_levels(name) for name in names])


def _levels(name: str) -> list[str]:
    if name.startswith("('") and len(name) <= 1000:
        try:
            return [str(part) for part in ast.literal_eval(name)]
        except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError):
            pass  # a name that only begins like a tuple
    return [name]


def _objects(name: str, cells: Sequence[Any]) -> list[dict[str, Any]]:
    """The objects of a column, {} for an empty cell; none if some cell holds anything else."""
    first = next((cell for cell in cells if not is_empty(cell)), None)
    texts = name in _SECTIONS and isinstance(first, str) and first.lstrip().startswith("{")
    if not (texts or isinstance(first, dict)):
        return []
    objects = [{} if is_empty(cell) else _parse(cell) if texts else cell for cell in cells]
    return objects if all(isinstance(item, dict) for item in objects) else []


def _parse(cell: Any) -> Any:
    """An object that a CSV holds as JSON, or as Python writes a dict: a W&B example exports it so."""
    if not isinstance(cell, str) or len(cell) > _LONGEST:
        return cell
    try:
        return json.loads(cell)
    except (ValueError, RecursionError):
        try:
            return ast.literal_eval(cell)
        except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError):
            return cell


def _spread(name: str, objects: Sequence[dict[str, Any]]) -> dict[str, list[Any]]:
    section = _SECTIONS.get(name)
    keys = dict.fromkeys(str(key) for item in objects for key in item)
    if section:
        keys = {key: None for key in keys if not key.startswith("_")}
    prefix = section or name
    refuse_too_many_cells(name, len(keys), len(objects))
    return {
        f"{prefix}.{key}": [_unwrap(item.get(key)) if section else item.get(key) for item in objects]
        for key in keys
    }


def _unwrap(value: Any) -> Any:
    """A setting as W&B stores it: {"value": 3, "desc": null} is 3."""
    return (
        value["value"] if isinstance(value, dict) and {"value"} <= set(value) <= {"value", "desc"} else value
    )
