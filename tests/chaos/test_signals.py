"""A polite request to stop: at most the step that is being done, everything saved, and no step done twice."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from scaling.launch.job import TrunkJob
from tests.chaos.kill import finish
from tests.chaos.outcome import differences, leftovers, outcome
from tests.chaos.table import Tally, scaled
from tests.chaos.trainer import STOPPED, Board, Trainer

pytestmark = pytest.mark.chaos
ASKS = 4  # a run
ROOT = Path(__file__).parents[2]


@pytest.mark.battery(5)
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR2], ids=["SIGTERM", "SIGUSR2"])
def test_a_request_to_stop_costs_no_step(
    number: signal.Signals,
    tasks: list[TrunkJob],
    place: Callable[[TrunkJob, str], TrunkJob],
    board: Board,
    tally: Tally,
) -> None:
    """A second is one of the process's own: what else the machine does is not its doing."""
    rng = random.Random(number)
    for index, task in enumerate(tasks[: scaled(10)]):
        untouched, stopped = place(task, f"untouched-{index}"), place(task, f"stopped-{index}")
        finish(untouched, board)
        done = 0
        for _ in range(ASKS):
            trainer = Trainer(stopped, board)
            trainer.wait_for_step(rng.randint(1, 2 * task.trunk.steps_to_train // (ASKS + 2)))
            time.sleep(rng.uniform(0, 0.01))
            before = trainer.cpu()
            trainer.send(number)
            board["signalled"] = 1
            code = trainer.end()
            done += board["steps"]
            if code == 0:  # it was done before it could hear
                break
            took = board["cpu"] - before
            wrong = (
                f"exit code {code}: {board.last_words}"
                if code != STOPPED
                else f"{board['steps_after']} steps after the request"
                if board["steps_after"] > 1
                else f"{took} us after the request"
                if took > 1_000_000 + board["longest_step"]
                else None
            )
            tally.case(wrong)
            tally.facts["steps after a request"] += board["steps_after"]
        finish(stopped, board)
        done += board["steps"]
        lost = done - task.trunk.steps_to_train
        wrong = differences(outcome(stopped), outcome(untouched)) or leftovers(stopped.folder)
        if wrong or lost:
            tally.failures.append(f"{task.id}: {wrong}, {lost} steps done twice")
    assert not tally.failures
    assert tally.cases >= 3 * scaled(10), "most requests must come in time"


def test_a_signal_to_the_whole_group_saves_every_trunk(tiny_study: list[str], tmp_path: Path) -> None:
    """As `timeout 1h scaling run …` and systemd send it: to the parent, the fork server and the workers."""
    words = [line for line in tiny_study if not line.startswith(("workers=", "budget.", "question="))]
    command = [sys.executable, "-m", "experiments.cli", "run", *words, "workers=2", "budget.tokens=[2e6]"]
    pipe = subprocess.PIPE
    with subprocess.Popen(
        command, cwd=ROOT, start_new_session=True, stdout=pipe, stderr=subprocess.STDOUT, text=True
    ) as study:
        while len(list(tmp_path.glob("runs/tiny/*/metrics.jsonl"))) < 2 and study.poll() is None:
            time.sleep(0.1)
        os.killpg(study.pid, signal.SIGTERM)
        out = study.communicate(timeout=60)[0]
    assert study.returncode == 130, out
    assert "everything finished is saved" in out
    assert "Traceback" not in out
    assert len(list(tmp_path.glob("runs/tiny/*/checkpoints/*.pt"))) == 2
