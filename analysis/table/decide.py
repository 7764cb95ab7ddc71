"""What each column of a table is to a law: it separates the runs, goes with N and D, or says nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from analysis.table.codes import Codes, Column, Grid, alike, combine, count, determined, join, values_within
from analysis.table.roles import (
    BOOKKEEPING,
    INPUT,
    MEASURED,
    RATE,
    RECIPE,
    REMARK,
    REPLICATE,
    SETTING,
    SHAPE,
    UNKNOWN,
    plain_name,
)
from analysis.table.rules import follows, log_linear, names_of
from analysis.table.sweep import typical

FEW = 8  # values that a column can have and still be a condition without asking how often each occurs
SWEPT = 3  # values of a setting in one cell from which on they are a sweep
LEFT_OUT = frozenset(("outlier", "outliers", "exclude", "excluded", "skip", "skipped", "bad", "ignore"))
KEPT = frozenset(("valid", "keep", "kept", "include", "included", "usable", "good"))
_PREFERENCE = (RECIPE, SETTING, UNKNOWN, RATE, SHAPE)  # whose name a condition takes


@dataclass
class Decision:
    """Columns by what was decided about them."""

    part: Codes  # (n,)
    keys: list[Column] = field(default_factory=list)
    swept: list[Column] = field(default_factory=list)
    inputs: list[str] = field(default_factory=list)
    implied: list[Column] = field(default_factory=list)  # by the keys
    ignored: dict[str, str] = field(default_factory=dict)  # column → why it parts nothing


def decide(columns: Sequence[Column], grid: Grid) -> Decision:
    """Judge every column of a table, each within the parts that those before it have made.

    So a learning rate that is a rule of N in each of two families is a rule, and the order is: names that
    always part, flags and text, numbers with few values, numbers with many, and labels of a sweep.
    """
    made = Decision(np.zeros(len(grid.cell), dtype=np.intp))
    last = _labels_of_sweep(columns, grid)
    columns, twins = _without_twins(columns, last)
    for column in sorted(columns, key=lambda c: (c.name in last, _turn(c))):
        _judge(column, grid, made)
    _drop_needless(made)
    for column in made.implied:
        made.ignored[column.name] = _which(column.codes, made.keys)
    for name, twin in twins.items():
        made.ignored[name] = made.ignored.get(twin, f"same as {twin}")
    return made


def _turn(column: Column) -> tuple[int, int]:
    return (0 if column.role == RECIPE else 2 if column.number else 1), len(column.levels)


def _judge(column: Column, grid: Grid, made: Decision) -> None:
    """Put one column where it belongs."""
    by_name = {BOOKKEEPING: BOOKKEEPING, REPLICATE: "a repeat of the same recipe"}
    if column.number and column.role == MEASURED:
        by_name[MEASURED] = MEASURED
    if column.role == REMARK and not determined(column.codes, made.part):
        made.ignored[column.name] = f"remarks; --by {column.name} parts by them"
        return
    if column.role in by_name:
        made.ignored[column.name] = by_name[column.role]
        return
    if determined(column.codes, made.part):
        made.implied.append(column)
        return
    if column.role == RECIPE:
        _part_by(column, made)
        return
    if _is_unlike_everywhere(column):
        made.ignored[column.name] = "a value of its own for most runs"
        return
    axis = follows(column, made.part, grid)
    if axis:
        made.ignored[column.name] = f"a function of {axis}"
    elif column.role == INPUT:
        made.inputs.append(column.name)
    elif column.number:
        _judge_number(column, grid, made)
    else:
        _judge_text(column, grid, made)


def _judge_number(column: Column, grid: Grid, made: Decision) -> None:
    """A number that differs at equal N and D, or alternates along them."""
    present = ~column.missing
    if column.levels[-1] is None and len(column.levels) > 2:
        given = Column(column.name, column.role, True, column.codes[present], column.levels[:-1])
        if follows(given, made.part[present], grid.of(present)):  # a rule where it is given
            _part_by(column.as_given(), made)
            return
    cells = combine([made.part, grid.cell])
    several = typical(column.codes, cells)
    levels = int(values_within(column.codes, made.part).max())
    if made.swept and several > 1 and _follows_sweep(column, grid, made):
        made.ignored[column.name] = f"a function of {join([*(c.name for c in made.swept), 'N', 'D'])}"
    elif column.role == RATE and (several >= SWEPT or (several == 2 and levels > SWEPT)):
        made.swept.append(column)
    elif column.role == RATE and levels > SWEPT:
        made.ignored[column.name] = "one value at each N and D, as if tuned"
    elif column.role == SHAPE and not _is_crossed(column, cells):
        made.ignored[column.name] = "the shape of a model of that size"
    elif levels <= FEW and (column.role != UNKNOWN or levels <= SWEPT or _is_chosen(column)):
        _part_by(column, made)
    elif several >= SWEPT and _is_round(column) and len(column.levels) <= len(column.codes) / 4:
        made.swept.append(column)
    elif several == 1 and levels > FEW and count(grid.point) < SWEPT * levels:
        made.ignored[column.name] = "one value at each N and D, of too many to part by"
    elif column.role in (SETTING, RATE):
        _part_by(column, made)
    else:
        made.ignored[column.name] = "varies from run to run, as something measured does"


def _judge_text(column: Column, grid: Grid, made: Decision) -> None:
    """A word that differs at equal N and D, or alternates along them."""
    flags = [key for key in made.keys if marked(key) is not None]
    flag = next((key for key in flags if _explains(column, key)), None)
    swept = combine([made.part, *(c.codes for c in made.swept)])
    if flag is not None:
        made.ignored[column.name] = f"explains {flag.name}"
    elif made.swept and determined(column.codes, swept):
        made.ignored[column.name] = f"a label of {join(c.name for c in made.swept)}"
    elif names_of(column.codes, made.part, grid):
        made.ignored[column.name] = "a name of each run, or of the runs of one size"
    elif len(column.levels) <= FEW or len(column.codes) >= 4 * len(column.levels):
        _part_by(column, made)
    else:
        made.ignored[column.name] = "a value of its own for most runs"


def is_truth(column: Column) -> bool:
    """Whether a column says yes or no."""
    words = {str(level).casefold() for level in column.levels}
    return words in ({"true", "false"}, {"yes", "no"}, {"0.0", "1.0"})


def marked(column: Column) -> int | None:
    """Return the code of the rows that a flag's author would leave out; None if the column is no flag."""
    words = set(plain_name(column.name).split("_"))
    if not is_truth(column) or not words & (LEFT_OUT | KEPT):
        return None
    return 1 if words & LEFT_OUT else 0


