"""kill -9 at random instants, again and again, and then the same command to its end."""

from __future__ import annotations

import random
import signal
import time
from collections import Counter
from collections.abc import Sequence

from scaling.launch.job import TrunkJob
from tests.chaos.trainer import Board, Change, Trainer


def kill_often(
    task: TrunkJob, board: Board, rng: random.Random, kills: int, changes: Sequence[Change] = ()
) -> Counter[str]:
    """Kill `kills` attempts, spread over the whole of the task, then let one end.

    An instant is a random number of steps into an attempt and a random moment more: with a stopwatch alone a
    busy machine would have every attempt killed while it starts.

    Raises:
        RuntimeError: when an attempt ends otherwise than killed or done.
    """
    toll: Counter[str] = Counter()
    furthest = max(1, 2 * task.trunk.steps_to_train // (kills + 2))
    for _ in range(kills):
        trainer = Trainer(task, board, changes)
        step = rng.randint(0, furthest)
        trainer.wait_for_step(step)
        time.sleep(rng.uniform(0, 0.01 if step else 0.1))
        trainer.send(signal.SIGKILL)
        code = trainer.end()
        if code == 0:
            return toll
        if code != -signal.SIGKILL:
            raise RuntimeError(f"exit code {code}: {board.last_words}")
        toll["kills"] += 1
        toll["inside a save"] += board["saving"]
    finish(task, board, changes)
    return toll


def finish(task: TrunkJob, board: Board, changes: Sequence[Change] = ()) -> None:
    """Run the task to its end.

    Raises:
        RuntimeError: when it ends otherwise, with its last words.
    """
    code = Trainer(task, board, changes).end()
    if code:
        raise RuntimeError(f"exit code {code}: {board.last_words}")
