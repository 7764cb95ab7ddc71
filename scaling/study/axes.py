"""What a search may vary: one axis per swept key, in Hydra's own words for sweeps."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from hydra.core.override_parser.types import ChoiceSweep, IntervalSweep, Override, RangeSweep, Transformer

DIGITS = 3  # of a number that is tried, as of a rate by rule


@dataclass(frozen=True)
class Axis:
    """One key and what it may be: one of `choices`, or a number from `low` to `high`, both included."""

    key: str
    choices: tuple[Any, ...] = ()
    low: float = 0.0
    high: float = 0.0
    log: bool = False
    step: int | None = None  # of whole numbers

    def __str__(self) -> str:
        if self.choices:
            return f"{self.key} in {', '.join(map(str, self.choices))}"
        kind = f", steps of {self.step}" if self.step else ", by ratio" if self.log else ""
        return f"{self.key} from {self.low:g} to {self.high:g}{kind}"

    def ends(self) -> tuple[Any, ...]:
        """Every choice, or the least and the greatest number."""
        whole = self.step is not None
        return self.choices or tuple(int(end) if whole else end for end in (self.low, self.high))

    def rounded(self, value: Any) -> Any:
        """`value` in few digits, and inside."""
        if self.choices or self.step is not None:
            return value
        return min(max(float(f"{value:.{DIGITS}g}"), self.low), self.high)

    def holds(self, value: Any) -> bool:
        """Whether `value` lies on this axis."""
        if self.choices:
            return any(value == choice and type(value) is type(choice) for choice in self.choices)
        number = isinstance(value, int | float) and self.low <= value <= self.high
        return number and (self.step is None or (value - self.low) % self.step == 0)

    def near_edge(self, value: float) -> bool:
        """Whether a value lies within a twentieth from an end; of choices, the least or greatest."""
        if self.choices:
            numbers = [choice for choice in self.choices if isinstance(choice, int | float)]
            return len(numbers) > 2 and value in (min(numbers), max(numbers))
        low, high, at = (math.log(x) if self.log else x for x in (self.low, self.high, value))
        return low < high and not 0.05 <= (at - low) / (high - low) <= 0.95


def read_axes(overrides: Iterable[Override]) -> tuple[Axis, ...]:
    """The axes of swept overrides: `choice`, comma lists, `range`, `interval`, and `tag(log, interval(…))`.

    Raises:
        ValueError: for a key whose losses do not compare, or a range that is empty.
    """
    axes = [_axis(override) for override in overrides]
    if not axes:
        raise ValueError(
            "hydra/sweeper=optuna: nothing to search over. Give intervals or choices, e.g. "
            "'training.learning_rate=tag(log, interval(1e-3, 1e-1))' 'training.sequences=choice(4,8,16)'."
        )
    wrong = [axis.key for axis in axes if not axis.key.startswith("training.")]
    if wrong:
        raise ValueError(
            f"hydra/sweeper=optuna: {', '.join(wrong)} cannot be searched over: a search minimises the loss "
            "of one model on one budget, so only keys of training can vary. Give one value, e.g. "
            f"{wrong[0]}=VALUE, and search once for each."
        )
    return tuple(axes)


def _axis(override: Override) -> Axis:
    key, value = override.get_key_element(), override.value()
    if isinstance(value, IntervalSweep):
        low, high = float(value.start or 0), float(value.end or 0)
        axis = Axis(key, low=low, high=high, log="log" in value.tags)
    elif isinstance(value, RangeSweep):
        numbers = list(value.range())
        if not numbers or any(number != int(number) for number in numbers):
            raise ValueError(
                f"{key}: a search takes ranges of whole numbers; got {override.input_line}. "
                "For others use interval(low, high)."
            )
        axis = Axis(key, low=min(numbers), high=max(numbers), step=abs(int(value.step)))
    elif isinstance(value, ChoiceSweep) or override.is_choice_sweep():
        return Axis(key, tuple(override.sweep_iterator(Transformer.encode)))
    else:
        raise ValueError(f"{key}: not a sweep: {override.input_line}.")
    if not axis.low <= axis.high or (axis.log and axis.low <= 0):
        raise ValueError(
            f"{key}: from low to high, above 0 where by ratio; got {axis.low:g} to {axis.high:g}."
        )
    return axis


def say(values: Mapping[str, Any]) -> str:
    """Values as one would say them, without the section that all share."""
    return ", ".join(
        f"{key.partition('.')[2]} {value:g}"
        if isinstance(value, float)
        else f"{key.partition('.')[2]} {value}"
        for key, value in values.items()
    )
