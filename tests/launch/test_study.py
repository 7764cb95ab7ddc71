"""A study's life through the library: decided once, trained, measured, and said what came of it."""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping
from typing import Any

import pytest

from scaling.launch.estimate import Estimate
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
    second = run_study(other)
    assert second.reused == {"one": 2}
    assert run_study(one, listener).nothing_to_train
    assert len(listener.heard) == 2  # a finished study neither starts nor ends


def test_tasks_are_measured_and_an_unknown_one_is_refused_before_training(tiny_study: list[str]) -> None:
    asked = [*tiny_study, "model.params=5e3", "budget.tokens=2e3"]
    with pytest.raises(ValueError, match="no task 'poetry'"):
        run_study(plan_study([*asked, "tasks=[poetry]"]))
    plan = plan_study([*asked, "tasks=[next_line]"])
    assert not plan.folder.exists()
    scores = run_study(plan).scores
    assert scores is not None
    assert [score.name for score in scores.found] == ["next_line"]
    assert not scores.failures
    assert run_study(plan_study(asked)).scores is None


def test_a_time_limit_ends_it_and_a_signal_raises(tiny_study: list[str]) -> None:
    long = [*tiny_study, "budget.tokens=[4e5]"]
    result = run_study(plan_study([*long, "max_hours=1e-6"]))
    assert result.timed_out
    assert len(result.records.missing) == 2

    class Asks(StudyObserver):
        def logged(self, id: str, row: Mapping[str, Any]) -> None:
            os.kill(os.getpid(), signal.SIGTERM)

    plan = plan_study(long)
    with pytest.raises(Stopped):
        run_study(plan, Asks())
    assert not read_study(plan.folder).records
    assert list(plan.folder.glob("*/checkpoints/*.pt"))
