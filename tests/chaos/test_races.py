"""Workers that want the same runs while they are killed, stopped and frozen: one record each, bit for bit."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from scaling.launch.job import TrunkJob
from scaling.records.record import find_record_files, read_study
from scaling.records.storage import LockedError
from scaling.training.observer import Observer
from tests.chaos import trainer
from tests.chaos.kill import finish
from tests.chaos.outcome import differences, leftovers, outcome
from tests.chaos.table import Tally, scaled
from tests.chaos.trainer import Board

pytestmark = pytest.mark.chaos
REPOSITORY = Path(__file__).parents[2]
WORKERS = 4
PACE = 8  # steps of all workers together between two blows


@dataclass
class Crowd:
    """Every task of a study, in an order of this worker's own, for as long as something is missing."""

    tasks: list[TrunkJob]

    def train(self, observer: Observer) -> None:
        rng = random.Random(os.getpid())
        while left := [task for task in self.tasks if not task.done()]:
            try:
                rng.choice(left).train(observer)
            except LockedError:
                time.sleep(0.01)


@pytest.mark.battery(6)
def test_racing_workers_leave_one_record_each(
    tasks: list[TrunkJob],
    place: Callable[[TrunkJob, str], TrunkJob],
    board: Board,
    tmp_path: Path,
    tally: Tally,
) -> None:
    """20 trunks, so 40 runs."""
    chosen = tasks[: scaled(20)]
    racing = [place(task, "racing") for task in chosen]
    for task in chosen:
        finish(place(task, "untouched"), board)
    first: dict[Path, bytes] = {}
    toll = strike_until_done(racing, tmp_path, first)
    tally.facts += toll
    for task in racing:
        finish(task, board)  # the same command once more: finds all done, sweeps
        untouched = place(task, "untouched")
        wrong = differences(outcome(task), outcome(untouched)) or leftovers(task.folder)
        for run in task.trunk.runs:
            record = task.folder / task.id / run.id / "record.json"
            changed = "its record was overwritten" if first[record] != record.read_bytes() else None
            tally.case(changed or wrong)
    study = read_study(tmp_path / "racing")
    assert not tally.failures
    assert (len(study.records), study.damaged) == (2 * len(chosen), {})
    assert sum(toll.values()) >= 10 * len(chosen), "too few blows for 200 in all"


def strike_until_done(tasks: list[TrunkJob], tmp: Path, first: dict[Path, bytes]) -> Counter[str]:
    """Four workers, and a random blow to one of them every few steps; notes every record as first seen."""
    rng = random.Random(6)
    toll: Counter[str] = Counter()
    workers: list[trainer.Trainer | None] = [None] * WORKERS
    boards = [Board(tmp / f"board-{index}") for index in range(WORKERS)]
    frozen: dict[int, float] = {}
    gone, struck = 0, 0  # steps of workers that have ended, steps at the last blow
    deadline = time.monotonic() + 900
    while not all(task.done() for task in tasks):
        if time.monotonic() > deadline:
            raise TimeoutError(f"not done after 900 s: {toll}, {[b.last_words for b in boards]}")
        for path in find_record_files(tasks[0].folder) if tasks[0].folder.exists() else ():
            first.setdefault(path, path.read_bytes())
        for index, worker in enumerate(workers):
            if worker is None or worker.process.exitcode is not None:
                gone += boards[index]["steps"]
                frozen.pop(index, None)
                if worker is not None and worker.process.exitcode == trainer.REFUSED:
                    raise RuntimeError(boards[index].last_words)
                workers[index] = trainer.Trainer(Crowd(tasks), boards[index])
        for index in [index for index, until in frozen.items() if time.monotonic() > until]:
            del frozen[index]
            workers[index].send(signal.SIGCONT)  # type: ignore[union-attr]
        if gone + sum(board["steps"] for board in boards) - struck >= PACE:
            struck = gone + sum(board["steps"] for board in boards)
            victim = rng.randrange(WORKERS)
            blow = rng.choice([signal.SIGKILL, signal.SIGTERM, signal.SIGSTOP])
            workers[victim].send(blow)  # type: ignore[union-attr]
            toll[blow.name] += 1
            if blow == signal.SIGSTOP:
                frozen[victim] = time.monotonic() + rng.uniform(0, 0.5)
        time.sleep(0.002)
    for path in find_record_files(tasks[0].folder):
        first.setdefault(path, path.read_bytes())
    for worker in workers:
        if worker is not None:
            worker.process.kill()
            worker.process.join()
    return toll


def fight(folder: Path, takeovers: int, *words: str) -> dict[str, int]:
    """See `lease`."""
    command = [sys.executable, "-m", "tests.chaos.lease", str(folder), str(takeovers), "8", *words]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=900, check=True)
    found: dict[str, int] = json.loads(done.stdout)
    return found


@pytest.mark.battery(7)
def test_a_dead_owner_is_followed_by_one(tmp_path: Path, tally: Tally) -> None:
    found = fight(tmp_path, scaled(1000))
    tally.cases = found["takeovers"]
    tally.facts["two owners"] = found["overlaps"]
    assert found["takeovers"] >= scaled(1000)
    assert found["overlaps"] == 0


@pytest.mark.battery(7)
def test_a_lock_that_never_refuses_is_noticed(tmp_path: Path) -> None:
    assert fight(tmp_path, 1000, "broken")["overlaps"] > 0
