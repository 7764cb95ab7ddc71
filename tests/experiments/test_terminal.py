from __future__ import annotations

import pytest

from experiments.commands.completion import candidates
from experiments.terminal import Column, duration, table


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.04, "0.0 s"),
        (9.9, "9.9 s"),
        (9.96, "10 s"),
        (99, "99 s"),
        (100, "1 min 40 s"),
        (3599.4, "59 min 59 s"),
        (3600, "1 h 00 min"),
        (2 * 86400, "2.0 days"),
    ],
)
def test_durations_people_can_say(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_a_narrow_window_drops_the_least_column_and_says_so() -> None:
    columns = [Column("N", ["1", "22"]), Column("precision", ["float32", "bfloat16"], rank=2, left=True)]
    assert table(columns, width=40).splitlines() == [" N  precision", " 1  float32", "22  bfloat16"]
    narrow = table(columns, width=10).splitlines()
    assert narrow == [" N", " 1", "22", "(a wider window also shows precision)"]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("scaling r", ["run", "report"]),
        ("scaling run study=dem", ["study=demo"]),
        ("scaling plan training.cl", ["training.clip="]),
        ("scaling status ru", []),
        ("scaling run training.schedule=t", ["training.schedule=trunk"]),
        ("scaling run study=demo training.precision=b", ["training.precision=bfloat16"]),
        ("scaling run training.schedule=trunk,c", ["training.schedule=trunk,cosine"]),
        (
            "scaling run training.precision=",
            ["training.precision=auto", "training.precision=float32", "training.precision=bfloat16"],
        ),
        ("scaling run reuse=f", ["reuse=false"]),
        ("scaling run training.compile=n", ["training.compile=null"]),
    ],
)
def test_completion(line: str, expected: list[str]) -> None:
    assert candidates(line) == expected
