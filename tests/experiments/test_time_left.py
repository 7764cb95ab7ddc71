"""The time left: from the plan at first, from the pace of training later, never from what starting took."""

from __future__ import annotations

import pytest

from experiments.progress import label_trunks
from experiments.time_left import TimeLeft
from scaling.study.plan import plan_study


def test_before_anything_is_trained_the_plan_is_shown_as_a_range() -> None:
    left = TimeLeft({"a": 30.0, "b": 10.0}, 1, (0.8, 1.5))
    assert left.range(1e6) == pytest.approx((32.0, 60.0))  # however long processes take to start


def test_starting_takes_no_part_in_the_pace() -> None:
    """An hour of imports before a study of 40 s: a stopwatch from the start would say days."""
    left = TimeLeft({"a": 40.0}, 1, (0.9, 1.1))
    now = 3600.0
    for second in range(1, 21):
        left.train("a", 1.0, now + second)
        least, most = left.range(now + second)
        planned = 40.0 - second
        assert 0.5 * planned < least <= most < 1.5 * planned


def test_it_is_a_range_until_a_tenth_is_done() -> None:
    left = TimeLeft({"a": 100.0}, 1, (0.9, 1.1))
    for second in range(9):
        left.train("a", 1.0, 2.0 * second)  # half as fast as planned
    least, most = left.range(16.0)
    assert least == pytest.approx(0.9 * 91)
    assert 1.1 * 91 < most < 2 * 91
    assert left.said is None
    left.train("a", 1.0, 18.0)
    left.train("a", 1.0, 20.0)
    assert left.range(20.0) == pytest.approx((2 * 89, 2 * 89))
    assert left.said == pytest.approx((18.0, 2 * 90))


def test_the_first_steps_do_not_make_days() -> None:
    left = TimeLeft({"a": 40.0}, 1, (1.0, 1.0))
    left.train("a", 0.01, 0.0)
    left.train("a", 0.01, 50.0)  # a compiler
    assert left.range(50.0)[1] < 45


def test_the_last_trunk_runs_alone() -> None:
    left = TimeLeft({"long": 60.0, "short": 20.0}, 2, (1.0, 1.0))
    left.train("long", 1.0, 1.0)
    left.train("short", 1.0, 1.0)
    left.train("long", 19.0, 20.0)
    left.end("short", 20.0)
    assert left.range(20.0)[0] == pytest.approx(40.0, rel=0.02)


def test_what_is_done_already_is_no_pace() -> None:
    left = TimeLeft({"a": 0.0}, 1, (1.0, 1.0))
    left.train("a", 5.0, 1.0)
    left.train("unknown", 5.0, 1.0)
    assert left.range(2.0) == (0.0, 0.0)
    assert left.said is None


def test_a_line_names_what_tells_trunks_of_one_shape_apart(tiny_study: list[str]) -> None:
    def labels(*more: str) -> set[str]:
        return set(label_trunks(plan_study([*tiny_study, *more]).trunks).values())

    assert labels() == {"decoder"}
    arms = labels("optimizer=adamw,sgd", "seed=0,1", "training.learning_rate=1e-3,2e-3")
    assert "decoder sgd rate 0.002 seed 1" in arms
    assert len(arms) == 8
