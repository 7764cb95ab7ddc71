"""What a step takes: timed once, not kept from a crowded machine, and put right by what training took."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest

from scaling.launch.study import run_study
from scaling.study.plan import Plan, plan_study
from scaling.training.device import Numerics
from scaling.training.throughput import MEASURED, StepTime, learn, time_steps

CPU = Numerics("cpu", "float32", 1)


@pytest.fixture
def plan(tiny_study: list[str]) -> Plan:
    return plan_study([*tiny_study, "model.params=5e3", "seed=0,1"])


@pytest.mark.usefixtures("quiet")
def test_a_shape_is_timed_once_and_learns(plan: Plan, tmp_path: Path) -> None:
    trunks = list(plan.trunks)
    first, crowd = time_steps(trunks, [CPU, CPU], tmp_path)
    assert crowd is None
    assert first[0] == first[1]
    assert time_steps(trunks, [CPU, CPU], tmp_path)[0] == first
    learn(trunks, [CPU, CPU], [None, None], tmp_path)
    assert time_steps(trunks, [CPU, CPU], tmp_path)[0] == first
    learn(trunks, [CPU, CPU], [2.0, 4.0], tmp_path)
    (now, _), _ = time_steps(trunks, [CPU, CPU], tmp_path)
    assert now.median == pytest.approx(3.0)
    assert now.high / now.low == pytest.approx(first[0].high / first[0].low)


@pytest.mark.usefixtures("quiet")
def test_what_others_slowed_down_is_put_right_before_a_long_plan(
    plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trunks = list(plan.trunks)
    first, _ = time_steps(trunks, [CPU, CPU], tmp_path)
    monkeypatch.setattr("scaling.training.throughput.time_step", lambda *_: first[0])
    learn(trunks, [CPU, CPU], [20 * first[0].median] * 2, tmp_path)
    assert time_steps(trunks, [CPU, CPU], tmp_path)[0][0].median == pytest.approx(20 * first[0].median)
    monkeypatch.setattr("scaling.training.throughput.LONG", 0.0)
    monkeypatch.setattr("scaling.training.throughput.RECENT", -1.0)
    assert time_steps(trunks, [CPU, CPU], tmp_path)[0][0].median == pytest.approx(first[0].median)
    monkeypatch.setattr(os, "getloadavg", lambda: (0.5, 0.5, 9.5))
    kept = (tmp_path / "throughput.json").read_bytes()
    learn(trunks, [CPU, CPU], [20 * first[0].median] * 2, tmp_path)
    assert (tmp_path / "throughput.json").read_bytes() == kept, (
        "others had the machine in the last 15 minutes"
    )


def test_a_crowded_machine_is_timed_again_and_not_remembered(
    plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trunks = list(plan.trunks)
    steps = iter([StepTime(0.1, 0.09, 0.2), StepTime(0.1, 0.09, 0.2), StepTime(0.3, 0.2, 0.9)])
    monkeypatch.setattr("scaling.training.throughput.time_step", lambda *_: next(steps))
    monkeypatch.setattr(os, "getloadavg", lambda: (100.0, 0.5, 0.5))
    times, crowd = time_steps(trunks, [CPU, CPU], tmp_path)
    assert times[0].median == 0.1
    assert "crowded: load 100.0" in str(crowd)
    assert "the estimate is rough" in str(crowd)
    assert not list(tmp_path.iterdir())
    monkeypatch.setattr(os, "getloadavg", lambda: (0.5, 0.5, 0.5))
    assert time_steps(trunks, [CPU, CPU], tmp_path)[1] is None
    kept = (tmp_path / "throughput.json").read_bytes()
    monkeypatch.setattr(os, "getloadavg", lambda: (100.0, 0.5, 0.5))
    times, crowd = time_steps(trunks, [CPU, CPU], tmp_path)
    assert times[0].median == pytest.approx(0.3)
    assert "takes 3 ×" in str(crowd)
    assert (tmp_path / "throughput.json").read_bytes() == kept


def test_a_timing_that_others_interrupted_is_not_remembered(
    plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> StepTime:
        time.sleep(MEASURED)
        return StepTime(0.1, 0.09, 0.2)

    monkeypatch.setattr("scaling.training.throughput.time_step", interrupted)
    monkeypatch.setattr(os, "getloadavg", lambda: (0.5, 0.5, 0.5))
    _, crowd = time_steps(list(plan.trunks), [CPU, CPU], tmp_path)
    assert "crowded" in str(crowd)
    assert not list(tmp_path.iterdir())


@pytest.mark.usefixtures("quiet")
def test_a_study_teaches_the_next_plan(tiny_study: list[str], tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    overrides = [*tiny_study, "model.params=5e3", f"cache={cache}"]
    plan = plan_study(overrides)
    records = run_study(plan).records.records
    (trunk,) = plan.trunks
    ((median, _, _),) = json.loads((cache / "throughput.json").read_text()).values()
    assert median == pytest.approx(sum(r.seconds for r in records) / trunk.steps_to_train)
