"""Rows that are earlier checkpoints of a run, not runs: by which share a name and how the tokens grow.

A stranger's table may hold a row for every evaluation along a run. Fitted as if each were finished, they
describe learning-rate schedules, with intervals far too narrow. But rows that share a name and differ in
tokens may also be runs of their own: of one size, named after it, or cooldowns that left one trunk. So
evidence is added up; where it is weak every row is kept, rows of one name are drawn together, and a warning
names the option that decides.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from analysis.table.cells import is_empty, read_numbers
from analysis.table.columns import plain
from analysis.table.growth import Sizes, growing, points_of, rises, step_columns
from analysis.table.raw import Raw

Choice = Literal["last", "all"]

_RUN = re.compile(
    r"((wandb|exp|experiment)_)?(run|runs|job|trial)(_(id|name|key|uid|uuid|hash|path|dir|number))?"
    r"|exp(_name|_id)?|experiment(_name|_id)?"
)
_NAME = re.compile(
    r"(display_)?name|id|uid|uuid|(model|config)(_name|_id)?|label"
    r"|((model|ckpt|checkpoint|weights)_)?(path|file|dir|folder)|checkpoint|ckpt"
)
_AT_STEP = re.compile(
    r"[/_.=-]*(global_?)?(step|iter|iteration|ckpt|checkpoint)s?[/_.=-]*\d[\d_]*[kKmM]?(\.\w+)?/?$"
)
_FINAL = re.compile(r"(is_)?(final|last)(_(checkpoint|ckpt|step|row|eval|evaluation))?")
_PROGRESS = re.compile(r"\w*(step|iter|epoch|portion|elapsed|progress|time|stamp|loss|ppl|token|flop)\w*")
_ENOUGH = 3  # points of evidence from which rows are taken for checkpoints
_YES, _NO = {"true", "1", "1.0", "yes"}, {"false", "0", "0.0", "no"}
_COVER = 0.5  # share of the rows that must stand in groups of growing tokens


@dataclass
class Trails:
    """Which rows are earlier checkpoints, and which rows belong to one run or trunk."""

    earlier: set[int] = field(default_factory=set)
    run_of: dict[int, str] = field(default_factory=dict)  # row → its run
    notes: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class _Grouping:
    """Rows parted into what may be runs, each in order of tokens, and what speaks for it."""

    what: str  # how the rows of a group are alike
    groups: list[list[int]]  # of two rows or more
    points: int
    labels: Sequence[Any]  # what each row is called
    is_id: bool = False  # by run_id: the rows of a group can hardly be runs of their own
    named: bool = False  # the column names runs, rather than sizes or models


def find_checkpoints(
    raw: Raw,
    sizes: Sizes,
    *,
    id_column: str | None,
    settings: Sequence[Sequence[Any]],
    has_trunks: bool,
    choice: Choice | None,
) -> Trails:
    """Find the earlier checkpoints among the rows of a stranger's table.

    Args:
        id_column: the column that is read as run_id, if any.
        settings: columns that do not change along a run, such as seed and family.
        has_trunks: whether a trunk_id says already which runs belong together.
        choice: `last` keeps the last row of each run whatever the evidence, `all` every row.

    Raises:
        ValueError: `last` for a table in which no column names the runs of several rows.
    """
    flagged = None if choice == "all" else _flagged(raw)
    if flagged is not None:
        return flagged
    found = _by_id(raw, sizes, id_column, choice)
    if found is None and not has_trunks:
        names = [
            *_by_name(raw, sizes, id_column, settings),
            *_by_order(raw, sizes),
            *_by_settings(raw, sizes, settings),
        ]
        found = max(names, key=lambda grouping: grouping.points, default=None)
    if found is not None:
        return _decided(found, sizes, choice)
    if choice == "last":
        raise ValueError(
            f"{raw.source}: --checkpoints last: no column names the runs of several rows whose tokens "
            "grow. Map one, e.g. --columns run_id=NAME, or leave the option out."
        )
    return Trails()


def _flagged(raw: Raw) -> Trails | None:
    """What a column such as `is_final` says of each row, where it says both yes and no."""
    for name, cells in raw.columns.items():
        if not _FINAL.fullmatch(plain(name)):
            continue
        said = [str(cell).strip().lower() for cell in cells]
        if not {*said} <= _YES | _NO or {*said} <= _YES or {*said} <= _NO:
            continue
        trails = Trails({row for row, word in enumerate(said) if word in _NO})
        trails.notes.append(
            f"{len(trails.earlier)} of {len(said)} rows are intermediate checkpoints, as {name} says, and "
            "are not fitted. --checkpoints all fits every row."
        )
        return trails
    return None


def _decided(found: _Grouping, sizes: Sizes, choice: Choice | None) -> Trails:
    trails = Trails()
    rows = sum(map(len, found.groups))
    runs = f"{len(found.groups)} run{'s' if len(found.groups) > 1 else ''} ({found.what}, growing tokens)"
    each = f"{rows} rows of {runs}"
    enough = found.points >= (0 if found.is_id else _ENOUGH)
    if choice == "last" or (choice is None and enough):
        for group in found.groups:
            trails.earlier |= set(group) - {_last(group, sizes)}
        trails.notes.append(
            f"{len(trails.earlier)} of {len(sizes.tokens)} rows are intermediate checkpoints of {runs}; the "
            "last of each is fitted, the rest are learning curves. --checkpoints all fits every row."
        )
    elif choice == "all":
        trails.notes.append(
            f"{each} are all fitted, as --checkpoints all asks; those of one run are resampled together"
        )
    elif found.is_id or found.points == _ENOUGH - 1 or (found.named and found.points >= 0):
        trails.warnings.append(
            f"{each} may be checkpoints of one run each, or finished runs. All are fitted, those of one name "
            "drawn together. --checkpoints last fits the last of each, --checkpoints all says all are runs."
        )
    else:
        return trails
    for k, group in enumerate(found.groups):
        label = str(found.labels[group[0]])
        label = f"{label}-{k + 1}" if label in trails.run_of.values() else label
        trails.run_of |= dict.fromkeys(group, label)
    return trails


def _last(group: list[int], sizes: Sizes) -> int:
    """The row of most tokens; where many rows have no loss, the last that was evaluated."""
    evaluated = [row for row in group if np.isfinite(sizes.loss[row])]
    sparse = 0 < len(evaluated) < 0.8 * len(group)
    return max(evaluated if sparse else group, key=lambda row: float(sizes.tokens[row]))


def _by_id(raw: Raw, sizes: Sizes, column: str | None, choice: Choice | None) -> _Grouping | None:
    """Rows that share a run_id are one run, unless a few of them contradict each other."""
    if column is None:
        return None
    ids = raw.columns[column]
    groups = growing([None if is_empty(cell) else cell for cell in ids], sizes)
    covered = sum(map(len, groups))
    if not groups or (choice is None and covered < _COVER * len(ids) and not rises(raw, groups)):
        return None
    return _Grouping(f"same {column}", groups, points_of(raw, sizes, groups), ids, is_id=True, named=True)


def _by_name(
    raw: Raw, sizes: Sizes, id_column: str | None, settings: Sequence[Sequence[Any]]
) -> list[_Grouping]:
    """Rows that share a name, a size and what does not change along a run."""
    n = len(raw.labels)
    ids = [] if id_column is None else raw.columns[id_column]
    penalty = 2 if ids and len(set(map(str, ids))) == n else 0  # each row has an id of its own
    found = []
    for name, cells in raw.columns.items():
        is_run = bool(_RUN.fullmatch(plain(name)))
        if name == id_column or not (is_run or _NAME.fullmatch(plain(name))):
            continue
        cells = [_AT_STEP.sub("", cell) if isinstance(cell, str) else cell for cell in cells]
        if len(set(map(str, cells))) > 0.75 * n or not _of_one_size(cells, sizes):
            continue
        for others in (settings, _constant(raw)):
            keys = [
                None if is_empty(cell) else (cell, size, *(str(column[i]) for column in others))
                for i, (cell, size) in enumerate(zip(cells, sizes.params.tolist(), strict=True))
            ]
            groups = growing(keys, sizes)
            if groups and sum(map(len, groups)) >= _COVER * n:
                points = is_run + points_of(raw, sizes, groups) - penalty
                found.append(_Grouping(f"same {name}", groups, points, cells, named=is_run))
                break
    return found


def _of_one_size(cells: Sequence[Any], sizes: Sizes) -> bool:
    """Whether a name goes with one size, as that of a run does; an experiment has several."""
    owned: dict[Any, set[float]] = {}
    for cell, size in zip(cells, sizes.params.tolist(), strict=True):
        if not is_empty(cell) and size > 0:
            owned.setdefault(str(cell), set()).add(size)
    return bool(owned) and float(np.mean([len(found) == 1 for found in owned.values()])) >= 0.8


def _constant(raw: Raw) -> list[Sequence[Any]]:
    """Columns of few values that are no measure of progress: settings, whatever they are called."""
    few = max(2, len(raw.labels) // 6)
    return [
        cells
        for name, cells in raw.columns.items()
        if not _PROGRESS.fullmatch(plain(name)) and len(set(map(str, cells))) <= few
    ]


def _by_order(raw: Raw, sizes: Sizes) -> list[_Grouping]:
    """Consecutive rows of one size whose tokens (and step) grow, where nothing names the runs."""
    steps = step_columns(raw)
    with np.errstate(invalid="ignore"):
        same = (np.diff(sizes.params) == 0) & (np.diff(sizes.tokens) > 0)
        if steps:
            same &= np.diff(read_numbers(steps[0][1], decimal=raw.decimal).values) > 0
    block = np.concatenate([[0], np.cumsum(~same)])
    groups = growing(block.tolist(), sizes)
    if not groups or sum(map(len, groups)) < 0.8 * len(block):
        return []
    few = float(np.median([len(group) for group in groups])) < 10
    points = points_of(raw, sizes, groups) - (few or not steps)
    labels = [f"run-from-{label.replace(' ', '-')}" for label in raw.labels]
    return [_Grouping("consecutive rows of one size", groups, points, labels)]


def _by_settings(raw: Raw, sizes: Sizes, settings: Sequence[Sequence[Any]]) -> list[_Grouping]:
    """Many rows of one size and one recipe whose step grows with the tokens, in any order of the rows.

    Sizes that were all trained for the same ten budgets look the same: this is never more than a warning.
    """
    if not step_columns(raw):
        return []
    columns = [*settings, *_constant(raw)]
    keys = [
        (size, *(str(column[row]) for column in columns)) for row, size in enumerate(sizes.params.tolist())
    ]
    groups = growing(keys, sizes)
    many = bool(groups) and float(np.median([len(group) for group in groups])) >= 10
    if not many or sum(map(len, groups)) < _COVER * len(keys) or not rises(raw, groups):
        return []
    labels = [f"size-{size:g}" for size in sizes.params.tolist()]
    return [_Grouping("one size and recipe", groups, _ENOUGH - 1, labels)]
