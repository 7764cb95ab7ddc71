"""What a trunk will take, from the seconds of one step."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from scaling.study.spec import Trunk


def trunk_seconds(
    trunk: Trunk, step_seconds: float, done: Collection[str] = (), reached: Collection[int] = ()
) -> float:
    """Trunk, cooldowns and evaluations [s]. A forward pass is a third of a step.

    Args:
        done: ids of runs that need no training any more.
        reached: steps of the trunk from which training can go on.
    """
    spec = trunk.spec
    trained, evaluated, at = 0, 0, 0
    for run in sorted(trunk.runs, key=lambda run: run.branch_step):
        if run.id in done:
            continue
        start = max([at, *(step for step in reached if step <= run.branch_step)])
        drawn = sum(start < step <= run.branch_step for step in trunk.curve_steps)
        trained += run.tokens - spec.tokens(start)
        evaluated += run.evaluation_tokens + drawn * trunk.curve_tokens
        at = run.branch_step
    return step_seconds * (trained + evaluated / 3) / spec.batch_tokens


def wall_seconds(trunks: Iterable[float], workers: int) -> float:
    """How long trunks of these seconds take when they are handed out largest first [s]."""
    ends = [0.0] * workers
    for seconds in sorted(trunks, reverse=True):
        ends[ends.index(min(ends))] += seconds
    return max(ends)
