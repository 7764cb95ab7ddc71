"""Groups of rows along which tokens grow, and what tells checkpoints of one run from runs of their own."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analysis.table.cells import read_numbers
from analysis.table.columns import plain
from analysis.table.raw import Raw

Array = NDArray[np.float64]

# One of many steps, not how many there were: `steps` of a finished run grow with its tokens too.
_STEP = re.compile(
    r"((global|training|train|optimi[sz]er)_)?(step|iter|iteration|update)|current_\w*steps?|ckpt|checkpoint"
)
_TOTAL = re.compile(
    r"(total|max|num_total|planned)_((train|training)_)?(steps?|iters?|iterations?|updates?)"
    r"|(max|planned|target)_((train|training)_)?tokens"
)
_COOLDOWN = re.compile(r"cooldown\w*|decay_(steps|tokens|iters)|anneal_(steps|tokens)")


@dataclass(frozen=True)
class Sizes:
    """What is known of each row (n,), NaN where a cell is empty."""

    params: Array
    tokens: Array
    loss: Array


def points_of(raw: Raw, sizes: Sizes, groups: list[list[int]]) -> int:
    """How much the rows of the groups look like checkpoints rather than runs of their own."""
    rows = float(np.median([len(group) for group in groups]))
    even = np.mean([_evenly_spaced(sizes.tokens[group]) for group in groups]) >= 0.8
    points = (
        int(rows >= 6) + int(rows >= 10) + int(even) + int(rises(raw, groups)) + _stated(raw, sizes, groups)
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
            else [read_numbers(at, decimal=raw.decimal).values for _, at in step_columns(raw)]
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


def step_columns(raw: Raw) -> list[tuple[str, list[Any]]]:
    """Columns, name and cells, that say at which step a row was written."""
    return [(name, cells) for name, cells in raw.columns.items() if _STEP.fullmatch(plain(name))]


def rises(raw: Raw, groups: list[list[int]]) -> bool:
    """Whether a step grows with the tokens along most groups."""
    for _, cells in step_columns(raw):
        step = read_numbers(cells, decimal=raw.decimal).values
        growing = [(np.diff(step[group]) >= 0).all() and np.ptp(step[group]) > 0 for group in groups]
        if np.mean(growing) > 0.8:
            return True
    return False


def growing(keys: Iterable[Any], sizes: Sizes) -> list[list[int]]:
    """Rows that share a key and a size, in order of tokens; none that holds two losses at the same tokens."""
    usable = np.isfinite(sizes.tokens) & (sizes.tokens > 0) & np.isfinite(sizes.params) & (sizes.params > 0)
    by_key: dict[Any, list[int]] = {}
    for row, key in enumerate(keys):
        if key is not None and usable[row]:
            by_key.setdefault(key, []).append(row)
    groups = []
    for group in by_key.values():
        if len(group) < 2:
            continue
        tokens, loss = sizes.tokens[group], sizes.loss[group]
        order = np.argsort(tokens, kind="stable")
        same = (np.diff(tokens[order]) == 0) & (np.abs(np.diff(loss[order])) > 0)
        if len(set(tokens.tolist())) > 1 and np.ptp(sizes.params[group]) == 0 and not same.any():
            groups.append([group[k] for k in order])
    return groups
