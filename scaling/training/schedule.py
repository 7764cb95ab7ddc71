"""Learning rate as a pure function of the step. Nothing to restore on resume."""

from __future__ import annotations

from scaling.recipe.cooldown import COOLDOWNS
from scaling.recipe.schedules import SCHEDULES, Place
from scaling.study.spec import RunSpec, TrunkSpec


def trunk_rate(spec: TrunkSpec, step: int) -> float:
    """Rate of the trunk at `step` (from 0): linear warm-up, then the schedule's share of the peak."""
    if step < spec.warmup_steps:
        return spec.learning_rate * (step + 1) / spec.warmup_steps
    schedule = SCHEDULES[spec.schedule_name]
    part = 0.0
    if spec.horizon is not None:
        part = (step - spec.warmup_steps) / max(1, spec.horizon - spec.warmup_steps)
    place = Place(step, spec.tokens(step), spec.tokens(spec.warmup_steps), part)
    return spec.learning_rate * schedule.share(place, {**schedule.settings, **dict(spec.schedule_settings)})


def run_rate(run: RunSpec, step: int) -> float:
    """Rate of a run: its trunk's until the branch, then from the rate there to `cooldown_floor` of it."""
    if step < run.branch_step:
        return trunk_rate(run.trunk, step)
    part = (step - run.branch_step + 1) / (run.cooldown_steps + 1)
    left = COOLDOWNS[run.cooldown_shape](part)
    return trunk_rate(run.trunk, run.branch_step) * (run.cooldown_floor + (1 - run.cooldown_floor) * left)
