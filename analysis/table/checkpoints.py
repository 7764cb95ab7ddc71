"""Rows that are earlier checkpoints of a run, and not runs: by who shares a name and how the tokens grow.

A stranger's table may hold a row for every evaluation along a run. Fitted as if each were finished, they
describe learning-rate schedules, with intervals far too narrow. But rows that share a name and differ in
tokens may also be runs of their own: of one size, named after it, or cooldowns that left one trunk. So
evidence is added up; where it is weak every row is kept, rows of one name are drawn together, and a warning
names the option that decides.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from analysis.table.cells import is_empty, read_numbers
from analysis.table.columns import plain
from analysis.table.raw import Raw

Array = NDArray[np.float64]
Choice = Literal["last", "all"]

_RUN = re.compile(
    r"((wandb|exp|experiment)_)?(run|runs|job|trial)(_(id|name|key|uid|uuid|hash|path|dir|number))?"
    r"|exp(_name|_id)?|experiment(_name|_id)?"
)
_NAME = re.compile(r"(display_)?name|id|uid|uuid|(model|config)(_name|_id)?|label")
# One of many steps, not how many there were: `steps` of a finished run grow with its tokens too.
_STEP = re.compile(
    r"((global|training|train|optimi[sz]er)_)?(step|iter|iteration|update)|current_\w*steps?|ckpt|checkpoint"
)
_TOTAL = re.compile(
    r"(total|max|num_total|planned)_((train|training)_)?(steps?|iters?|iterations?|updates?)"
    r"|(max|planned|target)_((train|training)_)?tokens"
)
_COOLDOWN = re.compile(r"cooldown\w*|decay_(steps|tokens|iters)|anneal_(steps|tokens)")
_PROGRESS = re.compile(r"\w*(step|iter|epoch|portion|elapsed|progress|time|stamp|loss|ppl|token|flop)\w*")
_ENOUGH = 3  # points of evidence from which rows are taken for checkpoints
_COVER = 0.5  # share of the rows that must stand in groups of growing tokens


@dataclass(frozen=True)
class Sizes:
    """What is known of each row (n,), NaN where a cell is empty."""

    params: Array
    tokens: Array
    loss: Array


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
    found = _by_id(raw, sizes, id_column, choice)
    if found is None and not has_trunks:
        names = [*_by_name(raw, sizes, id_column, settings), *_by_order(raw, sizes)]
        found = max(names, key=lambda grouping: grouping.points, default=None)
    if found is not None:
        return _decided(found, sizes, choice)
    if choice == "last":
        raise ValueError(
            f"{raw.source}: --checkpoints last: no column names the runs of several rows whose tokens "
            "grow. Map one, e.g. --columns run_id=NAME, or leave the option out."
        )
    return Trails()


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
            f"{each} are all fitted, as --checkpoints all says, and those of one run drawn together"
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
    groups = _growing([None if is_empty(cell) else cell for cell in ids], sizes)
    covered = sum(map(len, groups))
    if not groups or (choice is None and covered < _COVER * len(ids) and not _rises(raw, groups)):
        return None
    return _Grouping(f"same {column}", groups, _points(raw, sizes, groups), ids, is_id=True, named=True)


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
        if len(set(map(str, cells))) > 0.75 * n or not _of_one_size(cells, sizes):
            continue
        for others in (settings, _constant(raw)):
            keys = [
                None if is_empty(cell) else (cell, size, *(str(column[i]) for column in others))
                for i, (cell, size) in enumerate(zip(cells, sizes.params.tolist(), strict=True))
            ]
            groups = _growing(keys, sizes)
            if groups and sum(map(len, groups)) >= _COVER * n:
                points = is_run + _points(raw, sizes, groups) - penalty
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
    steps = _steps(raw)
    with np.errstate(invalid="ignore"):
        same = (np.diff(sizes.params) == 0) & (np.diff(sizes.tokens) > 0)
        if steps:
            same &= np.diff(read_numbers(steps[0][1], decimal=raw.decimal).values) > 0
    block = np.concatenate([[0], np.cumsum(~same)])
    groups = _growing(block.tolist(), sizes)
    if not groups or sum(map(len, groups)) < 0.8 * len(block):
        return []
    few = float(np.median([len(group) for group in groups])) < 10
    points = _points(raw, sizes, groups) - (few or not steps)
    labels = [f"run-from-{label.replace(' ', '-')}" for label in raw.labels]
    return [_Grouping("consecutive rows of one size", groups, points, labels)]


def _points(raw: Raw, sizes: Sizes, groups: list[list[int]]) -> int:
    """How much the rows of the groups look like checkpoints rather than runs of their own."""
    rows = float(np.median([len(group) for group in groups]))
    even = np.mean([_evenly_spaced(sizes.tokens[group]) for group in groups]) >= 0.8
    points = (
        int(rows >= 6) + int(rows >= 10) + int(even) + int(_rises(raw, groups)) + _stated(raw, sizes, groups)
    )
    grids = {tuple(sizes.tokens[group].tolist()) for group in groups}
    designed = len(grids) < len(groups) or _shared_compute(sizes, groups)
    return points - int(rows <= 8 and designed and not even)  # the same budgets for every size are a design


def _stated(raw: Raw, sizes: Sizes, groups: list[list[int]]) -> int:
    """What planned steps or cooldowns say: 3 where rows stop short of the plan, -3 where each has its own."""
    for name, cells in raw.columns.items():
        total, cooldown = _TOTAL.fullmatch(plain(name)), _COOLDOWN.fullmatch(plain(name))
        if not (total or cooldown):
            continue
        values = read_numbers(cells, decimal=raw.decimal).values
        if all(np.ptp(values[group]) > 0 for group in groups):
            return -3
        if not total or not np.isfinite(values).all():
            continue
        reached = (
            [sizes.tokens]
            if plain(name).endswith("tokens")
            else [read_numbers(at, decimal=raw.decimal).values for _, at in _steps(raw)]
        )
        if any(all((at[g[:-1]] < values[g[:-1]]).all() for g in groups) for at in reached):
            return 3
    return 0


def _shared_compute(sizes: Sizes, groups: list[list[int]]) -> bool:
    """Whether most rows lie on budgets of compute that several sizes share."""
    owners: dict[float, set[float]] = {}
    for row in (row for group in groups for row in group):
        size = float(sizes.params[row])
        owners.setdefault(round(float(np.log10(size * sizes.tokens[row])), 2), set()).add(size)
    return float(np.mean([len(sharing) > 1 for sharing in owners.values()])) > 0.5


def _evenly_spaced(tokens: Array) -> bool:
    """Whether tokens grow by equal amounts, but for the first and the last."""
    steps = np.diff(tokens)[1:-1] if len(tokens) > 4 else np.diff(tokens)
    return len(tokens) > 3 and bool(steps.max() <= 1.1 * steps.min())


def _steps(raw: Raw) -> list[tuple[str, list[Any]]]:
    return [(name, cells) for name, cells in raw.columns.items() if _STEP.fullmatch(plain(name))]


def _rises(raw: Raw, groups: list[list[int]]) -> bool:
    """Whether a step grows with the tokens along most groups."""
    for _, cells in _steps(raw):
        step = read_numbers(cells, decimal=raw.decimal).values
        growing = [(np.diff(step[group]) >= 0).all() and np.ptp(step[group]) > 0 for group in groups]
        if np.mean(growing) > 0.8:
            return True
    return False


def _growing(keys: Iterable[Any], sizes: Sizes) -> list[list[int]]:
    """Rows that share a key and a size, in order of tokens; none that holds two losses at the same tokens."""
    usable = np.isfinite(sizes.tokens) & (sizes.tokens > 0) & np.isfinite(sizes.params) & (sizes.params > 0)
    by_key: dict[Any, list[int]] = {}
    for row, key in enumerate(keys):
        if key is not None and usable[row]:
            by_key.setdefault(key, []).append(row)
    groups = []
    for group in by_key.values():
        tokens, loss = sizes.tokens[group], sizes.loss[group]
        order = np.argsort(tokens, kind="stable")
        same = (np.diff(tokens[order]) == 0) & (np.abs(np.diff(loss[order])) > 0)
        if len(set(tokens.tolist())) > 1 and np.ptp(sizes.params[group]) == 0 and not same.any():
            groups.append([group[k] for k in order])
    return groups
