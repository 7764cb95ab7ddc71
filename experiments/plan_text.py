"""What a plan takes, in the words with which `scaling plan` and `scaling run` begin."""

from __future__ import annotations

import math
from dataclasses import astuple
from typing import TYPE_CHECKING

from experiments.terminal import duration, plural
from scaling.study.plan import Plan

if TYPE_CHECKING:
    from scaling.launch.estimate import Estimate


def headline(expected: Estimate) -> str:
    """FLOPs, time, runs and trunks, in one line."""
    plan = expected.plan
    total, least, most = map(duration, astuple(expected.wall))
    left = " for what is left" if any(f.done or f.shared or f.steps for f in expected.found) else ""
    flops = sum(trunk.flops for trunk in plan.trunks)
    said = "FLOPs not known" if math.isnan(flops) else f"{flops:.2e} FLOP" + (" in all" if left else "")
    time = f"about {total} ({least} to {most}){left}"
    if math.isnan(expected.wall.median):
        time = "how long a command takes is not known"
    return (
        f"{plan.name}: {said}, {time}: {plural(len(plan.runs), 'run')} on {plural(len(plan.trunks), 'trunk')}"
    )


def unaffordable(asked: Plan, kept: Plan) -> list[str]:
    """A line about the runs that `max_flops` does not pay for, if there are any."""
    if len(kept.trunks) == len(asked.trunks):
        return []
    return [
        f"max_flops={asked.config.max_flops:.3g} pays for {len(kept.runs)} of {len(asked.runs)} runs; "
        "the others stay missing"
    ]
