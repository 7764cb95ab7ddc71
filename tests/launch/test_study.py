"""A study's life through the library: decided once, trained, measured, and said what came of it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from scaling.launch.estimate import Estimate
from scaling.launch.evaluate import evaluate_study
from scaling.launch.pool import Ended, ProcessPool, Send
from scaling.launch.study import StudyObserver, run_study
from scaling.records.record import read_study
from scaling.study import plan as planning
from scaling.study.plan import plan_study
from scaling.training.stop import Stopped


class Listener(StudyObserver):
    """Remembers what it hears of the study as a whole."""

    def __init__(self) -> None:
        self.heard: list[object] = []

    def started(self, estimate: Estimate) -> None:
        self.heard.append(estimate)

    def trained(self) -> None:
        self.heard.append("trained")


@pytest.mark.parametrize("launcher", ["pool", "basic"])
def test_each_job_is_composed_and_decided_once(
    tiny_study: list[str], launcher: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ours trains what was decided; a launcher of Hydra's composes its jobs, and decides nothing."""
    calls = {"decide": 0, "compose_study": 0}

    def count(name: str) -> None:
        function = getattr(planning, name)

        def counting(*arguments: Any) -> Any:
            calls[name] += 1
            return function(*arguments)

        monkeypatch.setattr(planning, name, counting)

    for name in calls:
        count(name)
    plan = plan_study([*tiny_study, "seed=0,1", "budget.tokens=2e3", f"hydra/launcher={launcher}"])
    assert len(plan.trunks) == len(plan.asked) == 4
    result = run_study(plan)
    assert calls == {"decide": 4, "compose_study": 1}
    assert {r.run_id for r in result.records.done} == {run.id for _, run in plan.runs}
    again = run_study(plan)
    assert again.nothing_to_train
    assert calls == {"decide": 4, "compose_study": 1}


def test_a_result_says_what_came_of_it(tiny_study: list[str]) -> None:
    one, other = (plan_study([*tiny_study, "model.params=5e3", f"name={name}"]) for name in ("one", "other"))
    listener = Listener()
    first = run_study(one, listener)
    started, trained = listener.heard
    assert isinstance(started, Estimate)
    assert (started.plan, trained) == (one, "trained")
    assert not first.nothing_to_train
    assert not first.reused
    assert first.expected == started.wall.median > 0
    assert first.training > 0
    assert first.records.folder == one.folder
    assert "params: 5000.0" in (one.folder / "multirun.yaml").read_text()
    second = run_study(other)
    assert second.reused == {"one": 2}
    assert run_study(one, listener).nothing_to_train
    assert len(listener.heard) == 2  # a finished study neither starts nor ends


def test_tasks_are_measured_and_an_unknown_one_is_refused_before_training(
    tiny_study: list[str], tmp_path: Path
) -> None:
    """Also by several processes."""
    asked = [*tiny_study, "model.params=5e3", "budget.tokens=[2e3,4e3]"]
    with pytest.raises(ValueError, match="no task 'poetry'"):
        run_study(plan_study([*asked, "tasks=[poetry]"]))
    own = tmp_path / "own.jsonl"
    own.write_text('{"prompt": "item 1 has ", "choices": ["value", "xqzzy"], "answer": 0}\n' * 3)
    plan = plan_study([*asked, f"tasks=['{own}']"])
    assert not plan.folder.exists()
    result = run_study(plan)
    assert result.scores is not None
    assert [(score.run_id, score.name) for score in result.scores.found] == sorted(
        (run.id, "own") for _, run in plan.runs
    )
    again = evaluate_study(result.records, [f"other:{own}"], cache=plan.config.cache, workers=2)
    assert [score.value for score in again.found] == [score.value for score in result.scores.found]
    assert run_study(plan_study(asked)).scores is None


@dataclass(frozen=True)
class Fate:
    """Work of a process that ends as it is told."""

    kind: str

    def __call__(self, place: str, send: Send) -> str:
        send(f"{self.kind} at {place}")
        if self.kind == "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        if self.kind == "gone":
            os._exit(3)
        return self.kind


def test_a_pool_tells_how_each_process_ended() -> None:
    pool: ProcessPool[Fate] = ProcessPool(["here", "there"], ["scaling.launch.pool"])
    for kind in ("done", "killed", "gone", "done"):
        pool.add(Fate(kind))
    messages, ends = [], []
    for work, event in pool.events():
        if isinstance(event, Ended):
            ends.append((work.kind, event.result, event.lost))
        else:
            messages.append(event.content.split()[0])
    assert sorted(messages) == ["done", "done", "gone", "killed"]
    assert sorted(ends, key=str) == [
        ("done", "done", ""),
        ("done", "done", ""),
        ("gone", None, "its process ended with exit status 3 and no result"),
        ("killed", None, "its process was ended by SIGKILL"),
    ]


def test_a_time_limit_ends_it_and_a_signal_raises(tiny_study: list[str]) -> None:
    long = [*tiny_study, "budget.tokens=[4e5]"]
    result = run_study(plan_study([*long, "max_hours=1e-6"]))
    assert result.timed_out
    assert len(result.records.missing) == 2

    class Asks(StudyObserver):
        asked = False

        def logged(self, id: str, row: Mapping[str, Any]) -> None:
            if not self.asked:
                self.asked = True
                os.kill(os.getpid(), signal.SIGTERM)

    plan = plan_study(long)
    with pytest.raises(Stopped):
        run_study(plan, Asks())
    assert not read_study(plan.folder).records
    assert list(plan.folder.glob("*/checkpoints/*.pt"))


WITHOUT_PYTORCH = """
import json, sys
sys.modules["torch"] = None  # an import of it raises
from experiments.cli import main
from scaling.models import FAMILIES
from scaling.recipe.optimizers import OPTIMIZERS
from scaling.study.plan import plan_study

overrides = json.loads(sys.argv[1])
assert main(["run", *overrides]) == 0, "it is finished, and is not trained"
assert main(["run", *overrides, "model.family=decodr"]) == 2, "it is refused"
grid = f"model.family={','.join(FAMILIES)}", f"optimizer={','.join(set(OPTIMIZERS) - {'schedule_free'})}"
plan = plan_study([*overrides, "name=grid", *grid, "model.params=2e4", "training.learning_rate=.01"])
assert {t.spec.family for t in plan.trunks} == set(FAMILIES)
"""


def test_what_trains_nothing_does_without_pytorch(tiny_study: list[str]) -> None:
    """It takes seconds to import: a finished study, a refusal and a plan's sizes do not wait for it."""
    run_study(plan_study(tiny_study))
    program = [sys.executable, "-c", WITHOUT_PYTORCH, json.dumps(tiny_study)]
    done = subprocess.run(program, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
    assert "all 4 runs are done already" in done.stdout
    assert "Did you mean 'decoder'?" in done.stderr
