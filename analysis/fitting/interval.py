"""A number and how far it can be trusted."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Interval:
    """A value and the ends of its confidence interval; both ends are the value where it was given."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.4g}   [{self.low:.4g}, {self.high:.4g}]"
