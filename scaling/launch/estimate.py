"""What a plan takes on this machine, beyond what is trained already."""

from __future__ import annotations

from collections import Counter
from dataclasses import astuple, dataclass
from pathlib import Path

from scaling.launch.devices import Share, share_machine
from scaling.records.record import StudyRecords
from scaling.records.storage import safe_child
from scaling.study.config import Parallel
from scaling.study.cost import trunk_seconds, wall_seconds
from scaling.study.plan import Plan
from scaling.study.spec import Trunk
from scaling.training import throughput
from scaling.training.device import Numerics, resolve_numerics
from scaling.training.provenance import attempt_facts
from scaling.training.reuse import Found, TrunkCache
from scaling.training.throughput import Crowd, StepTime, time_steps


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
    numerics = [resolve_numerics(trunk, training.device, share.threads, alone=alone) for trunk in plan.trunks]
    times, crowd = time_steps(list(plan.trunks), numerics, Path(plan.config.cache).expanduser())
    found = [
        TrunkCache(
            trunk.spec,
            safe_child(plan.folder, trunk.spec.id),
            attempt_facts(trunk, numerics, training.parallel.value),
            reuse=plan.config.reuse,
        ).find(trunk)
        for trunk, numerics in zip(plan.trunks, numerics, strict=True)
    ]
    median, low, high = (
        tuple(
            trunk_seconds(trunk, step, {*there.done, *there.shared}, there.steps)
            for trunk, step, there in zip(plan.trunks, steps, found, strict=True)
        )
        for steps in zip(*map(astuple, times), strict=True)
    )
    wall = StepTime(*(wall_seconds(seconds, share.workers) for seconds in (median, low, high)))
    return Estimate(plan, share, tuple(numerics), tuple(times), tuple(found), median, wall, crowd)


def learn(expected: Estimate, records: StudyRecords) -> None:
    """Teach the next plan what steps took on this machine."""
    seconds = [
        _step_seconds(trunk, records) if found == Found() else None
        for trunk, found in zip(expected.plan.trunks, expected.found, strict=True)
    ]
    cache = Path(expected.plan.config.cache).expanduser()
    throughput.learn(expected.plan.trunks, expected.numerics, seconds, cache)


def _step_seconds(trunk: Trunk, study: StudyRecords) -> float | None:
    """What a step of a trunk took on average [s], where one attempt of ours has trained all of it."""
    ids = {run.id for run in trunk.runs}
    records = [record for record in study.records if record.run_id in ids]
    made_at_once = {(r.status, r.attempts, r.study) for r in records} == {("done", 1, study.name)}
    if not made_at_once or len(records) < len(ids):
        return None
    return sum(record.seconds for record in records) / trunk.steps_to_train
