"""Two programs under one stopwatch: in turn, so that what slows the machine slows both."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import median


@dataclass(frozen=True)
class Ratio:
    """How many times faster one of two is: the median over rounds, and the lowest and highest of them."""

    median: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.median:.2f} ({self.low:.2f} to {self.high:.2f})"


def take_turns(
    steps: Mapping[str, Callable[[], object]],
    seconds: float,
    rounds: int = 7,
    finish: Callable[[], object] = lambda: None,
) -> dict[str, list[float]]:
    """Seconds per call of each, once per round: every round runs each for `seconds`, at least twice.

    Args:
        finish: waits for what a call has left to do, as on a GPU.
    """
    for step in steps.values():
        for _ in range(3):
            step()
    finish()
    found: dict[str, list[float]] = {name: [] for name in steps}
    for index in range(rounds):
        names = list(steps) if index % 2 == 0 else list(steps)[::-1]
        for name in names:
            calls, begin = 0, time.perf_counter()
            while calls < 2 or time.perf_counter() - begin < seconds:
                steps[name]()
                calls += 1
            finish()
            found[name].append((time.perf_counter() - begin) / calls)
    return found


def compare(ours: list[float], theirs: list[float]) -> Ratio:
    """Of seconds, round by round."""
    ratios = [b / a for a, b in zip(ours, theirs, strict=True)]
    return Ratio(median(ratios), min(ratios), max(ratios))
