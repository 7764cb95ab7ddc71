"""A row of a benchmark, and how CPU seconds are taken."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
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


def show(rows: Iterable[Row], what: str = "what", reference: str = "reference", ours: str = "ours") -> int:
    """Print a table, each row as soon as it is measured; returns how many targets were missed."""
    print(f"{what:<58} {reference:>24} {ours:>26} {'ratio':>9} {'ok':>4}", flush=True)
    missed = 0
    for row in rows:
        print(row, flush=True)
        missed += row.reached is False
    print(f"{missed} targets missed.")
    return missed
