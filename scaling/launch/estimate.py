"""What a plan takes on this machine, not counting what is already trained."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import astuple, dataclass
from pathlib import Path

from scaling.launch.devices import Share, begun, share_machine, threads_of
from scaling.records.record import RECORD_FILE, UNSTATED, StudyRecords
from scaling.records.storage import safe_child
from scaling.study.command import CommandTrunk
from scaling.study.config import Parallel
from scaling.study.cost import trunk_seconds, wall_seconds
from scaling.study.plan import Plan
from scaling.study.spec import Trunk
from scaling.training import throughput
from scaling.training.device import Numerics, resolve_numerics
from scaling.training.provenance import attempt_facts
from scaling.training.reuse import Found, TrunkCache
from scaling.training.throughput import Crowd, StepTime, time_steps

UNKNOWN = StepTime(math.nan, math.nan, math.nan)  # of a command, whose steps nobody has timed


@dataclass(frozen=True)
class Estimate:
    """The arithmetic of every trunk of `plan`, the time of its steps, and what there is to go on from."""

    plan: Plan
    share: Share
    numerics: tuple[Numerics, ...]
    times: tuple[StepTime, ...]
    found: tuple[Found, ...]
    seconds: tuple[float, ...]  # that are left of each trunk, at the median time of a step
    wall: StepTime  # seconds that are left of the plan
    crowd: Crowd | None = None

    @property
    def spread(self) -> tuple[float, float]:
        """Least and most of what is left of the plan, over its median."""
        median = self.wall.median
        return (self.wall.low / median, self.wall.high / median) if median else (1.0, 1.0)

    def crowded(self) -> list[str]:
        """A line, where others want the machine too."""
        return [str(self.crowd)] if self.crowd else []

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
    share = share_machine(plan)
    alone = training.parallel is Parallel.none
    ours = [trunk for trunk in plan.trunks if not isinstance(trunk, CommandTrunk)]
    decided = [
        resolve_numerics(trunk, training.device, threads_of(plan, share, facts), alone=alone, begun=facts)
        for trunk, facts in ((trunk, begun(plan, trunk)) for trunk in ours)
    ]
    timed, crowd = time_steps(ours, decided, Path(plan.config.cache).expanduser()) if ours else ([], None)
    by_trunk = {
        trunk.spec.id: (one, time, _find(plan, trunk, one))
        for trunk, one, time in zip(ours, decided, timed, strict=True)
    }
    for trunk in plan.trunks:
        if isinstance(trunk, CommandTrunk):
            by_trunk[trunk.spec.id] = (
                Numerics(share.places[0], UNSTATED, share.threads or 0),
                UNKNOWN,
                _done(plan, trunk),
            )
    chosen, times, found = zip(*(by_trunk[trunk.spec.id] for trunk in plan.trunks), strict=True)
    median, low, high = (
        tuple(
            trunk_seconds(trunk, step, {*there.done, *there.shared}, there.steps)
            for trunk, step, there in zip(plan.trunks, steps, found, strict=True)
        )
        for steps in zip(*map(astuple, times), strict=True)
    )
    wall = StepTime(*(wall_seconds(seconds, share.workers) for seconds in (median, low, high)))
    return Estimate(plan, share, chosen, times, found, median, wall, crowd)


def _find(plan: Plan, trunk: Trunk, numerics: Numerics) -> Found:
    facts = attempt_facts(trunk, numerics, plan.config.training.parallel.value)
    folder = safe_child(plan.folder, trunk.spec.id)
    return TrunkCache(trunk.spec, folder, facts, reuse=plan.config.reuse).find(trunk)


def _done(plan: Plan, trunk: Trunk) -> Found:
    """Of a command's runs those that have a record; how far others are, only it knows."""
    folder = safe_child(plan.folder, trunk.spec.id)
    return Found(frozenset(run.id for run in trunk.runs if (folder / run.id / RECORD_FILE).exists()))


def learn(expected: Estimate, records: StudyRecords) -> None:
    """Teach the next plan what steps took on this machine."""
    plan = expected.plan
    known = [
        (trunk, one, _step_seconds(trunk, records) if found == Found() else None)
        for trunk, one, found in zip(plan.trunks, expected.numerics, expected.found, strict=True)
        if not isinstance(trunk, CommandTrunk)
    ]
    if known:
        trunks, numerics, seconds = zip(*known, strict=True)
        throughput.learn(trunks, numerics, seconds, Path(plan.config.cache).expanduser())


def _step_seconds(trunk: Trunk, study: StudyRecords) -> float | None:
    """What a step of a trunk took on average [s], where one attempt of ours has trained all of it."""
    ids = {run.id for run in trunk.runs}
    records = [record for record in study.records if record.run_id in ids]
    made_at_once = {(r.status, r.attempts, r.study) for r in records} == {("done", 1, study.name)}
    if not made_at_once or len(records) < len(ids):
        return None
    seconds = [record.seconds for record in records if record.seconds is not None]
    return sum(seconds) / trunk.steps_to_train if len(seconds) == len(records) else None
