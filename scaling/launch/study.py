"""A study's life: what is asked of a plan is trained, recorded, mirrored and measured."""

from __future__ import annotations

import errno
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scaling.launch.trust import check_trust
from scaling.records.record import CODE, RunRecord, StudyRecords, read_study
from scaling.records.storage import Lock, join_plan, supersede, write_atomic
from scaling.records.tracking import open_tracker
from scaling.study.command import CommandTrunk
from scaling.study.config import Tracking
from scaling.study.parts import trunk_code
from scaling.study.plan import Plan
from scaling.study.scripts import is_script
from scaling.study.spec import Trunk
from scaling.trainers.command import find_script_changes
from scaling.training.observer import Observer, Observers
from scaling.training.provenance import OnChange, attempt_facts, find_changes, refuse
from scaling.training.stop import Stopped, after

if TYPE_CHECKING:  # what trains and measures needs PyTorch, which takes seconds to import: imported when used
    from scaling.launch.estimate import Estimate
    from scaling.launch.evaluate import Scores

LOCAL = "scaling.launch.local.LocalLauncher"


class StudyObserver(Observer):
    """Also hears of a study as a whole."""

    def started(self, estimate: Estimate) -> None:
        """Training starts, of the part of the plan that is affordable and of what is not there already."""

    def trained(self) -> None:
        """Training is over; what is done is measured now, where the study asks for tasks."""


@dataclass(frozen=True)
class StudyResult:
    """What came of a study, and where the time went [s]."""

    plan: Plan  # the part that was affordable
    records: StudyRecords
    asked: frozenset[str]  # ids of runs, those included that were not affordable
    before: frozenset[str]  # ids of runs that had a record already
    scores: Scores | None = None  # None where the study asks for no tasks
    planning: float = 0.0
    training: float = 0.0
    evaluation: float = 0.0  # of held-out losses, as wall time
    expected: float = 0.0  # what the plan said of training and evaluation together
    timed_out: bool = False  # max_hours was reached; progress is saved
    changed: Mapping[str, str] = field(default_factory=dict)  # run id → how its code was another one

    @property
    def folder(self) -> Path:
        """Of the study."""
        return self.plan.folder

    @property
    def missing(self) -> tuple[str, ...]:
        """Ids of runs that this command asked for and that have no record."""
        return tuple(sorted(self.asked & set(self.records.missing)))

    @property
    def unpaid(self) -> tuple[str, ...]:
        """Ids of missing runs that `max_flops` does not pay for: the same command leaves them out again."""
        return tuple(sorted(set(self.missing) - {run.id for _, run in self.plan.runs}))

    @property
    def missing_elsewhere(self) -> int:
        """How many runs of this study that only other commands asked for have no record."""
        return len(self.records.missing) - len(self.missing)

    @property
    def nothing_to_train(self) -> bool:
        """Whether every run of the plan had a record already."""
        return self.before.issuperset(run.id for _, run in self.plan.runs)

    @property
    def reused(self) -> Mapping[str, int]:
        """Other studies of the runs folder, and how many of their runs this one reuses."""
        fresh = {run.id for _, run in self.plan.runs} - self.before
        others = (r.study for r in self.records.records if r.run_id in fresh and r.study != self.plan.name)
        return Counter(others)


def run_study(
    plan: Plan,
    observer: StudyObserver | None = None,
    *,
    on_change: OnChange = "refuse",
    retrain_changed: bool = False,
    replace_plan: bool = False,
    trust: bool = False,
) -> StudyResult:
    """Train what of a plan has no record, and measure finished runs on the tasks that it asks for.

    Args:
        on_change: what to do with trunks that were begun by other code or in other arithmetic than now.
        retrain_changed: set trunks aside that have runs made by other code, and train them again.
        trust: run commands also in a folder where somebody else's have run: `scaling.launch.trust`.
        replace_plan: forget what earlier commands under this name have planned; their records stay.

    Raises:
        ValueError: for an unknown task, a `max_flops` that pays for no trunk, a folder that is not trusted.
        ChangedError: where other code or arithmetic has begun trunks, and `on_change` is refuse.
        OSError: when the runs folder cannot be written.
        Stopped: when a signal asked to stop; everything is saved, and the same plan continues from there.
    """
    begin = time.monotonic()
    observer = observer or StudyObserver()
    records, changed = _open(plan, replace_plan, trust, retrain_changed)
    asked = frozenset(run.id for _, run in plan.runs)
    before = frozenset(record.run_id for record in records.records)
    if before >= asked:
        scores = _measure_tasks(plan, records)
        return StudyResult(plan, records, asked, before, scores, time.monotonic() - begin, changed=changed)
    from scaling.launch.estimate import estimate, learn

    expected = estimate(plan.affordable())
    if on_change == "refuse" and _is_local(plan):
        _check_resumes(expected, before)
    observer.started(expected)
    planning = time.monotonic() - begin
    clock = _EvaluationClock()
    timed_out = _train(expected, Observers(observer, clock), on_change)
    evaluation = clock.seconds / expected.share.workers
    training = time.monotonic() - begin - planning - evaluation
    observer.trained()
    records = read_study(plan.folder)
    if _is_local(plan):
        learn(expected, records)
    return StudyResult(
        expected.plan,
        records,
        asked,
        before,
        _measure_tasks(plan, records),
        planning=planning,
        training=training,
        evaluation=evaluation,
        expected=expected.wall.median,
        timed_out=timed_out,
        changed=changed,
    )


