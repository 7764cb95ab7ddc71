"""Where time goes inside a call: functions are wrapped from outside while a benchmark looks."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


class Stopwatch:
    """Seconds by name. Of calls inside calls only the outermost counts, so that the names add up."""

    def __init__(self) -> None:
        self.seconds: defaultdict[str, float] = defaultdict(float)
        self.inside = False

    @contextmanager
    def watching(self, watched: dict[str, list[tuple[Any, str]]]) -> Iterator[None]:
        """Measure each (owner, attribute) under its name while the block runs."""
        before = [(owner, name, getattr(owner, name)) for found in watched.values() for owner, name in found]
        for label, found in watched.items():
            for owner, name in found:
                setattr(owner, name, self._timed(label, getattr(owner, name)))
        try:
            yield
        finally:
            for owner, name, work in before:
                setattr(owner, name, work)

    def _timed(self, label: str, work: Any) -> Any:
        def timed(*args: Any, **kwargs: Any) -> Any:
            if self.inside:
                return work(*args, **kwargs)
            self.inside = True
            start = time.perf_counter()
            try:
                return work(*args, **kwargs)
            finally:
                self.seconds[label] += time.perf_counter() - start
                self.inside = False

        return timed
