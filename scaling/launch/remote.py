"""Trunks trained elsewhere: handed to an engine, watched through the runs folder, tried again when lost.

The runs folder is the only meeting point. What an engine says of a job decides whether it is worth another
try; whether a run is done, only its record says.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import Protocol

from scaling.launch.job import TRIES, Outcome, TrunkJob
from scaling.records.reading import LARGEST_PLAN, read_small
from scaling.records.record import RECORD_FILE, DamagedRecord, decode_record
from scaling.records.storage import latest_attempt, record_failure
from scaling.training import stop
from scaling.training.observer import Observer

POLL = 0.5  # seconds between two looks at engine and folder

logger = logging.getLogger(__name__)


class Engine(Protocol):
    """Slurm, Ray, or whatever runs `scaling.launch.job.work` on another machine."""

    def start(self, jobs: Sequence[TrunkJob]) -> list[str]:
        """Hand over; a name for each, under which `ended` reports it."""

    def ended(self) -> dict[str, Outcome]:
        """Those that have ended since the last call."""

    def leave(self) -> str:
        """Asked to stop: what becomes of the jobs that have not ended, in a sentence."""


def train_remotely(jobs: Sequence[TrunkJob], engine: Engine, observer: Observer) -> None:
    """Train every job on `engine`; one that fails or is lost is tried again, three times in all.

    Raises:
        Stopped: when asked to stop.
    """
    jobs = [replace(job, folder=job.folder.absolute()) for job in jobs]
    watch = _Watch(jobs, observer)
    running = {name: (job, 1) for name, job in zip(engine.start(jobs), jobs, strict=True)}
    while running:
        time.sleep(POLL)
        if stop.requested():
            note = engine.leave()
            watch.look()
            raise stop.Stopped(note)
        over = engine.ended()
        watch.look()
        again: list[tuple[TrunkJob, int]] = []
        for name, outcome in over.items():
            job, attempt = running.pop(name)
            if _failed(job, attempt, outcome) and attempt < TRIES:
                again.append((job, attempt + 1))
        if again:
            names = engine.start([job for job, _ in again])
            running |= zip(names, again, strict=True)


def _failed(job: TrunkJob, attempt: int, outcome: Outcome) -> bool:
    """Whether a trunk is worth another try; says and notes why."""
    if outcome.kind == "done" or job.done():
        return False
    if outcome.kind == "held":
        logger.warning("%s: another process trains it: %s", job.id, outcome.why)
        return False
    logger.error("%s %s (try %d): %s", job.id, outcome.kind, attempt, outcome.why)
    if outcome.kind == "lost" and latest_attempt(job.home):
        record_failure(job.home, latest_attempt(job.home), "killed", outcome.why)
    return outcome.again or outcome.kind in ("lost", "stopped")


class _Watch:
    """Tells an observer of each record that appears, and of what was logged on the way to it."""

    def __init__(self, jobs: Sequence[TrunkJob], observer: Observer) -> None:
        self.observer = observer
        self.open = {job.id: (job.home, job.trunk) for job in jobs}
        runs = [(home / run.id, run.id) for home, trunk in self.open.values() for run in trunk.runs]
        self.told = {id for folder, id in runs if (folder / RECORD_FILE).exists()}

    def look(self) -> None:
        for id, (home, trunk) in list(self.open.items()):
            for run in trunk.runs:
                if run.id in self.told:
                    continue
                try:
                    record = decode_record(read_small(home / run.id / RECORD_FILE))
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
            lines = read_small(folder / "metrics.jsonl", LARGEST_PLAN).splitlines(keepends=True)
        except FileNotFoundError:  # of a run that its trunk's divergence took along
            return
        except (OSError, DamagedRecord) as error:  # whoever watches sees less; the record is what counts
            logger.warning("%s: its log cannot be shown: %s", id, error)
            return
        for line in lines:
            if line.endswith(b"\n"):
                with suppress(ValueError, RecursionError):
                    self.observer.logged(id, json.loads(line))
