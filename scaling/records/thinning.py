"""Which training rows a person is shown: a few per second, and enough of every run to draw it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

POINTS = 60  # training rows of a run that are always shown, however quickly it trains


class Thinning:
    """Decides for the rows of one run, in the order in which they are logged.

    Args:
        seconds: between two training rows.
        steps: that the run will train. A row is shown too when a 60th of them has passed since the last one:
            a short run would otherwise be a point or two.
    """

    def __init__(self, seconds: float, steps: int = 0) -> None:
        self._seconds, self._spacing = seconds, steps / POINTS
        self._next_time, self._next_step = 0.0, 0.0

    def shows(self, row: Mapping[str, Any], now: float) -> bool:
        """Whether to show a row of `metrics.jsonl`; every evaluation is shown.

        Args:
            now: a monotonic clock [s].
        """
        step = float(row.get("step", 0))
        due = now >= self._next_time or (self._spacing > 0 and step >= self._next_step)
        if not due and "loss" not in row:
            return False
        just_due = 0 <= step - self._next_step < 1  # the rest of a step is kept, or 1.25 would become 2
        self._next_step = (self._next_step if just_due else step) + self._spacing
        self._next_time = now + self._seconds
        return True
