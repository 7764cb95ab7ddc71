"""Every promise of docs/reliability.md names tests, and these exist. In the default run."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.chaos.table import ATTACKED, ELSEWHERE

ROOT = Path(__file__).parents[2]
NAMED = re.compile(r"(tests/[\w/]+\.py)::(test_\w+)")


def promises() -> list[str]:
    section = (ROOT / "docs" / "reliability.md").read_text().partition("## Promised")[2].partition("\n## ")[0]
    return [line for line in section.splitlines() if line.startswith("|")][2:]


@pytest.mark.parametrize(
    "line",
    [
        *promises(),
        *(f"| row {row} | {name}" for row, name in ELSEWHERE),
        *(f"| kind {kind} | {' '.join(tests)}" for kind, (_, tests) in ATTACKED.items()),
    ],
)
def test_what_a_promise_names_is_there(line: str) -> None:
    named = NAMED.findall(line)
    assert named, "a promise without a test"
    for path, name in named:
        assert f"\ndef {name}(" in (ROOT / path).read_text(), f"{path} has no {name}"


def test_there_are_eleven() -> None:
    assert len(promises()) == 11
