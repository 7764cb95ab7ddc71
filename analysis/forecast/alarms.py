"""Whether a run in flight keeps to the course of finished runs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special

from analysis.laws.law import Array

SMALL = 1e-3  # relative: below it no step and no drift is worth an alarm


@dataclass(frozen=True)
class Alarm:
    """Why a run is not like the finished ones."""

    kind: str  # spike or drift
    tokens: float  # where
    size: float  # relative: how far the loss lies off
    limit: float  # of that, what a clean run keeps to

    def __str__(self) -> str:
        side = "above" if self.size > 0 else "below"
        return (
            f"{self.kind} at {self.tokens:.4g} tokens: loss {100 * abs(self.size):.2g} % {side} its own "
            f"course; clean runs stay within {100 * self.limit:.2g} %"
        )


def alarms_of(
    tokens: Array, own: Array, logs: Array, shape: Array, E: float, wide: float, chance: float
) -> tuple[Alarm, ...]:
    """Spikes and drifts of a prefix, their limits by finished runs that were each judged by the others.

    r is the log loss over the course that the shape of the finished runs and the prefix's own level give. A
    spike is a step of r, a drift the mean of its last third against the rest. Limits are Student's t times
    their spread over finished runs, each left out, and sqrt(1 + h) wider for drifts; half of `chance` goes to
    drifts, half to all steps together. Larger runs may bend otherwise than smaller ones, and a prefix is
    mostly of a larger one: shapes follow a line in the level of the loss where finished runs are nearer to
    that, and then steps are given sqrt(1 + h) too. With a mean shape alone, a clean run of
    twice the largest size raised alarms: `experiments.benchmarks.watch` has such runs.

    Args:
        tokens: of the evaluations (K,).
        own: log loss of the prefix (K,).
        logs: of the finished runs at the same shares (n, K).
        shape: log[(l - E) / (L(T) - E)] of the finished runs (n, K).
        wide: sqrt(1 + h) for the leverage h of the prefix's level.
        chance: that a clean run raises an alarm at one look.
    """
    both = [_courses(own, logs, shape, E, lines) for lines in (False, True)]
    lines = bool((both[1][0] ** 2).mean() < (both[0][0] ** 2).mean())
    others, mine = both[lines]
    n, K = others.shape
    parameters = 1 + lines
    alarms = []
    steps, jumps = np.diff(others, axis=1), np.diff(mine)
    free = (n - parameters) * steps.shape[1]
    limit = float(np.sqrt((steps**2).mean()) * special.stdtrit(free, 1 - chance / 4 / (K - 1)))
    limit = max(SMALL, limit * (wide if lines else 1.0))
    for k in np.flatnonzero(np.abs(jumps) > limit)[:1]:
        alarms.append(Alarm("spike", float(tokens[k + 1]), float(jumps[k]), limit))
    third = max(1, K // 3)
    drifts = others[:, -third:].mean(axis=1) - others[:, :-third].mean(axis=1)
    drift = float(mine[-third:].mean() - mine[:-third].mean())
    limit = wide * float(np.sqrt((drifts**2).mean()) * special.stdtrit(n - parameters, 1 - chance / 4))
    limit = max(limit, SMALL)
    if abs(drift) > limit:
        alarms.append(Alarm("drift", float(tokens[-third]), drift, limit))
    return tuple(alarms)


def _course(own: Array, mean: Array, E: float) -> Array:
    """r (K,): log losses over the course that their own level gives them."""
    level = np.mean(np.log(np.exp(own) - E) - mean)
    return np.asarray(own - np.log(E + np.exp(level + mean)))


def _courses(own: Array, logs: Array, shape: Array, E: float, lines: bool) -> tuple[Array, Array]:
    """r of each finished run by the others (n, K), and of the prefix by all of them (K,).

    What the others say of a run is the mean of their shapes; with `lines`, where at each evaluation a line in
    their last log losses passes its own.
    """

    def expected(rows: NDArray[np.bool_], at: float) -> Array:
        mean: Array = shape[rows].mean(axis=0)
        level = logs[rows, -1].mean()
        away = logs[rows, -1] - level
        slope = away @ shape[rows] / max(float(away @ away), 1e-300)
        return np.asarray(mean + lines * slope * (at - level))

    apart = ~np.eye(len(logs), dtype=bool)
    others = [_course(each, expected(rows, each[-1]), E) for rows, each in zip(apart, logs, strict=True)]
    return np.stack(others), _course(own, expected(np.ones(len(logs), dtype=bool), own[-1]), E)
