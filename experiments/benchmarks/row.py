"""A row of a benchmark, and how CPU seconds are taken."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """One measured target."""

    what: str
    reference: str
    ours: str
    ratio: float | None = None
    reached: bool | None = None

    def __str__(self) -> str:
        ratio = "" if self.ratio is None else f"{self.ratio:.3g}"
        verdict = {True: "yes", False: "NO", None: ""}[self.reached]
        return f"{self.what:<58} {self.reference:>24} {self.ours:>26} {ratio:>9} {verdict:>4}"


def cpu(work: Callable[[], object], repeats: int = 1) -> float:
    """CPU seconds of the fastest of some repeats."""
    times = []
    for _ in range(repeats):
        start = time.process_time()
        work()
        times.append(time.process_time() - start)
    return min(times)
