"""Which runs may share a scaling law: those that differ only in N, D and seed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis.table.codes import Column, Grid, combine, count, join, read_column, read_columns, read_grid
from analysis.table.columns import ALIASES, QUANTITIES
from analysis.table.decide import Decision, decide, is_truth, marked
from analysis.table.roles import BOOKKEEPING, MEASURED, UNKNOWN, plain_name
from analysis.table.runtable import RunTable
from analysis.table.sweep import Sweep, disagreement, envelope, find_sweep

ENOUGH = 6  # distinct (N, D) below which no law has as many points as parameters and one to spare
MANY = 12  # parts that a person still looks at


@dataclass(frozen=True)
class Arms:
    """How a table is parted, and what was decided about its other columns."""

    parts: Mapping[str, NDArray[np.intp]]  # label → positions of its rows, ascending; largest part first
    keys: tuple[str, ...]  # columns that separate the runs
    inputs: tuple[str, ...]  # columns that a law may take beside N and D
    ignored: Mapping[str, str]  # column that differs and parts nothing → why
    sweep: Sweep | None  # each part holds many recipes a cell: fit its `envelope`
    too_small: tuple[str, ...]  # labels of parts with fewer than `ENOUGH` distinct (N, D)
    words: str  # one line
    hint: str  # what to type where the parts may not be what is wanted; else empty


def arms(rows: pd.DataFrame, by: Sequence[str] | None = None) -> Arms:
    """Part a table into runs that may share a law.

    Every column that differs between runs parts them, unless it is N, D, C, a loss or another measurement, a
    seed, bookkeeping, or a function of N and D, as a learning rate or a warm-up that is a rule of the size
    is. What is a function of N and D is asked within the other parts. A missing value is a value of its own.

    Args:
        rows: one row per run, with `params`, `tokens` (or `flops`) and `loss`; any order, any other columns.
        by: the columns that separate the runs, instead; all others are pooled.

    Raises:
        ValueError: `by` names a column that is not there.
    """
    grid = read_grid(rows)
    made = decide(read_columns(rows), grid)
    pooled: list[str] = []
    if by is not None:
        pooled = _part_as_asked(rows, [_find(name, rows, made) for name in dict.fromkeys(by)], made)
    parts = _label(rows, made)
    curve = "x" in rows and not {"params", "tokens", "flops"} & set(rows.columns)
    sizes = {label: len(at) if curve else count(grid.point[at]) for label, at in parts.items()}
    too_small = tuple(label for label, size in sizes.items() if size < ENOUGH)
    sweep = find_sweep(made.swept, made.part, grid) if made.swept else None
    return Arms(
        parts,
        tuple(key.name for key in made.keys),
        tuple(made.inputs),
        dict(sorted(made.ignored.items())),
        sweep,
        too_small,
        _say(made, parts, sweep, too_small, pooled, by is not None),
        " ".join(_hints(made, parts, too_small, grid)),
    )


def split_comparable(table: RunTable, inputs: Sequence[str] = ()) -> dict[str, RunTable]:
    """Split a table into parts whose runs may share a fit, largest first.

    Args:
        inputs: columns that the law itself is a function of, as a learning rate may be; they part nothing.

    Returns:
        label → the part, which knows its label and notes what parted the runs. Of a sweep over learning rates
        or batches it holds the best runs of each cell, with a warning where these lie at an edge. A label
        names only what differs, beside the family.
    """
    rows = table.rows.drop(columns=[name for name in inputs if name in table.rows and name not in QUANTITIES])
    decided = arms(rows, table.by or None)
    notes = (*table.notes, *filter(None, (decided.words, decided.hint)))
    parts = {}
    for label, positions in decided.parts.items():
        edges: tuple[str, ...] = ()
        if decided.sweep is not None:
            best, edges = envelope(rows.iloc[positions], decided.sweep)
            positions = positions[best]
        part = table.take(positions, part=label)
        unlike = disagreement(rows.iloc[positions])
        parts[label] = replace(part, notes=notes, warnings=(*table.warnings, *edges, *unlike))
    return parts


def _part_as_asked(rows: pd.DataFrame, names: Sequence[str], made: Decision) -> list[str]:
    """Part by the named columns only; return those that would have parted the runs, too."""
    pooled = [key.name for key in made.keys if key.name not in names]
    made.keys = [read_column(name, rows[name]) for name in names]
    made.part = combine([np.zeros(len(rows), dtype=np.intp), *(key.codes for key in made.keys)])
    made.swept = [column for column in made.swept if column.name not in names]
    made.ignored = {name: why for name, why in made.ignored.items() if name not in names}
    made.inputs = [name for name in made.inputs if name not in names]
    return pooled


def _find(name: str, rows: pd.DataFrame, made: Decision) -> str:
    """Return the column that a person means: by its name, or by an alias of it."""
    if name in rows.columns:
        return name
    for ours, aliases in ALIASES.items():
        if ours in rows.columns and (name in aliases or plain_name(name) in aliases):
            return ours
    differing = [*(key.name for key in made.keys), *(c.name for c in made.swept), *made.inputs, *made.ignored]
    raise ValueError(
        f"by: {name!r} is not a column of the table. Columns that differ between runs: "
        f"{', '.join(differing) or 'none'}."
    )


def _label(rows: pd.DataFrame, made: Decision) -> dict[str, NDArray[np.intp]]:
    shown = list(made.keys)
    if "family" in rows:
        family = read_column("family", rows["family"])
        if len(family.levels) == 1 and family.levels[0] not in ("unstated", None):
            shown.append(family)
    shown.sort(key=lambda column: column.name != "family")
    parts: dict[str, NDArray[np.intp]] = {}
    for code in range(count(made.part)):
        at = np.flatnonzero(made.part == code)
        label = ", ".join(_value(column, int(column.codes[at[0]])) for column in shown) or "all runs"
        while label in parts:  # two fingerprints that begin alike
            label += "′"
        parts[label] = at
    return dict(sorted(parts.items(), key=lambda item: (-len(item[1]), item[0])))


def _value(column: Column, code: int) -> str:
    level = column.levels[code]
    if level is None:
        return f"{column.name} not given"
    text = f"{level:g}" if isinstance(level, float) else str(level)
    if column.name in ("family", "objective"):
        return text
    if column.name == "data_fingerprint":
        return f"fingerprint {text[:8]}"
    return f"{column.name} {text}"


def _say(
    made: Decision,
    parts: Mapping[str, NDArray[np.intp]],
    sweep: Sweep | None,
    too_small: Sequence[str],
    pooled: Sequence[str],
    asked: bool,
) -> str:
    keys = join(key.name for key in made.keys) if made.keys else ""
    if keys:
        words = [f"{len(parts)} arm{'s' * (len(parts) > 1)} by {keys}{' as asked' * asked}"]
    else:
        words = ["one arm" + " as asked" * asked]
    if pooled:
        words.append(f"pooled, as you asked: {', '.join(pooled)}")
    if sweep:
        words.append(f"{sweep}; the best run of each cell is fitted")
    if too_small:
        words.append(f"too small for a law of their own: {_shorten(too_small)}")
    if made.inputs:
        words.append(f"inputs of a law: {', '.join(made.inputs)}")
    if made.ignored:
        words.append(f"not used: {_reasons(made.ignored)}")
    return "; ".join(words)


def _reasons(ignored: Mapping[str, str]) -> str:
    """Name the columns that were found but not used, with why; measurements and bookkeeping are counted."""
    by_reason: dict[str, list[str]] = {}
    for name, why in sorted(ignored.items()):
        by_reason.setdefault(why, []).append(name)
    counted = sum(len(by_reason.pop(why)) for why in (MEASURED, BOOKKEEPING) if why in by_reason)
    found = [f"{_shorten(names)} ({why})" for why, names in sorted(by_reason.items())]
    if counted:
        found.append(f"{counted} column{'s' * (counted > 1)} of measurements or bookkeeping")
    return ", ".join(found)


def _shorten(names: Sequence[str], most: int = 4) -> str:
    more = len(names) - most
    return ", ".join(names[:most]) + (f" and {more} more" if more > 0 else "")


def _hints(
    made: Decision, parts: Mapping[str, NDArray[np.intp]], too_small: Sequence[str], grid: Grid
) -> list[str]:
    """Say what to type: where a flag separates the runs, and where parts are too many or too small."""
    hints = [hint for key in made.keys if is_truth(key) and (hint := _leave_out(key))]
    if too_small and (len(parts) > MANY or (len(made.keys) > 1 and len(too_small) > len(parts) / 2)):
        fits = [key for key in made.keys if not any(_few(key.codes == code, grid) for code in set(key.codes))]
        example = fits[0] if fits else made.keys[0]
        hints.append(
            f"{len(parts)} arms, {len(too_small)} of them too small for a law: name the columns that "
            f"matter, e.g. --by {example.name} ({len(example.levels)} arms); all others are then pooled."
        )
    elif free := [key.name for key in made.keys if _is_free_text(key)]:
        others = [key.name for key in made.keys if key.name not in free] or ["family"]
        hints.append(
            f"where {join(free)} {'holds' if len(free) == 1 else 'hold'} remarks and no setting, leave "
            f"{'it' if len(free) == 1 else 'them'} out: --by {' '.join(others)}."
        )
    return hints


def _leave_out(key: Column) -> str:
    """Say how to leave out the rows that a flag marks, or the few on one side of any yes or no."""
    flag = marked(key)
    side = int(np.argmin(np.bincount(key.codes))) if flag is None else flag
    number = int((key.codes == side).sum())
    if flag is None and number > len(key.codes) / 4:
        return ""
    word = f"{key.levels[side]:g}" if key.number else str(key.levels[side]).casefold()
    test = f"{key.name} == {word}" if word in ("true", "false", "0", "1") else f'{key.name} == "{word}"'
    return f"{key.name} is {word} for {number} of {len(key.codes)} runs; to leave them out: --drop '{test}'."


def _is_free_text(key: Column) -> bool:
    """Whether a column that parts runs may hold remarks: phrases, or words for some of the runs only."""
    if key.role != UNKNOWN or key.number or is_truth(key):
        return False
    return key.levels[-1] is None or any(" " in str(level) for level in key.levels)


def _few(chosen: NDArray[np.bool_], grid: Grid) -> bool:
    return count(grid.point[chosen]) < ENOUGH