def _rank(column: Column) -> int:
    """Return how much the name of a column tells, 0 most; words under a name of numbers tell least."""
    return _PREFERENCE.index(column.role) if column.role in _PREFERENCE else len(_PREFERENCE)


def _part_by(column: Column, made: Decision) -> None:
    made.keys.append(column)
    made.part = combine([made.part, column.codes])


def _without_twins(columns: Sequence[Column], apart: frozenset[str]) -> tuple[list[Column], dict[str, str]]:
    """Columns that separate the runs identically are one; it takes the name that means most."""
    kept: dict[bytes, Column] = {}
    twins: dict[str, str] = {}
    others = []
    for column in sorted(columns, key=_rank):
        # Two numbers that differ in every cell need not be one: each may be its own rule of N and D.
        many = column.number and len(column.levels) > FEW
        if column.role not in _PREFERENCE or many or column.name in apart:
            others.append(column)
            continue
        first = np.unique(column.codes, return_index=True)[1]
        renumbered = np.argsort(np.argsort(first))[column.codes].tobytes()
        twin = kept.setdefault(renumbered, column)
        if twin is not column:
            twins[column.name] = twin.name
    return [*kept.values(), *others], twins


def _labels_of_sweep(columns: Sequence[Column], grid: Grid) -> frozenset[str]:
    """Text that says in words what swept numbers say, as `lr1e-3_bs64`: it is judged after them."""
    recipes = combine([np.zeros_like(grid.cell), *(c.codes for c in columns if c.role == RECIPE)])
    cells = combine([recipes, grid.cell])
    swept = [c for c in columns if c.role == RATE and c.number and typical(c.codes, cells) >= SWEPT]
    if not swept:
        return frozenset()
    says = [combine([recipes, *codes]) for codes in ([c.codes for c in swept], *([c.codes] for c in swept))]
    texts = [c for c in columns if not c.number and c.role == UNKNOWN and len(c.levels) >= SWEPT]
    return frozenset(
        c.name for c in texts if any(alike(combine([recipes, c.codes]), codes) for codes in says)
    )


def _drop_needless(made: Decision) -> None:
    """Leave out keys that the other keys imply, the least telling name first."""
    order = sorted(made.keys, key=_rank)
    for column in reversed(order):
        rest = [key for key in made.keys if key is not column]
        if rest and determined(column.codes, combine([key.codes for key in rest])):
            made.keys = rest
            made.implied.append(column)


def _which(codes: Codes, keys: Sequence[Column]) -> str:
    for key in keys:
        if alike(codes, key.codes):
            return f"same as {key.name}"
    for key in keys:
        if determined(codes, key.codes):
            return f"follows {key.name}"
    return f"follows {join(key.name for key in keys)}"


def _is_unlike_everywhere(column: Column) -> bool:
    """More values than half of the rows: an id, a time, or something measured."""
    if column.role not in (UNKNOWN, SHAPE):
        return False
    present = len(column.codes) - int(column.missing.sum())
    return len(column.levels) > max(present / 2, SWEPT)


def _is_round(column: Column) -> bool:
    """Most values have few digits, as those that people choose; measured ones go on."""
    levels = [level for level in column.levels if level is not None]
    return sum(float(f"{level:.4g}") == float(f"{level:.7g}") for level in levels) >= 0.8 * len(levels)


def _is_chosen(column: Column) -> bool:
    """Few digits, or values that all recur: those of something measured do neither."""
    return _is_round(column) or int(np.bincount(column.codes).min()) >= SWEPT


def _is_crossed(column: Column, cells: Codes) -> bool:
    """Most cells have several values: heads or depths compared at equal size."""
    within = values_within(column.codes, cells)
    return len(column.levels) <= FEW and float((within > 1).mean()) >= 0.5


def _explains(column: Column, flag: Column) -> bool:
    """One word for all rows that a flag keeps, and others for those that it marks."""
    kept = flag.codes != marked(flag)
    words = np.unique(column.codes[kept])
    return len(words) == 1 and not bool((column.codes[~kept] == words[0]).any())


def _follows_sweep(column: Column, grid: Grid, made: Decision) -> bool:
    """A setting that the swept ones decide, alone or with N or D, or as a product of their powers."""
    swept = combine([made.part, *(c.codes for c in made.swept)])
    for by in (swept, combine([swept, grid.size]), combine([swept, grid.budget])):
        if count(by) <= len(by) / 2 and determined(column.codes, by):
            return True
    return log_linear(column, [*(_logs(c) for c in made.swept), *grid.logs])


def _logs(column: Column) -> NDArray[np.float64]:
    levels = np.array([np.nan if level is None else level for level in column.levels], dtype=float)
    with np.errstate(invalid="ignore", divide="ignore"):
        logs: NDArray[np.float64] = np.log(levels)[column.codes]
    return logs
