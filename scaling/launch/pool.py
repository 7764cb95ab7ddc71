"""Trunks on this machine: in this process, or each in a process of its own, several at a time.

A process a trunk: what one does to its memory or itself never reaches another. Correctness does not rest on
this file. The trunk's lock keeps two from working on one, and a record is linked once, whoever races.
"""

from __future__ import annotations

import ctypes
import logging
import multiprocessing
import signal
import sys
import time
from collections import deque
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from scaling.records.storage import LockedError, latest_attempt, record_failure
from scaling.study.config import DataConfig
from scaling.study.cost import shared_flops
from scaling.study.plan import open_corpus
from scaling.study.spec import Trunk
from scaling.training import stop
from scaling.training.observer import Kind, Observer
from scaling.training.stack import FAILURES, together
from scaling.training.train import train_trunks

TRIES = 3  # of a trunk whose process fails or dies, before it is listed as failed
PACE = 0.2  # seconds between two training rows of one trunk that a process tells of

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Task:
    """A trunk to train, or several as one, and what that needs besides their specs."""

    trunks: tuple[Trunk, ...]
    data: DataConfig
    cache: str
    folder: Path  # of the study
    study: str
    device: str
    threads: int | None
    parallel: str = "none"
    share: bool = False

    @property
    def flops(self) -> float:
        """[FLOP]"""
        return sum(map(shared_flops, self.trunks))

    def train(self, observer: Observer) -> dict[str, Exception]:
        """What kept trunks from their records, by trunk; see `train_trunks`.

        Raises:
            Stopped: when asked to stop.
        """
        try:
            corpus = open_corpus(self.data, self.cache)
        except FAILURES as error:
            return {trunk.spec.id: error for trunk in self.trunks}
        found = train_trunks(
            self.trunks,
            corpus,
            self.folder,
            study=self.study,
            device=self.device,
            threads=self.threads,
            parallel=self.parallel,
            share=self.share,
            observer=observer,
        )
        problems = {
            trunk.spec.id: result
            for trunk, result in zip(self.trunks, found, strict=True)
            if isinstance(result, Exception)
        }
        for problem in problems.values():
            if isinstance(problem, stop.Stopped):
                raise problem
        return problems

    def only(self, trunks: Collection[str]) -> list[Task]:
        """Some of its trunks, each on its own: what fails beside others may not fail alone."""
        return [replace(self, trunks=(trunk,)) for trunk in self.trunks if trunk.spec.id in trunks]


def stack(tasks: Sequence[Task], most: int) -> list[Task]:
    """The same trunks, those that can be trained as one in one task, `most` at once."""
    alike: dict[str, list[Task]] = {}
    for task in tasks:
        alike.setdefault(repr(replace(task, trunks=())), []).append(task)
    return [
        replace(group[0], trunks=tuple(trunks))
        for group in alike.values()
        for trunks in together([trunk for task in group for trunk in task.trunks], most)
    ]


def train_here(tasks: Sequence[Task], observer: Observer) -> None:
    """One after the other, in this process. A trunk that fails has noted it, and the next one starts."""
    for task in tasks:
        for id, problem in task.train(observer).items():
            if isinstance(problem, LockedError):
                logger.warning("%s: another process trains it: %s", id, problem)
            else:
                logger.error("%s failed: %s", id, problem)


def train_in_processes(tasks: Sequence[Task], places: Sequence[str], observer: Observer) -> None:
    """One at a time on each of `places`, which are devices and may repeat, in the order given.

    Raises:
        Stopped: when asked to stop; every process has then saved and ended.
    """
    context = multiprocessing.get_context("forkserver")
    # A program that was started with -m is not preloaded as `__main__`, and every fork would import it anew.
    program = getattr(sys.modules["__main__"], "__spec__", None)
    named = [program.name] if program else []
    context.set_forkserver_preload(["__main__", "scaling.launch.preload", *named])
    waiting = deque((task, 1) for task in tasks)
    running: dict[Connection, _Child] = {}
    free = deque(places)
    asked = False
    try:
        while waiting or running:
            while waiting and free and not asked:
                task, attempt = waiting.popleft()
                child = _Child(context, replace(task, device=free.popleft()), attempt)
                running[child.ear] = child
            for ear in wait(list(running), timeout=0.2):
                child = running[ear]  # type: ignore[index]
                if not child.hear(observer):
                    del running[child.ear]
                    free.append(child.task.device)
                    if child.attempt < TRIES and not asked:
                        waiting.extend((task, child.attempt + 1) for task in child.task.only(child.failed))
            if stop.requested() and not asked:
                asked = True
                waiting.clear()
                for child in running.values():
                    child.process.terminate()
    finally:
        for child in running.values():
            child.process.kill()
    if asked:
        raise stop.Stopped


class _Child:
    """A process that trains one task, and the end of the pipe that hears of it."""

    def __init__(self, context: Any, task: Task, attempt: int) -> None:
        self.task, self.attempt = task, attempt
        self.failed: set[str] = set()  # trunks
        self.ear, mouth = context.Pipe(duplex=False)
        self.process: BaseProcess = context.Process(target=_train, args=(task, mouth), daemon=True)
        self.process.start()
        mouth.close()

    def hear(self, observer: Observer) -> bool:
        """Pass on one message; False when the process has ended."""
        try:
            name, arguments = self.ear.recv()
        except (EOFError, OSError):
            self._bury()
            return False
        if name == "failed":
            id, message = arguments
            self.failed.add(id)
            logger.error("%s failed (try %d): %s", id, self.attempt, message)
        elif name == "warned":
            logger.warning(*arguments)
        else:
            getattr(observer, name)(*arguments)
        return True

    def _bury(self) -> None:
        self.ear.close()
        self.process.join()
        code = self.process.exitcode or 0
        if code < 0 and not stop.requested():
            message = f"its process was ended by {signal.Signals(-code).name}"
            for trunk in self.task.trunks:
                self.failed.add(trunk.spec.id)
                folder = self.task.folder / trunk.spec.id
                logger.error("%s failed (try %d): %s", folder.name, self.attempt, message)
                record_failure(folder, latest_attempt(folder), "killed", message)


class _Teller(Observer):
    """Tells the parent, in another process; training rows at a pace a person can follow."""

    def __init__(self, mouth: Connection) -> None:
        self.mouth = mouth
        self.told = 0.0

    def opened(self, id: str, kind: Kind, config: Mapping[str, Any]) -> None:
        self.mouth.send(("opened", (id, kind, config)))

    def logged(self, id: str, row: Mapping[str, Any]) -> None:
        now = time.monotonic()
        if "loss" in row or now - self.told > PACE:
            self.told = now
            self.mouth.send(("logged", (id, row)))

    def closed(self, id: str, summary: Mapping[str, Any]) -> None:
        self.mouth.send(("closed", (id, summary)))


def _train(task: Task, mouth: Connection) -> None:
    """What the process does. It dies with its parent, and leaves Ctrl-C to it."""
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
    with stop.on_signals():
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        try:
            problems = task.train(_Teller(mouth))
        except stop.Stopped:
            return
        for id, problem in problems.items():
            if isinstance(problem, LockedError):
                mouth.send(("warned", (f"{id}: another process trains it: {problem}",)))
            else:
                mouth.send(("failed", (id, str(problem))))
