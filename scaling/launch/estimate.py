"""What a plan takes on this machine, beyond what is trained already."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from scaling.launch.devices import share_machine
from scaling.records.storage import safe_child
from scaling.study.config import Parallel
from scaling.study.cost import trunk_seconds
from scaling.study.plan import Plan
from scaling.training.adopt import Found, Siblings, attempt_facts
from scaling.training.device import Arithmetic, settle
from scaling.training.throughput import StepTime, time_steps


@dataclass(frozen=True)
class Estimate:
    """The arithmetic of every trunk of `plan`, the time of its steps, and what there is to go on from."""

    plan: Plan
    arithmetics: tuple[Arithmetic, ...]
    times: tuple[StepTime, ...]
    found: tuple[Found, ...]
    workers: int  # trunks at a time

    def trunk_seconds(self, which: Literal["median", "low", "high"] = "median") -> list[float]:
        """What is left of each trunk [s], by this quantile of the time of a step."""
        return [
            trunk_seconds(trunk, getattr(time, which), {*found.done, *found.shared}, found.steps)
            for trunk, time, found in zip(self.plan.trunks, self.times, self.found, strict=True)
        ]

    def wall_seconds(self, which: Literal["median", "low", "high"] = "median") -> float:
        """What is left of the plan [s], trunks handed out largest first."""
        ends = [0.0] * self.workers
        for seconds in sorted(self.trunk_seconds(which), reverse=True):
            ends[ends.index(min(ends))] += seconds
        return max(ends)

    def there_already(self) -> list[str]:
        """A line about the runs that need no training, done here or in other studies, if there are any."""
        number = len(self.plan.runs)
        done = sum(len(found.done) for found in self.found)
        studies = Counter(study for found in self.found for study in found.shared.values())
        parts = [f"{done} of {number} runs done"] if done else []
        parts += [f"shared with study {study}: {count} of {number} runs" for study, count in studies.items()]
        return ["; ".join(parts)] if parts else []


def estimate(plan: Plan) -> Estimate:
    """Time the steps of a plan's shapes where that is not known yet, and look for what is trained already."""
    training = plan.config.training
    workers, threads = share_machine(plan)
    alone = training.parallel is Parallel.none
    arithmetics = [settle(trunk, training.device, threads, alone=alone) for trunk in plan.trunks]
    times = time_steps(list(plan.trunks), arithmetics, Path(plan.config.cache).expanduser())
    found = [
        Siblings(
            trunk.spec,
            safe_child(plan.folder, trunk.spec.id),
            attempt_facts(arithmetic, training.parallel.value),
            share=plan.config.share,
        ).find(trunk)
        for trunk, arithmetic in zip(plan.trunks, arithmetics, strict=True)
    ]
    return Estimate(plan, tuple(arithmetics), tuple(times), tuple(found), workers)
