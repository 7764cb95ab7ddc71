"""`hydra/launcher=pool`: trunks on this machine, in this process or several at a time in other processes.

Correctness does not rest on this file. The trunk's lock keeps two from working on one, and a record is linked
once, whoever races.
"""

from __future__ import annotations

import logging
import time
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Any

from scaling.launch.described import own_steps
from scaling.launch.devices import Share
from scaling.launch.job import TRIES, Outcome, TrunkJob
from scaling.launch.pool import Ended, ProcessPool, Send
from scaling.records.storage import latest_attempt, record_failure
from scaling.records.thinning import Thinning
from scaling.study.plan import Plan
from scaling.study.spec import Trunk
from scaling.training.observer import Kind, Observer

PRELOAD = ["scaling.launch.preload"]
MIN_INTERVAL = 0.2  # seconds between two training rows of a run that a process sends

logger = logging.getLogger(__name__)


class LocalLauncher:
    """As many trunks at a time, and where, as `scaling.launch.devices` says."""

    def train(self, plan: Plan, jobs: Sequence[TrunkJob], share: Share, observer: Observer) -> None:
        if share.workers > 1:
            train_in_processes(jobs, share.places, observer)
        else:
            train_here(jobs, observer)


def train_here(jobs: Sequence[TrunkJob], observer: Observer) -> None:
    """Train one after the other in this process. A trunk that fails has noted it, and the next one starts.

    What another try may help gets one after all others.

    Raises:
        Stopped: when asked to stop.
    """
    waiting = deque((job, 1) for job in jobs)
    while waiting:
        job, attempt = waiting.popleft()
        outcome = job.run(observer)
        _report(job, outcome, f" (try {attempt})" if outcome.again else "")
        if outcome.again and attempt < TRIES:
            waiting.append((job, attempt + 1))


def train_in_processes(jobs: Sequence[TrunkJob], places: Sequence[str], observer: Observer) -> None:
    """Train one at a time on each of `places`, which are devices and may repeat, in the order given.

    Raises:
        Stopped: when asked to stop; every process has then saved and ended.
    """
    pool: ProcessPool[_Train] = ProcessPool(places, PRELOAD)
    for job in jobs:
        pool.add(_Train(replace(job, code=job.code_now())))
    tries: Counter[str] = Counter()
    with closing(pool.events()) as events:
        for work, event in events:
            if isinstance(event, Ended):
                tries[work.job.id] += 1
                if _failed(work.job, tries[work.job.id], event) and tries[work.job.id] < TRIES:
                    pool.add(work)
            else:
                name, arguments = event.content
                getattr(observer, name)(*arguments)


def _failed(job: TrunkJob, attempt: int, end: Ended) -> bool:
    """Whether a trunk is worth another try; says and notes why."""
    if end.lost:
        record_failure(job.home, latest_attempt(job.home), "killed", end.lost)
    outcome: Outcome = Outcome("failed", end.lost, again=True) if end.lost else end.result
    _report(job, outcome, f" (try {attempt})")
    return outcome.again


def _report(job: TrunkJob, outcome: Outcome, attempt: str = "") -> None:
    if outcome.kind == "held":
        logger.warning("%s: another process trains it: %s", job.id, outcome.why)
    elif outcome.kind in ("failed", "refused"):
        logger.error("%s %s%s: %s", job.id, outcome.kind, attempt, outcome.why)


@dataclass(frozen=True)
class _Train:
    """A job as work of a process."""

    job: TrunkJob

    def __call__(self, place: str, send: Send) -> Outcome:
        return replace(self.job, device=place).run(PipeObserver(send, self.job.trunk))


class PipeObserver(Observer):
    """Sends what it is told to the parent; training rows at a pace that a person can follow."""

    def __init__(self, send: Send, trunk: Trunk) -> None:
        self.send = send
        self.thinning = {id: Thinning(MIN_INTERVAL, steps) for id, steps in own_steps(trunk).items()}

    def opened(self, id: str, kind: Kind, config: Mapping[str, Any]) -> None:
        self.send(("opened", (id, kind, config)))

    def logged(self, id: str, row: Mapping[str, Any]) -> None:
        if self.thinning[id].shows(row, time.monotonic()):
            self.send(("logged", (id, row)))

    def closed(self, id: str, summary: Mapping[str, Any]) -> None:
        self.send(("closed", (id, summary)))
