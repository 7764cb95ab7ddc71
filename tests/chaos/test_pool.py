"""The pool of processes under fire: workers and their fork server are killed while a study trains."""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing import forkserver
from pathlib import Path
from typing import Any

import pytest

from scaling.launch.job import TrunkJob
from scaling.launch.local import train_in_processes
from scaling.records.record import RunRecord, read_study
from scaling.training import segment, train
from scaling.training.observer import Observer
from tests.chaos.kill import finish
from tests.chaos.outcome import differences, leftovers, outcome
from tests.chaos.table import Tally, scaled
from tests.chaos.trainer import Board

pytestmark = pytest.mark.chaos
WORKERS = 2
TRUNKS = 10
KILLS = 220


@dataclass(frozen=True)
class Hasty(TrunkJob):
    """A job whose process saves every few steps, and counts no model."""

    def train(self, observer: Observer) -> list[RunRecord]:
        segment.CHECKPOINT_SECONDS = 0.03
        train.check_counts = lambda *_: None
        return super().train(observer)


class Killer(Observer):
    """Kills a worker now and then as one of them logs, seldom the fork server, whose workers die with it.

    Not by a stopwatch: a busy machine would have every worker killed while it starts. After `kills` it lets
    the study end.
    """

    def __init__(self, rng: random.Random, kills: int) -> None:
        self.rng, self.kills, self.toll = rng, kills, Counter[str]()

    @property
    def over(self) -> bool:
        """Whether it has killed as often as it was to."""
        return self.toll.total() >= self.kills

    def logged(self, id: str, row: Mapping[str, Any]) -> None:
        if self.over or self.rng.random() < 0.3:
            return
        time.sleep(self.rng.uniform(0, 0.03))
        workers = [process.pid for process in multiprocessing.active_children() if process.pid]
        server = forkserver._forkserver._forkserver_pid  # type: ignore[attr-defined]
        if self.toll["workers killed"] >= 25 * (1 + self.toll["fork servers killed"]):
            what, victim = "fork server", server
        elif workers:
            what, victim = "worker", self.rng.choice(workers)
        else:
            return
        with suppress(ProcessLookupError):
            os.kill(victim, signal.SIGKILL)
            self.toll[f"{what}s killed"] += 1


@pytest.mark.battery(1)
def test_kills_in_the_pool_change_no_bit(
    tasks: list[TrunkJob],
    place: Callable[[TrunkJob, str], TrunkJob],
    board: Board,
    tmp_path: Path,
    tally: Tally,
) -> None:
    """Two workers; the same command again and again until all is done, as a person would."""
    rng = random.Random(200)
    chosen = tasks[:TRUNKS]
    for task in chosen:
        finish(place(task, "untouched"), board)
    killer, number = Killer(rng, scaled(KILLS)), 0
    while not killer.over:
        number += 1
        study = [Hasty(**vars(place(task, f"pool-{number}"))) for task in chosen]
        while left := [job for job in study if not job.done()]:
            tally.facts["commands"] += 1
            train_in_processes(left, ["cpu"] * WORKERS, killer)
        for job in study:
            finish(job, board)  # the same command once more: finds all done, sweeps
            untouched = place(next(t for t in chosen if t.id == job.id), "untouched")
            tally.case(differences(outcome(job), outcome(untouched)) or leftovers(job.home))
        assert read_study(tmp_path / f"pool-{number}").damaged == {}
        assert not multiprocessing.active_children()
    tally.facts += killer.toll
    assert not tally.failures
    assert tally.facts["fork servers killed"] >= scaled(KILLS) // 30
