"""Registered forecasts against what came: inside or not, the interval score, and how they did together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from analysis.fitting.interval import interval_score


@dataclass(frozen=True)
class Entry:
    """One registered number, and what became of it."""

    file: str
    registered: str
    question: str
    said: float
    low: float
    high: float
    level: float
    came: float | None = None
    early: bool = False  # the run began before the forecast was registered
    reason: str = ""  # why nothing came yet

    @property
    def inside(self) -> bool | None:
        """Whether what came lies in the interval; None before."""
        return None if self.came is None else self.low <= self.came <= self.high

    @property
    def score(self) -> float | None:
        """The interval score over what came; None before."""
        if self.came is None:
            return None
        return float(interval_score(self.low, self.high, self.came, self.level)) / abs(self.came)

    def to_dict(self) -> dict[str, Any]:
        """Plain data, ready for JSON."""
        return {**asdict(self), "inside": self.inside, "score": self.score}


@dataclass(frozen=True)
class Calibration:
    """How all scored forecasts did together."""

    scored: int
    pending: int
    inside: int
    expected: float  # of the scored, how many their levels promise
    error: float  # rms of said / came - 1
    score: float  # mean relative interval score; lower is better

    def __str__(self) -> str:
        if not self.scored:
            return f"none scored yet, {self.pending} pending"
        return (
            f"{self.scored} scored, {self.pending} pending; {self.inside} inside of {self.expected:.3g} due"
            f"; error {100 * self.error:.2g} % (rms); interval score {100 * self.score:.3g} % (mean)"
        )


def calibrate(entries: Sequence[Entry]) -> Calibration:
    """Count and average; forecasts registered after their run began do not count."""
    came = [entry for entry in entries if entry.came is not None and not entry.early]
    errors = np.array([entry.said / entry.came - 1 for entry in came if entry.came])
    scores = [entry.score for entry in came if entry.score is not None]
    return Calibration(
        len(came),
        sum(entry.came is None for entry in entries),
        sum(bool(entry.inside) for entry in came),
        float(sum(entry.level for entry in came)),
        float(np.sqrt(np.mean(errors**2))) if came else float("nan"),
        float(np.mean(scores)) if came else float("nan"),
    )
