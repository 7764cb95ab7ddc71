"""What a trunk will take, from the seconds of one step."""

from __future__ import annotations

from scaling.study.spec import Trunk


def trunk_seconds(trunk: Trunk, step_seconds: float) -> float:
    """Trunk, cooldowns and evaluations [s]. A forward pass is a third of a step."""
    evaluated = sum(run.evaluation_tokens for run in trunk.runs)
    evaluated += len(trunk.curve_steps) * trunk.curve_tokens
    return step_seconds * (trunk.steps_to_train + evaluated / trunk.spec.batch_tokens / 3)


def separate_flops(trunk: Trunk) -> float:
    """What its runs would cost if each were trained from scratch [FLOP]."""
    return trunk.flops_per_token * sum(run.tokens for run in trunk.runs)


def shared_flops(trunk: Trunk) -> float:
    """What they cost as branches of one trunk [FLOP]."""
    return trunk.flops_per_token * trunk.spec.batch_tokens * trunk.steps_to_train
