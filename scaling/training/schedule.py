"""Learning rate as a pure function of the step. Nothing to restore on resume."""

from __future__ import annotations

import math

from scaling.study.spec import RunSpec, TrunkSpec

COSINE_FLOOR = 0.1  # of the peak, as in Hoffmann et al. 2022 (arXiv:2203.15556), appendix B


def trunk_rate(spec: TrunkSpec, step: int) -> float:
    """Rate of the trunk at `step` (from 0): linear warm-up, then constant, or a cosine to a tenth."""
    if step < spec.warmup_steps:
        return spec.learning_rate * (step + 1) / spec.warmup_steps
    if spec.horizon is None:
        return spec.learning_rate
    part = (step - spec.warmup_steps) / max(1, spec.horizon - spec.warmup_steps)
    return spec.learning_rate * (COSINE_FLOOR + (1 - COSINE_FLOOR) * (1 + math.cos(math.pi * part)) / 2)


def run_rate(run: RunSpec, step: int) -> float:
    """Rate of a run: its trunk's until the branch, then peak * (1 - sqrt(part of the cooldown)).

    Source: Hägele et al. 2024 (arXiv:2405.18392), section 3, the (1-sqrt) cooldown.
    """
    if step < run.branch_step:
        return trunk_rate(run.trunk, step)
    part = (step - run.branch_step + 1) / (run.cooldown_steps + 1)
    return run.trunk.learning_rate * (1 - math.sqrt(part))
