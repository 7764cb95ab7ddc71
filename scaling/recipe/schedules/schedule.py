"""What a schedule is: the rate as a share of its peak, a pure function of the place in training."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple


class Place(NamedTuple):
    """Where in training a step stands, once warm-up is over.

    Attributes:
        step: counted from 0.
        tokens: seen before it.
        warmup_tokens: tokens of the warm-up.
        part: of the steps from warm-up to horizon, 0 to below 1; 0 where there is no horizon.
    """

    step: int
    tokens: int
    warmup_tokens: int
    part: float


@dataclass(frozen=True)
class Schedule:
    """A learning-rate schedule: the fraction of the peak rate at each place in training.

    Attributes:
        share: the fraction of the peak rate at a place, given the settings. It sees the budget only through
            `Place.part`.
        horizon: whether the rate depends on the budget. Each budget is then a trunk of its own without a
            cooldown; otherwise every budget leaves one trunk, by a cooldown.
        settings: its own settings with their defaults.
    """

    share: Callable[[Place, Mapping[str, float]], float]
    horizon: bool = False
    settings: Mapping[str, float] = field(default_factory=dict)