def _open(
    plan: Plan, replace_plan: bool, trust: bool, retrain_changed: bool
) -> tuple[StudyRecords, dict[str, str]]:
    """Check and write what is asked for; return the records that are there, and those of other code."""
    if plan.config.tasks:
        from scaling.capability.tasks import find_tasks

        find_tasks(plan.config.tasks)  # an unknown one is refused now, not after hours of training
    check_trust(plan, trust)
    save_plan(plan, replace=replace_plan)
    records = read_study(plan.folder)
    changed = find_changed(plan, records)
    if changed and retrain_changed:
        return _set_aside(plan, changed), {}
    return records, changed


def find_changed(plan: Plan, records: StudyRecords) -> dict[str, str]:
    """Return the finished runs of a plan that other code has made: id → the parts that differ.

    Not those whose records do not name their code: nothing is known of them.
    """
    made = {record.run_id: record for record in records.records}
    parallel = plan.config.training.parallel.value
    found = {}
    for trunk in plan.trunks:
        now = _code_of(trunk, parallel)
        for run in trunk.runs:
            lines = _changed_code(made[run.id], now) if run.id in made else []
            if lines:
                found[run.id] = "; ".join(lines)
    return found


def _code_of(trunk: Trunk, parallel: str) -> dict[str, str]:
    if isinstance(trunk, CommandTrunk):
        return trunk.code
    return trunk_code(trunk, parallel)


def _changed_code(record: RunRecord, now: Mapping[str, str]) -> list[str]:
    digests = dict(line.rpartition(" ")[::2] for key, line in now.items() if key.startswith(CODE))
    found = []
    for key, line in record.versions.items():
        if not key.startswith(CODE):
            continue
        root, _, then = line.rpartition(" ")
        if is_script(root):  # a file has no place of its own among those that a command names
            digest = digests.get(root, then)
        else:
            digest = then if now.get(key, line) == line else now[key].rpartition(" ")[2]
        if digest != then:
            found.append(f"{key.removeprefix(CODE)} {line} then, {digest} now")
    return found


def _set_aside(plan: Plan, changed: Mapping[str, str]) -> StudyRecords:
    """Make room for every trunk that has one of these runs; nothing is deleted. Return what is left.

    Raises:
        LockedError: when another process trains one of them.
    """
    for trunk in plan.trunks:
        if any(run.id in changed for run in trunk.runs):
            folder = plan.folder / trunk.spec.id
            with Lock(folder / "lock"):
                supersede(folder)
    return read_study(plan.folder)


def _check_resumes(expected: Estimate, done: frozenset[str]) -> None:
    """
    Raises:
        ChangedError: naming every trunk that was begun by other code or in other arithmetic.
    """
    plan = expected.plan
    changed = {}
    for trunk, numerics in zip(plan.trunks, expected.numerics, strict=True):
        missing = [run.id for run in trunk.runs if run.id not in done]
        folder = plan.folder / trunk.spec.id
        if not missing:
            continue
        if isinstance(trunk, CommandTrunk):
            lines = find_script_changes(trunk, folder)
        else:
            facts = attempt_facts(trunk, numerics, plan.config.training.parallel.value)
            lines = find_changes(folder, missing, facts)
        if lines:
            changed[trunk.spec.id] = lines
    if changed:
        raise refuse(changed)


def _is_local(plan: Plan) -> bool:
    return bool(plan.composition.launcher["_target_"] == LOCAL)


def save_plan(plan: Plan, *, replace: bool = False) -> None:
    """Write what is expected, beside what earlier commands of this study expect.

    Args:
        replace: forget those.

    Raises:
        OSError: when the runs folder cannot be written, naming it and what to change.
    """
    body = plan.to_dict()
    rows = body.pop("runs")
    try:
        join_plan(plan.folder, body, rows, replace=replace)
    except OSError as error:
        where = f"{error.filename} " if error.errno in (errno.ELOOP, errno.EINVAL) else ""
        raise OSError(
            f"runs folder {plan.folder} cannot be written: {where}{error.strerror or error}. "
            "Choose another with runs=FOLDER."
        ) from error


def _train(expected: Estimate, observer: Observer, on_change: OnChange) -> bool:
    """Train, and show it where `tracking` says; whether `max_hours` ended it."""
    from scaling.launch.launchers import launch

    plan, config = expected.plan, expected.plan.config
    limit = None if config.max_hours is None else 3600 * config.max_hours
    write_atomic(plan.folder / "multirun.yaml", plan.composition.to_yaml().encode())  # as Hydra leaves one
    begin = time.monotonic()
    with _viewer(plan) as viewer, after(limit):
        try:
            launch(plan, expected.share, Observers(observer, viewer), on_change)
        except Stopped:
            if limit is None or time.monotonic() - begin < limit:
                raise
            return True
    return False


@contextmanager
def _viewer(plan: Plan) -> Iterator[Observer]:
    from scaling.launch.mirror import Mirror
    from scaling.launch.tensorboard import TensorBoard

    config = plan.config
    if config.tracking is Tracking.tensorboard:
        yield TensorBoard(plan.folder, plan.trunks)
        return
    mode = config.tracking.value
    with open_tracker(
        mode, study=plan.name, folder=plan.folder, project=config.project, entity=config.entity
    ) as tracker:
        yield Mirror(tracker, plan.trunks)


@dataclass
class _EvaluationClock(Observer):
    """Adds up what trunks say that their held-out losses took [s]."""

    seconds: float = field(default=0.0)

    def closed(self, id: str, summary: Mapping[str, Any]) -> None:
        self.seconds += float(summary.get("evaluation_seconds", 0.0))  # a run's record has none


def _measure_tasks(plan: Plan, records: StudyRecords) -> Scores | None:
    config = plan.config
    if not config.tasks:
        return None
    from scaling.launch.evaluate import evaluate_study
    from scaling.training.device import choose_numerics

    device = choose_numerics("float32", 1, config.training.device).device
    return evaluate_study(records, config.tasks, cache=config.cache, device=device)
