"""Trunks trained elsewhere: handed to an engine, watched through the runs folder, tried again when lost.

The runs folder is the only meeting point. What an engine says of a job decides whether it is worth another
try; whether a run is done, only its record says.
"""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Protocol

from scaling.launch.pool import TRIES, Task
from scaling.records.record import RECORD_FILE, DamagedRecord, decode_record
from scaling.records.storage import LockedError, latest_attempt, record_failure
from scaling.study.spec import Trunk
from scaling.training import stop
from scaling.training.observer import Observer
from scaling.training.parallel import crew

PACE = 0.5  # seconds between two looks at engine and folder

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Outcome:
    """What a job says at its end: done, held (by another process), stopped or failed. Lost: nothing."""

    kind: str
    why: str = ""


class Engine(Protocol):
    """Slurm, Ray, or whatever runs `work(task)` on another machine."""

    def start(self, tasks: Sequence[Task]) -> list[str]:
        """Hand over; a name for each, under which `ended` reports it."""

    def ended(self) -> dict[str, Outcome]:
        """Those that have ended since the last call."""

    def leave(self) -> str:
        """Asked to stop: what becomes of the jobs that have not ended, in a sentence."""


def work(task: Task, home: str) -> Outcome:
    """What a job does on its machine. A request to stop saves, as everywhere."""
    os.chdir(home)  # relative paths of a study mean what they meant where it was started
    with stop.on_signals(), crew() as leads:
        if not leads:
            return Outcome("done")
        try:
            problems = task.train(Observer())
        except stop.Stopped as error:
            return Outcome("stopped", f"{stop.asked_by()}: {error}")
    kinds = {"held" if isinstance(problem, LockedError) else "failed" for problem in problems.values()}
    return Outcome(min(kinds, default="done"), "; ".join(map(str, problems.values())))


def train_remotely(tasks: Sequence[Task], engine: Engine, observer: Observer) -> None:
    """Every task on `engine`; one that fails or is lost is tried again, three times in all.

    Raises:
        Stopped: when asked to stop.
    """
    tasks = [replace(task, folder=task.folder.absolute()) for task in tasks]
    watch = _Watch(tasks, observer)
    running = {name: (task, 1) for name, task in zip(engine.start(tasks), tasks, strict=True)}
    while running:
        time.sleep(PACE)
        if stop.requested():
            note = engine.leave()
            watch.look()
            raise stop.Stopped(note)
        over = engine.ended()
        watch.look()
        again: list[tuple[Task, int]] = []
        for name, outcome in over.items():
            task, attempt = running.pop(name)
            lost = [trunk.spec.id for trunk in task.trunks if _is_lost(task, trunk, attempt, outcome)]
            if attempt < TRIES:
                again.extend((part, attempt + 1) for part in task.only(lost))
        if again:
            names = engine.start([task for task, _ in again])
            running |= zip(names, again, strict=True)


def _is_lost(task: Task, trunk: Trunk, attempt: int, outcome: Outcome) -> bool:
    """Whether a trunk is worth another try; says and notes why."""
    folder = task.folder / trunk.spec.id
    if outcome.kind == "done" or all((folder / run.id / RECORD_FILE).exists() for run in trunk.runs):
        return False
    if outcome.kind == "held":
        logger.warning("%s: another process trains it: %s", folder.name, outcome.why)
        return False
    logger.error("%s %s (try %d): %s", folder.name, outcome.kind, attempt, outcome.why)
    if outcome.kind == "lost" and latest_attempt(folder):
        record_failure(folder, latest_attempt(folder), "killed", outcome.why)
    return True


class _Watch:
    """Tells an observer of each record that appears, and of what was logged on the way to it."""

    def __init__(self, tasks: Sequence[Task], observer: Observer) -> None:
        self.observer = observer
        self.open = {
            trunk.spec.id: (task.folder / trunk.spec.id, trunk) for task in tasks for trunk in task.trunks
        }
        runs = [(home / run.id, run.id) for home, trunk in self.open.values() for run in trunk.runs]
        self.told = {id for folder, id in runs if (folder / RECORD_FILE).exists()}

    def look(self) -> None:
        for id, (home, trunk) in list(self.open.items()):
            for run in trunk.runs:
                if run.id in self.told:
                    continue
                try:
                    record = decode_record((home / run.id / RECORD_FILE).read_bytes())
                except (OSError, DamagedRecord):
                    continue  # not there yet; one that is damaged is made again, and counted by `status`
                self.told.add(run.id)
                self.observer.opened(run.id, "run", run.to_dict())
                self._tell_log(run.id, home / run.id)
                self.observer.closed(run.id, asdict(record))
            if self.told.issuperset(run.id for run in trunk.runs):
                del self.open[id]
                self.observer.opened(id, "trunk", trunk.spec.to_dict())
                self._tell_log(id, home)
                self.observer.closed(id, {"evaluation_seconds": 0.0})  # known to the job only

    def _tell_log(self, id: str, folder: Path) -> None:
        try:
            lines = (folder / "metrics.jsonl").read_bytes().splitlines(keepends=True)
        except FileNotFoundError:  # of a run that its trunk's divergence took along
            return
        for line in lines:
            if line.endswith(b"\n"):
                self.observer.logged(id, json.loads(line))
