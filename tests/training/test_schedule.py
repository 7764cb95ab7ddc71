from __future__ import annotations

import math
from dataclasses import replace

import pytest

from scaling.recipe.schedules import SCHEDULES
from scaling.study.spec import RunSpec
from scaling.training.schedule import run_rate, trunk_rate
from tests.study.test_spec import TRUNK


def test_trunk_warms_up_and_stays() -> None:
    rates = [trunk_rate(TRUNK, step) for step in range(6)]
    assert rates[:3] == pytest.approx([TRUNK.learning_rate * k / 3 for k in (1, 2, 3)])
    assert rates[3:] == [TRUNK.learning_rate] * 3


def test_cooldown_follows_one_minus_root_and_never_reaches_zero_in_a_step() -> None:
    run = RunSpec(TRUNK, 100, 19, 2048)
    assert run_rate(run, 80) == TRUNK.learning_rate
    cooling = [run_rate(run, step) / TRUNK.learning_rate for step in range(81, 100)]
    assert cooling == pytest.approx([1 - math.sqrt(k / 20) for k in range(1, 20)])
    assert cooling[-1] > 0


def test_a_run_is_its_trunk_until_the_branch() -> None:
    run = RunSpec(TRUNK, 100, 19, 2048)
    assert [run_rate(run, s) for s in range(81)] == [trunk_rate(TRUNK, s) for s in range(81)]


def test_cosine_falls_to_a_tenth_at_its_horizon() -> None:
    floor = SCHEDULES["cosine"].settings["floor"]
    assert floor == 0.1
    spec = replace(TRUNK, horizon=103)
    assert trunk_rate(spec, 3) == TRUNK.learning_rate
    assert trunk_rate(spec, 53) == pytest.approx(TRUNK.learning_rate * (1 + floor) / 2)
    assert trunk_rate(spec, 103) == pytest.approx(TRUNK.learning_rate * floor)
