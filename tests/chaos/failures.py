"""Trunks that fail in every way that code can: one kind per seed, before their attempt or inside it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from scaling.launch.job import TrunkJob
from scaling.records.record import RunRecord
from scaling.training import train as training
from scaling.training.observer import Observer

KINDS = (
    *(KeyError("x"), IndexError("list index"), ZeroDivisionError("by zero"), AssertionError()),
    *(ValueError("bad value"), TypeError("a type"), MemoryError(), OSError(28, "No space left on device")),
)
PASSING = {6, 7}  # seeds of those that another try may not meet again


@dataclass(frozen=True)
class FailsBefore(TrunkJob):
    """Fails before its attempt has a number; from the seed of `KINDS` on it is trained."""

    def train(self, observer: Observer) -> list[RunRecord]:
        fail(self.trunk.spec.seed)
        return super().train(observer)


@dataclass(frozen=True)
class FailsInside(TrunkJob):
    """Fails in its attempt."""

    usual: ClassVar[Any] = training._Attempt.train

    def train(self, observer: Observer) -> list[RunRecord]:
        def train(attempt: Any, pending: Any) -> None:
            fail(attempt.trunk.spec.seed)
            FailsInside.usual(attempt, pending)

        training._Attempt.train = train  # type: ignore[method-assign]
        try:
            return super().train(observer)
        finally:
            training._Attempt.train = FailsInside.usual  # type: ignore[method-assign]


def fail(seed: int) -> None:
    if seed < len(KINDS):
        raise KINDS[seed]
